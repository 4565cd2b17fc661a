"""Buffers: views of the arena, loads and stores of scalars and vectors.

An access names a memref, `i64` values and an affine map from those to one subscript for each axis
(`%a[%i, %k + 1]`). The reference semantics refuse an access outside the memref, and fill fresh
private memory with a pattern that shows when it is read unwritten.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects.loop.structure import INDEX
from dmc.ir.affine import AffineMap
from dmc.ir.attributes import DenseElements
from dmc.ir.declarations import Trait, attribute
from dmc.ir.operation import Interpreter, Operation, Value, VerifyError, operand, operands
from dmc.ir.types import Array, DType, MemRefType, ScalarType, Type, VectorType


def strides_of(type_: MemRefType) -> tuple[int, ...]:
    """The distance in elements between neighbours along each axis."""
    if type_.strides is not None:
        return type_.strides
    strides: list[int] = []
    step = 1
    for extent in reversed(type_.shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


class OutOfBounds(Exception):
    """A loop-level program reads or writes outside a buffer: a bug of a schedule."""


def memref_of(value: Value, op: Operation) -> MemRefType:
    """The type of a memref operand. Raises VerifyError for another type."""
    if not isinstance(value.type, MemRefType):
        raise VerifyError(op, 1, f"{value} is not a memref")
    return value.type


class Access(Operation):
    """Base of what addresses an element: `map` takes the subscript values to the axes' subscripts.

    C1: the first operand is a memref; the map has one result for each axis of it and one dimension
    for each subscript value. C2: the subscript values are `i64`.
    """

    map = attribute(AffineMap)
    first_subscript = 1

    @property
    def memref(self) -> Value:
        return self.operands[0]

    @property
    def subscripts(self) -> tuple[Value, ...]:
        return self.operands[self.first_subscript :]

    def verify_(self) -> None:
        rank = memref_of(self.memref, self).rank
        self.require(1, len(self.map.results) == rank, f"the map has not {rank} results")
        counts = self.map.dimensions == len(self.subscripts)
        self.require(1, counts, "the map does not match the subscripts")
        for value in self.subscripts:
            self.require(2, value.type == INDEX, f"the subscript {value} is not an i64")

    def _at(self, operands: Sequence[Array]) -> tuple[int, ...]:
        """The subscripts of this access, checked."""
        point = self.map.evaluate([int(x) for x in operands[self.first_subscript :]])
        for i, extent in zip(point, operands[0].shape, strict=True):
            if not 0 <= i < extent:
                raise OutOfBounds(f"{self.name} at {point} of {self.memref.type}")
        return point


class Lanes(Access):
    """Base of accesses whose lanes lie along `axis`.

    C3: `axis` is an axis of the memref; where lanes are neighbours in memory its stride is 1.
    C4: masks have a lane for each lane.
    """

    axis = attribute(int)
    contiguous = True

    def verify_(self) -> None:
        super().verify_()
        type_ = memref_of(self.memref, self)
        self.require(3, 0 <= self.axis < type_.rank, "no such axis")
        stride = strides_of(type_)[self.axis]
        self.require(3, stride == 1 or not self.contiguous, f"lanes have stride {stride}")

    def _require_mask(self, mask: Value, lanes: int) -> None:
        wanted = VectorType((lanes,), DType.BOOL)
        self.require(4, mask.type == wanted, f"the mask is {mask.type}, not {wanted}")

    def _lane_points(
        self, operands: Sequence[Array], offsets: Sequence[int], mask: Sequence[bool]
    ) -> list[tuple[int, ...] | None]:
        """The element of each lane; None where the mask is false."""
        base = self.map.evaluate([int(x) for x in operands[self.first_subscript :]])
        points: list[tuple[int, ...] | None] = []
        for offset, active in zip(offsets, mask, strict=True):
            point = tuple(i + offset * (d == self.axis) for d, i in enumerate(base))
            inside = all(0 <= i < n for i, n in zip(point, operands[0].shape, strict=True))
            if active and not inside:
                raise OutOfBounds(f"{self.name} at {point} of {self.memref.type}")
            points.append(point if active else None)
        return points


def _read(array: Array, points: Sequence[tuple[int, ...] | None]) -> Array:
    zero = np.zeros((), array.dtype)
    return np.array([zero if p is None else array[p] for p in points], array.dtype)


def _write(array: Array, points: Sequence[tuple[int, ...] | None], values: Array) -> None:
    for point, value in zip(points, values, strict=True):
        if point is not None:
            array[point] = value


class Load(Access):
    """Reads one element."""

    name = "loop.load"
    traits = frozenset({Trait.READS_MEMORY})
    rest = operands()

    def infer(self) -> Sequence[Type]:
        return [ScalarType(memref_of(self.memref, self).dtype)]

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return [operands[0][self._at(operands)]]


class Store(Access):
    """Writes one element. C3: the value has the element type of the memref."""

    name = "loop.store"
    traits = frozenset({Trait.EFFECT})
    first_subscript = 2
    destination = operand()
    value = operand()
    rest = operands()

    def infer(self) -> Sequence[Type]:
        return ()

    def verify_(self) -> None:
        super().verify_()
        wanted = ScalarType(memref_of(self.memref, self).dtype)
        self.require(3, self.value.type == wanted, f"stores {self.value.type}, not {wanted}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        operands[0][self._at(operands)] = operands[1]
        return ()


class VectorLoad(Lanes):
    """Reads `lanes` neighbours along `axis`."""

    name = "loop.vector_load"
    traits = frozenset({Trait.READS_MEMORY})
    lanes = attribute(int)
    rest = operands()

    def infer(self) -> Sequence[Type]:
        return [VectorType((self.lanes,), memref_of(self.memref, self).dtype)]

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        points = self._lane_points(operands, range(self.lanes), [True] * self.lanes)
        return [_read(operands[0], points)]


class VectorStore(Lanes):
    """Writes neighbours along `axis`. C5: a vector of the memref's element type."""

    name = "loop.vector_store"
    traits = frozenset({Trait.EFFECT})
    first_subscript = 2
    destination = operand()
    value = operand()
    rest = operands()

    def infer(self) -> Sequence[Type]:
        return ()

    def verify_(self) -> None:
        super().verify_()
        _require_vector(self, self.value)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        lanes = len(operands[1])
        _write(operands[0], self._lane_points(operands, range(lanes), [True] * lanes), operands[1])
        return ()


