"""Hub ids and local folders: resolved soon, or refused in one sentence; a fake Hub on a socket."""

import contextlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from qeu.backends.hub import (
    ResolvedWeights,
    fetch_hub,
    find_snapshot,
    inspect_local,
    resolve_hub,
)
from qeu.backends.wheel import Progress
from qeu.core.errors import QeuError
from tests.tiny_checkpoints import build_hub_cache

REPO = "microsoft/phi-2"
COMMIT = "a" * 40


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    build_hub_cache(root, REPO, "phi")
    return root


@pytest.fixture
def hub(built: Path, tmp_path: Path) -> Path:
    """A Hub cache of one's own to break."""
    return Path(shutil.copytree(built, tmp_path / "hub"))


@pytest.fixture
def snapshot(hub: Path) -> Path:
    return next(hub.glob("models--*/snapshots/*"))


class FakeHub:
    """Answers as the Hub does for one repository, from a folder of files."""

    def __init__(self) -> None:
        self.info: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.status, self.error_code = 200, ""
        self.files_status = 200
        self.delay_s = 0.0
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_GET

            def log_message(self, *arguments: object) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        serve = self.server.serve_forever
        threading.Thread(target=serve, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def offer(self, files: dict[str, bytes], **info: object) -> None:
        """Publish files; `info` adds to the description (config, gated, …)."""
        self.files = files
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": str(index)}
            for index, (name, data) in enumerate(files.items())
        ]
        self.info = {"id": REPO, "sha": COMMIT, "siblings": siblings, "gated": False, **info}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.split("?")[0]
        self.requests.append(f"{request.command} {path}")
        time.sleep(self.delay_s)
        headers = {"X-Repo-Commit": COMMIT}
        status, body = 404, b"{}"
        if path.startswith(f"/api/models/{REPO}/tree/"):
            rows = [
                {"type": "file", "path": name, "size": len(data), "oid": str(index)}
                for index, (name, data) in enumerate(self.files.items())
            ]
            status, body = 200, json.dumps(rows).encode()
        elif path.startswith(f"/api/models/{REPO}"):
            status, body = self.status, json.dumps(self.info).encode()
            headers |= {"X-Error-Code": self.error_code} if self.error_code else {}
        elif path.startswith(f"/{REPO}/resolve/"):
            name = path.split("/", 5)[-1]
            status, body = self.files_status, self.files.get(name, b"")
            if status == 200 and name not in self.files:
                status, headers["X-Error-Code"] = 404, "EntryNotFound"
            if status == 403:
                headers["X-Error-Code"] = "GatedRepo"
            headers["ETag"] = f'"{list(self.files).index(name) if name in self.files else 0}"'
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    fake = FakeHub()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo the suite's HF_HUB_OFFLINE, in this process and for children."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("HF_TOKEN", raising=False)


def ask(fake: FakeHub, cache: Path, revision: str | None = None) -> ResolvedWeights:
    return resolve_hub(REPO, revision, hub_cache=cache, endpoint=fake.url, timeout_s=2)


def published(snapshot: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in snapshot.iterdir()}


def test_offline_takes_the_snapshot_at_once(hub: Path, snapshot: Path) -> None:
    found = resolve_hub(REPO, hub_cache=hub)  # the suite sets HF_HUB_OFFLINE=1
    assert (found.path, found.revision, found.local) == (str(snapshot), snapshot.name, True)
    size = (snapshot / "model.safetensors").stat().st_size
    assert 0.9 * size < found.bytes < size
    assert (found.dtype, found.parameters * 4) == ("F32", found.bytes)
    assert resolve_hub(REPO, snapshot.name, hub_cache=hub) == found


def test_offline_without_a_snapshot_says_why(tmp_path: Path) -> None:
    with pytest.raises(QeuError, match=r"phi-2 is not in the cache .* HF_HUB_OFFLINE=1"):
        resolve_hub(REPO, hub_cache=tmp_path)


@pytest.mark.usefixtures("online")
def test_a_full_commit_that_is_here_asks_nobody(hub: Path, snapshot: Path, fake: FakeHub) -> None:
    found = resolve_hub(REPO, snapshot.name, hub_cache=hub, endpoint=fake.url)
    assert found.path == str(snapshot)
    assert fake.requests == []


