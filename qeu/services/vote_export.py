"""Votes as training data: chosen and rejected for DPO as TRL reads it, or the chosen as records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qeu.backends.catalog import find_model, split_ref
from qeu.core.errors import QeuError, UsageError
from qeu.core.prompts import LAYOUTS
from qeu.services.export import make_shareable
from qeu.services.vote_decisions import LEFT_OUT, Decided, decide
from qeu.services.votes import side_model
from qeu.store.vote_questions import held_out_questions
from qeu.store.workspace import Workspace
from qeu.store.writers import format_of, write_rows

FORMATS = ("dpo", "records")
_ABOUT = ("vote", "category", "language", "chosen_model", "chosen_licence")
DPO_COLUMNS = (
    *("prompt", "chosen", "rejected", *_ABOUT, "rejected_model", "rejected_licence"),
    *("role", "target", "seconds", "note"),
)
RECORD_COLUMNS = (
    *("no", "seq", "category", "field", "uniqueness", "language"),
    *("instruction", "input", "reasoning", "output", "model", "licence", "vote", "note"),
)


@dataclass(frozen=True)
class VoteExport:
    """What was written: `left_out` counts runs by reason, `licences` texts by their licence.

    `reduced` are lines whose sides were asked differently: their prompt is the question alone.
    """

    file: str
    rows: int
    left_out: Mapping[str, int]
    licences: Mapping[str, int]
    reduced: int

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "file": self.file,
            "rows": self.rows,
            "left_out": dict(self.left_out),
            "licences": dict(self.licences),
            "reduced": self.reduced,
        }


def export_votes(
    workspace: Workspace,
    path: Path,
    *,
    kind: str = "dpo",
    layout: str = "chat",
    visitor: str = "",
    records: Workspace | None = None,
) -> VoteExport:
    """Write what the votes decided; a file is there whole or not at all.

    `dpo`: JSONL of prompt, chosen, rejected, each with its model and licence; as messages in the
    chat layout, else as texts. `records`: the chosen texts as rows of a data set. Questions that
    the data sets of `records` (None: of the same workspace) hold out for testing are left out.
    """
    if kind not in FORMATS:
        raise UsageError(f"Unknown format {kind!r}. Choose one of: {', '.join(FORMATS)}.")
    if layout not in LAYOUTS:
        raise UsageError(f"Unknown layout {layout!r}. Choose one of: {', '.join(LAYOUTS)}.")
    ending = format_of(path)
    if kind == "dpo" and ending != "jsonl":
        raise UsageError(
            f"Pairs are written as JSONL, not {path.name!r}. End the name with .jsonl."
        )
    left_out = dict.fromkeys(LEFT_OUT, 0)
    licences: dict[str, int] = {}
    reduced = 0
    held_out = held_out_questions(records or workspace)

    def rows() -> Iterator[dict[str, object]]:
        nonlocal reduced
        for found in decide(workspace, visitor):
            if isinstance(found, str):
                left_out[found] += 1
                continue
            if found.stored.question in held_out:
                left_out["held_out"] += 1
                continue
            reduced += found.reduced
            row = _pair_row(found, layout) if kind == "dpo" else _record_row(found)
            for name in ("chosen_licence", "rejected_licence", "licence"):
                if name in row:
                    licences[str(row[name])] = licences.get(str(row[name]), 0) + 1
            yield row

    columns = DPO_COLUMNS if kind == "dpo" else RECORD_COLUMNS
    count = write_rows(path, ending, columns, rows())
    return VoteExport(str(path), count, {k: n for k, n in left_out.items() if n}, licences, reduced)


def _pair_row(found: Decided, layout: str) -> dict[str, object]:
    chosen, rejected = (found.rendered(side, layout) for side in (found.winner, found.loser))
    prompt: object = chosen.prompt.text
    after: list[object] = [chosen.completion_text, rejected.completion_text]
    if layout == "chat":
        prompt = [{"role": m.role, "content": m.content} for m in chosen.prompt.messages]
        prefill = chosen.prompt.prefill
        after = [[{"role": "assistant", "content": prefill + str(text)}] for text in after]
    first = found.votes[0]
    row = {"prompt": prompt, "chosen": after[0], "rejected": after[1], "vote": first.run}
    row |= {"category": first.category, "language": first.language, "note": _notes(found)}
    for name, side in (("chosen", found.winner), ("rejected", found.loser)):
        model = side_model(found.stored, side)
        row |= {f"{name}_model": make_shareable({"model": model})["model"]}
        row |= {f"{name}_licence": _licence(model)}
    seconds = sum(vote.seconds for vote in found.votes) / len(found.votes)
    return row | {"role": found.role.id, "target": found.target, "seconds": round(seconds, 1)}


def _record_row(found: Decided) -> dict[str, object]:
    record, model = found.texts[found.winner], side_model(found.stored, found.winner)
    language = record.language
    numbered = {"no": found.stored.id, "seq": f"{found.stored.id}{_sign(language)}"}
    about = {"vote": found.stored.id, "note": _notes(found), "licence": _licence(model)}
    shared = make_shareable({"model": model})
    return {**record.to_json(), **numbered, **about, **shared}


def _sign(language: str) -> str:
    return "" if language == "und" else language.upper()


def _notes(found: Decided) -> str:
    return " | ".join(vote.note for vote in found.votes if vote.note)


def _licence(model: str) -> str:
    """The licence of who wrote a text: it may forbid training other models on it."""
    try:
        return find_model(split_ref(model)[0], local_paths=False).licence or "unknown"
    except QeuError:
        return "unknown"
