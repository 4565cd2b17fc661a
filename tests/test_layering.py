"""Imports go downwards only: each layer of the compiler uses the layers above it in `LAYERS`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"dmc": "compiler", "dmc_runtime": "runtime", "dmc_grammar": "grammar"}

# In the order that data flows. A module may import its own layer and earlier ones.
LAYERS = (
    "ir",
    "dialects",
    "diagnostics",
    "syntax",
    "semantics",
    "autodiff",
    "transforms",
    "lowering",
    "jit",
    "export",
    "driver",
    "api",
    "tools",
)

# Which of the three packages each may import, besides itself.
PACKAGES: dict[str, frozenset[str]] = {
    "dmc": frozenset({"dmc_runtime", "dmc_grammar"}),
    "dmc_runtime": frozenset(),
    "dmc_grammar": frozenset(),
}


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of every module that `tree` imports, wherever the import stands.

    `from a.b import c` yields `a.b.c`: `c` may be a module, and a prefix is as good as the module
    for telling the layer. Imports by literal name through importlib count too.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=module, names=names, level=0) if module:
                for alias in names:
                    yield node.lineno, f"{module}.{alias.name}"
            case ast.ImportFrom():
                yield node.lineno, "relative import"
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name
            case _:
                pass


def layer(module: str) -> int:
    """Position of a `dmc` module's layer; `dmc/__init__.py` stands after all of them.

    Its version number alone is for everyone: importing `dmc` runs nothing else.
    """
    if module == "dmc.__version__":
        return 0
    parts = module.split(".")
    return LAYERS.index(parts[1]) if len(parts) > 1 and parts[1] in LAYERS else len(LAYERS)


def violations(root: Path) -> list[str]:
    """Every import that goes upwards, as `file:line: importer imports imported`."""
    found: list[str] = []
    for package, folder in FOLDERS.items():
        for path in sorted((root / folder / package).rglob("*.py")):
            relative = path.relative_to(root / folder).with_suffix("")
            module = ".".join(relative.parts)
            for line, name in imported(ast.parse(path.read_text(encoding="utf-8"))):
                top = name.split(".")[0]
                if top == "relative import":
                    allowed = False
                elif top not in FOLDERS:
                    continue
                elif top != package:
                    allowed = top in PACKAGES[package]
                else:
                    allowed = package != "dmc" or layer(name) <= layer(module)
                if not allowed:
                    found.append(f"{path.relative_to(root)}:{line}: {module} imports {name}")
    return found


def test_imports_go_downwards() -> None:
    assert violations(ROOT) == []


def test_every_folder_has_a_layer() -> None:
    compiler = ROOT / "compiler" / "dmc"
    names = {
        p.stem for p in compiler.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert names - {"__init__"} <= set(LAYERS)


PLANTED = {
    "an upward import": ("compiler/dmc/ir/bad.py", "from dmc.jit.engine import run", True),
    "a deferred import": (
        "compiler/dmc/syntax/bad.py",
        "def f():\n    import dmc.semantics.checker",
        True,
    ),
    "an import by name": (
        "compiler/dmc/ir/bad.py",
        "import importlib\nimportlib.import_module('dmc.api')",
        True,
    ),
    "the package itself from a layer": ("compiler/dmc/ir/bad.py", "from dmc import load", True),
    "a relative import": ("compiler/dmc/ir/bad.py", "from . import types", True),
    "the compiler from the runtime": ("runtime/dmc_runtime/bad.py", "import dmc", True),
    "the runtime from the grammar": ("grammar/dmc_grammar/bad.py", "import dmc_runtime", True),
    "a downward import": ("compiler/dmc/jit/good.py", "from dmc.ir.types import Type", False),
    "the same layer": ("compiler/dmc/ir/good.py", "from dmc.ir import types", False),
    "the runtime from the compiler": ("compiler/dmc/ir/good.py", "import dmc_runtime", False),
    "the driver from a tool": ("compiler/dmc/tools/good.py", "from dmc.driver import go", False),
    "another library": ("runtime/dmc_runtime/good.py", "import numpy", False),
}


@pytest.mark.parametrize(("path", "source", "wrong"), PLANTED.values(), ids=PLANTED.keys())
def test_planted_imports(tmp_path: Path, path: str, source: str, wrong: bool) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    assert bool(violations(tmp_path)) == wrong
