"""Elementwise functions: numbers at compile time, tensors broadcast, records leaf by leaf."""

from __future__ import annotations

import math as pymath
from collections.abc import Callable, Sequence

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, autodiff, math, tensor
from dmc.dialects.arith import Direction
from dmc.ir import Builder, DType, Value, dtype_of, shape_of
from dmc.semantics import typed
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.values import Array, Lowered, Record, Static, Tuple
from dmc.semantics.types import RecordType, StackType, children, gradient_type
from dmc.semantics.types import TensorType as Tensor

__all__ = ["apply", "broadcast", "combine", "convert", "stop_gradient"]


def _apply(body: Body, node: typed.Apply) -> Lowered:
    operands = [body.lower(operand) for operand in node.operands]
    return apply(body, node.function, operands, node)


def apply(
    body: Body, function: str, operands: Sequence[Lowered], node: typed.Node | None = None
) -> Lowered:
    """An elementwise function on lowered operands."""
    if any(isinstance(operand, Record | Tuple) for operand in operands):
        return _lift(body, function, operands)
    if all(isinstance(operand, Static) for operand in operands):
        numbers = [operand.value for operand in operands if isinstance(operand, Static)]
        folded = _fold(function, numbers)
        if folded is not None:
            return Static(folded)
    if function == "**":
        return _power(body, operands, node)
    wanted = _common_dtype(body, operands, node)
    if function in ("maximum", "minimum"):
        relu = _relu(body, function, operands)
        if relu is not None:
            return relu
    arrays, stretch = broadcast(body, operands, wanted)
    return Array(_BUILD[function](body.builder, *arrays), stretch)


def _common_dtype(body: Body, operands: Sequence[Lowered], node: typed.Node | None) -> DType:
    for operand in operands:
        if isinstance(operand, Array):
            return dtype_of(operand.value.type)
    if isinstance(node, typed.Apply):
        type_ = body.type(node.operands[0])
        if isinstance(type_, Tensor):
            return body.dtype(type_.element)
    return DType.F64


def broadcast(
    body: Body, operands: Sequence[Lowered], dtype: DType | None
) -> tuple[list[Value], frozenset[int]]:
    """Operands brought to one shape; numbers become constants of `dtype`."""
    shapes = [shape_of(o.value.type) if isinstance(o, Array) else () for o in operands]
    rank = max(map(len, shapes))
    out = [1] * rank
    fixed = [False] * rank
    for operand, shape in zip(operands, shapes, strict=True):
        stretch = operand.stretch if isinstance(operand, Array) else frozenset[int]()
        for axis, size in enumerate(shape):
            if axis not in stretch:
                out[rank - len(shape) + axis] = size
                fixed[rank - len(shape) + axis] = True
    arrays: list[Value] = []
    for operand, shape in zip(operands, shapes, strict=True):
        match operand:
            case Static(number):
                assert dtype is not None
                arrays.append(body.constant(number, dtype, *out))
            case Array(value):
                places = range(rank - len(shape), rank)
                arrays.append(tensor.broadcast_in_dim(body.builder, value, out, places))
            case _:
                raise CompilerBug("only tensors broadcast")
    return arrays, frozenset(axis for axis in range(rank) if not fixed[axis])


def combine(body: Body, function: str, *operands: Value) -> Value:
    """An elementwise function on tensors that broadcast."""
    result = apply(body, function, [Array(operand) for operand in operands])
    assert isinstance(result, Array)
    return result.value


# ---- records ----------------------------------------------------------------------------------


def _lift(body: Body, function: str, operands: Sequence[Lowered]) -> Lowered:
    structures = [o for o in operands if isinstance(o, Record | Tuple)]
    point = next((o for o in structures if _has_more(o)), structures[0])
    match point:
        case Tuple(items):
            return Tuple(
                tuple(
                    apply(body, function, [_item(o, index) for o in operands])
                    for index in range(len(items))
                )
            )
        case Record(type_, fields):
            trained = {name for name, _, _ in children(gradient_type(type_))}
            result = dict(fields)
            for name in fields:
                if name in trained:
                    parts = [o.fields[name] if isinstance(o, Record) else o for o in operands]
                    result[name] = apply(body, function, parts)
            return Record(type_, result)


def _item(operand: Lowered, index: int) -> Lowered:
    return operand.items[index] if isinstance(operand, Tuple) else operand


