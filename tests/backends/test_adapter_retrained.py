"""An adapter trained anew or deleted while it is asked: old texts end as they began."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from qeu.backends.adapter_files import find_adapter
from qeu.backends.base import Piece, Row
from qeu.backends.local import LocalModel
from qeu.core.generation import Generation
from qeu.services.adapter_delete import delete_adapter
from tests.backends.tiny_engine import GREEDY, TEXTS, build_adapter, tagged, tiny_local
from tests.tiny_checkpoints import build_checkpoint

pytestmark = pytest.mark.slow
NAMES = (None, "poems")
AFTER_TOKENS = 6
FILES = ("adapter_config.json", "adapter_model.safetensors")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint; the adapter poems as it is, and as it will be: other rank, more layers."""
    folder = tmp_path_factory.mktemp("retrained")
    base = build_checkpoint(folder / "llama", "llama")
    build_adapter(base, folder / "adapters" / "poems", seed=1)
    wide = {"r": 8, "target_modules": ["q_proj", "v_proj", "o_proj", "down_proj"]}
    build_adapter(base, folder / "new" / "poems", seed=2, **wide)
    return folder


@pytest.fixture
def adapters(built: Path, tmp_path: Path) -> Path:
    """A copy to write over."""
    return Path(shutil.copytree(built / "adapters", tmp_path / "adapters"))


@pytest.fixture(autouse=True)
def no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qeu.backends.live_row.tail_loop", lambda ids: None)


def compare(
    model: LocalModel, emit: Callable[[Piece], None] | None = None, *, exact: bool = False
) -> list[Generation]:
    """Base beside adapter, as a comparison runs them: in one batch."""
    rows = [Row(tagged(TEXTS[0]), GREEDY, name) for name in NAMES]
    return model.generate(rows, emit, exact=exact)


def texts(found: list[Generation]) -> list[tuple[int, ...]]:
    assert [one.error for one in found] == ["", ""]
    assert min(len(one.token_ids) for one in found) > AFTER_TOKENS
    return [one.token_ids for one in found]


def retrain(built: Path, adapters: Path) -> None:
    """As a run saves: both files renamed into place, the weights last."""
    for name in FILES:
        temporary = adapters / "poems" / f".{name}"
        shutil.copy(built / "new" / "poems" / name, temporary)
        temporary.replace(adapters / "poems" / name)


def once_running(do: Callable[[], None]) -> Callable[[Piece], None]:
    """A listener that does it when the first text has some tokens."""
    left = [do]

    def emit(piece: Piece) -> None:
        if piece.new_tokens >= AFTER_TOKENS and left:
            left.pop()()

    return emit


@pytest.mark.parametrize("exact", [False, True])
def test_a_running_comparison_ends_with_the_old_and_the_next_takes_the_new(built, adapters, exact):
    old_hash = find_adapter(adapters, "poems").hash
    before = texts(compare(tiny_local(built, adapters=adapters), exact=exact))
    after = texts(compare(tiny_local(built, adapters=built / "new"), exact=exact))
    assert before[1] != after[1]
    model = tiny_local(built, adapters=adapters)
    done = []

    def replace() -> None:
        retrain(built, adapters)
        done.append(find_adapter(adapters, "poems").hash)

    running = compare(model, once_running(replace), exact=exact)
    assert done
    assert done[0] != old_hash
    assert texts(running) == before
    assert running[1].adapter_hash == old_hash
    following = compare(model, exact=exact)
    assert texts(following) == after
    assert following[1].adapter_hash == done[0]
    assert model.adapters == ("poems",)  # the old weights are let go of


def test_one_that_was_asked_meanwhile_waits_and_takes_the_new(built, adapters):
    before = texts(compare(tiny_local(built, adapters=adapters)))
    after = texts(compare(tiny_local(built, adapters=built / "new")))
    model, found, asked = tiny_local(built, adapters=adapters), [], []

    def ask_again() -> None:
        retrain(built, adapters)
        asked.append(threading.Thread(target=lambda: found.append(compare(model))))
        asked[0].start()

    assert texts(compare(model, once_running(ask_again))) == before
    asked[0].join(60)
    assert [texts(one) for one in found] == [after]


def test_a_deleted_one_writes_to_its_end_and_the_next_run_says_so(built, adapters):
    before = texts(compare(tiny_local(built, adapters=adapters)))
    model = tiny_local(built, adapters=adapters)

    def delete() -> None:
        delete_adapter(adapters, "poems", confirmed=True)

    assert texts(compare(model, once_running(delete))) == before
    base, adapted = compare(model)
    assert base.token_ids == before[0]
    assert adapted.finish_reason == "error"
    assert adapted.error.startswith("There is no adapter 'poems'.")


def test_half_of_a_retraining_is_never_used(built, adapters):
    """Killed between its two renames: a configuration that does not fit the weights is refused."""
    shutil.copy(built / "new" / "poems" / FILES[0], adapters / "poems" / FILES[0])
    config = json.loads((adapters / "poems" / FILES[0]).read_text("utf-8"))
    assert config["r"] == 8
    model = tiny_local(built, adapters=adapters)
    base, adapted = compare(model)
    assert base.error == ""
    assert "has rank 4, adapter_config.json says 8" in adapted.error
    retrain(built, adapters)
    after = texts(compare(tiny_local(built, adapters=built / "new")))
    assert texts(compare(model)) == after
