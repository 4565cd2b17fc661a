"""`import dmc` is cheap: the grammar and LLVM load when they are first needed."""

import subprocess
import sys

import pytest

import dmc

MOST_SECONDS = 0.150

TIMED = """
import time, numpy
start = time.process_time()
import dmc
{use}
seconds = time.process_time() - start
import sys
print(seconds, *sorted({{"lark", "llvmlite"}} & sys.modules.keys()))
"""


def import_again(use: str) -> tuple[float, list[str]]:
    """Seconds that a new process takes, and which heavy packages it has loaded."""
    program = [sys.executable, "-c", TIMED.format(use=use)]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    seconds, *loaded = done.stdout.split()
    return float(seconds), loaded


@pytest.mark.parametrize("use", ["", "dmc.load, dmc.grad, dmc.key"])
def test_import_is_fast_and_loads_neither_lark_nor_llvm(use: str) -> None:
    runs = [import_again(use) for _ in range(5)]
    assert [loaded for _, loaded in runs] == [[]] * 5
    # The least of some runs: the machine may be busy with other things.
    assert min(seconds for seconds, _ in runs) <= MOST_SECONDS


def test_a_heavy_import_would_be_seen() -> None:
    _, loaded = import_again("import lark")
    assert loaded == ["lark"]


def test_every_public_name_resolves() -> None:
    assert [name for name in dmc.__all__ if getattr(dmc, name, None) is None] == []
    assert set(dmc.__all__) <= set(dir(dmc))


def test_unknown_names_are_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'dmc' has no attribute 'laod'"):
        _ = dmc.laod  # pyright: ignore[reportAttributeAccessIssue]
