"""The house rule: imports point one way, heavy libraries wait, files stay short."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

import qeu

ROOT = Path(qeu.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# What each layer may import of ours; ui and cli are two faces of the same services.
BELOW = {
    "core": {"core"},
    "deadline": set(),  # whoever asks a network stands on it
    "store": {"store", "core", "deadline"},
    "backends": {"backends", "core", "deadline"},
    "services": {"services", "store", "backends", "core"},
    "cli": {"cli", "services", "store", "backends", "core"},
    "ui": {"ui", "services", "store", "backends", "core"},
    "__main__": {"cli"},
    "": set(),
}
HEAVY = {
    "accelerate",
    "bitsandbytes",
    "datasets",
    "gradio",
    "numpy",
    "pandas",
    "peft",
    "safetensors",
    "torch",
    "transformers",
    "trl",
}
# These compute with tensors from their first line on; local.py imports them when a model is there.
TENSOR_FILES = {"decode", "forward_pass", "kv_cache", "packed_linear", "sampler"}
LIGHT = ["qeu", "qeu.services.compare", "qeu.services.export", "qeu.services.fit", "qeu.__main__"]


def module_name(path: Path) -> str:
    """qeu/core/text.py → qeu.core.text"""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module: str) -> str:
    """qeu.core.text → core"""
    return module.partition(".")[2].partition(".")[0]


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module that is imported anywhere within, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            module = node.module or ""
            yield module, node.lineno
            # `from qeu.core import text` names a module too
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def imports_at_start(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What importing the file imports: not what stands in functions or is for type checkers."""

    def walk(nodes: list[ast.stmt]) -> Iterator[tuple[str, int]]:
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from walk(node.orelse)
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from imports(node)
            for name in ("body", "orelse", "finalbody"):
                yield from walk(getattr(node, name, []))
            for handler in getattr(node, "handlers", []):
                yield from walk(handler.body)

    return walk(tree.body)


@lru_cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_there_is_something_to_read():
    assert {"core", "store", "backends", "services", "cli", "ui"} <= {
        layer(module_name(path)) for path in FILES
    }


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_run_downward(path):
    allowed = BELOW[layer(module_name(path))]
    for module, line in imports(parse(path)):
        if module.startswith("qeu.") and module != "qeu.__version__":
            assert layer(module) in allowed, f"{path.name}:{line} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_the_page_imports_gradio(path):
    if layer(module_name(path)) != "ui":
        found = [line for module, line in imports(parse(path)) if module.split(".")[0] == "gradio"]
        assert not found, f"{path.name}:{found}"


CORE = sorted((ROOT / "core").rglob("*.py"))
EFFECTS = {"open", "exec", "eval", "input", "print", "__import__"}
EFFECT_METHODS = {
    "mkdir",
    "open",
    "read_bytes",
    "read_text",
    "rename",
    "touch",
    "unlink",
    "urlopen",
    "write_bytes",
    "write_text",
}
EFFECT_MODULES = {
    "asyncio",
    "http",
    "logging",
    "multiprocessing",
    "os",
    "random",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
}


@pytest.mark.parametrize("path", CORE, ids=module_name)
def test_core_uses_the_standard_library_only_and_touches_nothing(path):
    tree = parse(path)
    for module, line in imports(tree):
        top = module.split(".")[0]
        assert top == "qeu" or top in sys.stdlib_module_names, f"{path.name}:{line} {module}"
        assert top not in EFFECT_MODULES, f"{path.name}:{line} {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in EFFECTS, f"{path.name}:{node.lineno} {node.func.id}()"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            assert name not in EFFECT_METHODS, f"{path.name}:{node.lineno} .{name}()"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_heavy_libraries_are_imported_when_they_are_needed(path):
    module = module_name(path)
    is_tensor_file = layer(module) == "backends" and path.stem in TENSOR_FILES
    allowed = (
        {"torch", "transformers"}
        if is_tensor_file
        else {"gradio"}
        if layer(module) == "ui"
        else set()
    )
    for name, line in imports_at_start(parse(path)):
        top = name.split(".")[0]
        assert top not in HEAVY - allowed, f"{path.name}:{line} imports {name} at its start"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_tensor_files_are_reached_lazily(path):
    """Importing one costs torch: only tensor files themselves may do so at their start."""
    if layer(module_name(path)) == "backends" and path.stem in TENSOR_FILES:
        return
    for name, line in imports_at_start(parse(path)):
        reached = name.startswith("qeu.backends.") and name.split(".")[2] in TENSOR_FILES
        assert not reached, f"{path.name}:{line} imports {name} at its start"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_the_engine_knows_its_tensor_files(path):
    for name, line in imports(parse(path)):
        if name.startswith("qeu.backends.") and name.split(".")[2] in TENSOR_FILES:
            assert layer(module_name(path)) == "backends", f"{path.name}:{line} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_are_short_and_say_what_they_are_for(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert ast.get_docstring(parse(path))


@pytest.mark.parametrize("module", LIGHT)
def test_a_fresh_import_brings_in_nothing_heavy(module):
    code = f"import sys, {module}\nprint(*sorted(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert "qeu" in loaded
    assert not loaded & HEAVY


def test_importing_makes_no_files_and_starts_no_threads(tmp_path):
    code = (
        "import os, threading\nbefore = set(os.listdir('.'))\n"
        "import qeu.services.compare, qeu.__main__\n"
        "assert set(os.listdir('.')) == before\nassert threading.active_count() == 1"
    )
    subprocess.run(
        [sys.executable, "-B", "-c", code],
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT.parent), "HOME": str(tmp_path)},
    )
    assert list(tmp_path.iterdir()) == []
