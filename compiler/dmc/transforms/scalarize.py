"""Small tensors in loops become scalars, which live in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from dmc.dialects import arith, control, tensor
from dmc.dialects.elementwise import Elementwise, constant_array
from dmc.ir import (
    Array,
    Block,
    Builder,
    DType,
    Interpreter,
    Module,
    Operation,
    TensorType,
    Trait,
    Value,
    dtype_of,
    shape_of,
)
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.common import combined

MOST_ELEMENTS = 16
MOST_OPERATIONS = 4096


@dataclass(frozen=True)
class Scalarize(Pass):
    """Replace tensors of at most `most_elements` elements by their elements inside loops.

    Only loops that compute on nothing larger are rewritten, so that what feeds large kernels stays
    whole, and those whose elementary functions would not rather fill vectors. Elements are
    extracted where a tensor comes in and joined where one is needed.
    `most_operations` bounds the scalar code of one loop.
    """

    name = "scalarize"
    most_elements: int = MOST_ELEMENTS
    most_operations: int = MOST_OPERATIONS

    def run(self, module: Module) -> None:
        sums = set[Value]()
        for op in module.walk():
            if isinstance(op, control.Map) and op.inits:
                sums.update(op.states())
        loops = [op for op in module.walk() if isinstance(op, control.For | control.While)]
        for loop in loops:
            small = is_small_work(loop, self.most_elements, self.most_operations)
            if small and is_faster_in_scalars(loop) and not self._is_inside_done(loop):
                builder = Builder.ahead_of(loop)
                builder.location = loop.location.by(self.name)
                _Scalarizer(self.most_elements, sums).replace(builder, loop)

    def _is_inside_done(self, loop: Operation) -> bool:
        """Whether `loop` was left behind, detached, when one around it was rewritten."""
        at: Operation | None = loop
        while at is not None and not isinstance(at, Module):
            at = at.parent_op
        return at is None


def is_small_work(
    loop: Operation,
    most_elements: int = MOST_ELEMENTS,
    most_operations: int = MOST_OPERATIONS,
) -> bool:
    """Whether `loop` computes on tensors of a few elements only, and not too often."""
    operations = 0
    for op in loop.walk():
        if op is loop or isinstance(op, MEMORY) or op.has(Trait.TERMINATOR):
            continue
        if op.regions or op.has(Trait.CONSTANT):
            continue
        size = max((_size(value) for value in op.results), default=0)
        inputs = op.operands if isinstance(op, tensor.DotGeneral | tensor.Reduce) else ()
        if max((size, *(_size(value) for value in inputs))) > most_elements:
            return False
        operations += size * _unrolled(op)
    return operations <= most_operations


VECTOR_BYTES = 32
PASS = 12
"""What an operation costs that passes its operands and results through memory, in scalar ones: a
kernel's part, of which there are several in each kernel."""


