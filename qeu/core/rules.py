"""Rules that add, replace or remove a sentence of the reasoning where a record matches.

Applying the same rules a second time changes nothing. Reading and writing YAML is not done here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.core.record import Record
from qeu.core.segments import sentence_spans

ACTIONS = ("append", "prepend", "replace", "remove")
CONDITIONS = ("category", "field", "uniqueness", "language")


@dataclass(frozen=True)
class Rule:
    """Where every condition holds (one of its values), do something with a sentence.

    `replace` puts `by` in the place of `sentence`; the other actions need `sentence` only.
    """

    when: Mapping[str, tuple[str, ...]]
    do: str
    sentence: str
    by: str = ""

    def matches(self, record: Record) -> bool:
        """Whether the rule is for this record."""
        return all(getattr(record, name) in values for name, values in self.when.items())

    def apply(self, reasoning: str) -> str:
        """The reasoning as the rule wants it."""
        if self.do == "remove":
            return _without(reasoning, self.sentence)
        if self.do == "replace":
            if self.by and self.by in reasoning and self.sentence in self.by:
                return reasoning
            return reasoning.replace(self.sentence, self.by) if self.sentence else reasoning
        if self.sentence in reasoning:
            return reasoning
        parts = (reasoning, self.sentence) if self.do == "append" else (self.sentence, reasoning)
        return "\n".join(part for part in parts if part.strip())

    def to_json(self) -> dict[str, object]:
        """As in YAML files and events; one value of a condition stands alone."""
        when = {k: v[0] if len(v) == 1 else list(v) for k, v in self.when.items()}
        data: dict[str, object] = {"when": when, "do": self.do, "sentence": self.sentence}
        return data | ({"by": self.by} if self.by else {})


def read_rules(data: object) -> list[Rule]:
    """Rules from plain values: a list, or {"rules": list}; QeuError names the rule at fault."""
    if isinstance(data, Mapping):
        data = data.get("rules")
    if not isinstance(data, list) or not data:
        raise QeuError("There are no rules. Expected a list under 'rules:', each with when and do.")
    return [_read_rule(item, number) for number, item in enumerate(data, start=1)]


def apply_rules(record: Record, rules: Sequence[Rule]) -> str:
    """The record's reasoning after all rules, in their order."""
    reasoning = record.reasoning
    for rule in rules:
        if rule.matches(record):
            reasoning = rule.apply(reasoning)
    return reasoning


def find_quarrels(rules: Sequence[Rule]) -> list[str]:
    """Rules that undo one another, so that every run would change records again."""
    found = []
    for number, rule in enumerate(rules, start=1):
        added = rule.by if rule.do == "replace" else rule.sentence if rule.do != "remove" else ""
        for other_number, other in enumerate(rules, start=1):
            takes = other.do in ("remove", "replace") and other is not rule
            if added and takes and other.sentence and other.sentence in added:
                found.append(
                    f"Rule {other_number} takes away what rule {number} adds: {other.sentence!r}."
                )
    return found


def _without(reasoning: str, sentence: str) -> str:
    """Every line or sentence that is this one taken out; the rest of its lines stays."""
    if not sentence or sentence not in reasoning:
        return reasoning
    lines = []
    for line in reasoning.split("\n"):
        if sentence not in line:
            lines.append(line)
            continue
        spans = [span for span in sentence_spans(line) if line[slice(*span)] == sentence]
        rest = line
        for start, end in reversed(spans):
            rest = (
                rest[:start].rstrip() + (" " if rest[:start].strip() else "") + rest[end:].lstrip()
            )
        if not spans:
            rest = line.replace(sentence, "")
        if rest.strip():
            lines.append(rest.strip())
    return "\n".join(lines)


def _read_rule(item: object, number: int) -> Rule:
    if not isinstance(item, Mapping):
        raise QeuError(f"Rule {number} is {item!r}; expected when, do and sentence.")
    known = {"when", "do", "sentence", "by"}
    if unknown := sorted(map(str, set(item) - known)):
        raise QeuError(f"Rule {number} has an unknown part {unknown[0]!r}. Known: when, do, "
                       "sentence, by.")  # fmt: skip
    do, sentence, by = item.get("do"), item.get("sentence"), item.get("by", "")
    if do not in ACTIONS:
        raise QeuError(f"Rule {number} does {do!r}. Choose one of: {', '.join(ACTIONS)}.")
    if not isinstance(sentence, str) or not sentence.strip() or not isinstance(by, str):
        raise QeuError(f"Rule {number} has no sentence; expected a text to {do}.")
    if do == "replace" and "by" not in item:
        raise QeuError(f"Rule {number} replaces a sentence but does not say by what ('by').")
    when = item.get("when") or {}
    if not isinstance(when, Mapping):
        raise QeuError(f"Rule {number}: 'when' is {when!r}; expected category: creative and so on.")
    conditions = {}
    for name, values in when.items():
        if name not in CONDITIONS:
            raise QeuError(
                f"Rule {number} asks for {name!r}. Choose among: {', '.join(CONDITIONS)}."
            )
        listed = values if isinstance(values, list) else [values]
        if not all(isinstance(value, str) for value in listed):
            raise QeuError(f"Rule {number}: {name} is {values!r}; expected a name or a list.")
        conditions[str(name)] = tuple(listed)
    return Rule(conditions, str(do), sentence.strip(), by.strip())