class MaskedLoad(Lanes):
    """`loop.vector_load` that touches only lanes whose mask is true; the others are 0."""

    name = "loop.masked_load"
    traits = frozenset({Trait.READS_MEMORY})
    first_subscript = 2
    lanes = attribute(int)
    source = operand()
    mask = operand()
    rest = operands()

    def infer(self) -> Sequence[Type]:
        return [VectorType((self.lanes,), memref_of(self.memref, self).dtype)]

    def verify_(self) -> None:
        super().verify_()
        self._require_mask(self.mask, self.lanes)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return [
            _read(operands[0], self._lane_points(operands, range(self.lanes), list(operands[1])))
        ]


class MaskedStore(Lanes):
    """`loop.vector_store` that touches only lanes whose mask is true. C5: as there."""

    name = "loop.masked_store"
    traits = frozenset({Trait.EFFECT})
    first_subscript = 3
    destination = operand()
    value = operand()
    mask = operand()
    rest = operands()

    def infer(self) -> Sequence[Type]:
        return ()

    def verify_(self) -> None:
        super().verify_()
        self._require_mask(self.mask, _require_vector(self, self.value))

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        points = self._lane_points(operands, range(len(operands[1])), list(operands[2]))
        _write(operands[0], points, operands[1])
        return ()


class Gather(Lanes):
    """Lane `l` reads `offsets[l]` further along `axis`, where the mask is true; else 0.

    C5: the offsets are a vector of `i64`.
    """

    name = "loop.gather"
    traits = frozenset({Trait.READS_MEMORY})
    contiguous = False
    first_subscript = 3
    source = operand()
    offsets = operand()
    mask = operand()
    rest = operands()

    def infer(self) -> Sequence[Type]:
        dtype = memref_of(self.memref, self).dtype
        return [VectorType((_require_offsets(self, self.offsets),), dtype)]

    def verify_(self) -> None:
        super().verify_()
        self._require_mask(self.mask, _require_offsets(self, self.offsets))

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        offsets = [int(x) for x in operands[1]]
        return [_read(operands[0], self._lane_points(operands, offsets, list(operands[2])))]


class Scatter(Lanes):
    """Lane `l` writes `offsets[l]` further along `axis`, where the mask is true.

    Of lanes with one destination the last wins. C5: the offsets are a vector of `i64`.
    C6: the value is a vector of the memref's element type, as long.
    """

    name = "loop.scatter"
    traits = frozenset({Trait.EFFECT})
    contiguous = False
    first_subscript = 4
    destination = operand()
    value = operand()
    offsets = operand()
    mask = operand()
    rest = operands()

    def infer(self) -> Sequence[Type]:
        return ()

    def verify_(self) -> None:
        super().verify_()
        lanes = _require_offsets(self, self.offsets)
        self._require_mask(self.mask, lanes)
        self.require(6, _require_vector(self, self.value) == lanes, "value and offsets differ")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        offsets = [int(x) for x in operands[2]]
        points = self._lane_points(operands, offsets, list(operands[3]))
        _write(operands[0], points, operands[1])
        return ()


