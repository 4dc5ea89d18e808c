"""Settings of one start of the program, read once from a mapping such as the environment."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path

from qeu.core.errors import UsageError

# A shorter one is found by trying, and the page behind a share link can be tried by anybody.
SHORTEST_PASSWORD = 8
USER = "qeu"
PRECISIONS = ("auto", "nf4", "int8", "bfloat16", "float16", "float32", "4bit", "8bit")


def _env(
    name: str, default: object, help_text: str, low: int = 0, high: int = 0, shown: bool = True
) -> object:
    limits = {"low": low, "high": high}
    return field(default=default, metadata={"env": name, "help": help_text, **limits}, repr=shown)


@dataclass(frozen=True)
class Settings:
    """Where things live and who may reach them; keys of providers are never among these."""

    home: Path = _env("QEU_HOME", Path("workspace"), "Folder of the workspace database.")  # type: ignore
    cache: Path = _env(  # type: ignore[assignment]
        "QEU_CACHE", Path("~/.cache/qeu"), "Folder of fetched model weights."
    )
    adapters: Path = _env("QEU_ADAPTERS", Path("adapters"), "Folder of trained adapters.")  # type: ignore
    host: str = _env("QEU_HOST", "127.0.0.1", "Address the page listens on.")  # type: ignore
    port: int = _env(  # type: ignore[assignment]
        "QEU_PORT", 7860, "Port of the page; the next free one if it is taken.", 1, 65_535
    )
    public: bool = _env("QEU_PUBLIC", False, "1 on a public page: visitors share nothing.")  # type: ignore
    device: str = _env("QEU_DEVICE", "auto", "auto, cpu or cuda.")  # type: ignore
    dtype: str = _env(  # type: ignore[assignment]
        "QEU_DTYPE",
        "auto",
        "Precision of local models: auto, nf4 (4 bits), int8, bfloat16, float16 or float32.",
    )
    share: bool = _env(  # type: ignore[assignment]
        "QEU_SHARE", False, "1 for a share link; the page is public unless it has a password."
    )
    password: str = _env(  # type: ignore[assignment]
        "QEU_PASSWORD", "", f"Asked before the page opens, with the user name {USER}.", shown=False
    )
    public_budget: int = _env(  # type: ignore[assignment]
        "QEU_PUBLIC_BUDGET",
        0,
        "Tokens a day that all visitors together may use of the owner's hosted models; 0 is none.",
        0,
        10**12,
    )
    public_tokens: int = _env(  # type: ignore[assignment]
        "QEU_PUBLIC_TOKENS", 512, "Most new tokens of a text on a public page.", 1, 4_096
    )
    public_queue: int = _env(  # type: ignore[assignment]
        "QEU_PUBLIC_QUEUE", 8, "Most runs that wait on a public page.", 1, 1_000
    )
    idle_minutes: int = _env(  # type: ignore[assignment]
        "QEU_IDLE_MINUTES", 0, "Unload a model unused for so long; 0 is never.", 0, 10_080
    )
    mcp: bool = _env(  # type: ignore[assignment]
        "QEU_MCP", False, "1 to offer the functions of the HTTP API as MCP tools as well."
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings from names such as QEU_HOME; raises UsageError for a bad value."""
        values: dict[str, object] = {}
        for f in fields(cls):
            raw = environ.get(f.metadata["env"], "").strip()
            if raw:
                values[f.name] = _parse(f.metadata["env"], raw, f)
        if environ.get("SPACE_ID"):
            # a Space is public whatever else is set, unless QEU_PUBLIC itself says otherwise
            values = {"host": "0.0.0.0", "public": True} | values
        if values.get("share") and not values.get("password"):
            # who has the link is nobody we know
            values = {"public": True} | values
        settings = cls(**values)  # type: ignore[arg-type]
        settings._check_access()
        for name, allowed in (
            ("device", ("auto", "cpu", "cuda")),
            ("dtype", PRECISIONS),
        ):
            if getattr(settings, name) not in allowed:
                raise UsageError(
                    f"QEU_{name.upper()} is {getattr(settings, name)!r}. "
                    f"Choose one of: {', '.join(allowed)}."
                )
        return settings

    def _check_access(self) -> None:
        # what was given is never part of the sentence: it may end in a log
        if 0 < len(self.password) < SHORTEST_PASSWORD:
            raise UsageError(
                f"QEU_PASSWORD is too short. Use {SHORTEST_PASSWORD} characters or more."
            )
        if self.share and not self.public and not self.password:
            raise UsageError(
                "QEU_SHARE is 1 and QEU_PUBLIC is 0: everybody with the link could read files of "
                "this machine and use its keys. Set QEU_PASSWORD, or leave QEU_PUBLIC out."
            )

    @property
    def cache_dir(self) -> Path:
        """The weights folder with ~ resolved."""
        return self.cache.expanduser()

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """(name, default, meaning) of every setting, for the README."""
        return [(f.metadata["env"], _show(f.default), f.metadata["help"]) for f in fields(cls)]


def _parse(name: str, raw: str, setting: Field) -> object:
    default = setting.default
    if isinstance(default, bool):
        if raw.lower() in ("1", "true", "yes", "on"):
            return True
        if raw.lower() in ("0", "false", "no", "off"):
            return False
        raise UsageError(f"{name} is {raw!r}. Set it to 1 or 0.")
    if isinstance(default, int):
        low, high = setting.metadata["low"], setting.metadata["high"]
        # the length first: Python refuses to read a number of thousands of digits
        if not (raw.isascii() and raw.isdigit() and len(raw) < 16 and low <= int(raw) <= high):
            what = "a port" if name == "QEU_PORT" else "a whole number"
            raise UsageError(f"{name} is {raw[:80]!r}. Set it to {what} from {low} to {high}.")
        return int(raw)
    return Path(raw).expanduser() if isinstance(default, Path) else raw


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value) or "none"
