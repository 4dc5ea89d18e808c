"""Find, in the source, the English templates that sentences for a person are made from."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import qeu

SOURCE = Path(qeu.__file__).parent
# Calls whose words a person reads, and names and keywords that hold such words.
CALLS = {
    "QeuError", "UsageError", "RowError", "FetchStopped", "DamagedDownload", "Stopped", "Span",
    "LeakSpan", "Finding", "_skipped", "_end", "explain_failure",
}  # fmt: skip
NAMES = {
    "note", "detail", "message", "why", "what", "hint", "others", "there", "told", "reason",
    "way_out", "rest", "who", "label",
}  # fmt: skip
# Never on a page: settings are read before there is one, events are written by the program alone,
# and the API is read by other programs.
NOT_SHOWN = ("cli/", "core/settings.py", "core/event.py", "ui/app.py", "ui/api.py")
# What these hold besides errors is meant for models, files or the page's own words.
OTHER_WORDS = (
    "ui/", "core/roles.py", "core/english_out.py", "core/merge.py", "core/prompts.py",
    "core/label_prompts.py", "core/translate_prompts.py", "core/job_prompts.py",
    "services/trial.py", "services/data_export.py", "services/evaluate_report.py",
    "services/adapter_card.py", "services/adapter_export.py", "services/adapter_merge.py",
)  # fmt: skip
_CODE = re.compile(r"(SELECT|INSERT|UPDATE|DELETE|BETWEEN|IN|CREATE) |.*(\\| \?$)", re.DOTALL)
_SENTENCE = re.compile(r".*[a-z]{2,} .*[.!?]", re.DOTALL)
_FIELD = re.compile(r"\{[a-z_]+\}")


def find_templates(source: str) -> Iterator[tuple[str, str]]:
    """(template, where it stands) of each text: "call:NAME", "name:NAME" or "".

    Values are numbered in their order, whether the text is an f-string, a sum or for `format`.
    """
    yield from _walk(ast.parse(source), "")


def shown_templates(source: str, other_words: bool = False) -> Iterator[str]:
    """Templates that a person can come to read; with `other_words` only errors are."""
    for template, where in find_templates(source):
        kind, _, name = where.partition(":")
        literal = re.sub(r"\{\d+\}", "", template).strip()
        if not re.search("[A-Za-z]{2}", literal) or name == "ValueError":
            continue
        if kind == "call" and name in CALLS:
            if " " in literal:
                yield template
        elif other_words or _CODE.match(template):
            continue
        elif name == "label":  # a product's name is the same everywhere, a remark on it is not
            if "(" in literal:
                yield template
        elif (kind == "name" and name in NAMES and " " in literal) or _SENTENCE.fullmatch(template):
            yield template


def page_templates() -> dict[str, str]:
    """All templates that the page can show, with the file of each."""
    found: dict[str, str] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith(NOT_SHOWN):
            source = path.read_text(encoding="utf-8")
            for template in shown_templates(source, name.startswith(OTHER_WORDS)):
                found.setdefault(template.strip(), name)
    return found


def all_templates() -> set[str]:
    """Every text in the source, whatever it is for."""
    paths = SOURCE.rglob("*.py")
    return {t.strip() for p in paths for t, _ in find_templates(p.read_text(encoding="utf-8"))}


def _walk(node: ast.AST, where: str) -> Iterator[tuple[str, str]]:
    parts = _parts(node)
    if parts and any(isinstance(part, str) for part in parts):
        yield _template(parts, isinstance(node, ast.Constant)), where
        for part in parts:
            if isinstance(part, ast.AST):
                yield from _walk(part, "value")
        return
    for child in ast.iter_child_nodes(node):
        docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        described = isinstance(node, ast.ClassDef) and isinstance(child, ast.AnnAssign)
        if not docstring and not described:
            yield from _walk(child, _place(node, child) or where)


def _place(node: ast.AST, child: ast.AST) -> str:
    if isinstance(child, ast.keyword) and child.arg in NAMES:
        return f"name:{child.arg}"
    if isinstance(node, ast.Call):
        return f"call:{getattr(node.func, 'id', '') or getattr(node.func, 'attr', '')}"
    if isinstance(node, ast.Assign):
        return f"name:{getattr(node.targets[0], 'id', '')}"
    return ""


def _parts(node: ast.AST) -> list[str | ast.AST]:
    """Words and values by turns; empty where the node is no text."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        values = [getattr(value, "value", value) for value in node.values]
        return [str(v) if isinstance(v, str) else v for v in values]  # type: ignore[misc]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _parts(node.left), _parts(node.right)
        return [*(left or [node.left]), *(right or [node.right])] if left or right else []
    return []


def _template(parts: list[str | ast.AST], plain: bool) -> str:
    found, number = "", 0
    for part in parts:
        if not isinstance(part, str):
            found, number = f"{found}{{{number}}}", number + 1
        elif plain and _FIELD.search(part):
            for number, piece in enumerate(_FIELD.split(part)):
                found += f"{{{number - 1}}}{piece}" if number else piece
        else:
            found += part.replace("{", "{{").replace("}", "}}")
    return found
