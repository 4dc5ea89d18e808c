"""The README tells the truth: its tree, settings, commands and Space card match the code.

`python tests/test_readme.py` rewrites the tree and the table of settings.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from qeu.core.settings import Settings  # noqa: E402

README = ROOT / "README.md"


def first_line(path: Path) -> str:
    """The first line of a module's docstring."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return doc.splitlines()[0] if doc else ""


def make_tree() -> str:
    """Every Python file of the program with its docstring's first line, folders first named."""
    lines = [f"{'app.py':30} {first_line(ROOT / 'app.py')}"]
    for folder in sorted(p for p in (ROOT / "qeu").rglob("*") if (p / "__init__.py").exists()):
        name = folder.relative_to(ROOT).as_posix() + "/"
        lines.append(f"{name:30} {first_line(folder / '__init__.py')}")
        files = sorted(p for p in folder.glob("*.py") if p.name != "__init__.py")
        lines += [f"  {path.name:28} {first_line(path)}" for path in files]
    return "```\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


def make_settings() -> str:
    """The table of settings."""
    rows = [f"| `{name}` | `{default}` | {text} |" for name, default, text in Settings.table()]
    return "\n".join(["| name | default | meaning |", "| --- | --- | --- |", *rows])


def block(name: str, text: str) -> str:
    """What stands between the markers of this name."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", text, re.DOTALL)
    assert found, f"README.md has no {name} block"
    return found.group(1)


def test_tree_lists_every_file_with_its_own_words() -> None:
    assert block("tree", README.read_text(encoding="utf-8")) == make_tree()


def test_settings_table_is_the_settings() -> None:
    assert block("settings", README.read_text(encoding="utf-8")) == make_settings()


def test_every_module_says_its_job() -> None:
    files = [p for folder in ("qeu", "benchmarks") for p in (ROOT / folder).rglob("*.py")]
    assert len(files) > 30
    assert [p for p in files if not first_line(p)] == []


def test_space_card_names_the_pinned_gradio() -> None:
    text = README.read_text(encoding="utf-8")
    card = dict(
        line.split(": ", 1) for line in text.split("---")[1].strip().splitlines() if ": " in line
    )
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert f"gradio=={card['sdk_version']}" in pins
    assert card["sdk"] == "gradio"
    assert (ROOT / card["app_file"]).exists()
    assert len(card["short_description"]) <= 60
    assert card["license"] == "mit"


def test_commands_in_the_readme_exist() -> None:
    text = README.read_text(encoding="utf-8")
    commands = re.findall(r"^\.venv/bin/python -m qeu (\w+)", text, re.MULTILINE)
    assert commands
    for command in set(commands):
        done = subprocess.run(
            [sys.executable, "-m", "qeu", command, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_pictures_in_the_readme_exist() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.read_text(encoding="utf-8"))
    assert pictures
    assert [p for p in pictures if not (ROOT / p).exists()] == []


def rewrite() -> None:
    """Bring tree and settings up to date."""
    text = README.read_text(encoding="utf-8")
    for name, body in (("tree", make_tree()), ("settings", make_settings())):
        pattern = rf"(<!-- {name} -->\n).*?\n?(<!-- /{name} -->)"
        text = re.sub(pattern, lambda m, b=body: m[1] + b + "\n" + m[2], text, flags=re.DOTALL)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
