"""Measures the elementary functions against mpmath, in units in the last place.

    python -m tests.lowering.vector_math_accuracy [samples]

prints the table of docs/accuracy.md; test_vector_math.py holds the functions to the bounds
claimed here.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
from mpmath import mp, mpf

from dmc.ir.types import DType
from dmc.jit.engine import Code, Engine
from dmc.jit.target import host, named
from dmc.lowering import llvm_ir as ir
from dmc.lowering import vector_math
from dmc.lowering.machine import Machine

Floats = npt.NDArray[Any]
Reference = Callable[..., Any]  # of mpmath, which has no types

PRECISION = 140
LANES = {DType.F32: 16, DType.F64: 8}
_INDEX = ir.IntType(64)
_POINTER = ir.PointerType()


@dataclass(frozen=True)
class Claim:
    """Largest error in ULP, for each format, over ranges of the arguments."""

    reference: Reference
    f32: float
    f64: float
    ranges: tuple[tuple[float, float], ...]
    ranges_f32: tuple[tuple[float, float], ...] = ()
    exponent: tuple[float, float] | None = None  # range of a second argument

    def bound(self, dtype: DType) -> float:
        return self.f32 if dtype is DType.F32 else self.f64

    def domain(self, dtype: DType) -> tuple[tuple[float, float], ...]:
        return self.ranges_f32 if dtype is DType.F32 and self.ranges_f32 else self.ranges


def _lgamma(x: mpf) -> Any:
    return mpmath.loggamma(x) if x > 0 else mpmath.log(abs(mpmath.gamma(x)))


def _logistic(x: mpf) -> Any:
    return 1 / (1 + mpmath.exp(-x))


_ANGLES = ((-10, 10), (-1e6, 1e6), (1e20, 1e30))
_WITHIN = (
    (-1, 1),
    (-1e-3, 1e-3),
    (0.9, 1),
    (1 - 1e-6, 1),
    (1 - 1e-12, 1 - 2**-53),
    (1e-308, 1e-305),
)
_WITHIN_F32 = ((-1, 1), (-1e-3, 1e-3), (0.9, 1), (1 - 1e-6, 1 - 2**-24), (1e-38, 1e-35))
CLAIMS: dict[str, Claim] = {
    "exp": Claim(mpmath.exp, 1, 1, ((-745, 709.7), (-1, 1)), ((-103, 88.7), (-1, 1))),
    "expm1": Claim(mpmath.expm1, 1.5, 2, ((-40, 709.7), (-1, 1)), ((-20, 88.7), (-1, 1))),
    "log": Claim(mpmath.log, 1, 1, ((0, 1e30), (0, 2), (0.9, 1.1))),
    "log1p": Claim(mpmath.log1p, 1, 1, ((-1, 1), (-1e-3, 1e-3), (0, 1e30))),
    "tanh": Claim(mpmath.tanh, 1.5, 1.5, ((-20, 20), (-1, 1))),
    "logistic": Claim(_logistic, 2.5, 2.5, ((-740, 40), (-5, 5)), ((-100, 20), (-5, 5))),
    "sinh": Claim(mpmath.sinh, 1.5, 2, ((-710, 710), (-2, 2)), ((-89, 89), (-2, 2))),
    "cosh": Claim(mpmath.cosh, 1.5, 1.5, ((-710, 710), (-2, 2)), ((-89, 89), (-2, 2))),
    "sin": Claim(mpmath.sin, 1, 1, _ANGLES),
    "cos": Claim(mpmath.cos, 1, 1, _ANGLES),
    "tan": Claim(mpmath.tan, 2, 2, _ANGLES),
    "asin": Claim(mpmath.asin, 1.5, 1.5, ((-1, 1),)),
    "acos": Claim(mpmath.acos, 1.5, 1.5, ((-1, 1),)),
    "atan": Claim(mpmath.atan, 2, 2, ((-2, 2), (-1e6, 1e6))),
    "atan2": Claim(mpmath.atan2, 2, 2, ((-3, 3),), exponent=(-3, 3)),
    "hypot": Claim(mpmath.hypot, 0.6, 1, ((-3, 3), (1e-30, 1e-20)), exponent=(-3, 3)),
    "erf": Claim(mpmath.erf, 1.5, 1.5, ((-6, 6), (-1, 1))),
    "erfc": Claim(mpmath.erfc, 4.5, 4.5, ((-5, 26.5), (-1, 1.2)), ((-5, 9.1), (-1, 1.2))),
    "erfinv": Claim(mpmath.erfinv, 2.5, 3, _WITHIN, _WITHIN_F32),
    "lgamma": Claim(_lgamma, 0.6, 8, ((0, 10), (0.5, 2.5), (0, 1e6))),
    "digamma": Claim(mpmath.digamma, 0.6, 5, ((0, 10), (1, 2), (0, 1e6))),
    "trigamma": Claim(lambda x: mpmath.polygamma(1, x), 0.6, 5, ((0, 10), (0, 1e6), (-5, 0))),
    "power": Claim(mpmath.power, 0.6, 1.5, ((0, 10), (0.9, 1.1)), exponent=(-30, 30)),
}


@cache
def loop(name: str, dtype: DType, lanes: int, machine: Machine) -> tuple[Code, Callable[..., None]]:
    """A native function that applies `name` to arrays: (inputs…, output, elements)."""
    module = ir.Module()
    element = ir.FloatType() if dtype is DType.F32 else ir.DoubleType()
    value = element if lanes == 1 else ir.VectorType(element, lanes)
    arity = 2 if name in vector_math.BINARY else 1
    signature = ir.FunctionType(ir.VoidType(), [*[_POINTER] * (arity + 1), _INDEX])
    function = ir.Function(module, signature, "loop")
    *inputs, output, count = function.args
    entry, body, done = (function.append_basic_block(n) for n in ("entry", "body", "done"))
    builder = ir.IRBuilder(entry)
    builder.branch(body)
    builder.position_at_end(body)
    i = builder.phi(_INDEX)
    i.add_incoming(ir.Constant(_INDEX, 0), entry)

    def place(array: ir.Value) -> ir.Value:
        return builder.gep(array, [i], source_etype=element)

    operands = [builder.load(place(x), typ=value, align=dtype.bytes) for x in inputs]
    result = vector_math.apply(builder, name, dtype, lanes, *operands, machine=machine)
    builder.store(result, place(output), align=dtype.bytes)
    following = builder.add(i, ir.Constant(_INDEX, lanes))
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), body, done)
    builder.position_at_end(done)
    builder.ret_void()
    engine = Engine(host() if machine.has_fma or not host().is_x86 else named("x86-64-v2"))
    code = engine.load([str(module)], ["loop"])
    types = [ctypes.c_void_p] * (arity + 1)
    return code, ctypes.CFUNCTYPE(None, *types, ctypes.c_int64)(code["loop"])


def evaluate(
    name: str,
    dtype: DType,
    *inputs: Floats,
    lanes: int | None = None,
    machine: Machine | None = None,
) -> Floats:
    """`name` of the inputs by native code, as it is for `machine` (by default this one)."""
    lanes = lanes or LANES[dtype]
    _, function = loop(name, dtype, lanes, machine or host().machine)
    count = inputs[0].size
    padded = [np.pad(x.astype(dtype.numpy), (0, -count % lanes), mode="edge") for x in inputs]
    output = np.empty_like(padded[0])
    function(*(x.ctypes.data for x in padded), output.ctypes.data, output.size)
    return output[:count]


def limits(dtype: DType) -> np.finfo[Any]:
    """What NumPy knows of the format."""
    return np.finfo(np.float32) if dtype is DType.F32 else np.finfo(np.float64)


def error(result: float, exact: mpf, dtype: DType) -> float:
    """Distance in units in the last place of the format at `exact`."""
    format_ = limits(dtype)
    if not np.isfinite(result):
        beyond = mpf(float(format_.max)) * (1 + mpf(2) ** -(format_.nmant + 2))
        return 0.0 if np.isinf(result) and abs(exact) >= beyond else float("inf")
    exponent = max(int(mpmath.frexp(exact)[1]) - 1, int(format_.minexp)) - format_.nmant
    return float(abs(mpf(float(result)) - exact) / mpf(2) ** exponent)


def samples(claim: Claim, dtype: DType, count: int) -> list[Floats]:
    """Arguments spread evenly over every range of the claim."""
    random = np.random.default_rng(7)
    parts = [random.uniform(low, high, count) for low, high in claim.domain(dtype)]
    first = np.concatenate(parts).astype(dtype.numpy)
    if claim.exponent is None:
        return [first]
    return [first, random.uniform(*claim.exponent, first.size).astype(dtype.numpy)]


def worst_error(name: str, dtype: DType, count: int, machine: Machine | None = None) -> float:
    """The largest error over `count` samples of each range."""
    claim = CLAIMS[name]
    inputs = samples(claim, dtype, count)
    results = evaluate(name, dtype, *inputs, machine=machine)
    worst = 0.0
    with mp.workprec(PRECISION):
        for result, *arguments in zip(results, *inputs, strict=True):
            exact = claim.reference(*(mpf(float(x)) for x in arguments))
            worst = max(worst, error(result, exact, dtype))
    return worst


def table(count: int) -> str:
    """Measured errors as Markdown."""
    lines = ["| function | f32 | f64 |", "|---|---|---|"]
    for name in sorted(CLAIMS):
        f32, f64 = (worst_error(name, dtype, count) for dtype in (DType.F32, DType.F64))
        lines.append(f"| {name} | {f32:.2f} | {f64:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
