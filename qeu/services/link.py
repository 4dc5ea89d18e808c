"""A comparison's settings as a link, and back; keys of providers never enter a link."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from qeu.core.errors import QeuError, UsageError
from qeu.core.roles import ROLES
from qeu.core.sampling import Sampling
from qeu.core.text import clean_text, one_line
from qeu.services.compare import Comparison

# Browsers and proxies cut longer addresses; the texts of such a run travel as an exported file.
LONGEST_LINK = 8_000

_TEXTS = {"q": "instruction", "c": "input", "r": "reasoning", "a": "reference"}
_SHORT = {
    "temperature": "t",
    "top_p": "p",
    "top_k": "k",
    "min_p": "m",
    "repetition_penalty": "rp",
    "max_new_tokens": "n",
    "seed": "seed",
    "greedy": "greedy",
}


def to_query(comparison: Comparison) -> str:
    """The settings as the part of a link after "?"; defaults are left out.

    Raises QeuError where the texts are too long for a link.
    """
    pairs = [(short, clean_text(getattr(comparison, name))) for short, name in _TEXTS.items()]
    pairs += [
        ("cat", "" if comparison.category == "open_qa" else comparison.category),
        ("el", comparison.expected_language),
        ("exact", "1" if comparison.exact else ""),
        *_sampling_pairs("", comparison.sampling),
    ]
    for letter, name in (("l", "left"), ("x", "right")):
        side = comparison.side(name)
        pairs += [
            (letter + "model", side.model),
            (letter + "role", "" if side.role == "assistant" else side.role),
            (letter + "layout", side.layout),
            (letter + "target", "" if side.target == "answer" else side.target),
            (letter + "ur", "" if side.use_reasoning else "0"),
        ]
        if side.sampling is not None:
            pairs += [(letter + "own", "1"), *_sampling_pairs(letter, side.sampling)]
    pairs += [("role_" + role, clean_text(text)) for role, text in comparison.roles.items()]
    query = urlencode([(name, value) for name, value in pairs if value != ""])
    if len(query) > LONGEST_LINK:
        raise QeuError(
            f"These texts make a link of {len(query):,} characters; browsers take about "
            f"{LONGEST_LINK:,}. Export the run as JSON instead."
        )
    return query


def from_query(query: str | Mapping[str, str], default_model: str) -> Comparison | None:
    """The comparison that a link describes; None where it holds no settings of ours.

    Raises UsageError for values that cannot be used; unknown names are ignored, other programs
    add theirs to addresses.
    """
    given = dict(parse_qsl(query)) if isinstance(query, str) else dict(query)
    if not any(name in given for name in ("q", "lmodel", "xmodel")):
        return None
    data: dict[str, object] = {name: given.get(short, "") for short, name in _TEXTS.items()}
    data |= {
        "category": given.get("cat", "open_qa"),
        "expected_language": given.get("el", ""),
        "exact": given.get("exact") == "1",
        "sampling": _read_sampling("", given),
        "roles": {role: given["role_" + role] for role in ROLES if "role_" + role in given},
    }
    for letter, name in (("l", "left"), ("x", "right")):
        data[name] = {
            "model": given.get(letter + "model", default_model),
            "role": given.get(letter + "role", "assistant"),
            "layout": given.get(letter + "layout", ""),
            "target": given.get(letter + "target", "answer"),
            "use_reasoning": given.get(letter + "ur") != "0",
            "sampling": _read_sampling(letter, given) if letter + "own" in given else None,
        }
    return Comparison.from_json(data)


def _sampling_pairs(prefix: str, sampling: Sampling) -> list[tuple[str, str]]:
    default = Sampling()
    pairs = []
    for name, short in _SHORT.items():
        value = getattr(sampling, name)
        if value != getattr(default, name):
            pairs.append((prefix + short, f"{int(value) if name == 'greedy' else value}"))
    return pairs


def _read_sampling(prefix: str, given: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, short in _SHORT.items():
        raw = given.get(prefix + short)
        if raw is None:
            continue
        if name == "greedy":
            values[name] = raw == "1"
            continue
        try:
            values[name] = int(raw) if raw.lstrip("-").isdigit() else float(raw)
        except ValueError as error:
            raise UsageError(
                f"{name} is {one_line(raw)!r} in this link; it must be a number."
            ) from error
    return values