def is_faster_in_scalars(loop: Operation) -> bool:
    """Whether scalar code is less work than vectors with the passing of kernels around them."""
    scalars = vectors = 0
    for op in loop.walk():
        if op.regions or op.has(Trait.TERMINATOR) or op.has(Trait.CONSTANT):
            continue
        size = max((_size(value) for value in op.results), default=0)
        if size <= 1 and not isinstance(op, tensor.DotGeneral | tensor.Reduce):
            continue
        if isinstance(op, Elementwise):
            lanes = max(1, VECTOR_BYTES // dtype_of(op.results[0].type).bytes)
            scalars += size * op.flops
            vectors += -(-size // lanes) * op.flops + PASS
        elif not isinstance(op, MEMORY):
            scalars += size * _unrolled(op)
            vectors += size * _unrolled(op) + PASS
    return scalars <= vectors


MEMORY = (
    tensor.DynamicSlice,
    tensor.DynamicUpdateSlice,
    tensor.Extract,
    tensor.Gather,
    tensor.Read,
    tensor.Scatter,
    tensor.Slice,
)
"""Reading and writing parts of large tensors is no work on them."""


def _size(value: Value) -> int:
    return prod(shape_of(value.type))


def _unrolled(op: Operation) -> int:
    """Scalar operations for one element of the result."""
    match op:
        case tensor.Reduce():
            return _size(op.operand) // max(_size(op.result), 1)
        case tensor.DotGeneral():
            shape = shape_of(op.lhs.type)
            return 2 * prod(shape[d] for d in op.lhs_contracting_dimensions)
        case _:
            return 1


@dataclass
class _Scalarizer:
    """Rebuilds operations with small tensors as lists of their elements, in row-major order."""

    most_elements: int
    sums: set[Value]
    """States of sums that points of maps add to, in place."""
    elements: dict[Value, list[Value]] = field(default_factory=dict[Value, "list[Value]"])
    whole: dict[Value, Value] = field(default_factory=dict[Value, Value])

    def replace(self, builder: Builder, op: Operation) -> None:
        self._rebuild(builder, op)
        new = [self.tensor(builder, value) for value in op.results]
        # The next loop may go on with a sum.
        self.sums.update(b for a, b in zip(op.results, new, strict=True) if a in self.sums)
        replace_op(op, new)

    # Values in both forms

    def is_small(self, value: Value) -> bool:
        type_ = value.type
        fits = isinstance(type_, TensorType) and 0 < type_.size <= self.most_elements
        return fits and value not in self.sums

    def scalars(self, builder: Builder, value: Value) -> list[Value]:
        """The elements of `value`."""
        known = self.elements.get(value)
        if known is not None:
            return known
        dtype = dtype_of(value.type)
        array = constant_array(value)
        if array is not None:
            return [arith.scalar(builder, x, dtype) for x in array.reshape(-1).tolist()]
        whole = self.whole.get(value, value)
        shape = shape_of(value.type)
        if not shape:
            return [whole]
        points = np.ndindex(*shape)
        return [
            tensor.extract(builder, whole, [arith.index(builder, i) for i in point])
            for point in points
        ]

    def tensor(self, builder: Builder, value: Value) -> Value:
        """`value` as one tensor."""
        known = self.elements.get(value)
        if known is None:
            return self.whole.get(value, value)
        shape = shape_of(value.type)
        if not shape:
            return known[0]
        joined = tensor.from_elements(builder, known)
        joined.name = value.name
        return tensor.reshape(builder, joined, shape)

    def _name(self, value: Value, elements: Sequence[Value]) -> None:
        """Elements are named after their tensor."""
        for i, element in enumerate(elements):
            if value.name and not element.name:
                element.name = f"{value.name}_{i}" if len(elements) > 1 else value.name

    # Operations

    def _rebuild(self, builder: Builder, op: Operation) -> None:
        with builder.at(op.location):
            match op:
                case control.For():
                    self._for(builder, op)
                case control.While():
                    self._while(builder, op)
                case control.If():
                    self._if(builder, op)
                case _ if op.regions or op.has(Trait.CONSTANT):
                    self._keep(builder, op)
                case _:
                    self._plain(builder, op)

    def _plain(self, builder: Builder, op: Operation) -> None:
        small = all(self.is_small(v) for v in op.results)
        rule = RULES.get(type(op))
        if rule is None and op.has(Trait.ELEMENTWISE):
            rule = _elementwise
        found = rule(self, builder, op) if small and rule is not None else None
        if found is None:
            self._keep(builder, op)
            return
        for value, elements in zip(op.results, found, strict=True):
            self._name(value, elements)
            self.elements[value] = list(elements)

    def _keep(self, builder: Builder, op: Operation) -> None:
        """Copy an operation on whole tensors."""
        outside = [v for inner in op.regions for v in inner.captures()]
        mapping = {v: self.tensor(builder, v) for v in (*op.operands, *outside)}
        builder.insert(op.clone(mapping))
        self.whole.update((value, mapping[value]) for value in op.results)

    def _run(self, block: Block, builder: Builder) -> tuple[Value, ...]:
        for op in block:
            if op.has(Trait.TERMINATOR):
                return op.operands
            self._rebuild(builder, op)
        raise ValueError("the block has no terminator")

    def _pass(self, builder: Builder, values: Sequence[Value]) -> list[Value]:
        """Small values by their elements, others whole."""
        passed: list[Value] = []
        for value in values:
            if self.is_small(value):
                passed += self.scalars(builder, value)
            else:
                passed.append(self.tensor(builder, value))
        return passed

    def _bind(self, block: Block, args: Sequence[Value]) -> None:
        """New block arguments for what `_pass` passes."""
        for arg in args:
            if not self.is_small(arg):
                self.whole[arg] = block.add_arg(arg.type, arg.name)
                continue
            scalar = TensorType((), dtype_of(arg.type))
            new = [block.add_arg(scalar) for _ in range(_size(arg))]
            self._name(arg, new)
            self.elements[arg] = new

    def _receive(self, results: Sequence[Value], passed: Sequence[Value]) -> None:
        """Results from what came out, as `_pass` would pass them."""
        rest = list(passed)
        for value in results:
            if self.is_small(value):
                count = _size(value)
                self._name(value, rest[:count])
                self.elements[value], rest = rest[:count], rest[count:]
            else:
                self.whole[value] = rest.pop(0)

    def _for(self, builder: Builder, op: control.For) -> None:
        inits = self._pass(builder, op.inits)
        block = Block()
        self.whole[op.index] = block.add_arg(control.INDEX, op.index.name)
        self._bind(block, op.carried_args)
        for arg in op.scanned_args:
            self.whole[arg] = block.add_arg(arg.type, arg.name)
        inner = Builder(block, location=builder.location)
        yielded = self._run(op.body, inner)
        nexts = self._pass(inner, yielded[: op.carried])
        stacked = [self.tensor(inner, value) for value in yielded[op.carried :]]
        control.make_yield(inner, [*nexts, *stacked])
        scanned = [self.tensor(builder, value) for value in op.scanned]
        count = self.tensor(builder, op.count)
        new = control.make_for(
            builder, count, inits, scanned, block, op.trip_count, op.reverse, op.checkpoint, op.most
        )
        self._receive(op.finals, new.finals)
        self.whole.update(zip(op.stacks, new.stacks, strict=True))

    def _while(self, builder: Builder, op: control.While) -> None:
        inits = self._pass(builder, op.inits)
        blocks = [Block(), Block()]
        for old, new in zip((op.condition, op.body), blocks, strict=True):
            self._bind(new, old.args)
            inner = Builder(new, location=builder.location)
            yielded = self._run(old, inner)
            count = len(yielded) if old is op.condition else len(op.inits)
            stacked = [self.tensor(inner, value) for value in yielded[count:]]
            control.make_yield(inner, [*self._pass(inner, yielded[:count]), *stacked])
        loop = control.make_while(builder, inits, blocks[0], blocks[1], op.checkpoint)
        self._receive(op.finals, loop.finals)
        self.whole.update(zip(op.stacks, loop.stacks, strict=True))

    def _if(self, builder: Builder, op: control.If) -> None:
        blocks = [Block(), Block()]
        for old, new in zip((op.on_true, op.on_false), blocks, strict=True):
            inner = Builder(new, location=builder.location)
            control.make_yield(inner, self._pass(inner, self._run(old, inner)))
        condition = self.tensor(builder, op.condition)
        branch = control.make_if(builder, condition, *blocks)
        self._receive(op.results, branch.results)


Rule = Callable[[_Scalarizer, Builder, Operation], "Sequence[Sequence[Value]] | None"]
"""The elements of each result, or None to keep the operation whole."""


def _elementwise(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]]:
    columns = [s.scalars(builder, value) for value in op.operands]
    types = [TensorType((), dtype_of(value.type)) for value in op.results]
    rows = [
        builder.insert(type(op)(row, op.attributes, (), types, op.location)).results
        for row in zip(*columns, strict=True)
    ]
    return [[row[i] for row in rows] for i in range(len(op.results))]


def _movement(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]] | None:
    """What only moves elements moves their numbers."""
    if not all(s.is_small(value) for value in op.operands):
        return _part(s, builder, op) if isinstance(op, tensor.Slice) else None
    numbers: list[Array] = []
    flat: list[Value] = []
    for value in op.operands:
        shape = shape_of(value.type)
        numbers.append(np.arange(len(flat), len(flat) + prod(shape)).reshape(shape))
        flat += s.scalars(builder, value)
    (moved,) = op.evaluate(numbers, Interpreter())
    return [[flat[i] for i in moved.reshape(-1).tolist()]]


