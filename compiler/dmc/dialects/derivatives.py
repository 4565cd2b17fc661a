"""The differentiation operators in IR, for callers in the language and in Python alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from dmc.dialects import arith, autodiff, control, func, tensor
from dmc.dialects.arith import Direction
from dmc.ir import Array, Block, Builder, DType, Module, TensorType, Value, shape_of
from dmc_runtime.budget import NO_BUDGET, Budget


@dataclass(frozen=True)
class Compressed:
    """A sparse matrix of derivatives by few passes: entries by rows, each row's by columns.

    Directions of one colour are summed in one pass; -1 is no colour. Entry e is in row `rows[e]`
    and column `columns[e]`, and at `places[e]` of the tangents of all colours of columns, followed
    by the cotangents of all colours of rows.
    """

    rows: Array
    columns: Array
    places: Array
    column_colours: Array
    row_colours: Array


@dataclass(frozen=True)
class Problem:
    """`function` at `arguments`, to be differentiated in the arguments at positions `target`.

    Gradients, tangents and Jacobians are in the order of the target, which is any. What is
    differentiated are results of the function: `of` numbers them, ascending. Reverse mode is
    held to the `budget`.
    """

    function: func.Func
    arguments: tuple[Value, ...]
    target: tuple[int, ...]
    budget: Budget = NO_BUDGET

    @property
    def wrt(self) -> tuple[int, ...]:
        """The target in the order of the arguments, as the operations of `autodiff` want it."""
        return tuple(sorted(self.target))

    @property
    def order(self) -> tuple[int, ...]:
        """Where each of the target stands in `wrt`."""
        wrt = self.wrt
        return tuple(wrt.index(position) for position in self.target)

    @property
    def output(self) -> TensorType:
        """The type of the first result."""
        return _tensor(self.function.function_type.results[0])

    @property
    def target_types(self) -> list[TensorType]:
        return [_tensor(self.arguments[position].type) for position in self.target]

    def call(self, builder: Builder) -> tuple[Value, ...]:
        """The results."""
        return tuple(func.call(builder, self.function, self.arguments))

    def pull(
        self, builder: Builder, cotangents: Sequence[Value], of: Sequence[int]
    ) -> tuple[tuple[Value, ...], list[Value]]:
        """Results, and cotangents of the target from those of the results `of`."""
        values, found = autodiff.vjp(
            builder, self.function, self.arguments, cotangents, self.wrt, of, self.budget
        )
        return values, [found[i] for i in self.order]

    def push(
        self, builder: Builder, tangents: Sequence[Value], of: Sequence[int]
    ) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        """Results, and tangents of the results `of` from those of the target."""
        ordered = list(tangents)
        for tangent, place in zip(tangents, self.order, strict=True):
            ordered[place] = tangent
        return autodiff.jvp(builder, self.function, self.arguments, ordered, self.wrt, of)

    def gradient(self, builder: Builder) -> tuple[tuple[Value, ...], list[Value]]:
        """Results, and the gradient of the first, a scalar."""
        return self.pull(builder, [arith.ones(builder, self.output)], (0,))

    def of_gradient(self, builder: Builder) -> Problem:
        """The gradient of the first result, as a function to be differentiated again."""
        module = self.function.parent_op
        assert isinstance(module, Module)
        name = f"{self.function.sym_name}_grad"
        types = [value.type for value in self.arguments]
        names = [value.name for value in self.arguments]
        new, inner = func.function(module, name, types, names, builder.location, private=True)
        within = Problem(self.function, tuple(new.body.args), self.target, self.budget)
        return Problem(
            func.finish(new, inner, within.gradient(inner)[1]),
            self.arguments,
            self.target,
            self.budget,
        )

    def jacobian(self, builder: Builder, of: Sequence[int]) -> list[Value]:
        """The derivative of each of the results `of` in each of the target.

        The axes of the result come first. Forward mode takes a pass for each element of the
        target, reverse mode one for each element of the results; the fewer are taken.
        """
        results = [_tensor(self.function.function_type.results[i]) for i in of]
        types = self.target_types
        if sum(t.size for t in types) <= sum(t.size for t in results):
            columns = [self._columns(builder, i, of) for i in range(len(types))]
            return [column[i] for i in range(len(results)) for column in columns]
        return [row for i in range(len(results)) for row in self._rows(builder, i, of)]

    def _rows(self, builder: Builder, chosen: int, of: Sequence[int]) -> list[Value]:
        """Reverse mode from one of the results `of`."""
        results = [_tensor(self.function.function_type.results[i]) for i in of]
        block = Block([control.INDEX] * results[chosen].rank)
        inner = Builder(block, location=builder.location)
        seeds = _seeds(inner, results, chosen, block.args)
        control.make_yield(inner, self.pull(inner, seeds, of)[1])
        return list(control.make_map(builder, results[chosen].shape, block).results)

    def sweep(
        self, builder: Builder, directions: Sequence[Value], of: Sequence[int], in_reverse: bool
    ) -> list[Value]:
        """Tangents of the results `of`, or cotangents of the target, along stacked directions."""
        (count, *_) = shape_of(directions[0].type)
        if not count:
            outputs = [_tensor(self.function.function_type.results[i]) for i in of]
            moved = self.target_types if in_reverse else outputs
            empty = [TensorType((0, *type_.shape), type_.dtype) for type_ in moved]
            return [arith.zeros(builder, type_) for type_ in empty]
        directions = [autodiff.given(builder, stacked) for stacked in directions]
        block = Block([control.INDEX])
        inner = Builder(block, location=builder.location)
        (at,) = block.args
        parts = [_part(inner, stacked, at) for stacked in directions]
        move = self.pull if in_reverse else self.push
        control.make_yield(inner, move(inner, parts, of)[1])
        return list(control.make_map(builder, (count,), block).results)

    def compressed(self, builder: Builder, of: Sequence[int], matrix: Compressed) -> Value:
        """The entries of a sparse matrix of derivatives of the results `of`."""
        results = [_tensor(self.function.function_type.results[i]) for i in of]
        tables: list[Value] = []
        for colours, moved, in_reverse in (
            (matrix.column_colours, self.target_types, False),
            (matrix.row_colours, results, True),
        ):
            count = int(colours.max(initial=-1)) + 1
            if count:
                directions = _coloured(builder, colours, count, moved)
                tables += [self._table(builder, directions, of, in_reverse)]
        if not tables:
            return arith.zeros(builder, TensorType((0,), results[0].dtype))
        places = TensorType(matrix.places.shape, DType.I64)
        flat = tensor.concatenate(builder, tables, 0) if len(tables) > 1 else tables[0]
        return tensor.take(builder, flat, arith.constant(builder, matrix.places, places))

    def _table(
        self, builder: Builder, directions: Sequence[Value], of: Sequence[int], in_reverse: bool
    ) -> Value:
        """What directions give, one after another, each the leaves one after another."""
        parts = self.sweep(builder, directions, of, in_reverse)
        flat: list[Value] = []
        for part in parts:
            count, *shape = shape_of(part.type)
            flat.append(tensor.reshape(builder, part, (count, prod(shape))))
        whole = tensor.concatenate(builder, flat, 1) if len(flat) > 1 else flat[0]
        return tensor.reshape(builder, whole, (prod(shape_of(whole.type)),))

    def _columns(self, builder: Builder, chosen: int, of: Sequence[int]) -> list[Value]:
        """Forward mode in one of the target, turned so that the axes of results come first."""
        types = self.target_types
        block = Block([control.INDEX] * types[chosen].rank)
        inner = Builder(block, location=builder.location)
        tangents = _seeds(inner, types, chosen, block.args)
        control.make_yield(inner, self.push(inner, tangents, of)[1])
        lead = types[chosen].rank
        turned: list[Value] = []
        for table in control.make_map(builder, types[chosen].shape, block).results:
            order = [*range(lead, len(shape_of(table.type))), *range(lead)]
            turned.append(tensor.transpose(builder, table, order))
        return turned


def _seeds(
    builder: Builder, types: Sequence[TensorType], chosen: int, point: Sequence[Value]
) -> list[Value]:
    """One at a point of one of several tensors, zero elsewhere."""
    return [
        one_hot(builder, type_, point) if i == chosen else arith.zeros(builder, type_)
        for i, type_ in enumerate(types)
    ]


def _coloured(
    builder: Builder, colours: Array, count: int, types: Sequence[TensorType]
) -> list[Value]:
    """For each of several tensors, `count` directions: ones at what has the colour."""
    found: list[Value] = []
    start = 0
    for type_ in types:
        whole = TensorType((count, *type_.shape), DType.I32)
        own = colours[start : start + type_.size].reshape(type_.shape)
        held = arith.constant(builder, own, TensorType(type_.shape, DType.I32))
        spread = tensor.broadcast_in_dim(builder, held, whole.shape, range(1, whole.rank))
        here = arith.compare(builder, Direction.EQ, tensor.iota(builder, whole, 0), spread)
        found.append(_chosen(builder, here, type_.dtype))
        start += type_.size
    return found


def one_hot(builder: Builder, type_: TensorType, point: Sequence[Value]) -> Value:
    """One at a point, zero elsewhere."""
    whole = TensorType(type_.shape, DType.I64)
    inside: Value | None = None
    for axis, index in enumerate(point):
        spread = tensor.broadcast_in_dim(builder, index, type_.shape, ())
        places = tensor.iota(builder, whole, axis)
        here = arith.compare(builder, Direction.EQ, places, spread)
        inside = here if inside is None else arith.logical_and(builder, inside, here)
    if inside is None:
        return arith.ones(builder, type_)
    return _chosen(builder, inside, type_.dtype)


def _chosen(builder: Builder, where: Value, dtype: DType) -> Value:
    """The direction of the elements where a condition holds; what is zero in it is meant to be."""
    ones = arith.convert(builder, where, dtype)
    return builder.insert(autodiff.Direction([ones])).result


def _part(builder: Builder, stacked: Value, at: Value) -> Value:
    """The part of a tensor at a place of its first axis."""
    sizes = shape_of(stacked.type)
    starts = [at, *[arith.index(builder, 0)] * (len(sizes) - 1)]
    part = tensor.dynamic_slice(builder, stacked, starts, (1, *sizes[1:]))
    return tensor.reshape(builder, part, sizes[1:])


def _tensor(type_: object) -> TensorType:
    assert isinstance(type_, TensorType)
    return type_
