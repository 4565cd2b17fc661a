"""Rows of the op table: `arith`, `math` and `random`."""

from __future__ import annotations

from collections.abc import Callable

from dmc.dialects import arith, math, random
from dmc.ir import Builder, DType, Operation, TensorType, Value, with_dtype
from tests.dialects.checks import Build, Draw, Sample

F32, F64, I32, I64, BOOL = DType.F32, DType.F64, DType.I32, DType.I64, DType.BOOL


def of(name: str) -> Build:
    """Builds the operation `name` on all operands."""

    def build(builder: Builder, *values: Value) -> Value:
        return builder.insert(Operation.registry[name](values)).results[0]

    return build


def unary(name: str, low: float = -2.0, high: float = 2.0, label: str = "") -> Sample:
    return Sample(name, of(name), (Draw((2, 3), F64, low, high),), label)


def binary(name: str, x: Draw, y: Draw, label: str = "", build: Build | None = None) -> Sample:
    return Sample(name, build or of(name), (x, y), label)


def integers(name: str, low: int = -9, high: int = 9, count: int = 2) -> list[Sample]:
    return [
        Sample(name, of(name), (Draw((2, 3), dtype, low, high),) * count, dtype.value)
        for dtype in (I32, I64)
    ]


def constant(builder: Builder) -> Value:
    return arith.constant(builder, 2.5, TensorType((2,), F64))


def compare(direction: arith.Direction) -> Callable[[Builder, Value, Value], Value]:
    return lambda builder, x, y: arith.compare(builder, direction, x, y)


def power_partial(base_order: int, exponent_order: int) -> Callable[[Builder, Value, Value], Value]:
    orders = {"base_order": base_order, "exponent_order": exponent_order}
    return lambda builder, x, y: builder.insert(math.PowerPartial([x, y], orders)).result


def polygamma(order: int) -> Callable[[Builder, Value], Value]:
    return lambda builder, x: builder.insert(math.Polygamma([x], {"order": order})).result


def convert(dtype: DType) -> Callable[[Builder, Value], Value]:
    def build(builder: Builder, x: Value) -> Value:
        return builder.insert(arith.Convert([x], result_types=[with_dtype(x.type, dtype)])).result

    return build


ANY = Draw((2, 3))
LOW, HIGH = Draw((2, 3), F64, -2, -0.5), Draw((2, 3), F64, 0.5, 2)
SMALL = Draw((2, 3), I64, -9, 9)
FLAGS = Draw((2, 3), BOOL)
KEY = Draw((), I64, -(2**62), 2**62)

_ARITH = (
    Sample("arith.constant", constant),
    *(
        binary(f"arith.{name}", ANY, HIGH)
        for name in ("add", "subtract", "multiply", "divide", "floor_divide", "remainder")
    ),
    binary("arith.add", Draw(()), Draw(()), "0-d"),
    binary("arith.guarded_multiply", ANY, HIGH),
    binary("arith.doubly_guarded_multiply", ANY, HIGH),
    *(
        sample
        for name in ("add", "subtract", "multiply", "divide", "floor_divide", "remainder")
        for sample in integers(f"arith.{name}")
    ),
    *(
        binary(f"arith.{name}", x, y, label)
        for name in ("maximum", "minimum")
        for x, y, label in ((LOW, HIGH, "second greater"), (HIGH, LOW, "first greater"))
    ),
    *integers("arith.maximum"),
    *integers("arith.minimum"),
    unary("arith.negate"),
    *integers("arith.negate", count=1),
    *(
        unary(f"arith.{name}", low, high, label)
        for name in ("relu", "abs", "sign")
        for low, high, label in ((-2, -0.1, "negative"), (0.1, 2, "positive"))
    ),
    *integers("arith.abs", count=1),
    *integers("arith.sign", count=1),
    *integers("arith.relu", count=1),
    *(
        Sample("arith.compare", compare(d), (draw, draw), f"{d.value} {draw.dtype.value}")
        for d in arith.Direction
        for draw in (ANY, SMALL)
    ),
    Sample("arith.select", of("arith.select"), (FLAGS, ANY, HIGH)),
    Sample("arith.select", of("arith.select"), (FLAGS, SMALL, SMALL), "i64"),
    Sample("arith.weight", of("arith.weight"), (FLAGS, ANY), smooth=False),  # a promise
    Sample("arith.convert", convert(F64), (ANY,), "float to f64"),
    Sample("arith.convert", convert(F64), (SMALL,), "i64 to f64"),
    Sample("arith.convert", convert(I32), (Draw((2, 3), F64, 1.2, 1.8),), "f64 to i32"),
    Sample("arith.convert", convert(I32), (SMALL,), "i64 to i32"),
    Sample("arith.convert", convert(F32), (FLAGS,), "i1 to f32"),
    *(
        Sample(f"arith.{name}", of(f"arith.{name}"), (draw, draw), draw.dtype.value)
        for name in ("and", "or", "xor")
        for draw in (SMALL, FLAGS)
    ),
    *(Sample("arith.not", of("arith.not"), (draw,), draw.dtype.value) for draw in (SMALL, FLAGS)),
    *(
        Sample(f"arith.{name}", of(f"arith.{name}"), (SMALL, Draw((2, 3), I64, -1, 65)))
        for name in ("shift_left", "shift_right_logical")
    ),
)

_MATH = (
    *(unary(f"math.{name}") for name in ("exp", "expm1", "sin", "cos", "atan", "sinh", "cosh")),
    *(unary(f"math.{name}") for name in ("tanh", "logistic", "erf", "erfc")),
    *(unary(f"math.{name}", 0.2, 3.0) for name in ("log", "sqrt", "rsqrt")),
    *(unary(f"math.{name}", -0.8, 0.8) for name in ("asin", "acos", "log1p", "erfinv")),
    unary("math.tan", -1.2, 1.2),
    *(unary(f"math.{name}", 0.3, 5.0, "positive") for name in ("lgamma", "digamma", "trigamma")),
    *(unary(f"math.{name}", -0.9, -0.1, "negative") for name in ("lgamma", "digamma", "trigamma")),
    *(unary(f"math.{name}", 1.1, 1.4) for name in ("floor", "ceil", "round")),
    binary("math.power", HIGH, ANY),
    *integers("math.power"),
    *(
        binary("math.power_partial", HIGH, ANY, f"{m} {k}", build=power_partial(m, k))
        for m, k in ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (2, 3))
    ),
    *(
        Sample("math.polygamma", polygamma(order), (draw,), f"{order} {side}")
        for order in (2, 3)
        for draw, side in (
            (Draw((2, 3), F64, 0.3, 5.0), "positive"),
            (Draw((2, 3), F64, -0.7, -0.3), "negative"),
        )
    ),
    binary("math.hypot", ANY, HIGH),
    binary("math.atan2", ANY, HIGH),
    binary("math.atan2", HIGH, LOW, "left half"),
)

_RANDOM = (
    Sample("random.fold", random.fold, (KEY, Draw((), I64, -5, 5))),
    Sample("random.split", lambda b, k: random.split(b, k, 3), (KEY,)),
    *(
        Sample(
            "random.element",
            lambda b, k, p, n=width: random.element(b, k, p, n),
            (KEY, Draw((), I64, 0, 999)),
            str(width),
        )
        for width in (32, 64)
    ),
    *(
        Sample("random.bits", bits, (KEY,), f"{width} {word.value}")
        for width in (32, 64)
        for word in random.Word
        for bits in [lambda b, k, width=width, word=word: random.bits(b, k, (5, 7), width, word)]
    ),
)

ELEMENTWISE = (*_ARITH, *_MATH, *_RANDOM)