def _require_vector(op: Operation, value: Value) -> int:
    type_, dtype = value.type, memref_of(op.operands[0], op).dtype
    if not isinstance(type_, VectorType) or type_.rank != 1 or type_.dtype is not dtype:
        raise VerifyError(op, 5, f"stores {type_}, not a vector of {dtype}")
    return type_.shape[0]


def _require_offsets(op: Operation, value: Value) -> int:
    type_ = value.type
    if not isinstance(type_, VectorType) or type_.rank != 1 or type_.dtype is not DType.I64:
        raise VerifyError(op, 5, f"the offsets are {type_}, not a vector of i64")
    return type_.shape[0]


class View(Operation):
    """The contiguous buffer of type `type` that starts `offset` bytes into a buffer of bytes.

    C1: the source is a contiguous `memref<Nxi8>`, the result contiguous. C2: it lies inside.
    """

    name = "loop.view"
    arena = operand()
    offset = attribute(int)
    type = attribute(MemRefType)

    def infer(self) -> Sequence[Type]:
        return [self.type]

    def verify_(self) -> None:
        source = memref_of(self.arena, self)
        flat = source.dtype is DType.I8 and source.rank == 1 and source.strides is None
        self.require(1, flat and self.type.strides is None, "not a view of contiguous bytes")
        inside = self.offset >= 0 and self.offset + self.type.bytes <= source.bytes
        self.require(2, inside, f"{self.type} at {self.offset} is not inside {source}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        window = operands[0][self.offset : self.offset + self.type.bytes]
        return [window.view(self.type.dtype.numpy).reshape(self.type.shape)]


class SubView(Access):
    """The buffer of type `type` (any shape and strides) whose first element is the one addressed.

    C3: the element type is that of the source; the rank and strides agree. The address may be one
    past the end only when the result is empty.
    """

    name = "loop.subview"
    type = attribute(MemRefType)
    source = operand()
    rest = operands()

    def infer(self) -> Sequence[Type]:
        return [self.type]

    def verify_(self) -> None:
        super().verify_()
        same = self.type.dtype is memref_of(self.memref, self).dtype
        self.require(3, same, "the element type differs from the source's")
        strides = strides_of(self.type)
        self.require(3, len(strides) == self.type.rank, "one stride for each axis is wanted")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        source = operands[0]
        if self.type.size == 0:
            return [np.empty(self.type.shape, source.dtype)]
        point = self.map.evaluate([int(x) for x in operands[1:]])
        item = source.itemsize
        start = sum(i * s for i, s in zip(point, source.strides, strict=True)) // item
        strides = strides_of(self.type)
        reach = [s * (n - 1) for s, n in zip(strides, self.type.shape, strict=True)]
        room = sum(s * (n - 1) for s, n in zip(source.strides, source.shape, strict=True)) // item
        lowest = start + sum(min(r, 0) for r in reach)
        highest = start + sum(max(r, 0) for r in reach)
        if source.size == 0 or lowest < 0 or highest > room:
            raise OutOfBounds(f"{self.type} at {point} of {self.memref.type}")
        # The span from the first element on, so that `start` may lie outside an axis.
        flat = np.lib.stride_tricks.as_strided(source, (room + 1,), (item,))
        return [
            np.lib.stride_tricks.as_strided(
                flat[start:], self.type.shape, tuple(s * item for s in strides)
            )
        ]


class Alloca(Operation):
    """Uninitialised memory private to the enclosing task or function call, until it ends.

    C1: contiguous. C2: not inside a loop of that task, so that its place is fixed.
    """

    name = "loop.alloca"
    traits = frozenset({Trait.EFFECT})
    type = attribute(MemRefType)

    def infer(self) -> Sequence[Type]:
        return [self.type]

    def verify_(self) -> None:
        self.require(1, self.type.strides is None, "private memory is contiguous")
        outer = self.parent_op
        fixed = outer is None or outer.name in ("loop.func", "loop.parallel")
        self.require(2, fixed, f"in a {outer.name if outer else ''}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        pattern = np.full(self.type.bytes, 0xFF, np.uint8)
        return [pattern.view(self.type.dtype.numpy).reshape(self.type.shape)]


class Global(Operation):
    """A buffer of constants, only to be read. C1: the value has a shape of at least one element."""

    name = "loop.global"
    value = attribute(DenseElements)

    def infer(self) -> Sequence[Type]:
        return [MemRefType(self.value.type.shape, self.value.type.dtype)]

    def verify_(self) -> None:
        self.require(1, self.value.array.size > 0, "an empty constant")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return [self.value.array]