def _read(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]] | None:
    """Elements where a map says, and zeros outside."""
    assert isinstance(op, tensor.Read)
    if not s.is_small(op.operand):
        return None
    flat = s.scalars(builder, op.operand)
    numbers = np.arange(1, len(flat) + 1).reshape(shape_of(op.operand.type))
    (read,) = op.evaluate([numbers], Interpreter())
    zero = arith.scalar(builder, 0, dtype_of(op.operand.type))
    return [[flat[i - 1] if i else zero for i in read.reshape(-1).tolist()]]


def _accumulate(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]] | None:
    """Sums of what is added at each place."""
    assert isinstance(op, tensor.Accumulate)
    if not s.is_small(op.updates):
        return None
    places, inside = op.destinations()
    terms = [list[Value]() for _ in range(_size(op.result))]
    for i, value in enumerate(s.scalars(builder, op.updates)):
        if inside.reshape(-1)[i]:
            terms[int(places.reshape(-1)[i])].append(value)
    zero = arith.scalar(builder, 0, dtype_of(op.updates.type))
    return [[combined(builder, tensor.Kind.SUM, each) if each else zero for each in terms]]


def _update(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]] | None:
    """Some elements in the place of others, or added to them, where the place is known."""
    assert isinstance(op, tensor.DynamicUpdateSlice)
    starts = [constant_array(s.whole.get(value, value)) for value in op.start_indices]
    known = [start for start in starts if start is not None]
    if len(known) < len(starts) or not s.is_small(op.update):
        return None
    elements = list(s.scalars(builder, op.input))
    numbers = np.arange(len(elements)).reshape(shape_of(op.input.type))
    places = numbers[op.window(numbers, known)].reshape(-1).tolist()
    for i, new in zip(places, s.scalars(builder, op.update), strict=True):
        adds = op.combiner is tensor.Combiner.ADD
        elements[i] = arith.add(builder, elements[i], new) if adds else new
    return [elements]


