"""Language trial: does the model know which language it is speaking?

Instruction language × content language × answer language, every cell one short text, all of them
one batch. How the texts are judged stands in trial_verdicts.py.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from qeu.backends.catalog import ModelCard
from qeu.backends.engines import Engines
from qeu.core.errors import UsageError
from qeu.core.prompts import LAYOUTS
from qeu.core.record import Record
from qeu.core.roles import Role
from qeu.core.sampling import Sampling
from qeu.services.runs import Ask, Run

LANGUAGES = ("en", "ja", "zh")
ITEMS_FILE = Path(__file__).parent / "trial_items.json"
NEW_TOKENS = 48
# The shipped roles turn Japanese and Chinese into English, which would decide the trial.
PLAIN_ROLE = Role(
    "plain",
    "You are a helpful assistant. You write in the language that you are told to write in.",
)
# The sentence that asks for the answer's language, by the language it is said in.
ANSWER_IN: Mapping[str, Mapping[str, str]] = {
    "en": {"en": "Write in English.", "ja": "Write in Japanese.", "zh": "Write in Chinese."},
    "ja": {
        "en": "英語で書いてください。",
        "ja": "日本語で書いてください。",
        "zh": "中国語で書いてください。",
    },
    "zh": {"en": "请用英文写。", "ja": "请用日文写。", "zh": "请用中文写。"},
}


@dataclass(frozen=True)
class TrialItem:
    """One thing to do, said natively in every language; instruction and content mix freely."""

    id: str
    instruction: Mapping[str, str]
    content: Mapping[str, str]


@dataclass(frozen=True)
class Cell:
    """One place of the grid: languages of the instruction, of the content, of the answer."""

    instruction: str
    content: str
    answer: str

    @property
    def key(self) -> str:
        """The cell's name in a run, such as "ja-en-zh"."""
        return f"{self.instruction}-{self.content}-{self.answer}"

    @classmethod
    def from_key(cls, key: str) -> "Cell":
        """The cell of such a name."""
        return cls(*key.split("-"))


@dataclass(frozen=True)
class Trial:
    """All that a trial depends on; the languages ticked on each axis span the grid."""

    model: str
    item: str = "saying"
    instructions: Sequence[str] = LANGUAGES
    contents: Sequence[str] = LANGUAGES
    answers: Sequence[str] = LANGUAGES
    role: Role = PLAIN_ROLE
    layout: str = ""
    sampling: Sampling = field(default_factory=lambda: Sampling(max_new_tokens=NEW_TOKENS))
    exact: bool = False

    def cells(self) -> list[Cell]:
        """The grid row by row, in the languages' own order."""
        axes = [
            [code for code in LANGUAGES if code in chosen]
            for chosen in (self.instructions, self.contents, self.answers)
        ]
        return [Cell(i, c, a) for i in axes[0] for c in axes[1] for a in axes[2]]

    def asks(self) -> list[Ask]:
        """One ask a cell; raises UsageError for what cannot be meant."""
        self._check()
        item = find_item(self.item)
        return [
            Ask(
                key=cell.key,
                model=self.model,
                record=cell_record(item, cell),
                role=self.role,
                target="answer",
                sampling=self.sampling,
                layout=self.layout,
                expected_language=cell.answer,
            )
            for cell in self.cells()
        ]

    def _check(self) -> None:
        if not self.model.strip():
            raise UsageError("No model is chosen. Choose one above the grid.")
        if self.layout not in ("", *LAYOUTS):
            raise UsageError(f"layout is {self.layout!r}. Choose one of: {', '.join(LAYOUTS)}.")
        for name, chosen in (
            ("instruction", self.instructions),
            ("content", self.contents),
            ("answer", self.answers),
        ):
            if not chosen:
                raise UsageError(f"No {name} language is ticked. Tick at least one.")
            if unknown := [code for code in chosen if code not in LANGUAGES]:
                raise UsageError(
                    f"{name} language {unknown[0]!r} is not in the trial. "
                    f"Choose from: {', '.join(LANGUAGES)}."
                )


@cache
def list_items() -> tuple[TrialItem, ...]:
    """The trial's questions."""
    return tuple(TrialItem(**row) for row in json.loads(ITEMS_FILE.read_text(encoding="utf-8")))


def find_item(item_id: str) -> TrialItem:
    """The question with this id; raises UsageError naming all."""
    for item in list_items():
        if item.id == item_id:
            return item
    known = ", ".join(item.id for item in list_items())
    raise UsageError(f"Unknown trial question {item_id!r}. Choose one of: {known}.")


def cell_record(item: TrialItem, cell: Cell) -> Record:
    """A cell's question: the instruction, then the language asked for, said in its language."""
    gap = " " if cell.instruction == "en" else ""
    asked = ANSWER_IN[cell.instruction][cell.answer]
    return Record(
        instruction=item.instruction[cell.instruction] + gap + asked,
        input=item.content[cell.content],
        language=cell.content,
    )


def start_trial(engines: Engines, trial: Trial) -> Run:
    """Begin: one run, one batch; the caller polls it and stops it in the end."""
    return Run(engines, trial.asks(), exact=trial.exact)


def unfit_languages(card: ModelCard, trial: Trial) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(languages it will be given and cannot read, languages asked of it that it cannot write)."""
    if not card.tested:
        return (), ()
    given = {*trial.instructions, *trial.contents}
    unread = tuple(code for code in LANGUAGES if code in given and code not in card.reads)
    unwritten = tuple(c for c in LANGUAGES if c in trial.answers and c not in card.writes)
    return unread, unwritten


def short_sampling(sampling: Sampling, new_tokens: int) -> Sampling:
    """The page's sampling with the trial's own length."""
    return replace(sampling, max_new_tokens=new_tokens).checked()
