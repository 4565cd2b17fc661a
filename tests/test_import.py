"""`import dmc` is cheap: the grammar and LLVM load when they are first needed."""

import subprocess
import sys

import pytest

import dmc

MOST_MODULES = {"": 5, "dmc.load, dmc.grad, dmc.key": 90}
"""How many modules may be loaded beyond NumPy's, by what is used."""

COUNTED = """
import sys, numpy
before = len(sys.modules)
import dmc
{use}
print(len(sys.modules) - before, *sorted({{"lark", "llvmlite"}} & sys.modules.keys()))
"""


def import_again(use: str) -> tuple[int, list[str]]:
    """How many modules a new process loads, and which heavy packages."""
    program = [sys.executable, "-c", COUNTED.format(use=use)]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    count, *loaded = done.stdout.split()
    return int(count), loaded


@pytest.mark.parametrize("use", MOST_MODULES)
def test_import_loads_little_and_neither_lark_nor_llvm(use: str) -> None:
    count, loaded = import_again(use)
    assert loaded == []
    assert count <= MOST_MODULES[use]


def test_a_heavy_import_would_be_seen() -> None:
    _, loaded = import_again("import lark")
    assert loaded == ["lark"]


def test_every_public_name_resolves() -> None:
    assert [name for name in dmc.__all__ if getattr(dmc, name, None) is None] == []
    assert set(dmc.__all__) <= set(dir(dmc))


def test_unknown_names_are_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'dmc' has no attribute 'laod'"):
        _ = dmc.laod  # pyright: ignore[reportAttributeAccessIssue]
