"""Arithmetic and elementary functions on scalars and vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dmc.dialects import arith, kernel, loop, math
from dmc.dialects.elementwise import splat_of
from dmc.ir.operation import Operation
from dmc.ir.types import DType, Type, dtype_of, with_dtype
from dmc.lowering import llvm_ir as ir
from dmc.lowering import vector_math
from dmc.lowering.to_llvm.function import FunctionLowering, Table
from dmc.lowering.to_llvm.halves import from_f32, odd_f32, odd_f64, to_f32
from dmc.lowering.to_llvm.types import F32, lanes_of, llvm_type, shaped, splat

MOST_IN_PLACE = 12
"""One elementary function is written out so often in a block, and called where there are more."""

Emit = Callable[[FunctionLowering, Operation, list[ir.Value]], ir.Value]


def _dtype(op: Operation) -> DType:
    return dtype_of(op.operands[0].type)


def _like(op: Operation, number: float | int | bool) -> ir.Constant:
    """A constant of the first operand's type."""
    return splat(number, op.operands[0].type)


def _is_float(op: Operation) -> bool:
    return _dtype(op).is_float


def _llvm_name(type_: Type) -> str:
    """How LLVM mangles a scalar or vector type into the name of an intrinsic."""
    name = dtype_of(type_).value
    lanes = lanes_of(type_)
    return name if lanes == 1 else f"v{lanes}{name}"


def _unary_intrinsic(f: FunctionLowering, name: str, op: Operation, x: ir.Value) -> ir.Value:
    return f.intrinsic(name, x.type, [x], [_llvm_name(op.operands[0].type)])


