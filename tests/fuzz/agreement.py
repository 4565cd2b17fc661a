"""Whether native code and the interpreter give the same, and what to make of it if not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import dmc
from dmc.dialects.loop.memory import OutOfBounds
from dmc.ir import (
    Array,
    Interpreter,
    MemRefType,
    Module,
    Operation,
    ScalarType,
    TensorType,
    VectorType,
)
from tests.fuzz.family import Fault, raised

OPERATIONS = 40_000
"""How many operations the interpreter runs before a program counts as too long."""


class TooLong(Exception):
    """The program runs for longer than is worth waiting for, or for ever."""


class Bounded(Interpreter):
    """An interpreter that stops after a number of operations."""

    left = OPERATIONS

    def run(self, op: Operation) -> None:
        self.left -= 1
        if self.left < 0:
            raise TooLong
        super().run(op)


Shaped = TensorType | MemRefType | VectorType | ScalarType
Run = Callable[[Sequence[Array]], list[Array]]


def compared(
    native: Run, interpreter: Run, arguments: Sequence[Array], module: Module
) -> str | Fault:
    """`difference`, or why there is none to tell. `module` is what the interpreter runs."""
    try:
        return difference(native, interpreter, arguments, narrowest(module))
    except TooLong:
        return "too long"
    except dmc.Error:
        return "refused"
    except MemoryError:
        return "too large"
    except OutOfBounds:
        return "outside of a buffer"
    except Exception as failure:  # noqa: BLE001
        return raised("run", failure)


def narrowest(module: Module) -> int:
    """Bytes of the narrowest float that something in a module is rounded to."""
    types = (value.type for op in module.walk() for value in op.results)
    floats = (t.dtype.bytes for t in types if isinstance(t, Shaped) and t.dtype.is_float)
    return min(floats, default=8)


def difference(
    native: Run, interpreter: Run, arguments: Sequence[Array], width: int = 8
) -> str | Fault:
    """`agrees`, `undecided` where rounding of the arguments explains it, or the fault.

    Something on the way is rounded to floats of `width` bytes.
    """
    wanted = interpreter(arguments)
    got = native([array.copy() for array in arguments])
    if len(got) != len(wanted):
        return Fault("native and interpreter differ", f"{len(got)} results, {len(wanted)}")
    if all(is_close(a, b, width) for a, b in zip(got, wanted, strict=True)):
        return "agrees"
    for seed in range(3):
        moved = interpreter([jittered(array, seed) for array in arguments])
        if all(explains(*three, width) for three in zip(got, wanted, moved, strict=True)):
            return "undecided"
    told = "\n".join(f"native {a!r}\ninterpreter {b!r}" for a, b in zip(got, wanted, strict=True))
    return Fault("native and interpreter differ", told[:2000])


def is_close(got: Array, wanted: Array, width: int = 8) -> bool:
    """Whether two arrays agree: to the bit for integers, up to rounding for floats."""
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return False
    if got.dtype.kind != "f":
        return bool(np.array_equal(got, wanted))
    with np.errstate(all="ignore"):
        scale = np.max(np.abs(wanted), initial=0.0, where=np.isfinite(wanted))
        relative = {2: 2e-2, 4: 2e-4, 8: 1e-9}[min(got.dtype.itemsize, width)]
        bound = relative * float(scale)
        return bool(np.allclose(got, wanted, rtol=relative, atol=bound, equal_nan=True))


def explains(got: Array, wanted: Array, moved: Array, width: int = 8) -> bool:
    """Whether arguments that are rounded otherwise change a result as much."""
    if is_close(got, wanted, width):
        return True
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return False
    with np.errstate(all="ignore"):
        a, b, c = (x.astype(np.float64) for x in (got, wanted, moved))
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return not np.array_equal(b, c, equal_nan=True)
        change = np.abs(np.nan_to_num(b - c))
        return bool(np.nanmax(np.abs(a - b), initial=0.0) <= 1e3 * np.max(change, initial=0.0))


def jittered(array: Array, seed: int) -> Array:
    """The same array but for rounding."""
    if array.dtype.kind != "f":
        return array
    rng = np.random.default_rng(seed)
    eps = np.finfo(array.dtype).eps
    with np.errstate(all="ignore"):
        moved = array * (1 + eps * rng.integers(-2, 3, array.shape))
    return np.asarray(moved).astype(array.dtype)
