"""Imports go one way: layers use those above them in `LAYERS`, and no modules each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"dmc": "compiler", "dmc_runtime": "runtime", "dmc_grammar": "grammar"}

# In the order that data flows. A module may import its own layer and earlier ones.
LAYERS = (
    "version",
    "process",
    "ir",
    "dialects",
    "diagnostics",
    "syntax",
    "semantics",
    "autodiff",
    "transforms",
    "sparsity",
    "lowering",
    "jit",
    "export",
    "driver",
    "api",
    "lints",
    "interop",
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
    """Position of a `dmc` module's layer; `dmc/__init__.py` stands after all of them."""
    parts = module.split(".")
    return LAYERS.index(parts[1]) if len(parts) > 1 and parts[1] in LAYERS else len(LAYERS)


def imports(root: Path) -> dict[str, dict[str, int]]:
    """For each module of the packages the modules of them that it imports, with the line.

    Wherever the import stands: deferred into a function, or only for type checkers.
    """
    paths = {
        ".".join(path.relative_to(root / folder).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for package, folder in FOLDERS.items()
        for path in sorted((root / folder / package).rglob("*.py"))
    }
    graph: dict[str, dict[str, int]] = {}
    for module, path in paths.items():
        found = graph[module] = {}
        for line, name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            while name and name not in paths:  # `a.b.c` may be the name `c` of the module `a.b`
                name = name.rpartition(".")[0]
            if name and name != module:
                found.setdefault(name, line)
    return graph


def cycles(graph: dict[str, dict[str, int]]) -> list[list[str]]:
    """Modules that import each other, directly or through others."""
    order: list[str] = []
    seen: set[str] = set()

    def finish(module: str) -> None:
        seen.add(module)
        for other in graph[module]:
            if other not in seen:
                finish(other)
        order.append(module)

    for module in graph:
        if module not in seen:
            finish(module)
    importers: dict[str, list[str]] = {module: [] for module in graph}
    for module, others in graph.items():
        for other in others:
            importers[other].append(module)
    # Kosaraju: backwards from what finished last, each tree is a strong component.
    found: list[list[str]] = []
    seen.clear()
    for module in reversed(order):
        component: list[str] = []
        pending = [module]
        while pending:
            at = pending.pop()
            if at not in seen:
                seen.add(at)
                component.append(at)
                pending += importers[at]
        if len(component) > 1:
            found.append(sorted(component))
    return found


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


def test_no_module_imports_itself_through_others() -> None:
    assert cycles(imports(ROOT)) == []


def test_planted_cycles(tmp_path: Path) -> None:
    folder = tmp_path / "compiler" / "dmc" / "ir"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("from dmc.ir.b import thing")
    (folder / "b.py").write_text("def f():\n    from dmc.ir import c")
    (folder / "c.py").write_text("if TYPE_CHECKING:\n    from dmc.ir.d import D")
    (folder / "d.py").write_text("")
    assert cycles(imports(tmp_path)) == []
    (folder / "c.py").write_text("if TYPE_CHECKING:\n    from dmc.ir.a import A")
    assert cycles(imports(tmp_path)) == [["dmc.ir.a", "dmc.ir.b", "dmc.ir.c"]]


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
