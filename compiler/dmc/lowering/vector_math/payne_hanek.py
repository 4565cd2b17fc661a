"""Reduction of huge arguments modulo π/2 (Payne, Hanek: SIGNUM Newsletter 18, 1983).

x = m·2ᵉ with an integer m. Of the bits of 2/π, those that make whole multiples of 4 when multiplied
by x do not matter: the product of m with the next 192 bits, modulo 2¹⁹², holds the quadrant in its
two highest bits and then a fraction with more than 60 good bits after the worst cancellation.

The lanes are taken one by one, out of line: such arguments are rare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmc.lowering import llvm_ir as ir
from dmc.lowering.vector_math.constants import PI, TWO_OVER_PI, TWO_OVER_PI_BITS, parts
from dmc.lowering.vector_math.lanes import Format, Integer, Lanes, Real

if TYPE_CHECKING:
    from dmc.lowering.machine import Machine
    from dmc.lowering.vector_math.lanes import Mask

_I64 = ir.IntType(64)
_I128 = ir.IntType(128)
_F64 = ir.DoubleType()
_LEADING_ZEROS = 64
_WORDS = 21

Reduced = tuple[Real, Real, Integer]


def reduce_huge(lanes: Lanes, x: Real, huge: Mask, moderate: Reduced) -> Reduced:
    """`moderate`, but in the lanes marked `huge` the reduction of x done here."""
    builder = lanes.builder
    before = builder.block
    with builder.if_then(huge.any(), weights=(1, 99)):
        found = builder.call(_vector_function(lanes), [x.value])
        high = lanes.select(huge, Real(lanes, builder.extract_value(found, 0)), moderate[0])
        low = lanes.select(huge, Real(lanes, builder.extract_value(found, 1)), moderate[1])
        k = lanes.choose(huge, Integer(lanes, builder.extract_value(found, 2)), moderate[2])
        inside = builder.block

    def merge(old: ir.Value, new: ir.Value) -> ir.Value:
        phi = builder.phi(old.type)
        phi.add_incoming(old, before)
        phi.add_incoming(new, inside)
        return phi

    return (
        Real(lanes, merge(moderate[0].value, high.value)),
        Real(lanes, merge(moderate[1].value, low.value)),
        Integer(lanes, merge(moderate[2].value, k.value)),
    )


def _define(
    module: ir.Module, name: str, results: ir.Type, argument: ir.Type
) -> tuple[ir.Function, ir.IRBuilder | None]:
    """The internal function of that name, and a builder for its body if it has none yet."""
    existing = module.globals.get(name)
    if isinstance(existing, ir.Function):
        return existing, None
    function = ir.Function(module, ir.FunctionType(results, [argument]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    return function, ir.IRBuilder(function.append_basic_block("entry"))


def _vector_function(lanes: Lanes) -> ir.Function:
    """x → {high, low, k} for every lane, by `_scalar_function`."""
    format_ = lanes.format
    results = ir.LiteralStructType(lanes.real_type, lanes.real_type, lanes.integer_type)
    module = lanes.builder.module
    name = f"dmc.reduce_huge.{format_.suffix}x{lanes.count}"
    function, builder = _define(module, name, results, lanes.real_type)
    if builder is None:
        return function
    scalar = _scalar_function(module, lanes.machine)
    columns: list[ir.Value] = [ir.Constant(kind, ir.Undefined) for kind in results.elements]
    for lane in range(lanes.count):
        position = ir.Constant(ir.IntType(32), lane)
        x: ir.Value = function.args[0]
        if lanes.count > 1:
            x = builder.extract_element(x, position)
        if format_ is Format.F32:
            x = builder.fpext(x, _F64)
        found = builder.call(scalar, [x])
        high, low, k = (builder.extract_value(found, i) for i in range(3))
        if format_ is Format.F32:
            narrow = builder.fptrunc(high, format_.scalar)
            rest = builder.fadd(builder.fsub(high, builder.fpext(narrow, _F64)), low)
            high, low = narrow, builder.fptrunc(rest, format_.scalar)
            k = builder.trunc(k, ir.IntType(32))
        for column, value in enumerate((high, low, k)):
            columns[column] = (
                value
                if lanes.count == 1
                else builder.insert_element(columns[column], value, position)
            )
    packed: ir.Value = ir.Constant(results, ir.Undefined)
    for column, value in enumerate(columns):
        packed = builder.insert_value(packed, value, column)
    builder.ret(packed)
    return function


def _table(module: ir.Module) -> ir.GlobalVariable:
    """Bits of 2/π after `_LEADING_ZEROS` zeros, in 64-bit words from the highest."""
    name = "dmc.two_over_pi"
    existing = module.globals.get(name)
    if isinstance(existing, ir.GlobalVariable):
        return existing
    spare = 64 * _WORDS - _LEADING_ZEROS - TWO_OVER_PI_BITS
    number = TWO_OVER_PI << spare if spare >= 0 else TWO_OVER_PI >> -spare
    words = [(number >> 64 * i) & (2**64 - 1) for i in reversed(range(_WORDS))]
    kind = ir.ArrayType(_I64, _WORDS)
    table = ir.GlobalVariable(module, kind, name)
    table.linkage = "internal"
    table.global_constant = True
    table.initializer = ir.Constant(kind, words)
    return table


def _scalar_function(module: ir.Module, machine: Machine) -> ir.Function:
    """x → {high, low, k} for one finite double."""
    results = ir.LiteralStructType(_F64, _F64, _I64)
    function, builder = _define(module, "dmc.reduce_huge", results, _F64)
    if builder is None:
        return function
    one = Lanes(builder, Format.F64, 1, machine)
    x = Real(one, function.args[0])
    negative = x.is_negative()
    bits = abs(x).bits()
    mantissa = (bits & (2**52 - 1)) | 2**52
    # The fraction has 52 bits, and the first bit that matters has weight 2 in the product.
    start = (bits >> 52) - (1023 + 52 + 2 - _LEADING_ZEROS)
    start = one.choose(start < 0, 0, start)

    table = _table(module)
    shift = (start & 63).value
    first = start >> 6

    def word(i: int) -> ir.Value:
        index = (first + i).value
        place = builder.gep(table, [index], inbounds=True, source_etype=_I64)
        return builder.load(place, typ=_I64)

    stored = [word(i) for i in range(4)]
    funnel = _funnel_shift(module)
    window = [builder.call(funnel, [stored[i], stored[i + 1], shift]) for i in range(3)]

    # m·window modulo 2¹⁹².
    m = builder.zext(mantissa.value, _I128)
    wide = [builder.mul(m, builder.zext(w, _I128)) for w in window]
    sixty_four = ir.Constant(_I128, 64)
    middle = builder.add(wide[1], builder.lshr(wide[2], sixty_four))
    top = builder.add(builder.shl(wide[0], sixty_four), middle)
    lowest = builder.trunc(wide[2], _I64)

    # `top` holds two bits of quadrant and 126 of fraction; read as signed, the 128 bits after the
    # quadrant are the distance from the nearest multiple, in units of 2⁻¹²⁸.
    upper = builder.trunc(builder.lshr(top, sixty_four), _I64)
    lower = builder.trunc(top, _I64)
    two = ir.Constant(_I64, 2)
    fraction = Integer(one, builder.call(funnel, [upper, lower, two]))
    rest = builder.call(funnel, [lower, lowest, two])
    quadrant = Integer(one, builder.lshr(upper, ir.Constant(_I64, 62)))
    k = quadrant + one.choose(fraction < 0, 1, 0)

    def to_real(value: ir.Value, exponent: int) -> Real:
        return Real(one, builder.sitofp(value, _F64)) * 2.0**exponent

    leading = to_real((fraction & -2048).value, -64)
    trailing = to_real((fraction & 2047).value, -64)
    last = to_real(builder.lshr(rest, ir.Constant(_I64, 11)), -117)
    trailing, lost = one.two_sum(trailing, last)
    turn, remainder = one.two_sum(leading, trailing)
    remainder = remainder + lost

    first_part, second_part = parts(PI / 2, Format.F64, 2)
    high, error = one.product(turn, first_part)
    low = error + (turn * second_part + remainder * first_part)
    high, low = one.sum(high, low)
    zero = one.integer(0)
    columns = (
        one.select(negative, -high, high).value,
        one.select(negative, -low, low).value,
        one.choose(negative, zero - k, k).value,
    )
    packed: ir.Value = ir.Constant(results, ir.Undefined)
    for column, value in enumerate(columns):
        packed = builder.insert_value(packed, value, column)
    builder.ret(packed)
    return function


def _funnel_shift(module: ir.Module) -> ir.Function:
    """`llvm.fshl.i64(high, low, n)`: the upper word of the pair shifted left by n bits."""
    existing = module.globals.get("llvm.fshl.i64")
    if isinstance(existing, ir.Function):
        return existing
    return ir.Function(module, ir.FunctionType(_I64, [_I64, _I64, _I64]), "llvm.fshl.i64")
