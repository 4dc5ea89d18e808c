"""An adapter that is being made is complete or absent, never broken."""

from pathlib import Path

import pytest

from qeu.backends.adapter_files import CONFIG, WEIGHTS, scan_adapters
from qeu.backends.train_save import place_adapter, place_checkpoint
from tests.backends.tiny_engine import build_adapter
from tests.tiny_checkpoints import build_checkpoint


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    return build_adapter(build_checkpoint(root / "base"), root / "checkpoint-8")


def names(adapters: Path) -> tuple[list[str], list[str]]:
    found, broken = scan_adapters(adapters)
    return [one.name for one in found], [one.name for one in broken]


@pytest.mark.slow
def test_a_run_s_checkpoints_are_there_before_its_adapter(adapter, tmp_path):
    run = tmp_path / "poems"
    run.mkdir()
    (run / "status.json").write_text("{}")
    work = run / ".work" / "checkpoint-8"
    work.mkdir(parents=True)
    for file in (CONFIG, WEIGHTS):
        (work / file).write_bytes((adapter / file).read_bytes())
    assert names(tmp_path) == ([], [])
    place_checkpoint(work, run)
    assert names(tmp_path) == (["poems/checkpoint-8"], [])
    # half of it, as a kill between two renames leaves it
    (run / CONFIG).write_bytes((adapter / CONFIG).read_bytes())
    assert names(tmp_path) == (["poems/checkpoint-8"], [])
    place_adapter(run / "checkpoint-8", run, run / ".work", "float32")
    assert names(tmp_path) == (["poems", "poems/checkpoint-8"], [])
    # without a run's status half an adapter is a broken one
    (run / "status.json").unlink()
    (run / WEIGHTS).unlink()
    assert names(tmp_path) == (["poems/checkpoint-8"], ["poems"])


@pytest.mark.slow
def test_an_adapter_is_held_in_what_it_was_computed_in(adapter, tmp_path):
    import torch
    from safetensors.torch import load_file

    trained = load_file(adapter / WEIGHTS)
    for dtype in ("bfloat16", "float16", "float32"):
        run = tmp_path / dtype
        run.mkdir()
        place_adapter(adapter, run, run / ".work", dtype)
        placed = load_file(run / WEIGHTS)
        assert placed.keys() == trained.keys()
        for name, tensor in placed.items():
            assert tensor.dtype is getattr(torch, dtype)
            assert torch.equal(tensor, trained[name].to(tensor.dtype))
        assert {path.name for path in run.rglob("*") if path.is_file()} == {CONFIG, WEIGHTS}
        assert (run / WEIGHTS).stat().st_mode & 0o777 == 0o644
