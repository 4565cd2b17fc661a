"""Operations on vectors that have no counterpart on scalars, and fused and exact products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects.loop.structure import INDEX
from dmc.ir.declarations import Trait, attribute, int_tuple
from dmc.ir.operation import Interpreter, Operation, Value, VerifyError, operand
from dmc.ir.types import Array, DType, ScalarType, Type, VectorType, dtype_of


def vector_of(value: Value, op: Operation) -> VectorType:
    """The type of a vector operand. Raises VerifyError (C1) for anything but a 1-d vector."""
    if not isinstance(value.type, VectorType) or value.type.rank != 1:
        raise VerifyError(op, 1, f"{value} is not a vector")
    return value.type


class Broadcast(Operation):
    """A scalar in every lane. C1: the operand is a scalar; there is at least one lane."""

    name = "loop.broadcast"
    scalar = operand()
    lanes = attribute(int)

    def infer(self) -> Sequence[Type]:
        return [VectorType((self.lanes,), dtype_of(self.scalar.type))]

    def verify_(self) -> None:
        scalar = isinstance(self.scalar.type, ScalarType)
        self.require(1, scalar and self.lanes >= 1, f"{self.scalar} to {self.lanes} lanes")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return [np.full(self.lanes, operands[0], operands[0].dtype)]


class ExtractLane(Operation):
    """One lane of a vector. C1: the operand is a vector. C2: the lane exists."""

    name = "loop.extract_lane"
    vector = operand()
    lane = attribute(int)

    def infer(self) -> Sequence[Type]:
        return [ScalarType(vector_of(self.vector, self).dtype)]

    def verify_(self) -> None:
        lanes = vector_of(self.vector, self).shape[0]
        self.require(2, 0 <= self.lane < lanes, f"no lane {self.lane} of {lanes}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return [operands[0][self.lane]]


class SliceVector(Operation):
    """`lanes` neighbouring lanes from `start` on. C1: of a vector. C2: they exist."""

    name = "loop.slice_vector"
    vector = operand()
    start = attribute(int)
    lanes = attribute(int)

    def infer(self) -> Sequence[Type]:
        return [VectorType((self.lanes,), vector_of(self.vector, self).dtype)]

    def verify_(self) -> None:
        have = vector_of(self.vector, self).shape[0]
        inside = self.start >= 0 and self.lanes >= 1 and self.start + self.lanes <= have
        self.require(2, inside, f"lanes {self.start}.. of {have}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return [operands[0][self.start : self.start + self.lanes]]


class Shuffle(Operation):
    """Lanes chosen from two vectors: `order` counts those of the first, then of the second.

    C1: two vectors of one type. C2: the lanes exist.
    """

    name = "loop.shuffle"
    first = operand()
    second = operand()
    order = int_tuple()

    def infer(self) -> Sequence[Type]:
        return [VectorType((len(self.order),), vector_of(self.first, self).dtype)]

    def verify_(self) -> None:
        self.require(1, self.first.type == self.second.type, "the vectors differ in type")
        lanes = 2 * vector_of(self.first, self).shape[0]
        inside = all(0 <= lane < lanes for lane in self.order)
        self.require(2, bool(self.order) and inside, f"chooses {self.order} of {lanes} lanes")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return [np.concatenate(operands)[list(self.order)]]


class IotaVector(Operation):
    """0, step, 2·step … as a vector of `i64`."""

    name = "loop.iota_vector"
    lanes = attribute(int)
    step = attribute(int, 1)

    def infer(self) -> Sequence[Type]:
        return [VectorType((self.lanes,), DType.I64)]

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return [np.arange(self.lanes, dtype=np.int64) * self.step]


class TailMask(Operation):
    """True in the lanes below `count`. C1: `count` is an `i64`."""

    name = "loop.tail_mask"
    count = operand()
    lanes = attribute(int)

    def infer(self) -> Sequence[Type]:
        return [VectorType((self.lanes,), DType.BOOL)]

    def verify_(self) -> None:
        self.require(1, self.count.type == INDEX, "the count is not an i64")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return [np.arange(self.lanes) < int(operands[0])]


class FusedMultiplyAdd(Operation):
    """a·b + c on scalars or vectors, rounded once on targets with the instruction.

    On a target without it the product is rounded first. C1: all three have one floating type.
    """

    name = "loop.fma"
    computes = True
    traits = frozenset({Trait.ELEMENTWISE})
    a = operand()
    b = operand()
    c = operand()

    def infer(self) -> Sequence[Type]:
        return [self.c.type]

    def verify_(self) -> None:
        type_ = self.c.type
        same = self.a.type == self.b.type == type_
        self.require(1, same and dtype_of(type_).is_float, f"on {self.operand_types}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        a, b, c = (np.asarray(x) for x in operands)
        # Twice the precision makes the product exact for f32; for f64 it is close.
        wide = np.dtype(np.float64 if c.dtype != np.float64 else np.longdouble)
        return [(a.astype(wide) * b.astype(wide) + c.astype(wide)).astype(c.dtype)]


class ExactProduct(Operation):
    """a·b exactly, on scalars or vectors: the rounded product, and what it lacks.

    The error is that of rounding alone where neither under- nor overflows. Without a fused
    multiply-add it takes both factors apart (Dekker 1971). C1: both have one type, f32 or f64.
    """

    name = "loop.exact_product"
    traits = frozenset({Trait.ELEMENTWISE})
    a = operand()
    b = operand()

    def infer(self) -> Sequence[Type]:
        return [self.a.type, self.a.type]

    def verify_(self) -> None:
        same = self.a.type == self.b.type
        floats = dtype_of(self.a.type) in (DType.F32, DType.F64)
        self.require(1, same and floats, f"on {self.operand_types}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        a, b = (np.asarray(x) for x in operands)
        high = a * b
        if a.dtype == np.float32:
            return [high, (a.astype(np.float64) * b - high).astype(np.float32)]
        (a1, a2), (b1, b2) = _halves(a), _halves(b)
        return [high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2]


def _halves(x: Array) -> tuple[Array, Array]:
    """A sum of two numbers of type f64 whose products are exact (Veltkamp, by masking bits)."""
    high = (x.view(np.int64) & np.int64(-1 << 27)).view(np.float64)
    return high, x - high
