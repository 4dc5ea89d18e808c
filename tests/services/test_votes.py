"""Votes on runs: what they tell, what cannot be voted on, and the files that training reads."""

import json
from dataclasses import replace

import pytest

from qeu.core.errors import QeuError, UsageError
from qeu.services.compare import SideSettings
from qeu.services.data_import import ImportOptions, import_file
from qeu.services.vote_export import export_votes
from qeu.services.votes import cast_vote, differences, read_standings, take_back, voted_on
from qeu.store.changes import change_records
from qeu.store.datasets import find_dataset, list_datasets
from qeu.store.filters import Filter
from qeu.store.queries import read_page
from qeu.store.vote_questions import draw_record
from qeu.store.workspace import Workspace
from tests.services.voted_runs import LEFT, RIGHT, comparison, cooler, store_run


@pytest.fixture
def workspace():
    opened = Workspace(None)
    yield opened
    opened.close()


def test_a_vote_names_models_category_and_language(workspace):
    stored = store_run(workspace, comparison(category="creative", instruction="俳句を書いて。"))
    vote, is_new = cast_vote(workspace, stored.id, "right", acceptable={"right": True}, note=" a ")
    assert is_new
    assert (vote.left, vote.right, vote.better) == (LEFT, RIGHT, "right")
    assert (vote.category, vote.language, vote.note) == ("creative", "ja", "a")
    assert vote.acceptable == {"left": None, "right": True}
    assert voted_on(workspace, stored.id) == vote
    assert cast_vote(workspace, stored.id, "left") == (vote, False)
    assert take_back(workspace) == vote
    assert voted_on(workspace, stored.id) is None


@pytest.mark.parametrize(
    ("ends", "texts", "why"),
    [
        (("error", "stop"), ("", "Thyme."), "One side failed.*No Groq key"),
        (("stop", "error"), ("Basil.", "Thy"), "One side failed"),
        (("cancelled", "cancelled"), ("Basil", " "), "nothing that can be compared"),
    ],
)
def test_where_there_are_no_two_texts_there_is_no_vote(workspace, ends, texts, why):
    stored = store_run(workspace, comparison(), *texts, ends=ends)
    with pytest.raises(QeuError, match=why):
        cast_vote(workspace, stored.id, "left")
    assert read_standings(workspace).votes == 0


@pytest.mark.parametrize("values", [{"better": "up"}, {"voter": "a b"}, {"voter": "x" * 65}])
def test_values_that_mean_nothing_are_refused(workspace, values):
    stored = store_run(workspace, comparison())
    with pytest.raises(UsageError):
        cast_vote(workspace, stored.id, **{"better": "left", **values})


def test_a_model_against_itself_is_told_apart_by_what_was_set(workspace):
    asked = comparison(LEFT, LEFT, reasoning="Think of green ones.")
    asked = replace(asked, left=replace(asked.left, use_reasoning=False))
    assert differences(asked) == ("no-reasoning", "reasoning")
    stored = store_run(workspace, asked)
    cast_vote(workspace, stored.id, "right")
    [pair] = read_standings(workspace).pairs
    assert (pair.first, pair.second) == (f"{LEFT} (no-reasoning)", f"{LEFT} (reasoning)")
    assert pair.all.losses == 1


def test_only_what_differs_between_the_sides_is_told():
    assert differences(comparison(LEFT, LEFT)) == ("", "")
    # without a reasoning to give, the switch for it changes nothing
    asked = comparison(LEFT, LEFT)
    assert differences(replace(asked, left=replace(asked.left, use_reasoning=False))) == ("", "")
    right = SideSettings(LEFT, role="creator", target="both", sampling=cooler())
    left, told = differences(comparison(LEFT, right))
    assert told == "role creator, target both, temperature 0.1"
    assert left.startswith("role assistant, target answer, temperature ")


def test_a_text_that_ended_before_its_answer_cannot_be_held_against_one(workspace):
    asked = comparison(right=SideSettings(RIGHT, target="both"))
    stored = store_run(workspace, asked, "Basil.", "Think of green ones and", ("stop", "length"))
    with pytest.raises(QeuError, match="nothing that can be compared"):
        cast_vote(workspace, stored.id, "left")


def test_questions_kept_for_testing_are_not_trained_on(workspace, tmp_path):
    rows = [{"instruction": name, "output": "x", "category": "math"} for name in ("Held.", "Free.")]
    (tmp_path / "rows.json").write_text(json.dumps(rows), "utf-8")
    import_file(workspace, tmp_path / "rows.json", "d", ImportOptions())
    dataset = find_dataset(workspace, "d")
    held = Filter(ids=(read_page(workspace, dataset).rows[0].id,))
    change_records(
        workspace, dataset, lambda _: {"split": "validation"}, held,
        what="The split", kind="rule", data={"rules": [], "changed": 1},
    )  # fmt: skip
    for instruction in ("Held.", "Free."):
        stored = store_run(workspace, comparison(instruction=instruction))
        cast_vote(workspace, stored.id, "left")
    report, [row] = export(workspace, tmp_path)
    assert row["prompt"][-1]["content"] == "Free."
    assert report.left_out == {"held_out": 1}