def _part(s: _Scalarizer, builder: Builder, op: tensor.Slice) -> list[list[Value]]:
    """A few elements of a large tensor."""
    whole = s.tensor(builder, op.operand)
    sizes = shape_of(op.result.type)
    places = list(zip(op.start_indices, op.strides, strict=True))
    return [
        [
            tensor.extract(
                builder,
                whole,
                [
                    arith.index(builder, start + i * stride)
                    for i, (start, stride) in zip(point, places, strict=True)
                ],
            )
            for point in np.ndindex(*sizes)
        ]
    ]


def _window(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]]:
    """A few elements at a run-time position, which is clamped as a whole."""
    assert isinstance(op, tensor.DynamicSlice)
    whole = s.tensor(builder, op.operand)
    starts: list[Value] = []
    for value, size, n in zip(
        op.start_indices, op.slice_sizes, shape_of(op.operand.type), strict=True
    ):
        start = arith.convert(builder, s.tensor(builder, value), DType.I64)
        low, high = arith.index(builder, 0), arith.index(builder, n - size)
        starts.append(arith.minimum(builder, arith.maximum(builder, start, low), high))
    return [
        [
            tensor.extract(
                builder,
                whole,
                [
                    arith.add(builder, start, arith.index(builder, i)) if i else start
                    for start, i in zip(starts, point, strict=True)
                ],
            )
            for point in np.ndindex(*op.slice_sizes)
        ]
    ]


def _iota(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]]:
    assert isinstance(op, tensor.Iota)
    (numbers,) = op.evaluate([], Interpreter())
    return [[arith.scalar(builder, n, op.type.dtype) for n in numbers.reshape(-1).tolist()]]


def _gather(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]] | None:
    """A few elements at positions of their own."""
    assert isinstance(op, tensor.Gather)
    if not all(s.is_small(value) for value in op.indices):
        return None
    whole = s.tensor(builder, op.operand)
    indices = [s.scalars(builder, value) for value in op.indices]
    lead = len(op.index_shape)
    found: list[Value] = []
    for point in np.ndindex(*shape_of(op.result.type)):
        number = int(np.ravel_multi_index(point[:lead], op.index_shape)) if lead else 0
        at = {d: each[number] for d, each in zip(op.start_index_map, indices, strict=True)}
        pairs = zip(op.operand_batching_dims, op.start_indices_batching_dims, strict=True)
        at.update({d: arith.index(builder, point[i]) for d, i in pairs})
        at.update({d: arith.index(builder, point[lead + k]) for k, d in enumerate(op.whole_dims)})
        found.append(tensor.extract(builder, whole, [at[d] for d in range(len(at))]))
    return [found]


