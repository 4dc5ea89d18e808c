"""Where a typed adapter is looked for: names first, then paths, then the Hub; public pages less."""

import json
import os
from pathlib import Path

import pytest

from qeu.backends.adapter_finder import AdapterFinder
from qeu.backends.adapter_hub import fetch_adapter, find_cached
from qeu.core.errors import QeuError
from tests.backends.test_adapter_files import make, tensors
from tests.backends.test_hub import COMMIT, REPO, FakeHub, fake, online  # noqa: F401

CARD = {"base_model_name_or_path": "phi-2", "r": 8, "peft_type": "LORA"}
OFFERED = {
    "adapter_config.json": json.dumps(CARD).encode(),
    "adapter_model.safetensors": tensors(a=(4, 4)),
    "adapter_model.bin": b"a pickle",
    "run.json": json.dumps({"layout": "bonsai-v1", "target": "answer"}).encode(),
    "README.md": b"# Poems",
    "optimizer.pt": b"a pickle",
    "checkpoint-5/adapter_model.safetensors": b"more",
}


@pytest.fixture
def finder(tmp_path: Path) -> AdapterFinder:
    make(tmp_path / "adapters", "poems")
    make(tmp_path / "adapters", "poems/checkpoint-5")
    return AdapterFinder(tmp_path / "adapters", hub_cache=tmp_path / "hub")