def test_the_next_question_is_one_that_was_not_asked_yet(workspace, tmp_path):
    assert draw_record(workspace, []) is None
    rows = [{"instruction": name, "output": "x"} for name in ("One?", "Two?")]
    (tmp_path / "rows.json").write_text(json.dumps(rows), "utf-8")
    import_file(workspace, tmp_path / "rows.json", "d", ImportOptions())
    store_run(workspace, comparison(instruction="One?"))
    drawn = [draw_record(workspace, list_datasets(workspace)) for _ in range(5)]
    assert {(dataset.name, stored.record.instruction) for dataset, stored in drawn} == {
        ("d", "Two?")
    }
    store_run(workspace, comparison(instruction="Two?"))
    assert draw_record(workspace, list_datasets(workspace)) is None


def export(workspace, tmp_path, **values):
    path = tmp_path / values.pop("name", "votes.jsonl")
    report = export_votes(workspace, path, **values)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len(rows) == report.rows
    return report, rows


def test_a_pair_is_what_was_asked_and_both_texts_with_who_wrote_them(workspace, tmp_path):
    stored = store_run(workspace, comparison(input="For soup.", reasoning="Think of green."))
    cast_vote(workspace, stored.id, "right", seconds=4, note="livelier")
    report, [row] = export(workspace, tmp_path)
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    asked = row["prompt"][1]["content"]
    assert asked == "Name a herb.\n\nFor soup.\n\nFollow this reasoning:\nThink of green."
    assert row["chosen"] == [{"role": "assistant", "content": "Thyme grows."}]
    assert row["rejected"] == [{"role": "assistant", "content": "Basil."}]
    assert (row["chosen_model"], row["chosen_licence"]) == (RIGHT, "mit")
    assert (row["rejected_model"], row["rejected_licence"]) == (LEFT, "apache-2.0")
    assert (row["vote"], row["note"], row["seconds"]) == (stored.id, "livelier", 4)
    assert report.licences == {"mit": 1, "apache-2.0": 1}
    assert (report.left_out, report.reduced) == ({}, 0)


def test_a_tagged_layout_gives_texts_as_training_joins_them(workspace, tmp_path):
    stored = store_run(workspace, comparison())
    cast_vote(workspace, stored.id, "left")
    _, [row] = export(workspace, tmp_path, layout="bonsai-v2")
    assert row["prompt"].endswith("<|instruction|>Name a herb.\n<|response|>")
    assert (row["chosen"], row["rejected"]) == ("Basil.", "Thyme grows.")


def test_reasoning_and_answer_stay_together_where_both_wrote_both(workspace, tmp_path):
    sides = {name: SideSettings(LEFT, target="both") for name in ("left", "right")}
    asked = comparison(**sides)
    texts = ("Think.\nAnswer:\nBasil.", "Look.\nAnswer:\nMint.")
    cast_vote(workspace, store_run(workspace, asked, *texts).id, "left")
    _, [chat] = export(workspace, tmp_path)
    assert chat["chosen"][0]["content"] == "Reasoning:\nThink.\nAnswer:\nBasil."
    _, [tagged] = export(workspace, tmp_path, layout="bonsai-v2")
    assert tagged["prompt"].endswith("<|reasoning|>")
    assert tagged["rejected"] == "Look.\n<|response|>Mint."


def test_sides_asked_differently_share_the_question_alone(workspace, tmp_path):
    asked = comparison(
        left=SideSettings(LEFT, role="creator", use_reasoning=False),
        right=SideSettings(RIGHT, target="both"),
        reasoning="Think of green ones.",
    )
    stored = store_run(workspace, asked, "Basil.", "Green.\nAnswer:\nThyme.")
    cast_vote(workspace, stored.id, "right")
    report, [row] = export(workspace, tmp_path)
    assert row["prompt"] == [{"role": "user", "content": "Name a herb."}]
    assert row["chosen"][0]["content"] == "Thyme."
    assert report.reduced == 1


