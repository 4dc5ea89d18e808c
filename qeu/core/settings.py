"""Settings of one start of the program, read once from a mapping such as the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from qeu.core.errors import UsageError


def _env(name: str, default: object, help_text: str) -> object:
    return field(default=default, metadata={"env": name, "help": help_text})


@dataclass(frozen=True)
class Settings:
    """Where things live and who may reach them; keys of providers are never among these."""

    home: Path = _env("QEU_HOME", Path("workspace"), "Folder of the workspace database.")  # type: ignore
    cache: Path = _env(  # type: ignore[assignment]
        "QEU_CACHE", Path("~/.cache/qeu"), "Folder of fetched model weights."
    )
    adapters: Path = _env("QEU_ADAPTERS", Path("adapters"), "Folder of trained adapters.")  # type: ignore
    host: str = _env("QEU_HOST", "127.0.0.1", "Address the page listens on.")  # type: ignore
    port: int = _env("QEU_PORT", 7860, "Port of the page; the next free one if it is taken.")  # type: ignore
    public: bool = _env("QEU_PUBLIC", False, "1 on a public page: visitors share nothing.")  # type: ignore
    device: str = _env("QEU_DEVICE", "auto", "auto, cpu or cuda.")  # type: ignore
    dtype: str = _env(  # type: ignore[assignment]
        "QEU_DTYPE", "auto", "auto, float32, bfloat16 or float16 for local models."
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings from names such as QEU_HOME; raises UsageError for a bad value."""
        values: dict[str, object] = {}
        for f in fields(cls):
            raw = environ.get(f.metadata["env"], "").strip()
            if raw:
                values[f.name] = _parse(f.metadata["env"], raw, f.default)
        if environ.get("SPACE_ID"):
            # a Space is public whatever else is set, unless QEU_PUBLIC itself says otherwise
            values = {"host": "0.0.0.0", "public": True} | values
        settings = cls(**values)  # type: ignore[arg-type]
        for name, allowed in (
            ("device", ("auto", "cpu", "cuda")),
            ("dtype", ("auto", "float32", "bfloat16", "float16")),
        ):
            if getattr(settings, name) not in allowed:
                raise UsageError(
                    f"QEU_{name.upper()} is {getattr(settings, name)!r}. "
                    f"Choose one of: {', '.join(allowed)}."
                )
        return settings

    @property
    def cache_dir(self) -> Path:
        """The weights folder with ~ resolved."""
        return self.cache.expanduser()

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """(name, default, meaning) of every setting, for the README."""
        return [(f.metadata["env"], _show(f.default), f.metadata["help"]) for f in fields(cls)]


def _parse(name: str, raw: str, default: object) -> object:
    if isinstance(default, bool):
        if raw.lower() in ("1", "true", "yes", "on"):
            return True
        if raw.lower() in ("0", "false", "no", "off"):
            return False
        raise UsageError(f"{name} is {raw!r}. Set it to 1 or 0.")
    if isinstance(default, int):
        if not (raw.isascii() and raw.isdigit() and len(raw) < 6 and 0 < int(raw) < 65_536):
            raise UsageError(f"{name} is {raw!r}. Set it to a port from 1 to 65535.")
        return int(raw)
    return Path(raw).expanduser() if isinstance(default, Path) else raw


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)
