"""Elementary functions as LLVM IR, for vectors of any length.

LLVM does not vectorize calls to the C library, and C libraries differ from machine to machine. Here
each function is a polynomial evaluated in straight-line code, in f32 and f64, for scalars and for
vectors of any number of lanes; results depend on the operands alone (and on whether the target has
FMA), never on the lane count or the neighbours.

`apply` appends a function to the block being built; `emit` makes it a function of the module.
README.md describes the methods; `python -m tests.lowering.vector_math_accuracy` measures errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmc.ir.types import DType
from dmc.lowering import llvm_ir as ir
from dmc.lowering.vector_math.division import floor_divide, remainder
from dmc.lowering.vector_math.error_function import erf, erfc, erfinv
from dmc.lowering.vector_math.exponential import (
    cosh,
    exp,
    expm1,
    logistic,
    logistic_by_exp,
    sinh,
    tanh,
)
from dmc.lowering.vector_math.gamma import digamma, lgamma, polygamma, trigamma
from dmc.lowering.vector_math.hypotenuse import hypot
from dmc.lowering.vector_math.inverse_trigonometric import acos, asin, atan, atan2
from dmc.lowering.vector_math.lanes import Format, Lanes, Real
from dmc.lowering.vector_math.logarithm import log, log1p
from dmc.lowering.vector_math.power import power, power_partial
from dmc.lowering.vector_math.trigonometric import cos, sin, sin_cos, tan

__all__ = [
    "BINARY",
    "NAMES",
    "UNARY",
    "Real",
    "apply",
    "apply_sin_cos",
    "emit",
    "emit_sin_cos",
    "exact_product",
    "floor_divide",
    "logistic_by_exp",
    "polygamma",
    "power_partial",
    "remainder",
    "write",
]

if TYPE_CHECKING:
    from collections.abc import Callable

    from dmc.lowering.machine import Machine

UNARY: dict[str, Callable[[Lanes, Real], Real]] = {
    "acos": acos,
    "asin": asin,
    "atan": atan,
    "cos": cos,
    "cosh": cosh,
    "digamma": digamma,
    "erf": erf,
    "erfc": erfc,
    "erfinv": erfinv,
    "exp": exp,
    "expm1": expm1,
    "lgamma": lgamma,
    "log": log,
    "log1p": log1p,
    "logistic": logistic,
    "sin": sin,
    "sinh": sinh,
    "tan": tan,
    "tanh": tanh,
    "trigamma": trigamma,
}
BINARY: dict[str, Callable[[Lanes, Real, Real], Real]] = {
    "atan2": atan2,
    "hypot": hypot,
    "power": power,
}
NAMES = frozenset(UNARY) | frozenset(BINARY)
_FORMATS = {DType.F32: Format.F32, DType.F64: Format.F64}


def apply(
    builder: ir.IRBuilder,
    name: str,
    dtype: DType,
    lanes: int,
    *operands: ir.Value,
    machine: Machine,
) -> ir.Value:
    """Append the instructions of function `name` and return its value.

    The operands are scalars of `dtype` (f32 or f64) when `lanes` is 1, else vectors. Some
    functions end in another basic block than they began in. `machine` says which
    instructions there are. Raises KeyError for an unknown name or element type.
    """
    return write(builder, BINARY.get(name) or UNARY[name], dtype, lanes, *operands, machine=machine)


def write(
    builder: ir.IRBuilder,
    function: Callable[..., Real],
    dtype: DType,
    lanes: int,
    *operands: ir.Value,
    machine: Machine,
) -> ir.Value:
    """Append the instructions of `function`, which is written in `Lanes`, as `apply` does."""
    place = Lanes(builder, _FORMATS[dtype], lanes, machine)
    return function(place, *(Real(place, operand) for operand in operands)).value


def exact_product(
    builder: ir.IRBuilder, dtype: DType, lanes: int, x: ir.Value, y: ir.Value, *, machine: Machine
) -> tuple[ir.Value, ir.Value]:
    """Append the rounded product of two numbers, and its error."""
    place = Lanes(builder, _FORMATS[dtype], lanes, machine)
    high, low = place.product(Real(place, x), Real(place, y))
    return high.value, low.value


def apply_sin_cos(
    builder: ir.IRBuilder, dtype: DType, lanes: int, x: ir.Value, *, machine: Machine
) -> tuple[ir.Value, ir.Value]:
    """Append sine and cosine of one argument, each with the bits that it has alone."""
    place = Lanes(builder, _FORMATS[dtype], lanes, machine)
    sine, cosine = sin_cos(place, Real(place, x))
    return sine.value, cosine.value


def emit(
    module: ir.Module, name: str, dtype: DType, lanes: int, *, machine: Machine
) -> ir.Function:
    """The module's internal function `dmc.<name>.<dtype>x<lanes>`, defined on first use.

    Raises KeyError for an unknown name or element type.
    """
    arity = 2 if name in BINARY else 1
    type_ = _shaped(dtype, lanes)
    function, builder = _begun(module, name, dtype, lanes, type_, arity)
    if builder is not None:
        builder.ret(apply(builder, name, dtype, lanes, *function.args, machine=machine))
    return function


def emit_sin_cos(module: ir.Module, dtype: DType, lanes: int, *, machine: Machine) -> ir.Function:
    """The internal function that returns sine and cosine, as a structure; defined on first use."""
    type_ = _shaped(dtype, lanes)
    pair = ir.LiteralStructType(type_, type_)
    function, builder = _begun(module, "sin_cos", dtype, lanes, pair, 1)
    if builder is not None:
        sine, cosine = apply_sin_cos(builder, dtype, lanes, function.args[0], machine=machine)
        first = builder.insert_value(ir.Constant(pair, ir.Undefined), sine, 0)
        builder.ret(builder.insert_value(first, cosine, 1))
    return function


def _shaped(dtype: DType, lanes: int) -> ir.Type:
    """The LLVM type of an operand."""
    scalar = _FORMATS[dtype].scalar
    return scalar if lanes == 1 else ir.VectorType(scalar, lanes)


def _begun(
    module: ir.Module, name: str, dtype: DType, lanes: int, result: ir.Type, arity: int
) -> tuple[ir.Function, ir.IRBuilder | None]:
    """An internal function, and where to write it unless it is there already."""
    full = f"dmc.{name}.{dtype.value}x{lanes}"
    existing = module.globals.get(full)
    if isinstance(existing, ir.Function):
        return existing, None
    signature = ir.FunctionType(result, [_shaped(dtype, lanes)] * arity)
    function = ir.Function(module, signature, full)
    function.linkage = "internal"
    function.attributes.add("nounwind")
    return function, ir.IRBuilder(function.append_basic_block("entry"))
