"""A data set, an adapter and a model of no weights, for tests that evaluate with them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qeu.core.eval_spec import EvalSpec, Way
from qeu.core.generation import Generation
from qeu.services.evaluate import evaluate
from qeu.services.evaluate_result import Evaluation
from qeu.store.changes import change_records
from qeu.store.datasets import find_dataset
from qeu.store.imports import add_records, rows_of
from qeu.store.workspace import Workspace
from tests.services.test_usefulness import STUDENT, Engines, LossModel
from tests.store.dataset_rows import tell

ADAPTER = f"{STUDENT}@poems"
PLAN = "Split the larger factor first."


def rows(count: int, split: str = "validation") -> list[dict[str, object]]:
    start = 0 if split == "validation" else 500
    return [
        {
            "instruction": f"What is {at + start + 20} times 13?",
            "reasoning": f"Multiply the tens, then the ones. Plan {'abcdefghijklmnopqrst'[at]}.",
            "output": f"{(at + start + 20) * 13}",
            "seq": f"{at + start + 1}EN", "category": "math", "language": "en", "input": "",
            "no": None, "field": "other", "uniqueness": "simple", "split": split,
            "extra": {
                "accepted_answers": [str((at + start + 20) * 13)], "answer_type": "number",
            },
        }
        for at in range(count)
    ]  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "qeu.db")


def add(workspace: Workspace, some: list[dict[str, object]], name: str = "demo") -> None:
    splits = [str(row.pop("split", "")) for row in some]
    add_records(workspace, name, rows_of(some), tell)
    by_seq = dict(zip((row["seq"] for row in some), splits, strict=True))
    dataset = find_dataset(workspace, name)
    change_records(
        workspace, dataset, lambda stored: {"split": by_seq[stored.record.seq]},
        what="The split", data={"rules": [{"do": "split"}]},
    )  # fmt: skip


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    folder = tmp_path / "adapters" / "poems"
    folder.mkdir(parents=True)
    contract = Path(__file__).parents[1] / "contract" / "run.json"
    run = json.loads(contract.read_text("utf-8")) | {
        "name": "poems", "layout": "bonsai-v2", "target": "both", "role": "assistant",
        "role_text": "You think first.",
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    config = {"base_model_name_or_path": STUDENT, "r": 4, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return tmp_path / "adapters"


class Model(LossModel):
    """Answers by `write`; its losses are 1 behind the record's reasoning, 2 behind any other."""

    def __init__(self, write: Callable[[str], str | Generation]) -> None:
        super().__init__(lambda prompt, completion: 1.0 if "Multiply" in prompt else 2.0)
        self.write = write  # type: ignore[assignment]
        self.adapters_asked: list[str | None] = []

    def _one(self, row, exact, batch):
        self.adapters_asked.append(row.adapter)
        return super()._one(row, exact, batch)


def product(prompt: str) -> str:
    """The right answer to the last question of a prompt."""
    number = prompt.rpartition("What is ")[2].partition(" ")[0]
    return str(int(number) * 13)


def thinking(prompt: str) -> str:
    """Right where it may think, in the layout that the adapter has learned; else wrong."""
    if prompt.endswith("<|reasoning|>"):
        return f"{PLAN}\n<|response|>{product(prompt)}"
    return "I do not know."


def run(
    workspace: Workspace, model: Model, adapters: Path | None, ways: list[Way], **how: object
) -> Evaluation | None:
    engines = Engines(model)
    if adapters:
        engines.adapters = adapters
    settings = {"seeds": 1} | {k: how.pop(k) for k in list(how) if k in EvalSpec.__annotations__}
    return evaluate(engines, workspace, EvalSpec("demo", tuple(ways), **settings), **how)  # type: ignore[arg-type]


AT_BEST, AS_USED = Way(STUDENT, "none", title="base"), Way(ADAPTER, title="adapter")


def twin(adapters: Path, name: str, **changes: object) -> None:
    """Another run's folder like that of the test's adapter."""
    shutil.copytree(adapters / "poems", adapters / name)
    run = json.loads((adapters / name / "run.json").read_text("utf-8")) | {"name": name} | changes
    (adapters / name / "run.json").write_text(json.dumps(run), "utf-8")