@pytest.mark.usefixtures("online")
def test_an_unreachable_hub_takes_the_snapshot_or_says_so(hub: Path, tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9"
    assert resolve_hub(REPO, hub_cache=hub, endpoint=closed).local
    began = time.monotonic()
    with pytest.raises(QeuError, match=r"Hub cannot be reached, and microsoft/phi-2 is not in"):
        resolve_hub(REPO, hub_cache=tmp_path / "none", endpoint=closed)
    assert time.monotonic() - began < 10


@pytest.mark.usefixtures("online")
def test_a_hub_that_never_answers_is_given_up_within_the_limit(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(QeuError, match="cannot be reached"):
            resolve_hub(REPO, hub_cache=tmp_path, endpoint=url, timeout_s=0.5)
        assert time.monotonic() - began < 5


@pytest.mark.usefixtures("online")
def test_a_hub_that_answers_byte_by_byte_is_given_up_too(tmp_path: Path) -> None:
    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with contextlib.suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 200:
                connection.send(bytes([byte]))
                time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        began = time.monotonic()
        with pytest.raises(QeuError, match="cannot be reached"):
            resolve_hub(
                REPO,
                hub_cache=tmp_path,
                endpoint=f"http://127.0.0.1:{server.getsockname()[1]}",
                timeout_s=0.5,
            )
        assert time.monotonic() - began < 5


@pytest.mark.usefixtures("online")
def test_a_half_fetched_snapshot_is_not_used(hub: Path, snapshot: Path) -> None:
    file = snapshot / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    assert find_snapshot(REPO, None, hub) is None
    file.unlink()
    file.symlink_to("../../blobs/gone")
    assert find_snapshot(REPO, None, hub) is None
    with pytest.raises(QeuError, match="cannot be reached"):
        resolve_hub(REPO, hub_cache=hub, endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("repo", "revision", "said"),
    [
        ("phi-2", None, "owner/name"),
        ("../..", None, "owner/name"),
        ("a/../b", None, "owner/name"),
        ("a/b", "../../x", "not a revision"),
        ("a/b", "/etc", "not a revision"),
    ],
)
def test_names_that_would_leave_the_cache_are_refused(
    tmp_path: Path, repo: str, revision: str | None, said: str
) -> None:
    with pytest.raises(QeuError, match=said):
        find_snapshot(repo, revision, tmp_path)


@pytest.mark.usefixtures("online")
def test_what_a_download_brings_is_known_before_it_begins(
    fake: FakeHub, snapshot: Path, tmp_path: Path
) -> None:
    files = published(snapshot) | {
        "pytorch_model.bin": b"pickle" * 99,
        "onnx/model.onnx": b"x" * 999,
    }
    tensors = {"parameters": {"BF16": 100, "F32": 10}, "total": 110}
    fake.offer(files, config={"architectures": ["PhiForCausalLM"]}, safetensors=tensors)
    found = ask(fake, tmp_path)
    assert (found.path, found.revision, found.local) == (REPO, COMMIT, False)
    assert (found.bytes, found.dtype, found.parameters) == (240, "BF16", 110)
    assert found.download_bytes == sum(len(data) for data in published(snapshot).values())


@pytest.mark.usefixtures("online")
def test_a_fetch_brings_safetensors_and_tokenizer_and_no_pickle(
    fake: FakeHub, snapshot: Path, tmp_path: Path
) -> None:
    fake.offer(published(snapshot) | {"pytorch_model.bin": b"pickle", "sub/config.json": b"{}"})
    found = ask(fake, tmp_path / "cache")
    news: list[Progress] = []
    fetched = fetch_hub(found, news.append, hub_cache=tmp_path / "cache", endpoint=fake.url)
    assert {p.name for p in Path(fetched.path).iterdir()} == set(published(snapshot))
    assert (fetched.local, fetched.revision) == (True, COMMIT)
    assert news
    assert {p.total for p in news} == {found.download_bytes}
    assert ask(fake, tmp_path / "cache") == fetched, "the second time nothing is fetched"
    assert fetch_hub(fetched) is fetched


@pytest.mark.usefixtures("online")
def test_a_fetch_that_breaks_off_is_told(fake: FakeHub, snapshot: Path, tmp_path: Path) -> None:
    fake.offer(published(snapshot))
    found = ask(fake, tmp_path / "cache")
    fake.files_status = 403  # the licence was withdrawn meanwhile
    with pytest.raises(QeuError, match="could not be fetched"):
        fetch_hub(found, hub_cache=tmp_path / "cache", endpoint=fake.url)


def test_a_fetch_that_cannot_fit_is_not_begun(tmp_path: Path) -> None:
    huge = ResolvedWeights(REPO, COMMIT, None, 1, local=False, download_bytes=1 << 60)
    with pytest.raises(QeuError, match=r"MB free, and microsoft/phi-2 needs"):
        fetch_hub(huge, hub_cache=tmp_path)


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("files", "config", "said"),
    [
        (["pytorch_model.bin"], {"architectures": ["PhiForCausalLM"]}, "Only safetensors and GGUF"),
        (["model.safetensors"], {"architectures": ["BertModel"]}, "not a text-generating model"),
        (["model.safetensors"], {"model_type": "vit"}, "not a text-generating model"),
        (
            ["model.safetensors"],
            {"architectures": ["OddForCausalLM"], "auto_map": {"AutoModel": "x.y"}},
            "running code of its own",
        ),
        (["a.gguf", "b.gguf"], None, "2 GGUF files"),
        (["README.md"], None, "has no weights"),
    ],
)
def test_what_cannot_be_loaded_is_refused_before_a_download(
    fake: FakeHub, tmp_path: Path, files: list[str], config: dict[str, Any] | None, said: str
) -> None:
    fake.offer(dict.fromkeys(files, b"x"), **({"config": config} if config else {}))
    with pytest.raises(QeuError, match=said):
        ask(fake, tmp_path)


@pytest.mark.usefixtures("online")
def test_known_architectures_pass_although_their_repository_has_old_code(
    fake: FakeHub, tmp_path: Path
) -> None:
    config = {"architectures": ["PhiForCausalLM"], "auto_map": {"AutoConfig": "old.Code"}}
    fake.offer({"model.safetensors": b"x"}, config=config)
    assert ask(fake, tmp_path).path == REPO


@pytest.mark.usefixtures("online")
def test_a_repository_of_one_gguf_file_is_taken(fake: FakeHub, tmp_path: Path) -> None:
    fake.offer({"m.gguf": b"x" * 50}, gguf={"total": 100, "architecture": "llama"})
    found = ask(fake, tmp_path)
    assert (found.gguf_file, found.bytes, found.download_bytes) == ("m.gguf", 200, 50)


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "RepoNotFound", "There is no model microsoft/phi-2 .*HF_TOKEN"),
        (404, "RevisionNotFound", "no revision 'v9'"),
        (403, "GatedRepo", "Accept its licence at https://huggingface.co/microsoft/phi-2"),
        (400, "", "HTTP 400"),
        (503, "", "cannot be reached"),
    ],
)
def test_refusals_of_the_hub_are_told_apart(
    fake: FakeHub, tmp_path: Path, status: int, code: str, said: str
) -> None:
    fake.status, fake.error_code = status, code
    with pytest.raises(QeuError, match=said):
        ask(fake, tmp_path, "v9")