def vote_all(workspace):
    """One run for each reason to leave it out; the last one is fine."""
    cases = {
        "equal": {"better": ["equal"]},
        "split": {"better": ["left", "right"]},
        "unacceptable": {"better": ["left"], "acceptable": {"left": False}},
        "stopped": {"better": ["left"], "ends": ("stop", "cancelled")},
        "same": {"better": ["left"], "texts": ("Basil.", "Basil.")},
        "different": {"better": ["left"], "target": "reasoning"},
        "": {"better": ["left", "left", "right"], "acceptable": {"right": False}},
    }
    for case in cases.values():
        right = SideSettings(RIGHT, target=case.get("target", "answer"))
        stored = store_run(
            workspace, comparison(right=right), *case.get("texts", ()),
            ends=case.get("ends", ("stop", "stop")),
        )  # fmt: skip
        for voter, better in enumerate(case["better"]):
            acceptable = case.get("acceptable", {}) if better == "left" else {}
            cast_vote(workspace, stored.id, better, acceptable=acceptable, voter=f"v{voter}")
    return {reason: 1 for reason in cases if reason}


@pytest.mark.parametrize("kind", ["dpo", "records"])
def test_what_teaches_nothing_is_left_out_and_counted(workspace, tmp_path, kind):
    expected = vote_all(workspace)
    report, rows = export(workspace, tmp_path, kind=kind)
    assert report.left_out == expected
    assert len(rows) == 1
    assert report.to_json()["rows"] == 1


def test_records_are_rows_that_a_data_set_takes(workspace, tmp_path):
    asked = comparison(reasoning="Think of green ones.", category="brainstorming")
    cast_vote(workspace, store_run(workspace, asked).id, "right")
    report, [row] = export(workspace, tmp_path, kind="records")
    assert (row["output"], row["reasoning"]) == ("Thyme grows.", "Think of green ones.")
    assert (row["model"], row["licence"]) == (RIGHT, "mit")
    assert report.licences == {"mit": 1}
    done = import_file(workspace, tmp_path / "votes.jsonl", "liked", ImportOptions())
    assert (done.imported, done.rejected_count) == (1, 0)
    [stored] = read_page(workspace, find_dataset(workspace, "liked")).rows
    assert stored.record.output == "Thyme grows."
    assert (stored.record.category, stored.record.language) == ("brainstorming", "en")
    assert stored.record.extra["licence"] == "mit"


def test_a_reasoning_that_won_is_a_records_reasoning(workspace, tmp_path):
    sides = {
        "left": SideSettings(LEFT, target="reasoning"),
        "right": SideSettings(RIGHT, target="reasoning_task"),
    }
    stored = store_run(workspace, comparison(**sides, reference="Mint."), "Look.", "Think.")
    cast_vote(workspace, stored.id, "left")
    _, [row] = export(workspace, tmp_path, kind="records")
    assert (row["reasoning"], row["output"]) == ("Look.", "Mint.")
    report, [pair] = export(workspace, tmp_path)
    assert (pair["target"], report.reduced) == ("reasoning", 1)


def test_no_path_of_this_machine_gets_into_a_file(workspace, tmp_path):
    cast_vote(workspace, store_run(workspace, comparison(left="/home/me/secret/phi")).id, "left")
    _, [row] = export(workspace, tmp_path)
    assert row["chosen_model"] == "phi"
    assert row["chosen_licence"] == "unknown"


@pytest.mark.parametrize(
    ("name", "values"),
    [("v.csv", {}), ("v.jsonl", {"kind": "ppo"}), ("v.jsonl", {"layout": "alpaca"}), ("v", {})],
)
def test_a_file_that_nobody_could_read_is_refused(workspace, tmp_path, name, values):
    with pytest.raises(QeuError):
        export_votes(workspace, tmp_path / name, **values)
    assert list(tmp_path.iterdir()) == []


def test_no_votes_make_an_empty_file(workspace, tmp_path):
    assert export(workspace, tmp_path)[0].rows == 0


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["chat", "bonsai-v2"])
def test_trl_trains_on_the_pairs(workspace, tmp_path, layout):
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer
    from trl.data_utils import is_conversational

    from tests.tiny_checkpoints import build_checkpoint

    for instruction, better in (("Name a herb.", "right"), ("料理の香草を挙げて。", "left")):
        stored = store_run(workspace, comparison(instruction=instruction))
        cast_vote(workspace, stored.id, better)
    export_votes(workspace, tmp_path / "votes.jsonl", layout=layout)
    rows = load_dataset(
        "json", data_files=str(tmp_path / "votes.jsonl"), split="train", cache_dir=tmp_path / "hf"
    )
    assert all(is_conversational(row) is (layout == "chat") for row in rows)
    folder = build_checkpoint(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    settings = DPOConfig(
        str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=2, report_to=[],
        use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no",
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(folder)
    trainer = DPOTrainer(model, args=settings, train_dataset=rows, processing_class=tokenizer)
    read = trainer.train_dataset[0]
    assert "Name a herb." in tokenizer.decode(read["prompt_ids"])
    assert tokenizer.decode(read["chosen_ids"], skip_special_tokens=True).strip() == "Thyme grows."
    assert read["chosen_ids"][-1] in (tokenizer.eos_token_id, *tokenizer.all_special_ids)
    assert trainer.train().training_loss == pytest.approx(0.693, abs=0.02)