def _has_more(value: Record | Tuple) -> bool:
    """Whether a value holds more than its trained part, and so is the point that moves."""
    match value:
        case Tuple(items):
            return any(_has_more(i) for i in items if isinstance(i, Record | Tuple))
        case Record(type_):
            inner = type_
            while isinstance(inner, StackType):
                assert isinstance(inner.item, RecordType | StackType)
                inner = inner.item
            return not inner.is_grad


# ---- numbers ----------------------------------------------------------------------------------


Number = bool | int | float


def _fold(function: str, numbers: Sequence[Number]) -> Number | None:
    """The value at compile time; None where the run must give it (1 / 0, log of -1)."""
    try:
        match numbers:
            case [x] if function in _OF_ONE:
                return _OF_ONE[function](x)
            case [x]:
                return {"negate": -x, "abs": abs(x), "not": not x}.get(function)
            case [x, y]:
                return _fold_pair(function, x, y)
            case _:
                return None
    except (ArithmeticError, ValueError):
        return None


def _fold_pair(function: str, x: Number, y: Number) -> Number | None:
    match function:
        case "+":
            return x + y
        case "-":
            return x - y
        case "*":
            return x * y
        case "/":
            return x / y
        case "//":
            return x // y
        case "%":
            return x % y
        case "**" if x >= 0 or isinstance(y, int):
            return pymath.pow(x, y) if isinstance(x, float) or y < 0 else x**y
        case "maximum":
            return max(x, y)
        case "minimum":
            return min(x, y)
        case "and":
            return bool(x) and bool(y)
        case "or":
            return bool(x) or bool(y)
        case _:
            return _compare_numbers(function, x, y)


def _compare_numbers(function: str, x: Number, y: Number) -> bool | None:
    match function:
        case "==":
            return x == y
        case "!=":
            return x != y
        case "<":
            return x < y
        case "<=":
            return x <= y
        case ">":
            return x > y
        case ">=":
            return x >= y
        case _:
            return None


_OF_ONE: dict[str, Callable[[float], float]] = {
    "exp": pymath.exp,
    "expm1": pymath.expm1,
    "log": pymath.log,
    "log1p": pymath.log1p,
    "sqrt": pymath.sqrt,
    "sin": pymath.sin,
    "cos": pymath.cos,
    "tan": pymath.tan,
    "tanh": pymath.tanh,
    "lgamma": pymath.lgamma,
    "erf": pymath.erf,
}


# ---- tensors ----------------------------------------------------------------------------------


def _compare(direction: Direction) -> Callable[[Builder, Value, Value], Value]:
    return lambda builder, x, y: arith.compare(builder, direction, x, y)


def _unary(name: str) -> Callable[[Builder, Value], Value]:
    return lambda builder, x: math.unary(builder, name, x)


def _softplus(builder: Builder, x: Value) -> Value:
    """`log(1 + exp(x))` without overflow, smooth on either side to every order."""
    zero = arith.zeros(builder, x.type)
    positive = arith.compare(builder, Direction.GT, x, zero)
    tail = arith.select(builder, positive, arith.negate(builder, x), x)
    small = math.unary(builder, "log1p", math.exp(builder, tail))
    return arith.select(builder, positive, arith.add(builder, x, small), small)


def _gelu(builder: Builder, x: Value) -> Value:
    """The tanh form of Hendrycks and Gimpel, arXiv:1606.08415."""

    def number(value: float) -> Value:
        return arith.constant(builder, value, x.type)

    cube = arith.multiply(builder, arith.multiply(builder, x, x), x)
    inner = arith.add(builder, x, arith.multiply(builder, number(0.044715), cube))
    scaled = arith.multiply(builder, number(pymath.sqrt(2.0 / pymath.pi)), inner)
    gate = arith.add(builder, number(1.0), math.tanh(builder, scaled))
    return arith.multiply(builder, arith.multiply(builder, number(0.5), x), gate)


def _silu(builder: Builder, x: Value) -> Value:
    return arith.multiply(builder, x, math.unary(builder, "logistic", x))


def _hypot(builder: Builder, x: Value, y: Value) -> Value:
    squares = arith.add(builder, arith.multiply(builder, x, x), arith.multiply(builder, y, y))
    return math.sqrt(builder, squares)


def _clamp(builder: Builder, x: Value, low: Value, high: Value) -> Value:
    return arith.minimum(builder, arith.maximum(builder, x, low), high)


def _atan2(builder: Builder, y: Value, x: Value) -> Value:
    return builder.insert(math.Atan2([y, x])).results[0]