def _from_elements(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]]:
    return [[s.tensor(builder, value) for value in op.operands]]


def _extract(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]] | None:
    """A known element of a small tensor."""
    assert isinstance(op, tensor.Extract)
    if op.operand not in s.elements:
        return None
    at: list[int] = []
    for value, n in zip(op.indices, shape_of(op.operand.type), strict=True):
        index = constant_array(s.whole.get(value, value))
        if index is None:
            return None
        at.append(min(max(int(index), 0), n - 1))
    position = int(np.ravel_multi_index(tuple(at), shape_of(op.operand.type))) if at else 0
    return [[s.elements[op.operand][position]]]


def _reduce(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]] | None:
    assert isinstance(op, tensor.Reduce)
    narrow = dtype_of(op.operand.type) in (DType.F16, DType.BF16)
    if narrow or not s.is_small(op.operand):
        return None
    shape = shape_of(op.operand.type)
    flat = s.scalars(builder, op.operand)
    numbers = np.arange(len(flat)).reshape(shape).transpose((*op.kept, *op.dimensions))
    rows = numbers.reshape(_size(op.result), -1).tolist()
    return [[combined(builder, op.kind, [flat[i] for i in row]) for row in rows]]


def _dot(s: _Scalarizer, builder: Builder, op: Operation) -> list[list[Value]] | None:
    assert isinstance(op, tensor.DotGeneral)
    narrow = dtype_of(op.lhs.type) in (DType.F16, DType.BF16)
    if narrow or not (s.is_small(op.lhs) and s.is_small(op.rhs)):
        return None
    if not op.lhs_contracting_dimensions:
        return None
    left, right = s.scalars(builder, op.lhs), s.scalars(builder, op.rhs)
    lhs = _numbers(op.lhs, op.lhs_batching_dimensions, op.lhs_free, op.lhs_contracting_dimensions)
    rhs = _numbers(op.rhs, op.rhs_batching_dimensions, op.rhs_free, op.rhs_contracting_dimensions)
    absorb = (op.lhs_absorbs, op.rhs_absorbs)
    chosen = [s.scalars(builder, mask) for mask in op.selected]

    def product(i: int, j: int) -> Value:
        value = arith.product(builder, left[i], right[j], *absorb)
        for mask in chosen:
            value = arith.select(builder, mask[i], value, arith.zeros(builder, value.type))
        return value

    sums = [
        [product(i, j) for i, j in zip(a, b, strict=True)]
        for rows, columns in zip(lhs, rhs, strict=True)
        for a in rows
        for b in columns
    ]
    return [[combined(builder, tensor.Kind.SUM, each) for each in sums]]


def _numbers(value: Value, *groups: Sequence[int]) -> list[list[list[int]]]:
    """Numbers of the elements with three groups of axes merged into one each."""
    shape = shape_of(value.type)
    sizes = [prod(shape[d] for d in group) for group in groups]
    order = [d for group in groups for d in group]
    return np.arange(prod(shape)).reshape(shape).transpose(order).reshape(sizes).tolist()


RULES: dict[type[Operation], Rule] = {
    tensor.Accumulate: _accumulate,
    tensor.BroadcastInDim: _movement,
    tensor.Concatenate: _movement,
    tensor.DotGeneral: _dot,
    tensor.DynamicSlice: _window,
    tensor.DynamicUpdateSlice: _update,
    tensor.Extract: _extract,
    tensor.FromElements: _from_elements,
    tensor.Gather: _gather,
    tensor.Iota: _iota,
    tensor.Pad: _movement,
    tensor.Read: _read,
    tensor.Reduce: _reduce,
    tensor.Reshape: _movement,
    tensor.Reverse: _movement,
    tensor.Slice: _movement,
    tensor.Transpose: _movement,
}