@pytest.mark.usefixtures("online")
def test_a_gated_model_is_told_before_its_download(fake: FakeHub, tmp_path: Path) -> None:
    fake.offer({"model.safetensors": b"x", "config.json": b"{}"}, gated="manual")
    fake.files_status = 403
    with pytest.raises(QeuError, match=r"is gated\. Accept its licence .* HF_TOKEN"):
        ask(fake, tmp_path)
    fake.files_status = 200  # the account has accepted
    assert ask(fake, tmp_path).path == REPO


def test_a_local_folder_is_inspected(snapshot: Path) -> None:
    found = inspect_local(snapshot)
    assert (found.path, found.local, found.gguf_file) == (str(snapshot), True, None)


def test_shards_are_counted_and_missed(snapshot: Path) -> None:
    index = snapshot / "model.safetensors.index.json"
    whole = snapshot / "model.safetensors"
    size = inspect_local(snapshot).bytes
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for name in names:
        shutil.copy(whole, snapshot / name)
    whole.unlink()
    index.write_text(json.dumps({"weight_map": {"a": names[0], "b": names[1]}}))
    assert inspect_local(snapshot).bytes == 2 * size
    (snapshot / names[1]).unlink()
    (snapshot / names[1]).symlink_to("../../blobs/gone")
    with pytest.raises(QeuError, match=r"lacks 1 of its 2 weights files, such as model-00002"):
        inspect_local(snapshot)
    index.write_text(json.dumps({"weight_map": {"a": "../../x.safetensors"}}))
    with pytest.raises(QeuError, match="not a plain file name"):
        inspect_local(snapshot)


def test_a_folder_says_what_it_lacks(snapshot: Path, tmp_path: Path) -> None:
    def refuse(said: str) -> None:
        with pytest.raises(QeuError, match=said):
            inspect_local(snapshot)

    (snapshot / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    refuse("has no tokenizer")
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    refuse("Only safetensors and GGUF are loaded")
    (snapshot / "pytorch_model.bin").unlink()
    refuse("has no weights")
    (snapshot / "config.json").write_text("[1]")
    refuse("config.json cannot be read")
    (snapshot / "config.json").unlink()
    (snapshot / "adapter_config.json").write_text("{}")
    refuse("is an adapter, not a model")
    with pytest.raises(QeuError, match="There is no folder"):
        inspect_local(tmp_path / "nowhere")
