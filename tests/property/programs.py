"""Random well-typed tensor programs, as a Hypothesis strategy.

Values stay moderate, so that every stage of the compiler can be held against the interpreter with
a tight tolerance: operations are chosen to keep elements within a few units of zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

from dmc.dialects import arith, control, func, math, tensor
from dmc.dialects.tensor.base import type_of
from dmc.ir import Array, Block, Builder, DType, Module, TensorType, Value, shape_of, verify
from dmc.ir.operation import Operation

SIZES = (1, 2, 3, 4, 8, 17)
T = TypeVar("T")

UNARY = ("sin", "cos", "tanh", "logistic", "atan", "negate", "abs", "relu", "erf")
BINARY = (arith.add, arith.subtract, arith.multiply, arith.maximum, arith.minimum)


class Generator:
    """Draws operations one after the other; `values` are those in scope, all of one type."""

    def __init__(
        self,
        draw: st.DrawFn,
        builder: Builder,
        values: list[Value],
        depth: int,
        dtype: DType,
    ) -> None:
        self.draw = draw
        self.dtype = dtype
        self.builder = builder
        self.values = values
        self.depth = depth

    def pick(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def value(self) -> Value:
        return self.pick(self.values)

    def step(self) -> None:
        """Emit one random operation."""
        makers = [
            self.unary,
            self.binary,
            self.binary,
            self.reduce,
            self.transpose,
            self.broadcast,
            self.slice,
            self.pad,
            self.concatenate,
            self.contract,
            self.select,
            self.reshape,
            self.take,
            self.extract,
        ]
        if self.depth > 0:
            makers += [self.loop, self.branch, self.map]
        made = self.pick(makers)()
        if made is not None and type_of(made).size <= 4096:
            self.values.append(made)

    def fitting(self, x: Value) -> Value:
        """A value in scope made to have the shape of `x`."""
        same = [v for v in self.values if v.type == x.type]
        if same:
            return self.pick(same)
        y = self.value()
        if type_of(y).shape != ():
            y = tensor.reduce(self.builder, y, tensor.Kind.MAX, range(type_of(y).rank))
        return tensor.broadcast(self.builder, y, type_of(x).shape)

    def unary(self) -> Value:
        name = self.pick(UNARY)
        return math.unary(self.builder, name, self.value())

    def binary(self) -> Value:
        x = self.value()
        made = self.pick(BINARY)(self.builder, x, self.fitting(x))
        return math.tanh(self.builder, made) if self.draw(st.booleans()) else made

    def reduce(self) -> Value | None:
        x = self.value()
        if type_of(x).rank == 0 or 0 in type_of(x).shape:
            return None
        axes = self.draw(st.sets(st.integers(0, type_of(x).rank - 1), min_size=1))
        kind = self.pick((tensor.Kind.SUM, tensor.Kind.MAX, tensor.Kind.MIN, tensor.Kind.SUM))
        made = tensor.reduce(self.builder, x, kind, sorted(axes))
        if kind is tensor.Kind.SUM:
            count = type_of(x).size // max(type_of(made).size, 1)
            scale = arith.constant(self.builder, 1.0 / count, made.type)
            made = arith.multiply(self.builder, made, scale)
        return made

    def transpose(self) -> Value:
        x = self.value()
        return tensor.transpose(self.builder, x, self.draw(st.permutations(range(type_of(x).rank))))

    def broadcast(self) -> Value | None:
        x = self.value()
        if type_of(x).rank > 2:
            return None
        size = self.pick(SIZES)
        if self.draw(st.booleans()):
            return tensor.broadcast(self.builder, x, (size, *type_of(x).shape))
        dims = tuple(range(type_of(x).rank))
        return tensor.broadcast_in_dim(self.builder, x, (*type_of(x).shape, size), dims)

    def slice(self) -> Value | None:
        x = self.value()
        if type_of(x).rank == 0:
            return None
        axis = self.draw(st.integers(0, type_of(x).rank - 1))
        extent = type_of(x).shape[axis]
        start = self.draw(st.integers(0, extent - 1))
        limit = self.draw(st.integers(start + 1, extent))
        stride = self.draw(st.integers(1, 2))
        return tensor.slice_axis(self.builder, x, axis, start, limit, stride)

    def pad(self) -> Value | None:
        x = self.value()
        if type_of(x).rank == 0:
            return None
        rank = type_of(x).rank
        low = [self.draw(st.integers(0, 2)) for _ in range(rank)]
        high = [self.draw(st.integers(0, 2)) for _ in range(rank)]
        zero = arith.scalar(self.builder, 0.0, self.dtype)
        return tensor.pad(self.builder, x, zero, low, high, [0] * rank)

    def concatenate(self) -> Value | None:
        x = self.value()
        if type_of(x).rank == 0:
            return None
        axis = self.draw(st.integers(0, type_of(x).rank - 1))
        return tensor.concatenate(self.builder, [x, self.fitting(x)], axis)

    def contract(self) -> Value | None:
        x = self.value()
        if type_of(x).rank < 1 or type_of(x).rank > 2:
            return None
        size = type_of(x).shape[-1]
        others = [v for v in self.values if type_of(v).rank == 2 and type_of(v).shape[0] == size]
        y = self.pick(others) if others else None
        if y is None:
            if type_of(x).rank != 2:
                return None
            y = tensor.transpose(self.builder, x, (1, 0))
        made = tensor.matmul(self.builder, x, y)
        scale = arith.constant(self.builder, 1.0 / max(size, 1), made.type)
        return arith.multiply(self.builder, made, scale)

    def select(self) -> Value:
        x = self.value()
        y = self.fitting(x)
        direction = self.pick((arith.Direction.LT, arith.Direction.GE))
        holds = arith.compare(self.builder, direction, x, y)
        return arith.select(self.builder, holds, x, math.sin(self.builder, y))

    def reshape(self) -> Value | None:
        x = self.value()
        if type_of(x).rank == 2 and self.draw(st.booleans()):
            return tensor.reshape(self.builder, x, (type_of(x).size,))
        if type_of(x).rank == 1 and type_of(x).size % 2 == 0:
            return tensor.reshape(self.builder, x, (2, type_of(x).size // 2))
        return None

    def take(self) -> Value | None:
        x = self.value()
        if type_of(x).rank == 0:
            return None
        axis = self.draw(st.integers(0, type_of(x).rank - 1))
        wanted = st.lists(st.integers(0, type_of(x).shape[axis] - 1), min_size=1, max_size=5)
        indices = np.array(self.draw(wanted), np.int64)
        table = arith.constant(self.builder, indices, TensorType(indices.shape, DType.I64))
        return tensor.take(self.builder, x, table, axis)

    def extract(self) -> Value | None:
        x = self.value()
        if type_of(x).rank == 0:
            return None
        point = [self.draw(st.integers(0, n - 1)) for n in type_of(x).shape]
        indices = [arith.index(self.builder, i) for i in point]
        return tensor.extract(self.builder, x, indices)

    # Control flow: regions see all values in scope and hand on the last they make

    def region(self, block: Block, own: list[Value], wanted: TensorType | None) -> Value:
        """Fill `block` with a few operations; the outcome has the type `wanted` if given."""
        known = [*self.values, *own]
        inner = Generator(self.draw, Builder(block), known, self.depth - 1, self.dtype)
        for _ in range(self.draw(st.integers(1, 4))):
            inner.step()
        if wanted is None:
            return inner.values[-1]
        like = arith.zeros(inner.builder, wanted)
        candidates = [v for v in inner.values if v.type == wanted]
        return candidates[-1] if candidates else inner.fitting(like)

    def loop(self) -> Value:
        init = self.value()
        count = self.draw(st.integers(0, 4))
        block = Block([control.INDEX, init.type], ["i", "h"])
        following = self.region(block, [block.args[1]], type_of(init))
        inside = Builder(block)
        damped = math.tanh(inside, following)
        reverse = self.draw(st.booleans())
        control.make_yield(inside, [damped, damped])
        made = control.make_for(
            self.builder,
            arith.index(self.builder, count),
            [init],
            [],
            block,
            trip_count=count,
            reverse=reverse,
        )
        return made.results[self.draw(st.integers(0, 1)) if count else 0]

    def branch(self) -> Value:
        probe = self.value()
        if type_of(probe).rank:
            probe = tensor.reduce(self.builder, probe, tensor.Kind.MAX, range(type_of(probe).rank))
        zero = arith.scalar(self.builder, 0.1, self.dtype)
        condition = arith.compare(self.builder, arith.Direction.GT, probe, zero)
        wanted = type_of(self.value())
        blocks = [Block(), Block()]
        for block in blocks:
            outcome = self.region(block, [], wanted)
            control.make_yield(Builder(block), [outcome])
        return control.make_if(self.builder, condition, *blocks).results[0]

    def map(self) -> Value | None:
        x = self.value()
        if type_of(x).rank == 0:
            return None
        size = type_of(x).shape[0]
        block = Block([control.INDEX], ["n"])
        inside = Builder(block)
        rest = type_of(x).shape[1:]
        starts = [block.args[0], *(arith.index(inside, 0) for _ in rest)]
        row = tensor.dynamic_slice(inside, x, starts, (1, *rest))
        row = tensor.reshape(inside, row, rest)
        outcome = self.region(block, [row], None)
        control.make_yield(inside, [outcome])
        return control.make_map(self.builder, [size], block).results[0]


@st.composite
def programs(
    draw: st.DrawFn, operations: int = 14, depth: int = 2, dtype: DType = DType.F64
) -> tuple[Module, list[Array]]:
    """A module whose `@f` takes and returns tensors of `dtype`, and arguments for it."""
    shapes = draw(
        st.lists(st.lists(st.sampled_from(SIZES), max_size=2).map(tuple), min_size=1, max_size=3)
    )
    module = Module.empty()
    types = [TensorType(shape, dtype) for shape in shapes]
    names = [f"x{i}" for i in range(len(types))]
    function, builder = func.function(module, "f", types, names)
    generator = Generator(draw, builder, list(function.body.args), depth, dtype)
    for _ in range(draw(st.integers(operations // 2, operations))):
        generator.step()
    made = [v for v in generator.values if isinstance(v.owner, Operation)] or generator.values
    func.finish(function, builder, made[-2:])
    verify(module)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawn = [rng.uniform(-1, 1, shape_of(type_)) for type_ in types]
    return module, [array.astype(dtype.numpy) for array in drawn]