def cached(root: Path, repo: str = "owner/verse", commit: str = "1" * 40) -> Path:
    folder = root / "hub" / f"models--{repo.replace('/', '--')}"
    snapshot = make(folder / "snapshots", commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    return snapshot


def test_names_are_found_and_win_over_a_hub_id_of_the_same_spelling(finder, tmp_path):
    cached(tmp_path, "poems/checkpoint-5")
    assert finder.find("poems").path == tmp_path / "adapters" / "poems"
    found = finder.find(" poems/checkpoint-5 ")
    assert found.path == tmp_path / "adapters" / "poems" / "checkpoint-5"
    assert found.name == "poems/checkpoint-5"


def test_a_typed_path_is_a_folder_anywhere(finder, tmp_path, monkeypatch):
    path = make(tmp_path / "else where", "mine.v1")
    assert finder.find(str(path)).path == path
    monkeypatch.chdir(tmp_path)
    for name in ("else where/mine.v1", "./else where/mine.v1", "adapters/../else where/mine.v1"):
        assert finder.find(name).path.resolve() == path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert finder.find("~/else where/mine.v1").path == path
    (path / "adapter_model.safetensors").unlink()
    with pytest.raises(QeuError, match=r"lacks adapter_model\.safetensors"):
        finder.find(str(path))


@pytest.mark.parametrize(
    "name", ["", "verse", "/nowhere/at/all", "~nobody/x", "po\0ems", "x" * 5_000]
)
def test_what_is_nowhere_says_what_there_is(finder, name):
    with pytest.raises(
        QeuError, match=r"There is no adapter .* there are: poems, poems/checkpoint"
    ):
        finder.find(name)


def test_a_public_page_looks_at_no_other_folder(tmp_path, monkeypatch):
    outside = make(tmp_path, "secret")
    make(tmp_path / "adapters", "poems")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    looked: list[str] = []
    real = os.stat

    def stat(path: object, *args: object, **kwargs: object) -> os.stat_result:
        looked.append(os.fspath(path) if not isinstance(path, int) else "")
        return real(path, *args, **kwargs)

    finder = AdapterFinder(tmp_path / "adapters", local_paths=False, hub_cache=tmp_path / "hub")
    monkeypatch.setattr(os, "stat", stat)
    names = (
        str(outside), "secret", "./secret", "../secret", "poems/../../secret", "~/secret",
        "poems/../poems", "..\\secret", "C:\\secret", "", ".", "..",
    )  # fmt: skip
    for name in names:
        with pytest.raises(QeuError, match="There is no adapter") as refused:
            finder.find(name)
        assert str(tmp_path) not in str(refused.value).replace(repr(name[:200]), "")
    assert looked, "the check looks at no file, or not by os.stat"
    assert not [path for path in looked if path.startswith(str(outside)) or path == "secret"]
    assert finder.find("poems").name == "poems"


def test_a_hub_id_is_taken_from_the_cache_when_offline(finder, tmp_path):
    snapshot = cached(tmp_path)
    found = finder.find("owner/verse")  # the suite sets HF_HUB_OFFLINE=1
    assert (found.path, found.name) == (snapshot, "owner/verse")
    assert finder.find("owner/verse", fetch=False) == found
    with pytest.raises(QeuError, match=r"owner/other is not in the cache .* HF_HUB_OFFLINE=1"):
        finder.find("owner/other")
    with pytest.raises(QeuError, match="has not been fetched"):
        finder.find("owner/other", fetch=False)


def test_a_cache_that_was_tampered_with_is_not_followed(tmp_path):
    cached(tmp_path)
    ref = tmp_path / "hub" / "models--owner--verse" / "refs" / "main"
    make(tmp_path, "outside")
    for commit in ("../../../outside", "", "main"):
        ref.write_text(commit)
        assert find_cached("owner/verse", tmp_path / "hub") is None


@pytest.mark.usefixtures("online")
def test_a_hub_adapter_is_fetched_without_pickles_and_kept(fake: FakeHub, tmp_path):  # noqa: F811
    fake.offer(OFFERED)
    found = fetch_adapter(REPO, hub_cache=tmp_path, endpoint=fake.url)
    names = {p.relative_to(found.path).as_posix() for p in found.path.rglob("*") if p.is_file()}
    wanted = {"adapter_config.json", "adapter_model.safetensors", "run.json", "README.md"}
    assert names == wanted
    assert (found.name, found.run.layout, found.path.name) == (REPO, "bonsai-v1", COMMIT)
    assert not [line for line in fake.requests if ".bin" in line or ".pt" in line]
    before = len(fake.requests)
    assert fetch_adapter(REPO, hub_cache=tmp_path, offline=True).path == found.path
    assert len(fake.requests) == before


@pytest.mark.usefixtures("online")
def test_what_is_no_adapter_or_a_pickle_is_refused_before_it_is_fetched(
    fake: FakeHub,  # noqa: F811
    tmp_path,
):
    fake.offer({"model.safetensors": b"x", "config.json": b"{}"})
    with pytest.raises(QeuError, match="is not an adapter"):
        fetch_adapter(REPO, hub_cache=tmp_path, endpoint=fake.url)
    fake.offer({n: d for n, d in OFFERED.items() if n != "adapter_model.safetensors"})
    with pytest.raises(QeuError, match=r"pickled weights can run code .* never fetched"):
        fetch_adapter(REPO, hub_cache=tmp_path, endpoint=fake.url)
    assert not [line for line in fake.requests if "/resolve/" in line]


@pytest.mark.usefixtures("online")
def test_an_unreachable_hub_takes_the_cache_or_says_so(tmp_path):
    closed = "http://127.0.0.1:9"
    with pytest.raises(QeuError, match="Hub cannot be reached, and adapter owner/verse is not in"):
        fetch_adapter("owner/verse", hub_cache=tmp_path / "hub", endpoint=closed)
    snapshot = cached(tmp_path)
    assert (
        fetch_adapter("owner/verse", hub_cache=tmp_path / "hub", endpoint=closed).path == snapshot
    )


@pytest.mark.usefixtures("online")
def test_a_hub_id_is_asked_about_once_for_many_rows(fake: FakeHub, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HF_ENDPOINT", fake.url)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", fake.url)
    fake.offer(OFFERED)
    finder = AdapterFinder(tmp_path / "adapters", hub_cache=tmp_path / "hub")
    first = finder.find(REPO)
    asked = len(fake.requests)
    assert all(finder.find(REPO) == first for _ in range(5))
    assert len(fake.requests) == asked
