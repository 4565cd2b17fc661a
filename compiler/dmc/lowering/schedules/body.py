"""Scalar code of a kernel on scalars and vectors, each part in the outermost loop that allows it.

A `Frame` says which loop variables are known and what has been computed from them. Entering a
loop makes a new frame, in which everything that depends on no further variable is emitted at
once; so code that does not change inside a loop stays outside, without a later pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dmc.dialects import arith, kernel, math
from dmc.dialects.loop import strides_of
from dmc.ir.attributes import DenseElements
from dmc.ir.declarations import Trait
from dmc.ir.operation import Block, Operation, Value
from dmc.ir.types import DType, MemRefType, ScalarType, VectorType, dtype_of
from dmc.lowering.loop_builder import (
    Linear,
    LoopBuilder,
    Subscript,
    clone_elementwise,
    lanes_of,
)
from dmc.lowering.schedules.nest import Access, Nest
from dmc.lowering.schedules.powers import At, Exponent, Exponents, Powers, exponents_of


@dataclass(frozen=True)
class Lanes:
    """How the vector dimension runs: `count` lanes, those where `mask` is false idle."""

    dimension: int
    count: int
    mask: Value | None = None


@dataclass
class Frame:
    """Known loop variables, and the values computed so far (scalars, or vectors of the lanes)."""

    positions: dict[int, Linear] = field(default_factory=dict[int, Linear])
    values: dict[Value, Value] = field(default_factory=dict[Value, Value])
    lanes: Lanes | None = None


@dataclass(frozen=True)
class Entry:
    """What becomes known where a frame is entered."""

    frame: Frame
    positions: Mapping[int, Subscript]
    lanes: Lanes | None = None
    given: Sequence[Value] = ()

    def start(self, given: Sequence[Value]) -> Frame:
        """The new frame, with nothing computed yet."""
        known = dict(self.frame.positions)
        known.update((d, Linear.of(s)) for d, s in self.positions.items())
        inner = Frame(known, dict(self.frame.values), self.lanes or self.frame.lanes)
        inner.values.update(zip(given, self.given, strict=False))
        return inner


class Body:
    """The scalar code of one block, with where its arguments come from.

    `given` are leading block arguments whose values the caller provides in the frame (the reduced
    values of an epilogue); the others are read through `accesses`, but for those values `provided`
    in the frame of every vector.
    """

    def __init__(
        self,
        b: LoopBuilder,
        nest: Nest,
        block: Block,
        accesses: Sequence[Access],
        given: int = 0,
        provided: frozenset[Value] = frozenset(),
        exponents: Exponents | None = None,
    ) -> None:
        self.b = b
        self.nest = nest
        self.block = block
        self.given = block.args[:given]
        self.provided = provided
        self.accesses = dict(zip(block.args[given:], accesses, strict=True))
        self._powers = Powers(b)
        self.exponents = exponents_of(block, nest) if exponents is None else exponents
        self.left_out: frozenset[Operation] = frozenset()
        self._dims: dict[Value, frozenset[int]] = {v: frozenset({-1}) for v in self.given}
        for arg, access in self.accesses.items():
            self._dims[arg] = frozenset(d for d, s in enumerate(access.strides) if s)
        for op in self._operations():
            dims: frozenset[int] = frozenset()
            if isinstance(op, kernel.Index):
                dims = frozenset({d for d in (nest.index_of[op.dim],) if d is not None})
            for value in op.operands:
                dims |= self._dims.get(value, frozenset())
            self._dims.update((v, dims) for v in op.results)

    def _operations(self) -> list[Operation]:
        return [op for op in self.block if not op.has(Trait.TERMINATOR) and op not in self.left_out]

    def dims_of(self, value: Value) -> frozenset[int]:
        """The dimensions that a value of the block depends on."""
        return self._dims[value]

    @property
    def yielded(self) -> tuple[Value, ...]:
        return self.block.terminator.operands

    def enter(
        self,
        frame: Frame,
        positions: Mapping[int, Subscript],
        lanes: Lanes | None = None,
        given: Sequence[Value] = (),
    ) -> Frame:
        """A frame in which `positions` are known too, with what that allows computed."""
        return self.enter_all([Entry(frame, positions, lanes, given)])[0]

    def enter_all(self, entries: Sequence[Entry]) -> list[Frame]:
        """Frames that differ only in their places, computed operation by operation.

        The long chains of elementary functions then overlap in the processor, which looks ahead
        less far than one body is long.
        """
        inner = [entry.start(self.given) for entry in entries]
        first = entries[0]
        ready = {*inner[0].positions}
        if first.given or not self.given:
            ready.add(-1)
        for arg, access in self.accesses.items():
            if self._dims[arg] <= ready:
                for each in inner:
                    if arg not in each.values:
                        each.values[arg] = self._load(each, access)
        for op in self._operations():
            if all(self._dims[v] <= ready for v in op.results):
                for each in inner:
                    if not all(v in each.values for v in op.results):
                        self._operation(each, op)
        return inner

    def element(self, frame: Frame, value: Value) -> Value:
        """An argument, or a subscript that is computed with, where `frame` says."""
        if value in self.accesses:
            return self._load(frame, self.accesses[value])
        assert isinstance(value.defining_op, kernel.Index)
        return self._index(frame, self.nest.index_of[value.defining_op.dim])

    def outputs(self, frame: Frame) -> list[Value]:
        """What the block yields; every dimension must be known."""
        return [frame.values[v] for v in self.yielded]

    def _operation(self, frame: Frame, op: Operation) -> None:
        match op:
            case kernel.Index():
                frame.values[op.output] = self._index(frame, self.nest.index_of[op.dim])
            case kernel.Load():
                frame.values[op.output] = self._dynamic_load(frame, op)
            case math.Power() if op in self.exponents:
                frame.values[op.result] = self._power(frame, op)
            case math.PowerPartial() if op in self.exponents:
                frame.values[op.result] = self._power_partial(frame, op)
            case arith.Constant():
                frame.values[op.result] = self.b.constant(_number(op), _scalar(op.result))
            case _:
                operands = [frame.values[v] for v in op.operands]
                self._apply(frame, op, operands)

    def _apply(self, frame: Frame, op: Operation, operands: Sequence[Value]) -> None:
        lanes = max((lanes_of(v) for v in operands), default=1)
        results = clone_elementwise(self.b, op, [spread(self.b, v, lanes) for v in operands])
        frame.values.update(zip(op.results, results, strict=True))

    def _power(self, frame: Frame, op: math.Power | math.PowerPartial, less: int = 0) -> Value:
        """`op.lhs` to the power `op.rhs - less`; to the power 0 where `less` makes it negative.

        By loop variables and lanes, but where exponents are read or must be cut off, and where idle
        lanes come first: there each lane has a number.
        """
        b, x, exponent = self.b, frame.values[op.lhs], self.exponents[op]
        most, inverse = exponent.most, exponent.low < 0
        at = self._at(frame, exponent, lanes_of(x), most) if not self.provided else None
        backwards = at is not None and (at.step < 0) != inverse and _is_masked(frame.lanes)
        if at is not None and not backwards and less <= max(exponent.low, 0):
            at = replace(at, start=at.start + -less)
            return self._powers.power(x, -at if inverse else at, inverse)
        if at is not None:
            number = at.number(b)
        else:
            assert isinstance(op.rhs.defining_op, arith.Convert)
            whole = frame.values[op.rhs.defining_op.operand]
            number = arith.convert(b.builder, whole, DType.I64)
        if less:
            by = b.constant(less, number.type)
            number = arith.subtract(b.builder, number, by)
            number = arith.maximum(b.builder, number, b.constant(0, number.type))
        if inverse:
            number = arith.subtract(b.builder, b.constant(0, number.type), number)
        return self._powers.power_in_lanes(x, number, most, inverse)

    def _at(self, frame: Frame, exponent: Exponent, lanes: int, most: int) -> At:
        """The exponent of a power whose base is in so many lanes."""
        start, step = Linear((), exponent.constant), 0
        for d, c in exponent.coefficients:
            start = start + frame.positions[d] * c
            if frame.lanes is not None and frame.lanes.count > 1 and frame.lanes.dimension == d:
                step, lanes = c, frame.lanes.count
        return At(start, step, lanes, most)

    def _power_partial(self, frame: Frame, op: math.PowerPartial) -> Value:
        """n (n - 1) … times a lower power, which is 1 where that factor is 0 already."""
        b = self.b
        power = self._power(frame, op, op.base_order)
        lanes = max(lanes_of(power), lanes_of(frame.values[op.rhs]))
        power, n = (spread(b, v, lanes) for v in (power, frame.values[op.rhs]))
        factor, zero = b.constant(1.0, n.type), b.constant(0.0, n.type)
        for i in range(op.base_order):
            next_ = arith.subtract(b.builder, n, b.constant(float(i), n.type))
            factor = arith.multiply(b.builder, factor, next_) if i else next_
        product = arith.multiply(b.builder, factor, power)
        nothing = (arith.compare(b.builder, arith.Direction.EQ, v, zero) for v in (factor, power))
        return arith.select(b.builder, arith.logical_or(b.builder, *nothing), zero, product)

    def _index(self, frame: Frame, dimension: int | None) -> Value:
        if dimension is None:
            return self.b.index(0)
        position = self.b.index(frame.positions[dimension])
        lanes = frame.lanes
        if lanes is None or lanes.dimension != dimension or lanes.count == 1:
            return position
        first = self.b.broadcast(position, lanes.count)
        return arith.add(self.b.builder, first, self.b.iota(lanes.count))

    def _load(self, frame: Frame, access: Access) -> Value:
        return load(self.b, access, frame)

    def _dynamic_load(self, frame: Frame, op: kernel.Load) -> Value:
        """Read one element of a captured tensor, or one for each lane, clamping subscripts.

        Lanes that read neighbours read them as one vector when none of them needs clamping.
        """
        b = self.b
        memref = self.nest.captured[op.source]
        if not isinstance(memref.type, MemRefType):
            return memref
        shape, strides = memref.type.shape, strides_of(memref.type)
        subscripts = [arith.convert(b.builder, frame.values[v], DType.I64) for v in op.subscripts]
        fixed, moving = Linear(), [i for i, at in enumerate(subscripts) if lanes_of(at) > 1]
        for i, at in enumerate(subscripts):
            if i not in moving:
                inside = at if op.in_bounds else clamp(b, at, shape[i])
                fixed = fixed + Linear.of(inside) * strides[i]
        flat = b.flat(memref)
        if not moving:
            return b.load(flat, [fixed])
        lanes = lanes_of(subscripts[moving[0]])

        def scattered() -> list[Value]:
            offset: Value | None = None
            for i in moving:
                at = subscripts[i] if op.in_bounds else clamp(b, subscripts[i], shape[i])
                if strides[i] != 1:
                    at = arith.multiply(b.builder, at, b.constant(strides[i], at.type))
                offset = at if offset is None else arith.add(b.builder, offset, at)
            assert offset is not None
            mask = mask_of(b, frame.lanes, lanes)
            return [b.gather(flat, [fixed], offset, mask)]

        last = len(subscripts) - 1
        assert frame.lanes is not None
        step = self._step(op.subscripts[last], frame.lanes.dimension)
        if moving != [last] or step != 1 or shape[last] < lanes:
            return scattered()[0]
        mask = frame.lanes.mask
        first = self._first(frame, op.subscripts[last])

        def together() -> list[Value]:
            return [b.vector_load(flat, [fixed + first], lanes, mask=mask)]

        if op.in_bounds:
            return together()[0]
        compare = arith.Direction.GE, arith.Direction.LE
        low, high = b.index(0), b.index(shape[last] - lanes)
        at = b.index(first)
        enough = arith.compare(b.builder, compare[0], at, low)
        room = arith.compare(b.builder, compare[1], at, high)
        return b.if_(arith.logical_and(b.builder, enough, room), together, scattered)[0]

    def _first(self, frame: Frame, value: Value) -> Linear:
        """The subscript in the first lane, of one whose step is known."""
        match value.defining_op:
            case kernel.Index(dim=dim):
                dimension = self.nest.index_of[dim]
                return Linear() if dimension is None else frame.positions[dimension]
            case arith.Add(operands=(x, y)):
                return self._first(frame, x) + self._first(frame, y)
            case arith.Subtract(operands=(x, y)):
                return self._first(frame, x) + self._first(frame, y) * -1
            case arith.Convert(operands=(x,)) if dtype_of(x.type).is_integer:
                return self._first(frame, x)
            case arith.Constant() as op:
                return Linear((), int(_number(op)))
            case _:
                return Linear.of(arith.convert(self.b.builder, frame.values[value], DType.I64))

    def _step(self, value: Value, dimension: int) -> int | None:
        """How much an integer grows from lane to lane; None when that is not known."""
        if dimension not in self._dims[value]:
            return 0
        match value.defining_op:
            case kernel.Index():
                return None if value in self.provided else 1
            case arith.Add(operands=(x, y)):
                steps = self._step(x, dimension), self._step(y, dimension)
                return None if steps[0] is None or steps[1] is None else steps[0] + steps[1]
            case arith.Subtract(operands=(x, y)):
                steps = self._step(x, dimension), self._step(y, dimension)
                return None if steps[0] is None or steps[1] is None else steps[0] - steps[1]
            case arith.Convert(operands=(x,)) if dtype_of(x.type).is_integer:
                return self._step(x, dimension)
            case _:
                return None


def _is_masked(lanes: Lanes | None) -> bool:
    return lanes is not None and lanes.mask is not None


def mask_of(b: LoopBuilder, lanes: Lanes | None, count: int) -> Value:
    """The mask of idle lanes, all true where there is none."""
    if lanes is not None and lanes.mask is not None:
        return lanes.mask
    return b.constant(True, VectorType((count,), DType.BOOL))


def spread(b: LoopBuilder, value: Value, lanes: int) -> Value:
    """`value` in every lane, unless it is a vector already."""
    if lanes == 1 or lanes_of(value) == lanes:
        return value
    op = value.defining_op
    if isinstance(op, arith.Constant):
        return b.constant(_number(op), VectorType((lanes,), dtype_of(value.type)))
    return b.broadcast(value, lanes)


def absorbed(
    b: LoopBuilder, x: Value, y: Value, x_absorbs: bool, y_absorbs: bool
) -> tuple[Value, Value]:
    """Two factors; one that is not finite becomes 0 where the other is a zero that absorbs it."""
    zero = b.constant(0.0, x.type)

    def guarded(value: Value, by: Value) -> Value:
        size = b.insert(arith.Abs([value])).result
        infinity = b.constant(float("inf"), value.type)
        finite = arith.compare(b.builder, arith.Direction.LT, size, infinity)
        live = arith.compare(b.builder, arith.Direction.NE, by, zero)
        return arith.select(b.builder, arith.logical_or(b.builder, finite, live), value, zero)

    return guarded(x, y) if y_absorbs else x, guarded(y, x) if x_absorbs else y


def clamp(b: LoopBuilder, subscript: Value, extent: int) -> Value:
    """An `i64` scalar or vector, moved into `0 … extent - 1`."""
    low, high = (b.constant(n, subscript.type) for n in (0, max(extent - 1, 0)))
    return arith.minimum(b.builder, arith.maximum(b.builder, subscript, low), high)


def _number(op: arith.Constant) -> float | int | bool:
    value = op.attributes["value"]
    if isinstance(value, DenseElements):
        number = value.array.reshape(-1)[0].item()
        assert isinstance(number, float | int | bool)
        return number
    assert isinstance(value, float | int | bool)
    return value


def _scalar(value: Value) -> ScalarType:
    return ScalarType(dtype_of(value.type))


def address(access: Access, positions: Mapping[int, Linear]) -> Linear:
    """Where the access lies for known loop variables."""
    at = access.offset
    for dimension, stride in enumerate(access.strides):
        if stride:
            at = at + positions[dimension] * stride
    return at


def load(b: LoopBuilder, access: Access, frame: Frame) -> Value:
    """The element of an access, or one for each lane where it moves along the lanes."""
    if not access.in_memory:
        return access.buffer
    at = address(access, frame.positions)
    lanes = frame.lanes
    stride = access.strides[lanes.dimension] if lanes is not None else 0
    if lanes is None or lanes.count == 1 or stride == 0 or lanes.dimension not in frame.positions:
        return b.load(access.buffer, [at])
    if stride == 1:
        return b.vector_load(access.buffer, [at], lanes.count, mask=lanes.mask)
    offsets = b.iota(lanes.count, stride)
    return b.gather(access.buffer, [at], offsets, mask_of(b, lanes, lanes.count))


def store(b: LoopBuilder, value: Value, access: Access, frame: Frame) -> None:
    """Write an element, or one for each lane where the access moves along the lanes."""
    at = address(access, frame.positions)
    lanes = frame.lanes
    if lanes is None or lanes.count == 1 or access.strides[lanes.dimension] == 0:
        b.store(value, access.buffer, [at])
        return
    stride = access.strides[lanes.dimension]
    vector = spread(b, value, lanes.count)
    if stride == 1:
        b.vector_store(vector, access.buffer, [at], mask=lanes.mask)
        return
    offsets = b.iota(lanes.count, stride)
    b.scatter(vector, access.buffer, [at], offsets, mask_of(b, lanes, lanes.count))
