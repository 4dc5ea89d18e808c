"""One view on all engines: local names go to the shelf, hosted ones to the pool."""

import pytest

from qeu.backends.base import EchoBackend
from qeu.backends.catalog import ModelCard, find_model, is_hosted, provider_of
from qeu.backends.engines import Engines
from qeu.backends.keyring import Keyring
from qeu.core.errors import QeuError
from tests.fake_shelf import FakeShelf, ScriptedBackend

RING = Keyring().with_key("groq", "gsk_test")


class Pool:
    """Opens an echo for every card, and remembers for whom."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, Keyring]] = []

    def open(self, card: ModelCard, keyring: Keyring) -> EchoBackend:
        """An echo."""
        self.opened.append((card.id, keyring))
        return EchoBackend()


@pytest.fixture
def engines() -> Engines:
    """A shelf of one model and a pool."""
    shelf = FakeShelf(ScriptedBackend("smollm2-135m", ["a"]))
    return Engines(shelf, Pool(), RING)  # type: ignore[arg-type]


def test_each_name_goes_where_it_runs(engines: Engines):
    assert engines.load("smollm2-135m").name == "smollm2-135m"
    assert engines.load("groq/some-70b").name == "echo"
    assert engines.pool.opened == [("groq/some-70b", RING)]
    assert engines.shelf.calls == [("load", "smollm2-135m")]


def test_a_hosted_model_takes_no_memory_and_no_unloading(engines: Engines):
    assert engines.estimate_bytes("groq/some-70b") == 0
    assert engines.estimate_bytes("smollm2-135m") == 1
    engines.unload("groq/some-70b")
    assert engines.shelf.calls == []


def test_the_exact_setting_is_refused_where_nobody_can_promise_it(engines: Engines):
    with pytest.raises(QeuError, match="promises no text twice"):
        engines.load("server:lab/x", exact=True)
    assert engines.pool.opened == []


@pytest.mark.parametrize(
    ("name", "provider", "label"),
    [
        ("groq/llama-3.3-70b-versatile", "groq", "llama-3.3-70b-versatile"),
        ("server/meta-llama/Llama-3-8B", "server", "meta-llama/Llama-3-8B"),
        ("server:lab-2/qwen", "server:lab-2", "qwen"),
    ],
)
def test_hosted_names(name: str, provider: str, label: str):
    assert is_hosted(name)
    assert provider_of(name) == provider
    card = find_model(name, local_paths=False)
    assert (card.label, card.kind) == (label, "groq" if provider == "groq" else "server")


@pytest.mark.parametrize(
    "name", ["phi-2", "microsoft/phi-2", "groq", "groq/", "server:/x", "server:a b/x", "grok/x"]
)
def test_other_names_are_not_hosted(name: str):
    assert not is_hosted(name)
    assert provider_of(name) == ""
