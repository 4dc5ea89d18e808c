"""`train` and `runs` with the real worker: on a tiny base, and on the embedded model."""

import json
import os
import signal
from pathlib import Path

import pytest

from qeu.cli.main import main
from qeu.core.settings import Settings
from qeu.services.adapters import list_cards
from qeu.services.train_resume import resume_run
from qeu.services.train_start import start_run
from qeu.services.train_stop import stop_run
from qeu.store.datasets import find_dataset
from qeu.store.owner import owner_lives, owner_number
from qeu.store.run_folders import RunFolder
from qeu.store.workspace import Workspace
from tests.services.train_home import Home, wait_for
from tests.tiny_checkpoints import build_checkpoint

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


def test_a_run_is_probed_killed_resumed_stopped_and_gone(tmp_path, monkeypatch, capsys):
    home = Home(tmp_path, build_checkpoint(tmp_path / "base"))
    monkeypatch.setenv("QEU_HOME", str(tmp_path))
    monkeypatch.setenv("QEU_ADAPTERS", str(home.adapters))
    words = ["train", "--dataset", "demo", "--base", home.base, "--name", "a", "--dry-run"]
    assert main([*words, "--probe", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["probe"]["fits"], plan["probe"]["trouble"]) == (True, "")
    assert plan["time_s"] > 0
    assert "one step just now" in plan["time_source"]
    assert not home.adapters.exists() or list(home.adapters.iterdir()) == []
    order = home.order(steps=400, save_every=3)
    folder = start_run(home.workspace, order, home.settings)
    wait_for(lambda: bool(folder.checkpoints()))
    owner = folder.status().owner
    os.kill(owner_number(owner), signal.SIGKILL)
    wait_for(lambda: not owner_lives(owner))
    assert folder.status().state == "interrupted"
    at = folder.checkpoints()[-1][0]
    resume_run(home.adapters, folder.name, home.settings)
    wait_for(lambda: folder.status().state == "running" and folder.metrics().last_step > at)
    assert [line["step"] for line in folder.metrics().of("resumed")] == [at]
    assert stop_run(folder).state == "stopped"
    # what was learned until then is an adapter that every picker shows
    found, broken = list_cards(home.adapters)
    assert (folder.name in [card.name for card in found], broken) == (True, [])
    assert stop_run(folder, "discard") is None
    assert list_cards(home.adapters) == ([], [])


def test_the_embedded_model_learns_and_its_adapter_is_there(
    tmp_path, monkeypatch, capsys, cache_dir, embedded_path
):
    monkeypatch.setenv("QEU_HOME", str(tmp_path))
    monkeypatch.setenv("QEU_ADAPTERS", str(tmp_path / "adapters"))
    files = [str(ROOT / "data" / f"{name}.jsonl") for name in ("train", "validation")]
    assert main(["data", "import", *files, "--dataset", "ours"]) == 0
    workspace = Workspace(tmp_path / "qeu.db")
    with workspace.change() as db:
        dataset = find_dataset(workspace, "ours")
        db.execute("UPDATE records SET split = 'train' WHERE dataset = ?", (dataset.id,))
        db.execute("UPDATE records SET split = 'validation' WHERE no % 5 = 0")
    workspace.close()
    words = ["train", "--dataset", "ours", "--base", "smollm2-135m", "--name", "mine"]
    words += ["--split", "train", "--language", "en", "--steps", "3", "--save-every", "3"]
    words += ["--length", "256", "--rank", "4", "--watch-rows", "4", "--samples", "2"]
    words += ["--sample-tokens", "12", "--json"]
    capsys.readouterr()
    assert main(words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_kind = {kind: [one for one in lines if one["kind"] == kind] for kind in
               ("train", "validation", "samples", "saved", "status")}  # fmt: skip
    assert [one["step"] for one in by_kind["train"]] == [1, 2, 3]
    assert [one["step"] for one in by_kind["validation"]] == [0, 3]
    assert by_kind["samples"][0]["contract"]["of"] == 2
    assert lines[-1]["state"] == "finished"
    folder = RunFolder(tmp_path / "adapters" / "mine")
    assert folder.passport().problems() == []
    cards, broken = list_cards(tmp_path / "adapters", Settings(cache=cache_dir).cache_dir)
    card = next(card for card in cards if card.name == "mine")
    assert (card.ref, card.warning, broken) == ("smollm2-135m@mine", "", [])
    # a second plan knows how long it takes
    assert main([*words[:-1], "--name", "next", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["time_source"].startswith("Measured in run 'mine'")
    assert plan["time_s"] > 0
