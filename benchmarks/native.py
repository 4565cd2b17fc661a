"""C by hand: compiled for this machine when a contestant is made, and called through ctypes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.workload import FOLDER, Array, Missing

SOURCES = FOLDER / "c"
OPTIONS = (
    "-O3",
    "-march=native",
    "-mprefer-vector-width=512",
    "-ffast-math",
    "-fopenmp",
    "-shared",
    "-fPIC",
)


def library(name: str) -> ctypes.CDLL:
    """The library of one source file. Raises Missing without a C compiler."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Missing("there is no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"{name}.so"
        command = [compiler, *OPTIONS, str(SOURCES / f"{name}.c"), "-o", str(made), "-lm"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return ctypes.CDLL(str(made))


def pointer(array: Array) -> ctypes.c_void_p:
    """Where a contiguous array begins."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
