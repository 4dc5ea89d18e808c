"""Examples token by token: what is learned, where the cut is, whole characters, named controls."""

from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.run_passport import LoraSettings, TrainingSettings
from qeu.core.settings import Settings
from qeu.core.training_variant import Variant
from qeu.services.train_examples import ShownExample, show_examples
from qeu.services.train_order import TrainOrder
from qeu.services.train_plan import TrainPlan, plan_order
from qeu.store.imports import add_records, rows_of
from qeu.store.workspace import Workspace
from tests.store.dataset_rows import make_row, tell
from tests.tiny_checkpoints import build_checkpoint

pytestmark = pytest.mark.slow

ALIKE = {"input": "", "category": "open_qa", "language": "en"}
ROWS = [
    make_row(n, instruction=asked, reasoning=reasoning, output=output, **ALIKE)
    for n, (asked, reasoning, output) in enumerate([
        ("Add 2 and 3.", "Count on from 3.", "5"),
        ("質問👩‍🚀です", "考える。", "答え🙂 café"),
        ("Say <|endoftext|>.", "Look " * 80, "No."),
    ])
]  # fmt: skip
# The tiny tokenizers take about 250 tokens for the role alone.
LIMIT = 360
TEXTS = {row["seq"]: row for row in ROWS}


@pytest.fixture(scope="module", params=["phi", "llama"])
def base(request, tmp_path_factory) -> Path:
    """A tiny model of each kind of tokenizer, in a folder."""
    return build_checkpoint(tmp_path_factory.mktemp(request.param) / request.param, request.param)


@pytest.fixture(scope="module")
def looked(base: Path, tmp_path_factory) -> tuple[TrainPlan, list[ShownExample]]:
    """A plan with the usual settings, and its examples."""
    return look(base, tmp_path_factory.mktemp("adapters"))


def look(base: Path, tmp_path: Path, **variant) -> tuple[TrainPlan, list[ShownExample]]:
    workspace = Workspace(None)
    add_records(workspace, "demo", rows_of(iter(ROWS)), tell)
    order = TrainOrder(
        "poems", str(base), "demo", variant=Variant(**variant),
        lora=LoraSettings(target_modules=("q_proj",)), training=TrainingSettings(max_length=LIMIT),
    )  # fmt: skip
    settings = Settings(adapters=tmp_path, cache=tmp_path)
    plan = plan_order(workspace, order, settings)
    assert not plan.problems
    return plan, show_examples(workspace, plan, settings)


def field_text(example: ShownExample, field: str) -> str:
    return "".join(piece.text for piece in example.pieces if piece.field == field)


def test_the_pieces_are_the_text_and_count_all_tokens(looked):
    plan, shown = looked
    assert [one.ref for one in shown] == list(plan.shown)
    for one in shown:
        assert sum(piece.tokens for piece in one.pieces) == one.ref.tokens
        row = TEXTS[one.ref.seq]
        for field in ("instruction", "reasoning", "output"):
            # a person's "<|" is parted, so that it is no mark of the layout
            shown_text, written = field_text(one, field), str(row[field])
            assert "".join(shown_text.split()) == "".join(written.split())
        assert "\ufffd" not in "".join(piece.text for piece in one.pieces)


def test_what_is_learned_is_what_the_plan_counts(base, looked, tmp_path):
    for one in looked[1]:
        within = one.split()[0]
        assert sum(piece.tokens for piece in within if piece.learned) <= one.learned
        assert {piece.field for piece in one.pieces if piece.learned} >= {"reasoning", "output"}
        assert not any(p.learned for p in one.pieces if p.field in ("system", "instruction"))
    answers = look(base, tmp_path, loss_on=("output",))[1][0]
    assert {piece.field for piece in answers.pieces if piece.learned} <= {"output", "end"}


def test_only_real_control_tokens_are_named_as_such(looked):
    for one in looked[1]:
        controls = [piece for piece in one.pieces if piece.control]
        assert controls[-1] is one.pieces[-1]
        assert one.pieces[-1].field == "end"
        # a person's text is none, whatever it looks like
        assert not any(piece.field == "instruction" for piece in controls)


def test_a_long_example_is_cut_at_the_limit(looked):
    longest = next(one for one in looked[1] if one.ref.which == "longest")
    kept, lost = longest.split()
    assert longest.is_cut
    assert sum(piece.tokens for piece in kept) <= LIMIT
    assert kept + lost == longest.pieces


def test_a_shuffled_reasoning_names_whose_it_is(base, tmp_path):
    _, shown = look(base, tmp_path, reasoning="shuffled")
    for one in shown:
        assert one.reasoning_from not in ("", one.ref.seq)
        other = str(TEXTS[one.reasoning_from]["reasoning"]).strip()
        assert field_text(one, "reasoning").strip() == other


def test_a_record_that_is_gone_is_left_out(base, looked, tmp_path):
    workspace = Workspace(None)
    add_records(workspace, "demo", rows_of(iter(ROWS)), tell)
    plan = replace(looked[0], shown=(replace(looked[0].shown[0], id=10**9),))
    assert show_examples(workspace, plan, Settings(cache=tmp_path)) == []