_BUILD: dict[str, Callable[..., Value]] = {
    "+": arith.add,
    "-": arith.subtract,
    "*": arith.multiply,
    "/": arith.divide,
    "//": arith.floor_divide,
    "%": arith.remainder,
    "negate": arith.negate,
    "maximum": arith.maximum,
    "minimum": arith.minimum,
    "==": _compare(Direction.EQ),
    "!=": _compare(Direction.NE),
    "<": _compare(Direction.LT),
    "<=": _compare(Direction.LE),
    ">": _compare(Direction.GT),
    ">=": _compare(Direction.GE),
    "and": arith.logical_and,
    "or": arith.logical_or,
    "not": arith.logical_not,
    "sigmoid": _unary("logistic"),
    "softplus": _softplus,
    "gelu": _gelu,
    "silu": _silu,
    "hypot": _hypot,
    "clamp": _clamp,
    "atan2": _atan2,
    **{
        name: _unary(name)
        for name in (
            "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "asin", "acos",
            "atan", "sinh", "cosh", "tanh", "erf", "lgamma", "digamma", "floor", "ceil", "round",
            "abs", "sign",
        )
    },
}  # fmt: skip


def _relu(body: Body, function: str, operands: Sequence[Lowered]) -> Lowered | None:
    """`maximum(x, 0.0)` is the rectifier, whose derivative at 0 is 0."""
    if function != "maximum":
        return None
    for one, other in (operands, reversed(operands)):
        match one, other:
            case Array(value, stretch), Static(number) if number == 0:
                if not dtype_of(value.type).is_float:
                    return None
                return Array(math.unary(body.builder, "relu", value), stretch)
            case _:
                pass
    return None


_LARGEST_EXPANDED_POWER = 8


def _power(body: Body, operands: Sequence[Lowered], node: typed.Node | None) -> Lowered:
    base, exponent = operands
    if isinstance(exponent, Static) and isinstance(base, Array):
        number = exponent.value
        whole = int(number)
        is_float = dtype_of(base.value.type).is_float
        if number == whole and abs(whole) <= _LARGEST_EXPANDED_POWER and (is_float or whole >= 0):
            return Array(_whole_power(body, base.value, whole), base.stretch)
    dtype = _common_dtype(body, [base], node)
    if isinstance(base, Static) and isinstance(exponent, Array):
        dtype = dtype_of(exponent.value.type)
    if isinstance(exponent, Array) and dtype_of(exponent.value.type) is not dtype:
        exponent = Array(arith.convert(body.builder, exponent.value, dtype), exponent.stretch)
    arrays, stretch = broadcast(body, [base, exponent], dtype)
    return Array(math.power(body.builder, *arrays), stretch)


def _whole_power(body: Body, base: Value, exponent: int) -> Value:
    """Repeated squaring; exact derivatives at 0."""
    if exponent == 0:
        return arith.ones(body.builder, base.type)
    result: Value | None = None
    square, left = base, abs(exponent)
    while left:
        if left & 1:
            result = square if result is None else arith.multiply(body.builder, result, square)
        left >>= 1
        if left:
            square = arith.multiply(body.builder, square, square)
    assert result is not None
    if exponent < 0:
        return arith.divide(body.builder, arith.ones(body.builder, base.type), result)
    return result


# ---- conversion -------------------------------------------------------------------------------


def _convert(body: Body, node: typed.Convert) -> Lowered:
    return convert(body, body.lower(node.operand), body.dtype(node.element))


def convert(body: Body, value: Lowered, dtype: DType) -> Lowered:
    """Every leaf in another element type."""
    match value:
        case Static(number):
            if dtype is DType.BOOL:
                return Static(bool(number))
            return Static(float(number) if dtype.is_float else int(number))
        case Array(inner, stretch):
            return Array(arith.convert(body.builder, inner, dtype), stretch)
        case _:
            raise CompilerBug("only tensors are converted")


def stop_gradient(body: Body, value: Lowered) -> Lowered:
    """Every leaf as a constant for derivatives."""
    match value:
        case Array(inner, stretch):
            return Array(body.builder.insert(autodiff.StopGradient([inner])).result, stretch)
        case Tuple(items):
            return Tuple(tuple(stop_gradient(body, item) for item in items))
        case Record(type_, fields):
            return Record(type_, {n: stop_gradient(body, v) for n, v in fields.items()})
        case _:
            return value


register(typed.Apply, _apply)
register(typed.Convert, _convert)
