"""A run to take away: as JSON, as Python that runs it again, as a command line."""

import hashlib
import pprint
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath, PureWindowsPath

import qeu
from qeu.core.arguments import protect_argument
from qeu.core.sampling import Sampling
from qeu.core.text import clean_text
from qeu.services.compare import SIDES, Comparison, SideSettings
from qeu.store.history import StoredComparison
from qeu.store.workspace import dump_json

EXPORT_VERSION = 1
# Linux refuses a single argument of 128 KiB; longer texts go through files.
LONGEST_ARGUMENT = 20_000
_SECRET = re.compile(r"\b(?:gsk_|hf_|sk-)[A-Za-z0-9_-]{12,}|(?<=Bearer )[A-Za-z0-9._~+/-]{12,}")
_PATH = re.compile(r"(?<![\w.:/\\])(?:~|[A-Za-z]:)?(?:[/\\][\w.@+-]+){2,}")
# Names whose values are sentences of ours or of an engine, and may quote a path.
_SENTENCES = ("error", "notes", "why")
# An option and its value; None for a switch.
Words = list[tuple[str, str | None]]


def export_json(stored: StoredComparison) -> str:
    """Settings, results and versions of a stored run; no keys and no paths of this machine.

    A model that is a local folder is named by the folder alone.
    """
    data = {"qeu_run": EXPORT_VERSION, "program": f"qeu {qeu.__version__}", **stored.to_json()}
    return dump_json(make_shareable(data), indent=2)


def make_shareable(data: Mapping[str, object]) -> dict[str, object]:
    """The same values without keys and paths of this machine."""
    return {name: _shareable(name, value) for name, value in data.items()}


def export_snippet(
    comparison: Comparison, results: Mapping[str, Mapping[str, object]] | None = None
) -> str:
    """Python that runs the comparison again; with `results` it says whether the texts agree.

    Same texts are only promised for a run with `exact`.
    """
    settings = _map_strings(comparison.to_json(), _hide_secrets)
    recorded = {
        side: hashlib.sha256(str(result.get("text", "")).encode("utf-8", "replace")).hexdigest()
        for side, result in (results or {}).items()
        if result.get("finish_reason") in ("stop", "length", "loop")
    }
    return _SNIPPET.format(
        version=qeu.__version__,
        settings=pprint.pformat(settings, width=96, sort_dicts=False),
        recorded=pprint.pformat(recorded, width=96),
    )


_SNIPPET = '''\
"""Runs a comparison of QEU Playground {version} again. Start it where the package `qeu` is."""

import hashlib
import os

from qeu.backends.engines import open_engines
from qeu.core.settings import Settings
from qeu.services.compare import Comparison, results_json, start_comparison

SETTINGS = {settings}

# SHA-256 of the texts as they were; the same texts are promised where "exact" is True.
RECORDED = {recorded}


def main() -> None:
    engines = open_engines(Settings.from_env(os.environ), os.environ)
    with start_comparison(engines, Comparison.from_json(SETTINGS)) as run:
        run.wait()
    for side, result in results_json(run).items():
        print(f"== {{side}}: {{result['model']}} ({{result['finish_reason']}})")
        print(result["error"] or result["text"])
        if side in RECORDED:
            digest = hashlib.sha256(result["text"].encode("utf-8", "replace")).hexdigest()
            print("-- same text as recorded:", "yes" if digest == RECORDED[side] else "no")


if __name__ == "__main__":
    main()
'''


def export_command(comparison: Comparison) -> str:
    """The same comparison as a command for a shell; very long texts are read from files."""
    words: Words = [("--left", comparison.left.model), ("--right", comparison.right.model)]
    words += _side_words(comparison)
    for name in ("instruction", "input", "reasoning", "reference"):
        words += _text_words("--" + name, name, getattr(comparison, name))
    if comparison.category != "open_qa":
        words.append(("--category", comparison.category))
    if comparison.expected_language:
        words.append(("--language", comparison.expected_language))
    words += _sampling_words("--", comparison.sampling, Sampling())
    for role_id, text in comparison.roles.items():
        words += _text_words("--role-text", role_id, text, prefix=f"{role_id}=")
    if comparison.exact:
        words.append(("--exact", None))
    return " ".join(["python -m qeu compare", *(_quote(*word) for word in words)])


# -- the command's words -------------------------------------------------------------------------


def _quote(option: str, value: str | None) -> str:
    if value is None:
        return option
    value = _hide_secrets(clean_text(value))
    # a value that begins like an option must stand in one word with its own
    return (
        shlex.quote(f"{option}={value}") if value[:1] == "-" else f"{option} {shlex.quote(value)}"
    )


def _side_words(comparison: Comparison) -> Words:
    """Roles, layouts and targets: common where the sides agree, else one option a side."""
    words: Words = []
    default = SideSettings("")
    for name in ("role", "layout", "target"):
        left, right = (getattr(comparison.side(side), name) for side in SIDES)
        if left != right:
            # an empty layout is the model's own: the option is left out
            words += [(f"--left-{name}", left)] if left else []
            words += [(f"--right-{name}", right)] if right else []
        elif left != getattr(default, name):
            words.append((f"--{name}", left))
    for side in SIDES:
        settings = comparison.side(side)
        if not settings.use_reasoning:
            words.append((f"--{side}-no-reasoning", None))
        if settings.sampling is not None:
            own = _sampling_words(f"--{side}-", settings.sampling, comparison.sampling)
            # a side with settings of its own that happen to equal the common ones keeps them
            words += own or [(f"--{side}-seed", str(settings.sampling.seed))]
    return words


def _sampling_words(prefix: str, sampling: Sampling, default: Sampling) -> Words:
    words: Words = []
    for name, value in sampling.to_json().items():
        if value == getattr(default, name):
            continue
        if name == "greedy":
            words.append((prefix + "greedy" if value else f"--no-{prefix[2:]}greedy", None))
        else:
            words.append((prefix + name.replace("_", "-"), repr(value)))
    return words


def _text_words(option: str, name: str, text: str, prefix: str = "") -> Words:
    if not text:
        return []
    if len(text) > LONGEST_ARGUMENT:
        return [(option, f"{prefix}@{name}.txt")]
    return [(option, prefix + protect_argument(text))]


# -- what must not leave this machine --------------------------------------------------------------


def _shareable(name: str, value: object) -> object:
    """The value without keys and paths; `name` is what it is called in its object."""
    if isinstance(value, Mapping):
        return {key: _shareable(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shareable(name, item) for item in value]
    if not isinstance(value, str):
        return value
    if name in ("model", "adapter"):
        return _hide_secrets(_folder_name(value))
    if name in _SENTENCES:
        value = _PATH.sub(lambda found: "…/" + _last_part(found[0]), value)
    return _hide_secrets(value)


def _map_strings(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, Mapping):
        return {key: _map_strings(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_strings(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def _hide_secrets(text: str) -> str:
    return _SECRET.sub("***", text)


def _folder_name(ref: str) -> str:
    """A model or MODEL@ADAPTER, each without the folders that lead to it."""
    return "@".join(
        _last_part(part) if part.startswith(("/", "~", ".", "\\")) or part[1:3] == ":\\" else part
        for part in ref.split("@")
    )


def _last_part(path: str) -> str:
    kind = PureWindowsPath if "\\" in path else PurePosixPath
    return kind(path).name