def _add(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    if _dtype(op) is DType.BOOL:
        return f.builder.or_(v[0], v[1])
    return f.builder.fadd(v[0], v[1]) if _is_float(op) else f.builder.add(v[0], v[1])


def _subtract(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    return f.builder.fsub(v[0], v[1]) if _is_float(op) else f.builder.sub(v[0], v[1])


def _multiply(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    if _dtype(op) is DType.BOOL:
        return f.builder.and_(v[0], v[1])
    return f.builder.fmul(v[0], v[1]) if _is_float(op) else f.builder.mul(v[0], v[1])


def _absorbed(f: FunctionLowering, op: Operation, x: ir.Value, y: ir.Value) -> ir.Value:
    """Whether `x` is zero and `y` infinite or NaN. It does not wait for the product."""
    b = f.builder
    magnitude = _unary_intrinsic(f, "fabs", op, y)
    infinite = b.fcmp_unordered("==", magnitude, _like(op, float("inf")))
    return b.and_(b.fcmp_ordered("==", x, _like(op, 0.0)), infinite)


def _guarded_multiply(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    assert isinstance(op, arith.Product)
    x, y = v
    absorbed = _absorbed(f, op, x, y)
    if op.rhs_absorbs:
        absorbed = f.builder.or_(absorbed, _absorbed(f, op, y, x))
    return f.builder.select(absorbed, _like(op, 0.0), f.builder.fmul(x, y))


def _gate(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    type_ = op.results[0].type
    zero = splat(0.0 if dtype_of(type_).is_float else 0, type_)
    return f.builder.select(v[0], v[1], zero)


def _safe_divisor(f: FunctionLowering, op: Operation, y: ir.Value) -> ir.Value:
    """`y`, but 1 where dividing by it would trap (0, and -1 under the lowest number)."""
    b = f.builder
    zero = b.icmp_signed("==", y, _like(op, 0))
    minus = b.icmp_signed("==", y, _like(op, -1))
    return b.select(b.or_(zero, minus), _like(op, 1), y)


def _power_of_two(op: Operation) -> int | None:
    """The divisor, when it is a constant 2, 4, 8, … or the negative of one."""
    divisor = splat_of(op.operands[1])
    if divisor is None:
        return None
    size = abs(int(divisor))
    return int(divisor) if size > 1 and size & (size - 1) == 0 else None


@dataclass(frozen=True)
class _Shifted:
    """Division by plus or minus a power of two, by shifts.

    LLVM 20 for x86-64 gives x for x / 2 where it knows all elements of a vector x beforehand.
    """

    floor: ir.Value
    """x divided by the power, rounded down."""
    rest: ir.Value
    """What is left, from 0 on."""
    inexact: ir.Value
    """Whether something is left, as 0 or 1."""

    @staticmethod
    def of(f: FunctionLowering, op: Operation, x: ir.Value, divisor: int) -> _Shifted:
        b = f.builder
        size = abs(divisor)
        rest = b.and_(x, _like(op, size - 1))
        left = b.icmp_signed("!=", rest, _like(op, 0))
        floor = b.ashr(x, _like(op, size.bit_length() - 1))
        return _Shifted(floor, rest, b.zext(left, x.type))


def _truncated(
    f: FunctionLowering, op: Operation, x: ir.Value, y: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """Integer quotient toward zero and remainder for every `y` but 0."""
    b = f.builder
    divisor = _safe_divisor(f, op, y)
    quotient = b.sdiv(x, divisor)
    remainder = b.sub(x, b.mul(quotient, divisor))
    minus = b.icmp_signed("==", y, _like(op, -1))
    return b.select(minus, b.neg(x), quotient), remainder


def _zero_for_zero(f: FunctionLowering, op: Operation, y: ir.Value, out: ir.Value) -> ir.Value:
    zero = _like(op, 0)
    return f.builder.select(f.builder.icmp_signed("==", y, zero), zero, out)


def _divide(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    b = f.builder
    if _is_float(op):
        return b.fdiv(v[0], v[1])
    divisor = _power_of_two(op)
    if divisor is not None:
        shifted = _Shifted.of(f, op, v[0], divisor)
        is_negative = b.zext(b.icmp_signed("<", v[0], _like(op, 0)), v[0].type)
        toward_zero = b.add(shifted.floor, b.and_(is_negative, shifted.inexact))
        return toward_zero if divisor > 0 else b.neg(toward_zero)
    return _zero_for_zero(f, op, v[1], _truncated(f, op, *v)[0])


def _other_sign(f: FunctionLowering, op: Operation, remainder: ir.Value, y: ir.Value) -> ir.Value:
    """Whether a nonzero remainder has the sign that the divisor has not."""
    b = f.builder
    zero = _like(op, 0)
    differ = b.icmp_signed("<", b.xor(remainder, y), zero)
    return b.and_(differ, b.icmp_signed("!=", remainder, zero))


def _floor_divide(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    b = f.builder
    x, y = v
    if _is_float(op):
        return _written(f, vector_math.floor_divide, op, v)
    divisor = _power_of_two(op)
    if divisor is not None:
        shifted = _Shifted.of(f, op, x, divisor)
        return shifted.floor if divisor > 0 else b.sub(b.neg(shifted.floor), shifted.inexact)
    quotient, remainder = _truncated(f, op, x, y)
    lower = b.sub(quotient, _like(op, 1))
    out = b.select(_other_sign(f, op, remainder, y), lower, quotient)
    return _zero_for_zero(f, op, y, out)


def _remainder(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    b = f.builder
    x, y = v
    if _is_float(op):
        return _written(f, vector_math.remainder, op, v)
    divisor = _power_of_two(op)
    if divisor is not None:
        shifted = _Shifted.of(f, op, x, divisor)
        below = b.sub(shifted.rest, b.mul(shifted.inexact, _like(op, -divisor)))
        return shifted.rest if divisor > 0 else below
    remainder = _truncated(f, op, x, y)[1]
    out = b.select(_other_sign(f, op, remainder, y), b.add(remainder, y), remainder)
    return _zero_for_zero(f, op, y, out)


def _negate(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    return f.builder.fneg(v[0]) if _is_float(op) else f.builder.neg(v[0])


def _extreme(relation: str) -> Emit:
    def emit(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
        b = f.builder
        x, y = v
        if not _is_float(op):
            compare = b.icmp_unsigned if _dtype(op) is DType.BOOL else b.icmp_signed
            return b.select(compare(relation, x, y), x, y)
        bound = splat_of(op.operands[1])
        if bound and bound == bound:
            # Where they tie they are the same, and only `x` can be NaN.
            return b.select(b.fcmp_ordered(relation, y, x), y, x)
        # `y` where either is NaN, as the processor's own instruction has it; then NaN from `x`.
        chosen = b.select(b.fcmp_ordered(relation, x, y), x, y)
        return b.select(b.fcmp_unordered("uno", x, x), x, chosen)

    return emit


def _relu(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    zero = _like(op, 0)
    b = f.builder
    compare = b.fcmp_ordered if _is_float(op) else b.icmp_signed
    return b.select(compare("<", v[0], zero), zero, v[0])


def _abs(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    b = f.builder
    if _is_float(op):
        return _unary_intrinsic(f, "fabs", op, v[0])
    return b.select(b.icmp_signed("<", v[0], _like(op, 0)), b.neg(v[0]), v[0])


def _sign(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    b = f.builder
    (x,) = v
    compare = b.fcmp_ordered if _is_float(op) else b.icmp_signed
    zero = _like(op, 0)
    # Zero and NaN are their own signs.
    negative = b.select(compare("<", x, zero), _like(op, -1), x)
    return b.select(compare(">", x, zero), _like(op, 1), negative)


_RELATIONS = {
    arith.Direction.EQ: "==",
    arith.Direction.NE: "!=",
    arith.Direction.LT: "<",
    arith.Direction.LE: "<=",
    arith.Direction.GT: ">",
    arith.Direction.GE: ">=",
}


def _compare(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    assert isinstance(op, arith.Compare)
    relation = _RELATIONS[op.direction]
    if _is_float(op):
        unequal = op.direction is arith.Direction.NE
        compare = f.builder.fcmp_unordered if unequal else f.builder.fcmp_ordered
    else:
        unsigned = _dtype(op) is DType.BOOL
        compare = f.builder.icmp_unsigned if unsigned else f.builder.icmp_signed
    return compare(relation, v[0], v[1])


def _convert(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    source, target = _dtype(op), dtype_of(op.results[0].type)
    type_ = llvm_type(op.results[0].type)
    b = f.builder
    (x,) = v
    if source is target:
        return x
    if source.is_half:
        x, source = to_f32(f, x, source), DType.F32
    if target.is_half:
        return _narrowed(f, x, source, target)
    if target is DType.BOOL:
        unequal = b.fcmp_unordered if source.is_float else b.icmp_signed
        return unequal("!=", x, ir.Constant(x.type, None))
    if source is DType.BOOL:
        return b.uitofp(x, type_) if target.is_float else b.zext(x, type_)
    if source.is_float and target.is_float:
        if target is source:
            return x
        return b.fpext(x, type_) if target.bytes > source.bytes else b.fptrunc(x, type_)
    if target.is_float:
        return b.sitofp(x, type_)
    if source.is_float:
        from_ = with_dtype(op.operands[0].type, source)
        suffixes = [_llvm_name(op.results[0].type), _llvm_name(from_)]
        return f.intrinsic("fptosi.sat", type_, [x], suffixes)
    return b.sext(x, type_) if target.bytes > source.bytes else b.trunc(x, type_)


def _narrowed(f: FunctionLowering, x: ir.Value, source: DType, target: DType) -> ir.Value:
    """Any number as a float of 16 bits, rounded once."""
    lanes = x.type.count if isinstance(x.type, ir.VectorType) else 1
    if source is DType.BOOL:
        x = f.builder.uitofp(x, shaped(F32, lanes))
    elif source is not DType.F32:
        x = odd_f32(f, x if source is DType.F64 else odd_f64(f, x))
    return from_f32(f, x, target)


def _shift(left: bool) -> Emit:
    def emit(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
        b = f.builder
        x, amount = v
        zero = _like(op, 0)
        inside = b.icmp_unsigned("<", amount, _like(op, 8 * _dtype(op).bytes))
        safe = b.select(inside, amount, zero)
        return b.select(inside, b.shl(x, safe) if left else b.lshr(x, safe), zero)

    return emit


def _rsqrt(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    return f.builder.fdiv(_like(op, 1), _unary_intrinsic(f, "sqrt", op, v[0]))


def _rounding(name: str) -> Emit:
    return lambda f, op, v: _unary_intrinsic(f, name, op, v[0])


def _power(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    """Of whole numbers by repeated squaring, for as long as a lane has exponent left."""
    if _is_float(op):
        return _elementary(f, "power", op, v)
    x, y = v
    zero, one, lanes = _like(op, 0), _like(op, 1), lanes_of(op.operands[0].type)
    b, before = f.builder, f.builder.block
    below = b.icmp_signed("<", y, zero)
    exponent = b.select(below, zero, y)
    loop, after = b.append_basic_block(), b.append_basic_block()
    b.branch(loop)
    b.position_at_end(loop)
    result, square, left = (b.phi(x.type) for _ in range(3))
    odd = b.icmp_signed("!=", b.and_(left, one), zero)
    product, squared = b.select(odd, b.mul(result, square), result), b.mul(square, square)
    shifted = b.lshr(left, one)
    starts = (one, x, exponent)
    for phi, start, following in zip(
        (result, square, left), starts, (product, squared, shifted), strict=True
    ):
        phi.add_incoming(start, before)
        phi.add_incoming(following, loop)
    more = b.icmp_signed("!=", shifted, zero)
    if lanes > 1:
        bits = ir.IntType(lanes)
        more = b.icmp_unsigned("!=", b.bitcast(more, bits), ir.Constant(bits, 0))
    b.cbranch(more, loop, after)
    b.position_at_end(after)
    sign = b.select(b.icmp_signed("!=", b.and_(y, one), zero), _like(op, -1), one)
    reciprocal = b.select(b.icmp_signed("==", x, _like(op, -1)), sign, zero)
    reciprocal = b.select(b.icmp_signed("==", x, one), one, reciprocal)
    return b.select(below, reciprocal, product)


def _power_partial(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    assert isinstance(op, math.PowerPartial)
    orders = {"base_order": op.base_order, "exponent_order": op.exponent_order}
    return _written(f, partial(vector_math.power_partial, **orders), op, v)


def _polygamma(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    assert isinstance(op, math.Polygamma)
    return _written(f, partial(vector_math.polygamma, order=op.order), op, v)


def _elementary(f: FunctionLowering, name: str, op: Operation, v: list[ir.Value]) -> ir.Value:
    """An elementary function: in place, but as a call where it is computed once per run.

    So it is in a block that has many of its kind. They would be very many instructions, for which
    LLVM takes more than its share of time; and the processor has to fetch them all.
    """
    dtype, lanes = _dtype(op), lanes_of(op.operands[0].type)
    if _is_called(f, op):
        function = vector_math.emit(f.owner.llvm, name, dtype, lanes, machine=f.machine)
        return f.builder.call(function, v)
    return vector_math.apply(f.builder, name, dtype, lanes, *v, machine=f.machine)


def _is_called(f: FunctionLowering, op: Operation) -> bool:
    once = isinstance(op.parent_op, loop.Func) and not op.parent_op.private
    return once or f.repetitions(op) > MOST_IN_PLACE


def _sine_or_cosine(f: FunctionLowering, op: Operation) -> None:
    """The first of a sine and a cosine of one value computes both."""
    if op.results[0] in f.values:
        return
    (x,) = op.operands
    other = math.Cos if isinstance(op, math.Sin) else math.Sin
    partner = _partner(op, other)
    if partner is None:
        f.set(op, _elementary(f, op.name.partition(".")[2], op, [f.value(x)]))
        return
    dtype, lanes = _dtype(op), lanes_of(x.type)
    if _is_called(f, op):
        function = vector_math.emit_sin_cos(f.owner.llvm, dtype, lanes, machine=f.machine)
        both = f.builder.call(function, [f.value(x)])
        pair = f.builder.extract_value(both, 0), f.builder.extract_value(both, 1)
    else:
        pair = vector_math.apply_sin_cos(f.builder, dtype, lanes, f.value(x), machine=f.machine)
    sine, cosine = (op, partner) if other is math.Cos else (partner, op)
    f.set(sine, pair[0])
    f.set(cosine, pair[1])


def _exponential(f: FunctionLowering, op: Operation) -> None:
    """The first of an exponential and a sigmoid of one value computes what they share."""
    if op.results[0] in f.values:
        return
    x = [f.value(op.operands[0])]
    partner = _partner(op, math.Logistic if isinstance(op, math.Exp) else math.Exp)
    if partner is None:
        f.set(op, _elementary(f, op.name.partition(".")[2], op, x))
        return
    exponential, sigmoid = (op, partner) if isinstance(op, math.Exp) else (partner, op)
    e = _elementary(f, "exp", exponential, x)
    f.set(exponential, e)
    f.set(sigmoid, _written(f, vector_math.logistic_by_exp, sigmoid, [e]))


def _partner(op: Operation, kind: type[Operation]) -> Operation | None:
    """Another function of the operand of `op`, beside it."""
    users = op.operands[0].users
    return next((u for u in users if type(u) is kind and u.parent is op.parent), None)


def _written(
    f: FunctionLowering,
    function: Callable[..., vector_math.Real],
    op: Operation,
    v: list[ir.Value],
) -> ir.Value:
    lanes = lanes_of(op.operands[0].type)
    return vector_math.write(f.builder, function, _dtype(op), lanes, *v, machine=f.machine)


def _select(f: FunctionLowering, op: Operation, v: list[ir.Value]) -> ir.Value:
    return f.builder.select(v[0], v[1], v[2])


_EMIT: dict[type[Operation], Emit] = {
    arith.Abs: _abs,
    arith.Add: _add,
    arith.And: lambda f, op, v: f.builder.and_(v[0], v[1]),
    arith.Compare: _compare,
    arith.Convert: _convert,
    arith.Divide: _divide,
    arith.DoublyGuardedMultiply: _guarded_multiply,
    arith.FloorDivide: _floor_divide,
    arith.GuardedMultiply: _guarded_multiply,
    kernel.Gate: _gate,
    arith.Maximum: _extreme(">"),
    arith.Minimum: _extreme("<"),
    arith.Multiply: _multiply,
    arith.Negate: _negate,
    arith.Not: lambda f, op, v: f.builder.not_(v[0]),
    arith.Or: lambda f, op, v: f.builder.or_(v[0], v[1]),
    arith.Relu: _relu,
    arith.Remainder: _remainder,
    arith.Select: _select,
    arith.ShiftLeft: _shift(left=True),
    arith.ShiftRightLogical: _shift(left=False),
    arith.Sign: _sign,
    arith.Subtract: _subtract,
    arith.Xor: lambda f, op, v: f.builder.xor(v[0], v[1]),
    math.Ceil: _rounding("ceil"),
    math.Floor: _rounding("floor"),
    math.Polygamma: _polygamma,
    math.Power: _power,
    math.PowerPartial: _power_partial,
    math.Round: _rounding("roundeven"),
    math.Rsqrt: _rsqrt,
    math.Sqrt: _rounding("sqrt"),
}


def _lower(emit: Emit) -> Callable[[FunctionLowering, Operation], None]:
    def lower(f: FunctionLowering, op: Operation) -> None:
        f.set(op, emit(f, op, [f.value(v) for v in op.operands]))

    return lower


def _from_vector_math(name: str) -> Emit:
    return lambda f, op, v: _elementary(f, name, op, v)


ELEMENTWISE: Table = {
    **{cls: _lower(emit) for cls, emit in _EMIT.items()},
    **{
        cls: _lower(_from_vector_math(name))
        for name in vector_math.NAMES
        if (cls := Operation.registry.get(f"math.{name}")) is not None and cls not in _EMIT
    },
    math.Cos: _sine_or_cosine,
    math.Exp: _exponential,
    math.Logistic: _exponential,
    math.Sin: _sine_or_cosine,
}
