"""The adapter that comes with the program: complete, small, honest about itself, and it works."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.train_shipped_adapter import (
    BASE,
    LAYOUT,
    NAME,
    ROLE,
    SHIPPED_FILES,
    TARGET,
)
from qeu.backends.adapter_base import fitting_models
from qeu.backends.adapter_check import is_untrained
from qeu.backends.adapter_files import find_adapter, scan_adapters
from qeu.backends.base import Row
from qeu.backends.headers import read_safetensors
from qeu.core.prompts import render
from qeu.core.record import Record
from qeu.core.request import hash_json
from qeu.core.roles import BY_CATEGORY, role_for
from qeu.core.run_passport import RunPassport, hash_layout
from qeu.core.sampling import Sampling
from qeu.services.adapters import own_layout, show_card
from qeu.services.shipped_data import import_shipped
from qeu.services.train_runs import run_card
from qeu.store.filters import Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import load_records
from qeu.store.run_folders import RunFolder
from qeu.store.workspace import Workspace

FOLDER = Path(__file__).parent.parent / "adapters"
PATH = FOLDER / NAME
FILES = set(SHIPPED_FILES)
LARGEST_BYTES = 12_000_000
# Folders of a machine, of a user, of a temporary place; hosts and keys.
PRIVATE = re.compile(
    r"(?<![\w.])/(?:home|root|tmp|work|Users|mnt|content)/|[A-Z]:\\|hf_\w{8}|://(?!huggingface|www\.w3\.org/2000/svg)"
)


@pytest.fixture(scope="module")
def passport() -> RunPassport:
    return RunPassport.from_json(json.loads((PATH / "run.json").read_text("utf-8")))


def test_the_folder_holds_what_it_should_and_no_more():
    assert {path.name for path in PATH.iterdir()} == FILES
    assert (PATH / "adapter_model.safetensors").stat().st_size <= LARGEST_BYTES
    header = read_safetensors(PATH / "adapter_model.safetensors")
    assert header.dtype == "BF16"
    assert not is_untrained(find_adapter(FOLDER, NAME))


def test_no_file_tells_anything_of_the_machine_that_made_it():
    for name in FILES - {"adapter_model.safetensors"}:
        text = (PATH / name).read_text("utf-8")
        assert not PRIVATE.findall(text), name
    weights = (PATH / "adapter_model.safetensors").read_bytes()
    length = int.from_bytes(weights[:8], "little")
    assert not PRIVATE.findall(weights[8 : 8 + length].decode())


def test_it_is_listed_over_the_embedded_base_with_its_layout():
    assert [one.name for one in scan_adapters(FOLDER)[1]] == []
    adapter = find_adapter(FOLDER, NAME)
    assert fitting_models(adapter)[0] == BASE
    assert own_layout(FOLDER, f"{BASE}@{NAME}") == (LAYOUT, TARGET)
    card = show_card(FOLDER, NAME)
    assert (card.ref, card.rank, card.role) == (f"{BASE}@{NAME}", 16, ROLE)


def test_its_run_is_whole_and_of_the_data_that_is_here(passport):
    assert passport.problems() == []
    assert (passport.name, passport.base) == (NAME, BASE)
    assert passport.layout_hash == hash_layout(LAYOUT, TARGET)
    workspace = Workspace(None)
    dataset, _ = import_shipped(workspace)
    chosen = {
        split: load_records(
            workspace,
            list(matching_ids(workspace, dataset, Filter(language=("en",), split=(split,)))),
        )
        for split in ("train", "validation")
    }
    learned, kept = ([one.record.identity for one in found] for found in chosen.values())
    assert (passport.records, passport.validation_records) == (len(learned), len(kept))
    assert passport.data_hash == hash_json({"records": learned})
    assert not set(learned) & set(kept)


def test_its_run_can_be_looked_at_again():
    run = RunFolder(PATH)
    card = run_card(run)
    assert (card.state, card.has_adapter, card.message) == ("finished", True, "")
    metrics = run.metrics()
    assert metrics.last_step == card.steps
    assert len(metrics.curve("train", "loss")) == card.steps
    assert metrics.curve("validation", "reasoning_loss")[0][0] == 0
    assert {len(one["samples"]) for one in run.samples()} == {8}
    assert run.status().owner == ""


def test_the_card_names_these_very_weights_and_both_licences(passport):
    card = (PATH / "README.md").read_text("utf-8")
    assert find_adapter(FOLDER, NAME).hash in card
    assert "license: mit" in card
    assert "apache-2.0" in card
    assert f"{passport.training.steps} steps" in card


@pytest.mark.slow
def test_it_makes_the_embedded_model_write_a_reasoning_then_an_answer(embedded_path, passport):
    from qeu.backends.shelf import Shelf
    from qeu.core.settings import Settings

    model = Shelf(Settings(cache=embedded_path.parent, adapters=FOLDER)).load(BASE)
    assert passport.base_revision == model.revision
    questions = (
        Record("Write a slogan for a tea shop.", category="creative"),
        Record("Name three things to take to a picnic.", category="brainstorming"),
        Record("What is the capital of Portugal?"),
        Record("How many minutes are two and a half hours?", category="math"),
    )
    settings = Sampling(greedy=True, max_new_tokens=300)
    roles = [role_for(BY_CATEGORY, one.category) for one in questions]
    prompts = [
        render(one, LAYOUT, role, TARGET).prompt for one, role in zip(questions, roles, strict=True)
    ]
    base = model.generate([Row(prompt, settings) for prompt in prompts])
    ours = model.generate([Row(prompt, settings, NAME) for prompt in prompts])
    assert [one.error for one in ours] == [""] * 4
    assert all(a.text != b.text for a, b in zip(base, ours, strict=True))
    notes = [note for one in ours for note in one.receipt.notes]
    assert not [note for note in notes if "changes nothing" in note or "other files" in note]

    def whole(found) -> int:
        return sum(bool(o.reasoning and o.answer) and o.finish_reason == "stop" for o in found)

    # which words come depends on the processor's rounding; that the form comes does not
    assert whole(ours) >= 3 > whole(base)
    assert re.search(r"(Creator|You) should", ours[0].reasoning)
