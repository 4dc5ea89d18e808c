"""The page's words: every language complete, every key that the code asks for there."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from string import Formatter

import pytest

import qeu.backends
import qeu.ui
from qeu.core.contract import VERDICTS, check_reasoning
from qeu.core.generation import FINISH_REASONS
from qeu.core.labels import FIELD_NAMES
from qeu.core.prompts import TARGETS
from qeu.core.record import CATEGORIES, UNIQUENESS
from qeu.core.record_checks import CHECKS as CHECK_NAMES
from qeu.core.roles import ROLE_IDS
from qeu.core.sampling import Sampling
from qeu.services.compare import SIDES
from qeu.services.roles import ROLE_TARGETS
from qeu.services.standing import STEP_TABS
from qeu.services.trial import LANGUAGES as TRIAL_LANGUAGES
from qeu.services.trial import list_items
from qeu.services.trial_verdicts import VERDICTS as TRIAL_VERDICTS
from qeu.store.records import FACETS
from qeu.ui.compare_tab import load_examples
from qeu.ui.dataset_detail import EDITED
from qeu.ui.strings import LANGUAGES, pick_language, text, words

UI_FILES = sorted(Path(qeu.ui.__file__).parent.glob("*.py"))
TRANSLATIONS = [code for code in LANGUAGES if code != "en"]
# Names that every language writes the same way.
SAME = {"sampling.top_p", "sampling.top_k", "sampling.min_p", "trial.csv", "trial.json"}
# Old character sets hold one script each; what a language must not write is not in its set.
SCRIPTS = {"ja": "shift_jis", "zh-CN": "gb2312", "zh-TW": "big5"}

AXES = ("instruction", "content", "answer")
CHECKS = tuple(check.name for check in check_reasoning("One line."))
READINGS = ("knows", "fixed", "instruction", "content", "partly", "mixed", "unclear", "narrow")


def load_steps() -> list[str]:
    """The steps that the backends tell of: first arguments of `Progress`, and the page's own."""
    steps = {"start"}
    for path in Path(qeu.backends.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Progress":
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    steps.add(str(first.value))
    return sorted(steps)


# What can stand after a prefix, where the code puts a key together. None: looked up with a
# fallback, so that nothing need be there.
FAMILIES: dict[str, Iterable[str] | None] = {
    "category.": CATEGORIES,
    "chip.": None,  # one label for all verdicts or one for each: see test_every_check_has_a_label
    "example.": [str(example["id"]) for example in load_examples()],
    "data.column.": ("no", "question", "english", "record"),
    "data.label.unfit.": ("cannot_do", "cannot_read"),
    "data.fault.": [f"{name}.help" for name in CHECK_NAMES],
    "data.import.head.": (
        "file",
        "format",
        "imported",
        "unchanged",
        "updated",
        "rejected",
        "row",
        "field",
        "reason",
    ),
    "data.merge.head.": ("file", "language", "rows"),
    "data.rules.": ("do", "sentence", "by"),
    "data.split.head.": ("row", "part", "train", "alike"),
    "dataset.column.": (*EDITED, *FACETS, "seq", "extra", "check"),
    "dataset.decide.": ("accepted", "needs_work", "rejected", "clear"),
    "dataset.do.": None,
    "dataset.empty.": ("title", "shipped", "import", "compare", "command"),
    "dataset.field.": FIELD_NAMES,
    "dataset.finding.": (*CHECK_NAMES, "any"),
    "dataset.kind.": ("import", "edit", "rule", "review", "generate"),
    "dataset.none.": FACETS,
    "dataset.page.": ("first", "previous", "next", "last"),
    "dataset.send.": SIDES,
    "dataset.split.": ("train", "validation", "test"),
    "dataset.status.": ("accepted", "needs_work", "rejected"),
    "dataset.uniqueness.": UNIQUENESS,
    "field.": ("system", "task", "instruction", "input", "reasoning", "output", "marker"),
    "finish.": FINISH_REASONS,
    "language.": (*TRIAL_LANGUAGES, "und"),
    "load.": load_steps(),
    "part.": ("reasoning", "answer"),
    "plan.": ("one_batch", "in_turn", "swap"),
    "receipt.": ("name", "asked", "sent", "why"),
    "role.": ROLE_IDS,
    "roles.about.": ROLE_IDS,
    "sampling.": [key for f in fields(Sampling) for key in (f.name, f"{f.name}.help")],
    "strip.": ("records", "waiting", "accepted", "runs", "adapters", "votes"),
    "strip.step.": STEP_TABS,
    "target.": (*TARGETS, *(name for name in ROLE_TARGETS if name != "own")),
    "trial.axis.": ("instruction", "content"),
    "trial.by.": AXES,
    "trial.item.": [item.id for item in list_items()],
    "trial.reading.": READINGS,
    "trial.tick.": AXES,
    "trial.unfit.": ("neither", "both", "reads", "writes"),
    "trial.verdict.": (*TRIAL_VERDICTS, "idle", "pending", "stopped"),
    "unit.": ("lines", "words", "characters", ""),
}


def keys_asked_for(source: str) -> Iterator[tuple[str, bool]]:
    """(key, True) of each key that a file spells out, (prefix, False) where it puts one together.

    Keys are first arguments of `say`, `_say` and `text`; a prefix is also seen elsewhere, as in
    `words(language).get(f"load.{step}")`.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
            if name in ("say", "_say", "text") and node.args:
                yield from _keys(node.args[0])
        elif isinstance(node, ast.JoinedStr) and re.fullmatch(r"([a-z_]+\.)+", _start(node)):
            yield _start(node), False


def _keys(node: ast.expr) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, True
    elif isinstance(node, ast.IfExp):
        yield from (*_keys(node.body), *_keys(node.orelse))
    elif isinstance(node, ast.JoinedStr):
        yield _start(node), False
    elif isinstance(node, ast.BinOp):
        yield from ((key, False) for key, _ in _keys(node.left))


def _start(node: ast.JoinedStr) -> str:
    first = node.values[0] if node.values else None
    return str(first.value) if isinstance(first, ast.Constant) else ""


def placeholders(template: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(template) if name is not None)


@pytest.mark.parametrize("language", TRANSLATIONS)
class TestTranslation:
    def test_has_exactly_the_keys_of_english_in_their_order(self, language: str) -> None:
        assert list(words(language)) == list(words("en"))

    def test_keeps_every_placeholder(self, language: str) -> None:
        english = words("en")
        wrong = {
            key: found
            for key, found in words(language).items()
            if key in english and placeholders(found) != placeholders(english[key])
        }
        assert not wrong

    def test_leaves_nothing_in_english_but_the_listed_names(self, language: str) -> None:
        english = words("en")
        same = {key for key, found in words(language).items() if found == english.get(key)}
        # "{value}/{limit} {unit}" has nothing to translate
        same = {key for key in same if re.search("[A-Za-z]", re.sub("{.*?}", "", english[key]))}
        assert same <= SAME

    def test_writes_its_own_script(self, language: str) -> None:
        for key, found in words(language).items():
            for character in re.findall("[\u4e00-\u9fff]", found):
                try:
                    character.encode(SCRIPTS[language])
                except UnicodeEncodeError:
                    pytest.fail(f"{key}: {character} is not written in {language}: {found}")


@pytest.mark.parametrize("language", LANGUAGES)
class TestEveryLanguage:
    def test_texts_are_neither_empty_nor_padded(self, language: str) -> None:
        joiners = {"list.comma", "plan.beside", "plan.then", "trial.or"}
        for key, found in words(language).items():
            assert found or key == "unit.", key
            assert key in joiners or found == found.strip(), key
            assert "\n" not in found, key

    def test_texts_can_be_filled(self, language: str) -> None:
        for key, found in words(language).items():
            values = dict.fromkeys(placeholders(found), "X")
            assert text(key, language, **values).count("X") >= len(values)

    def test_every_check_has_a_label_for_every_verdict(self, language: str) -> None:
        known = words(language)
        for name in CHECKS:
            for verdict in VERDICTS:
                assert f"chip.{name}" in known or f"chip.{name}.{verdict}" in known, (name, verdict)


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_the_page_asks_only_for_keys_that_exist(path: Path) -> None:
    english = words("en")
    for key, whole in keys_asked_for(path.read_text(encoding="utf-8")):
        if whole:
            assert key in english, f"{path.name} asks for {key!r}"
        else:
            assert key in FAMILIES, f"{path.name} builds keys from {key!r}: list its values above"


@pytest.mark.parametrize("prefix", FAMILIES)
def test_a_family_of_keys_is_complete(prefix: str) -> None:
    values = FAMILIES[prefix]
    if values is not None:
        assert not {prefix + value for value in values} - set(words("en"))


def test_the_scan_sees_keys_however_they_are_written() -> None:
    source = (
        'say("a.b"); text("c.d", x); text(f"e.{x}", y); _say("f." + x, y); view.say("g.h")\n'
        'say("i.j" if x else f"k.{x}"); known.get(f"l.{x}", z); text(key, y); f"<b>{x}"\n'
    )
    found = set(keys_asked_for(source))
    whole = {key for key, is_whole in found if is_whole}
    assert whole == {"a.b", "c.d", "g.h", "i.j"}
    assert {key for key, is_whole in found if not is_whole} == {"e.", "f.", "k.", "l."}


def test_the_scan_sees_this_page() -> None:
    found = {k for path in UI_FILES for k, _ in keys_asked_for(path.read_text(encoding="utf-8"))}
    assert {"action.run", "category.", "finish.", "load.", "part."} <= found
    assert {"start", "download", "check", "wait"} <= set(load_steps())


def test_an_unknown_key_is_a_defect() -> None:
    with pytest.raises(KeyError):
        text("no.such.key", "ja")


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("ja", "ja"),
        ("ja-JP", "ja"),
        ("JA-jp", "ja"),
        ("zh", "zh-CN"),
        ("zh-CN", "zh-CN"),
        ("zh-SG", "zh-CN"),
        ("zh-Hans", "zh-CN"),
        ("zh-TW", "zh-TW"),
        ("zh-HK", "zh-TW"),
        ("zh-MO", "zh-TW"),
        ("zh-Hant", "zh-TW"),
        ("zh-Hant-HK", "zh-TW"),
        ("en-GB", "en"),
        ("fr", "en"),
        ("fr-CH, fr;q=0.9, ja;q=0.7, en;q=0.5, *;q=0.1", "ja"),
        ("zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7", "zh-TW"),
        ("en-US,en;q=0.9,ja;q=0.8", "en"),
        (" ja-JP ; q=0.8 , en", "ja"),
        ("*", "en"),
        ("", "en"),
        (None, "en"),
        (";;,,;q=", "en"),
        ("\x00<script>, 日本語", "en"),
        ("," * 10_000, "en"),
    ],
)
def test_pick_language_from_the_browser(accepted: str | None, expected: str) -> None:
    assert pick_language(None, accepted) == expected


@pytest.mark.parametrize("chosen", LANGUAGES)
def test_pick_language_the_choice_wins(chosen: str) -> None:
    assert pick_language(chosen, "ja, zh-TW;q=0.9, en;q=0.8") == chosen


@pytest.mark.parametrize("chosen", ["", "zh", "fr", "JA", "../en", "\x00"])
def test_pick_language_a_choice_that_is_none_counts_for_nothing(chosen: str) -> None:
    assert pick_language(chosen, "zh-TW") == "zh-TW"
