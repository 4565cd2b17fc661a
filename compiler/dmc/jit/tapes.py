"""The native memory of tapes: loading it, and how much it may take."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from importlib import resources

from dmc.jit.engine import Code, engine_for
from dmc.jit.processors import unused_memory
from dmc.jit.target import Target, host
from dmc.process import once

RESIZE = "dmc_tape_resize"
RELEASE = "dmc_tape_release"
FAILED = 1
"""The status of a program whose tapes did not find memory."""


class TapeMemory:
    """What the tapes of all programs of this process take."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._limit = ctypes.CFUNCTYPE(None, ctypes.c_int64)(code["dmc_tape_limit"])
        self._peak = ctypes.CFUNCTYPE(ctypes.c_int64)(code["dmc_tape_peak"])
        self.begin()

    @property
    def symbols(self) -> Mapping[str, int]:
        """The addresses of what programs call."""
        return {name: self._code[name] for name in (RESIZE, RELEASE)}

    def begin(self) -> None:
        """Let tapes take what there is, as a program that has some is loaded."""
        self.limit(unused_memory())

    def limit(self, count: int) -> None:
        """Let tapes take at most so many bytes together."""
        self._limit(count)

    def peak(self) -> int:
        """The most bytes that tapes have taken at once since this was last asked."""
        return self._peak()


def source(target: Target) -> str:
    """The functions as LLVM IR for `target`."""
    text = (resources.files("dmc.jit") / "tape.ll").read_text(encoding="utf-8")
    return f'target triple = "{target.triple}"\n{text}'


@once
def tape_memory() -> TapeMemory:
    """That of this process, loaded on first use."""
    target = host()
    exports = (RESIZE, RELEASE, "dmc_tape_limit", "dmc_tape_peak")
    return TapeMemory(engine_for(target).load([source(target)], exports))
