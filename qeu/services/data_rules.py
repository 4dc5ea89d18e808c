"""Rules over the reasoning: read from and written to YAML, previewed, applied."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.core.rules import Rule, apply_rules, read_rules
from qeu.services.data_preview import Preview, preview_change
from qeu.store.changes import Applied, Make, Progress, change_records
from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter
from qeu.store.workspace import Workspace

# The two rules of April 2024, shipped as an example.
EXAMPLE_PATH = Path(__file__).parent / "rules_april.yaml"
MOST_BYTES = 1024 * 1024


def load_rules(path: Path = EXAMPLE_PATH) -> list[Rule]:
    """Rules from a YAML file; QeuError names the line or rule at fault."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise QeuError(f"The rules {path} cannot be read ({error.strerror}).") from error
    if len(text) > MOST_BYTES:
        raise QeuError(f"The rules {path.name} are larger than 1 MB; expected a short list.")
    return parse_rules(text.decode("utf-8-sig", "replace"), path.name)


def parse_rules(text: str, name: str = "the rules") -> list[Rule]:
    """The same from a text, such as an editor in the page holds."""
    import yaml

    try:
        if any(token.__class__.__name__ == "AliasToken" for token in yaml.scan(text)):
            # a few lines of aliases can unfold to gigabytes
            raise QeuError(f"{name} uses aliases (*name); write the rules out.")
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise QeuError(f"{name} is not YAML{place}: {getattr(error, 'problem', error)}.") from error
    except RecursionError as error:
        raise QeuError(f"{name} is nested too deeply; expected a list of rules.") from error
    return read_rules(data)


def dump_rules(rules: Sequence[Rule]) -> str:
    """The rules as YAML."""
    import yaml

    data = {"rules": [rule.to_json() for rule in rules]}
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=100)


def preview_rules(
    workspace: Workspace,
    dataset: Dataset,
    rules: Sequence[Rule],
    where: Filter = ALL,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Preview:
    """What the rules would change."""
    return preview_change(workspace, dataset, _maker(rules), where, progress, stop)


def run_rules(
    workspace: Workspace,
    dataset: Dataset,
    rules: Sequence[Rule],
    where: Filter = ALL,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Applied:
    """Apply the rules; 0 changed where they had been applied already."""
    data: Mapping[str, object] = {
        "rules": [rule.to_json() for rule in rules],
        "where": where.to_json(),
    }
    return change_records(
        workspace, dataset, _maker(rules), where,
        what="The rule run", data=data, progress=progress, stop=stop,
    )  # fmt: skip


def _maker(rules: Sequence[Rule]) -> Make:
    return lambda stored: {"reasoning": apply_rules(stored.record, rules)}
