"""Usefulness of reasonings of records and of jobs: leaks do not count, nothing is done twice."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.backends.engines import open_engines
from qeu.backends.local import LocalModel
from qeu.backends.losses import LossLine, LossPlan, LossRow, TextLoss, group_lines
from qeu.core.errors import QeuError
from qeu.core.job_spec import JobSpec
from qeu.core.prompts import render
from qeu.core.record import Record
from qeu.core.roles import ROLES
from qeu.core.settings import Settings
from qeu.services import usefulness
from qeu.services.job_runner import JobWorker
from qeu.services.usefulness import UsefulRow, measure_usefulness
from qeu.services.usefulness_summary import UsefulnessSummary
from qeu.services.usefulness_texts import JobTexts, RecordTexts
from qeu.store.changes import edit_record
from qeu.store.datasets import find_dataset
from qeu.store.filters import Filter
from qeu.store.imports import add_records, rows_of
from qeu.store.jobs import claim_job, create_job, get_job
from qeu.store.queries import read_page
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf
from tests.services.job_engine import JobModel
from tests.store.dataset_rows import tell

STUDENT = "smollm2-135m"
PLANS = (
    "Split the larger factor into tens and ones.",
    "Count the groups before you add anything up.",
    "Say in your own words what is asked for.",
    "Draw the sizes beside each other and compare them.",
)


class LossModel(JobModel):
    """A student whose loss is what `loss(prompt, completion)` says; `measured` are its pairs."""

    def __init__(self, loss: Callable[[str, str], float], together: int = 100) -> None:
        super().__init__(STUDENT, lambda prompt: PLANS[len(prompt) % len(PLANS)])
        self.loss, self.room = loss, together
        self.measured: list[tuple[str, str]] = []
        self.before_batch: Callable[[], None] = lambda: None

    def plan_losses(self, rows: list[LossRow]) -> LossPlan:
        self.rows = rows
        lines = [LossLine(at, (1,) * 10, (1,) * 10) for at in range(len(rows))]
        refused = {at: "Too long." for at, row in enumerate(rows) if "endless" in row.completion}
        kept = [line for line in lines if line.row not in refused]
        return LossPlan(tuple(group_lines(kept, 20 * self.room)), refused)

    def losses(self, batch, adapter=None, stop=None, adapter_hash=None) -> list[TextLoss]:
        assert adapter_hash == (adapter and f"hash of {adapter}")
        self.before_batch()
        if stop is not None and stop.is_set():
            return []
        found = []
        for line in batch:
            row = self.rows[line.row]
            pair = (self.prepare(row.prompt).text, row.completion)
            self.measured.append(pair)
            found.append(TextLoss(self.loss(*pair), 10))
        return found


class Engines(FakeShelf):
    """One student, known without being loaded."""

    known = True

    def load(self, model_id: str, *, precision: str | None = None, **how):
        return super().load(model_id, **how)

    def identify(self, model: str, adapter: str | None, **how):
        return self.models[model].identify(adapter) if self.known else None


def add(workspace: Workspace, rows: list[dict[str, object]], name: str = "demo") -> RecordTexts:
    shared = {"input": "", "no": None, "field": "other", "uniqueness": "simple", "extra": {}}
    full = (
        shared | {"seq": f"{at + 1}EN", "category": "math", "language": "en"} | row
        for at, row in enumerate(rows)
    )
    add_records(workspace, name, rows_of(full), tell)
    return RecordTexts(workspace, find_dataset(workspace, name))


def sums(count: int = 6) -> list[dict[str, object]]:
    return [
        {
            "instruction": f"What is {at + 20} times 13?",
            "reasoning": f"{PLANS[at % 4]} Plan {'abcdefghij'[at]}.",
            "output": f"{(at + 20) * 13}",
        }
        for at in range(count)
    ]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "qeu.db")


def even(prompt: str, completion: str) -> float:
    return 2.0


def measure(
    workspace: Workspace, texts: object, model: LossModel, student: str = STUDENT, **how: object
) -> list[UsefulRow]:
    engines = Engines(model)
    return [row for rows in measure_usefulness(engines, workspace, texts, student, **how)  # type: ignore[arg-type]
            for row in rows]  # fmt: skip


def test_the_columns_are_the_losses_behind_three_prompts(workspace: Workspace):
    def loss(prompt: str, completion: str) -> float:
        own = f"Plan {'abcdef'[int(completion) // 13 - 20]}."
        if own in prompt:
            return 1.0
        return 1.25 if "Plan " in prompt else 1.75

    rows = measure(workspace, add(workspace, sums()), LossModel(loss))
    assert [row.seq for row in rows] == [f"{n}EN" for n in range(1, 7)]
    for row in rows:
        found = row.result
        assert (found.own, found.shuffled, found.without) == (1.0, 1.25, 1.75)
        assert (found.useful, found.gain_without, found.tokens) == (0.25, 0.75, 10)
        assert row.donor != row.seq
        assert (row.why, row.leak < 0.5, row.source) == ("", True, "demo")
        assert row.to_json()["useful"] == 0.25


def test_the_student_reads_the_question_the_reasoning_and_the_answer(workspace: Workspace):
    model = LossModel(even)
    rows = measure(workspace, add(workspace, sums()), model)
    assert len(rows) == 6
    assert len(model.measured) == len(set(model.measured)) == 18
    for prompt, completion in model.measured:
        assert f"What is {int(completion) // 13} times 13?" in prompt
    without = [prompt for prompt, _ in model.measured if "Plan " not in prompt]
    assert len(without) == 6
    assert not any("Follow this reasoning" in prompt for prompt in without)


def test_an_adapter_is_another_student_asked_in_the_layout_that_it_learned(
    workspace: Workspace, tmp_path: Path
):
    texts, model = add(workspace, sums()), LossModel(even)
    engines = Engines(model)
    engines.adapters = tmp_path
    folder = tmp_path / "poems"
    folder.mkdir()
    contract = Path(__file__).parents[1] / "contract" / "run.json"
    run = json.loads(contract.read_text("utf-8")) | {"layout": "bonsai-v2", "target": "both"}
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    config = {"base_model_name_or_path": STUDENT, "r": 4, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    for ref, marker in ((STUDENT, "Follow this reasoning:"), (f"{STUDENT}@poems", "<|reasoning|>")):
        model.measured.clear()
        (rows,) = measure_usefulness(engines, workspace, texts, ref)
        assert len(rows) == 6
        assert sum(marker in prompt for prompt, _ in model.measured) == 12
        assert len(model.measured) == 18


def test_a_leaking_reasoning_loses_its_advantage(workspace: Workspace):
    """The student of this test only looks for the answer in its prompt."""
    rows = sums()
    for row in rows[:3]:
        row["reasoning"] = f"{row['reasoning']} The answer is {row['output']}."
    rows[3]["reasoning"] = f"The answer is {rows[3]['output']}."
    model = LossModel(lambda prompt, completion: 0.1 if completion in prompt else 2.0)
    found = measure(workspace, add(workspace, rows), model)
    for row in found[:3]:
        assert row.leak >= 0.5
        assert row.result.cut_own == 1
        assert (row.result.useful, row.result.gain_without) == (0.0, 0.0)
    assert found[3].why.startswith("Every sentence gives an answer away")
    assert found[3].result.useful is None
    assert all(row.result.useful == 0.0 for row in found[4:])
    assert not any("The answer is" in prompt for prompt, _ in model.measured)


def test_a_donors_leaks_are_cut_and_counted(workspace: Workspace):
    rows = sums(2)
    rows[1]["reasoning"] = f"Take it apart first. The answer is {rows[1]['output']}."
    first, second = measure(workspace, add(workspace, rows), LossModel(even))
    assert (first.donor, first.result.cut_shuffled, first.result.cut_own) == ("2EN", 1, 0)
    assert (second.donor, second.result.cut_shuffled, second.result.cut_own) == ("1EN", 0, 1)


def test_a_donor_shares_category_and_language_but_neither_record_nor_text(workspace: Workspace):
    rows = sums()
    rows[0]["category"] = "code"
    rows[1]["language"] = "ja"
    rows[3]["reasoning"] = rows[2]["reasoning"]
    rows[5]["instruction"], rows[5]["output"] = rows[4]["instruction"], rows[4]["output"]
    found = measure(workspace, add(workspace, rows), LossModel(even))
    for row, wanted in zip(
        found[:2], ("code and language en", "math and language ja"), strict=True
    ):
        assert row.why.startswith(f"No other record of category {wanted}")
        assert row.donor == ""
        assert row.result.useful is None
        assert row.result.gain_without == 0.0
    assert {row.donor for row in found[2:4]} <= {"5EN", "6EN"}
    assert {row.donor for row in found[4:]} <= {"3EN", "4EN"}


def test_what_cannot_be_measured_says_why(workspace: Workspace):
    rows = sums(5)
    rows[0]["output"] = "  "
    rows[1]["reasoning"] = ""
    rows[2]["output"] = "An endless answer."
    found = measure(workspace, add(workspace, rows), LossModel(even))
    assert [row.why for row in found] == [
        "The record has no answer that a loss could be measured on.",
        "There is no reasoning.",
        "Too long.",
        "",
        "",
    ]
    assert [row.result.useful for row in found] == [None, None, None, 0.0, 0.0]
    assert [row.has_text for row in found] == [True, False, True, True, True]


def test_nothing_is_computed_twice(workspace: Workspace):
    texts, model = add(workspace, sums()), LossModel(even)
    first = measure(workspace, texts, model)
    assert measure(workspace, texts, model) == first
    dataset = find_dataset(workspace, "demo")
    assert measure(workspace, RecordTexts(workspace, dataset, limit=2), model) == first[:2]
    one = RecordTexts(workspace, dataset, Filter(search="25 times"))
    assert measure(workspace, one, model) == first[5:]
    assert len(model.measured) == 18


def test_all_that_a_loss_depends_on_is_in_its_key(workspace: Workspace):
    texts, model = add(workspace, sums(2)), LossModel(even)
    measure(workspace, texts, model)
    count = len(model.measured)
    for change in ("revision", "dtype"):
        setattr(model, change, "another")
        measure(workspace, texts, model)
        assert len(model.measured) == (count := count + 6)
    measure(workspace, texts, model, f"{STUDENT}@poems")  # in the same layout
    assert len(model.measured) == (count := count + 6)
    measure(workspace, texts, model, role="logician")
    assert len(model.measured) == count + 6
    stored = read_page(workspace, find_dataset(workspace, "demo")).rows[0]
    dataset = find_dataset(workspace, "demo")
    edit_record(workspace, dataset, stored.id, stored.version, "output", "about 260")
    measure(workspace, texts, model, role="logician")
    assert len(model.measured) == count + 9


def test_a_known_result_needs_no_loaded_student(workspace: Workspace):
    texts, model = add(workspace, sums()), LossModel(even)
    measure(workspace, texts, model)
    engines = Engines(model)
    assert [len(rows) for rows in measure_usefulness(engines, workspace, texts, STUDENT)] == [6]
    assert engines.calls == []
    engines.known = False  # weights that were never fetched
    list(measure_usefulness(engines, workspace, texts, STUDENT))
    assert engines.calls == [("load", STUDENT)]


def test_a_stop_keeps_what_was_computed_and_the_next_run_goes_on(workspace: Workspace):
    texts, model, stop = add(workspace, sums()), LossModel(even, together=1), threading.Event()
    told: list[tuple[int, int]] = []
    model.before_batch = lambda: stop.set() if len(model.measured) == 10 else None
    rows = measure(workspace, texts, model, stop=stop, progress=lambda *count: told.append(count))
    assert len(model.measured) == 10
    assert 0 < len(rows) < 6
    assert told[0] == (0, 6)
    assert told[-1] == (len(rows), 6)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    model.before_batch = lambda: None
    assert len(measure(workspace, texts, model)) == 6
    assert len(model.measured) == len(set(model.measured)) == 18


def test_parts_are_measured_one_after_the_other(workspace: Workspace, monkeypatch):
    monkeypatch.setattr(usefulness, "TOGETHER", 2)
    model, told = LossModel(even), []
    parts = list(
        measure_usefulness(
            Engines(model), workspace, add(workspace, sums()), STUDENT,
            progress=lambda done, total: told.append((done, total)),
        )
    )  # fmt: skip
    assert [len(part) for part in parts] == [2, 2, 2]
    assert told[-1] == (6, 6)


def test_a_student_on_a_server_is_refused(workspace: Workspace):
    with pytest.raises(QeuError, match="does not tell the loss"):
        measure(workspace, add(workspace, sums()), LossModel(even), "groq/some-70b")


def run_job(workspace: Workspace, model: JobModel, **changes: object):
    spec = replace(JobSpec("demo", (STUDENT,), target="reasoning", retries=0), **changes)  # type: ignore[arg-type]
    job = create_job(workspace, spec)
    assert claim_job(workspace, job, "1:1", lambda owner: False)
    JobWorker(workspace, FakeShelf(model), job, "1:1").run()
    return get_job(workspace, job.id)


def test_a_jobs_texts_are_the_reasonings(workspace: Workspace):
    add(workspace, sums())
    model = LossModel(lambda prompt, completion: 1.0 if "of job" in prompt else 3.0)
    at = iter(range(99))
    model.write = lambda prompt: f"{PLANS[next(at) % 4]} Think of job {'abcdefghijkl'[next(at)]}."
    job = run_job(workspace, model, samples=1)
    rows = measure(workspace, JobTexts(workspace, job), model)
    assert len(rows) == 6
    assert {row.source for row in rows} == {STUDENT}
    assert all(row.donor not in ("", row.seq) for row in rows)
    assert all(row.result.gain_without == 2.0 and row.result.useful == 0.0 for row in rows)
    assert not any("Plan " in prompt for prompt, _ in model.measured)  # the record's own
    assert len(measure(workspace, JobTexts(workspace, job, limit=2), model)) == 2


def test_samples_of_a_job_do_not_stand_in_for_each_other(workspace: Workspace):
    add(workspace, sums(3))
    at = iter(range(99))
    model = LossModel(even)
    model.write = lambda prompt: f"Think of way {'abcdefghijklmnop'[next(at)]}."
    job = run_job(workspace, model, samples=3)
    rows = measure(workspace, JobTexts(workspace, job), model)
    assert len(rows) == 9
    assert all(row.donor not in ("", row.seq) for row in rows)


def test_a_jobs_text_for_an_edited_record_is_marked(workspace: Workspace):
    add(workspace, sums(3))
    model = LossModel(even)
    job = run_job(workspace, model)
    dataset = find_dataset(workspace, "demo")
    stored = read_page(workspace, dataset).rows[0]
    edit_record(workspace, dataset, stored.id, stored.version, "output", "260 in all")
    assert [row.stale for row in measure(workspace, JobTexts(workspace, job), model)] == [
        True, False, False,
    ]  # fmt: skip


def test_a_job_without_reasonings_is_refused(workspace: Workspace):
    add(workspace, sums(2))
    job = run_job(workspace, LossModel(even), target="answer")
    with pytest.raises(QeuError, match="writes answer"):
        JobTexts(workspace, job)


def test_the_summary_of_a_source(workspace: Workspace):
    rows = sums()
    rows[0]["reasoning"] += f" The answer is {rows[0]['output']}."
    rows[1]["reasoning"] = ""
    found = measure(workspace, add(workspace, rows), LossModel(even))
    summary = UsefulnessSummary()
    summary.add(found[:3])
    summary.add(found[3:])
    (one,) = summary.sources()
    assert (one.source, one.useful.value, one.useful.count, one.cut) == ("demo", 0.0, 5, 1)
    assert (one.leaked.count, one.leaked.of) == (1, 5)
    assert summary.reasons == {"There is no reasoning.": 1}
    assert one.to_json()["leaked"]["share"] == 0.2


@pytest.mark.slow
def test_on_the_embedded_model_a_leak_is_worth_nothing(
    workspace: Workspace, embedded_path: Path, tmp_path: Path
):
    """Its losses are those of transformers with all but the answer masked; a leak is cut."""
    import torch

    settings = Settings(cache=embedded_path.parent, adapters=tmp_path, home=tmp_path)
    engines = open_engines(settings, {})
    rows = sums(4)
    for row in rows:
        row["output"] = f"It is {row['output']}, found by splitting the factor."
        row["reasoning"] = f"{row['reasoning']} The answer is {row['output'][6:9]}."
    texts = add(workspace, rows)
    (found,) = measure_usefulness(engines, workspace, texts, STUDENT, exact=True)
    model = engines.load(STUDENT, exact=True)
    assert isinstance(model, LocalModel)
    stored = read_page(workspace, find_dataset(workspace, "demo")).rows

    def plain(record: Record) -> float:
        rendered = render(record, "chat", ROLES["assistant"], "answer")
        prompt = list(model.prepare(rendered.prompt).token_ids)
        answer = model._tokenizer(rendered.completion_text, add_special_tokens=False).input_ids
        ids = [*prompt, *answer, model._tokenizer.convert_tokens_to_ids("<|im_end|>")]
        labels = [-100] * len(prompt) + ids[len(prompt) :]
        with torch.inference_mode():
            out = model._model(torch.tensor([ids]), labels=torch.tensor([labels]))
        return float(out.loss)

    for row, one in zip(found, stored, strict=True):
        record, result = one.record, row.result
        own = replace(record, reasoning=record.reasoning.split(" The answer")[0])
        assert result.own == pytest.approx(plain(own), abs=2e-4)
        assert result.without == pytest.approx(plain(replace(record, reasoning="")), abs=2e-4)
        assert result.cut_own == result.cut_shuffled == 1
        leaked = result.without - plain(record)
        assert leaked > 0.3
        assert result.gain_without < leaked / 2
        assert result.useful < leaked / 2
