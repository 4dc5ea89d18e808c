"""Every handler of the page gives an answer on every way through it.

Gradio 6.31 sends null to all outputs of a generator that yields nothing, which empties them, and
takes an empty dict for a value, or for an error where there is more than one output. A handler with
nothing to say gives `gr.skip()`.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import qeu.ui
from qeu.core.settings import Settings
from qeu.ui.app import build_app

Code = ast.FunctionDef | ast.Lambda
UI = Path(qeu.ui.__file__).parent
CODES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def own_nodes(code: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a function but those of functions in it."""
    for node in ast.iter_child_nodes(code):
        if not isinstance(node, CODES):
            yield node
            yield from own_nodes(node)


def yields(node: ast.AST) -> list[ast.AST]:
    """Where it yields."""
    return [n for n in (node, *own_nodes(node)) if isinstance(n, ast.Yield | ast.YieldFrom)]


def is_nothing(value: ast.AST | None) -> bool:
    """Whether an answer is left out, None or an empty dict."""
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        return True
    return isinstance(value, ast.Dict) and not value.keys


class Ways:
    """The ways through a generator on which nothing has been yielded yet."""

    def __init__(self, code: ast.FunctionDef) -> None:
        self.ends: list[int] = []  # lines of returns that such a way reaches
        if self.passes(code.body):
            self.ends.append(code.body[-1].end_lineno or 0)

    def passes(self, body: list[ast.stmt]) -> bool:
        """Whether such a way leads past these statements."""
        return all(self.passes_one(statement) for statement in body)

    def passes_one(self, statement: ast.stmt) -> bool:
        match statement:
            case ast.Return():
                self.ends.append(statement.lineno)
                return False
            case ast.Raise() | ast.Continue():
                return False
            case ast.If():
                return self.either(statement.body, statement.orelse)
            case ast.With():
                return self.passes(statement.body)
            case ast.Try():
                passes = self.passes(statement.body) and self.passes(statement.orelse)
                after = [self.passes(handler.body) for handler in statement.handlers]
                return (passes or any(after)) and self.passes(statement.finalbody)
            case ast.While(test=ast.Constant(value=True)):
                self.passes(statement.body)
                return any(isinstance(node, ast.Break) for node in own_nodes(statement))
            case ast.While() | ast.For():
                self.passes(statement.body)  # or not even once
                return self.passes(statement.orelse)
            case ast.Match():
                # a match that names every case is taken for one that may pass
                return self.either([], *(case.body for case in statement.cases))
            case ast.FunctionDef() | ast.ClassDef():
                return True
        return not yields(statement)

    def either(self, *bodies: list[ast.stmt]) -> bool:
        passing = [self.passes(body) for body in bodies]  # all of them: each may end
        return any(passing)


def silences(code: Code) -> list[int]:
    """The lines at which a handler ends, or answers, without an answer."""
    if isinstance(code, ast.Lambda):
        return [code.lineno] if is_nothing(code.body) else []
    answers = yields(code)
    if answers:
        empty = [n.lineno for n in answers if isinstance(n, ast.Yield) and is_nothing(n.value)]
        return Ways(code).ends + empty
    returns = [node for node in own_nodes(code) if isinstance(node, ast.Return)]
    found = [node.lineno for node in returns if is_nothing(node.value)]
    return found if returns else [code.lineno]


def codes() -> dict[tuple[str, int], list[Code]]:
    """Every function of the page's package, by file and first line."""
    found: dict[tuple[str, int], list[Code]] = {}
    for path in UI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                found.setdefault((str(path), node.lineno), []).append(node)
    return found


def is_answering(code: Code) -> bool:
    """Whether it is a generator of updates, a handler's or one that handlers hand on."""
    returns = getattr(code, "returns", None)
    return returns is not None and ast.unparse(returns) == "Iterator[Updates]"


@pytest.fixture(scope="module")
def handlers(tmp_path_factory) -> dict[tuple[str, int], Code]:
    """The functions that listeners call and that have something to answer."""
    demo, _ = build_app(Settings(home=tmp_path_factory.mktemp("page")))
    known, found = codes(), {}
    for listener in demo.fns.values():
        if listener.fn is None or not listener.outputs:
            continue
        code = inspect.unwrap(listener.fn).__code__
        place = (code.co_filename, code.co_firstlineno)
        named = [c for c in known[place] if getattr(c, "name", "<lambda>") == code.co_name]
        found[place] = named[0]
    return found


def test_every_handler_answers_on_every_way(handlers) -> None:
    assert len(handlers) > 80
    silent = {
        f"{Path(file).name}:{line}"
        for (file, _), code in handlers.items()
        for line in silences(code)
    }
    assert not silent


def test_so_does_what_generators_hand_on(handlers) -> None:
    every = {place: code for place, found in codes().items() for code in found}
    answering = {place: code for place, code in every.items() if is_answering(code)}
    silent = {
        f"{Path(file).name}:{line}"
        for (file, _), code in answering.items()
        for line in silences(code)
    }
    assert not silent
    # nothing is handed on that was not looked at
    names = {code.name for code in answering.values() if isinstance(code, ast.FunctionDef)}
    for code in (*handlers.values(), *answering.values()):
        for node in yields(code):
            if isinstance(node, ast.YieldFrom):
                assert isinstance(node.value, ast.Call)
                assert ast.unparse(node.value.func).rpartition(".")[2] in names


@pytest.mark.parametrize(
    "body",
    [
        "if live: yield from run()",
        "if not live:\n    return\nyield 1",
        "for one in many: yield one",
        "while True:\n    if new: yield 1\n    if done: return",
        "try:\n    yield read()\nexcept ValueError:\n    pass",
        "yield {}",
        "yield",
        "def inner():\n    yield 1\nif live: yield 2",
    ],
)
def test_a_silent_way_is_found(body: str) -> None:
    assert silences(function(body))


@pytest.mark.parametrize(
    "body",
    [
        "if live: yield from run()\nelse: yield 1",
        "if not live:\n    yield 1\n    return\nyield 2",
        "if broken: raise ValueError\nyield 1",
        "try:\n    do = make()\nexcept ValueError:\n    yield 1\n    return\nyield from run(do)",
        "with folder():\n    yield 1",
        "while True:\n    yield 1\n    if done: return",
        "for one in many: yield one\nyield 2",
        "yield (last := line())\nwhile not done(): wait()",
    ],
)
def test_an_answering_way_is_no_false_alarm(body: str) -> None:
    assert not silences(function(body))


@pytest.mark.parametrize("body", ["return {}", "return None", "return", "do()"])
def test_so_is_an_empty_answer(body: str) -> None:
    assert silences(function(body))


def function(body: str) -> ast.FunctionDef:
    """A function with this body."""
    made = ast.parse(f"def on_event():\n{textwrap.indent(body, '    ')}").body[0]
    assert isinstance(made, ast.FunctionDef)
    return made
