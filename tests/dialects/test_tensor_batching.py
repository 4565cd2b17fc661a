"""Reads and writes at computed positions, batched: affine positions become plain movement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmc.dialects import arith, tensor
from dmc.ir import (
    Array,
    Batched,
    Block,
    Builder,
    DType,
    Interpreter,
    Module,
    TensorType,
    Trait,
    Value,
)
from dmc.transforms.canonicalize import Canonicalize
from tests.transforms.programs import check, outputs_of, program

F64, I32, I64 = DType.F64, DType.I32, DType.I64
RNG = np.random.default_rng(0)
Body = Callable[[Builder, list[Value], list[Value]], Value]


def batched(
    inputs: Sequence[Array], sizes: Sequence[int], body: Body, summed: bool = False
) -> Module:
    """The program that maps `body(builder, inputs, indices)` over an index space, batched.

    Its result is checked against a loop. With `summed` it is summed over all points.
    """
    types = [TensorType(a.shape, DType.of(a.dtype)) for a in inputs]
    point = Block([*types, *(TensorType((), I64) for _ in sizes)])
    output = body(Builder(point), point.args[: len(types)], point.args[len(types) :])

    def whole(builder: Builder, args: list[Value]) -> list[Value]:
        env = {inner: Batched(outer) for inner, outer in zip(point.args, args, strict=False)}
        for axis, (n, arg) in enumerate(zip(sizes, point.args[len(types) :], strict=True)):
            env[arg] = Batched(tensor.arange(builder, n), (axis,))
        for op in point:
            operands = [env[value] for value in op.operands]
            if op.has(Trait.ELEMENTWISE):
                values, axes = tensor.align_all(builder, operands)
                operands = [Batched(value, axes) for value in values]
            env.update(zip(op.results, op.batch(builder, operands), strict=True))
        every = range(len(sizes))
        value = tensor.align(builder, env[output], tuple(every), dict(enumerate(sizes)))
        return [tensor.reduce_sum(builder, value, tuple(every)) if summed else value]

    made = program(types, whole)
    wanted = loop(point, inputs, sizes, output)
    (got,) = outputs_of(made, inputs)
    total = wanted.sum(tuple(range(len(sizes)))) if summed else wanted
    np.testing.assert_allclose(got, total, rtol=1e-12, atol=1e-12)
    return check(made, Canonicalize(), arguments=inputs)


def loop(block: Block, inputs: Sequence[Array], sizes: Sequence[int], output: Value) -> Array:
    shape = output.type.shape if isinstance(output.type, TensorType) else ()
    out = np.zeros((*sizes, *shape))
    for at in np.ndindex(*sizes):
        interpreter = Interpreter()
        given = [*inputs, *(np.asarray(i) for i in at)]
        interpreter.values.update(zip(block.args, given, strict=True))
        for op in block:
            interpreter.run(op)
        out[at] = interpreter.values[output]
    return out


def names(module: Module) -> Counter[str]:
    return Counter(op.name.removeprefix("tensor.") for op in module.walk())


def plus(builder: Builder, x: Value, n: int) -> Value:
    return arith.add(builder, x, arith.index(builder, n))


def times(builder: Builder, x: Value, n: int) -> Value:
    return arith.multiply(builder, x, arith.index(builder, n))


X, Y = RNG.normal(size=(4, 3)), RNG.normal(size=(5, 3))
LINE = RNG.normal(size=12)


def test_differences_of_rows_only_broadcast() -> None:
    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        (x, mu), (n, k, i) = inputs, at
        return arith.subtract(b, tensor.extract(b, x, (n, i)), tensor.extract(b, mu, (k, i)))

    assert set(names(batched([X, Y], (4, 5, 3), body))) == {
        "builtin.module",
        "func.func",
        "func.return",
        "broadcast_in_dim",
        "arith.subtract",
    }


def read(*subscripts: Callable[[Builder, list[Value]], Value]) -> Body:
    return lambda b, inputs, at: tensor.extract(b, inputs[0], [s(b, at) for s in subscripts])


AFFINE: dict[str, tuple[Array, tuple[int, ...], Body, set[str]]] = {
    "identity": (LINE, (12,), read(lambda b, at: at[0]), set()),
    "transposed": (X, (3, 4), read(lambda b, at: at[1], lambda b, at: at[0]), {"transpose"}),
    "shifted": (LINE, (10,), read(lambda b, at: plus(b, at[0], 2)), {"slice"}),
    "every third": (LINE, (4,), read(lambda b, at: times(b, at[0], 3)), {"slice"}),
    "backwards": (
        LINE,
        (12,),
        read(lambda b, at: arith.subtract(b, arith.index(b, 11), at[0])),
        {"reverse"},
    ),
    "blocks": (
        LINE,
        (4, 3),
        read(lambda b, at: arith.add(b, times(b, at[0], 3), at[1])),
        {"reshape"},
    ),
    "blocks by column": (
        LINE,
        (3, 4),
        read(lambda b, at: arith.add(b, times(b, at[1], 3), at[0])),
        {"reshape", "transpose"},
    ),
    "blocks from both ends": (
        LINE,
        (4, 3),
        read(lambda b, at: arith.subtract(b, times(b, at[0], 3), plus(b, at[1], -2))),
        {"reshape", "reverse"},
    ),
    "constant": (
        X,
        (3,),
        read(lambda b, at: arith.index(b, 2), lambda b, at: at[0]),
        {"slice", "reshape"},
    ),
    "before the start": (
        LINE,
        (12,),
        read(lambda b, at: plus(b, at[0], -2)),
        {"read"},
    ),
    "beyond both ends": (
        LINE,
        (8,),
        read(lambda b, at: plus(b, times(b, at[0], 3), -4)),
        {"read"},
    ),
}


@pytest.mark.parametrize(("x", "sizes", "body", "wanted"), AFFINE.values(), ids=AFFINE.keys())
def test_affine_reads(x: Array, sizes: tuple[int, ...], body: Body, wanted: set[str]) -> None:
    made = set(names(batched([x], sizes, body)))
    assert made - {"builtin.module", "func.func", "func.return"} == wanted


def packed(b: Builder, r: Value, c: Value) -> Value:
    """`c * (c - 1) // 2 + r`: quadratic in `c`."""
    square = arith.multiply(b, c, plus(b, c, -1))
    return arith.add(b, arith.floor_divide(b, square, arith.index(b, 2)), r)


def test_positions_are_computed_once_for_all_rows() -> None:
    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        k, r, c = at
        return tensor.extract(b, inputs[0], (k, packed(b, r, c)))

    made = batched([RNG.normal(size=(4, 9))], (4, 3, 3), body)
    assert names(made)["gather"] == 1
    assert names(made)["arith.floor_divide"] == 1
    (gather,) = (op for op in made.walk() if isinstance(op, tensor.Gather))
    assert gather.start_index_map == (1,)
    assert gather.operand_batching_dims == ()


def test_a_table_that_varies_along_one_axis_is_gathered_along_it_alone() -> None:
    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        _, c = at
        return tensor.extract(b, inputs[0], (packed(b, arith.index(b, 0), c),))

    made = batched([LINE], (4, 5), body)
    (gather,) = (op for op in made.walk() if isinstance(op, tensor.Gather))
    assert gather.index_shape == (5,)


def test_data_dependent_rows() -> None:
    ids = np.array([3, 0, 0, 9, -1, 2], np.int32)

    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        (x, ids), (n, i) = inputs, at
        return tensor.extract(b, x, (tensor.extract(b, ids, (n,)), i))

    made = names(batched([X, ids], (6, 3), body))
    assert made["gather"] == 1
    assert made["transpose"] == made["iota"] == 0


def test_reading_along_a_carried_axis_batches_the_gather() -> None:
    ids = np.array([2, 0, 0, 1], np.int64)

    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        (x, ids), (n,) = inputs, at
        return tensor.extract(b, x, (n, tensor.extract(b, ids, (n,))))

    made = batched([X, ids], (4,), body)
    (gather,) = (op for op in made.walk() if isinstance(op, tensor.Gather))
    assert gather.operand_batching_dims == (0,)


def test_a_diagonal_is_right() -> None:
    batched([X], (3,), read(lambda b, at: at[0], lambda b, at: at[0]))


def test_a_position_from_outside_is_sliced() -> None:
    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        (x, t), (i,) = inputs, at
        return tensor.extract(b, x, (t, i))

    made = names(batched([X, np.array(7)], (3,), body))
    assert made["dynamic_slice"] == 1
    assert made["gather"] == 0


@pytest.mark.parametrize(("step", "reads"), [(3, 0), (1, 1)])
def test_windows(step: int, reads: int) -> None:
    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        return tensor.dynamic_slice(b, inputs[0], (times(b, at[0], step),), (3,))

    made = names(batched([LINE], (4,), body))
    assert made["read"] == reads
    assert made["gather"] == 0


def test_windows_are_clamped_whole() -> None:
    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        return tensor.dynamic_slice(b, inputs[0], (plus(b, times(b, at[0], 4), -2),), (3,))

    batched([LINE], (5,), body)


def test_contraction_keeps_axes_apart() -> None:
    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        (x, w), (n, _) = inputs, at
        zero = arith.index(b, 0)
        row = tensor.reshape(b, tensor.dynamic_slice(b, x, (n, zero), (1, 3)), (3,))
        return tensor.matmul(b, row, w)

    made = batched([X, RNG.normal(size=(3, 6))], (4, 2), body)
    (dot,) = (op for op in made.walk() if isinstance(op, tensor.DotGeneral))
    assert dot.lhs_batching_dimensions == ()
    assert dot.result.type == TensorType((4, 6), F64)


# The adjoint of a read in a builder: a scatter at every point, summed over the points


def adjoint_of(body: Body) -> Body:
    """The cotangent of the first input, when each result has the second input's last element."""

    def pull(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        output = body(b, inputs, at)
        seed = tensor.extract(b, inputs[-1], [*at])
        op = output.defining_op
        assert op is not None
        bar = op.adjoint(b, [seed])[0]
        assert bar is not None
        return bar

    return pull


@pytest.mark.parametrize(
    ("x", "sizes", "body", "wanted"), list(AFFINE.values())[:9], ids=list(AFFINE)[:9]
)
def test_adjoints_of_affine_reads(
    x: Array, sizes: tuple[int, ...], body: Body, wanted: set[str]
) -> None:
    made = names(batched([x, RNG.normal(size=sizes)], sizes, adjoint_of(body), summed=True))
    assert made["scatter"] == 0


def test_adjoint_of_a_broadcast_read_is_a_sum() -> None:
    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        _, k, i = at
        return tensor.extract(b, inputs[0], (k, i))

    made = batched([Y, RNG.normal(size=(4, 5, 3))], (4, 5, 3), adjoint_of(body), summed=True)
    assert set(names(made)) == {"builtin.module", "func.func", "func.return", "reduce"}


def test_adjoint_of_a_table_is_one_scatter() -> None:
    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        k, r, c = at
        return tensor.extract(b, inputs[0], (k, packed(b, r, c)))

    sizes = (4, 3, 3)
    inputs = [RNG.normal(size=(4, 9)), RNG.normal(size=sizes)]
    made = batched(inputs, sizes, adjoint_of(body), summed=True)
    (scatter,) = (op for op in made.walk() if isinstance(op, tensor.Scatter))
    assert scatter.input.type == TensorType((4, 9), F64)


def test_adjoint_of_data_dependent_rows_is_one_scatter() -> None:
    ids = np.array([3, 0, 0, 9, -1, 2], np.int32)

    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        (x, ids, _), (n, i) = inputs, at
        return tensor.extract(b, x, (tensor.extract(b, ids, (n,)), i))

    made = batched([X, ids, RNG.normal(size=(6, 3))], (6, 3), adjoint_of(body), summed=True)
    (scatter,) = (op for op in made.walk() if isinstance(op, tensor.Scatter))
    assert scatter.input.type == TensorType((4, 3), F64)


def test_adjoint_of_windows() -> None:
    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        (x, seeds), (i,) = inputs, at
        part = tensor.dynamic_slice(b, x, (times(b, i, 3),), (3,))
        op = part.defining_op
        assert op is not None
        zero = arith.index(b, 0)
        seed = tensor.reshape(b, tensor.dynamic_slice(b, seeds, (i, zero), (1, 3)), (3,))
        bar = op.adjoint(b, [seed])[0]
        assert bar is not None
        return bar

    made = names(batched([LINE, RNG.normal(size=(4, 3))], (4,), body, summed=True))
    assert made["scatter"] == 0


# Any index expressions: reads and their adjoints against loops


@st.composite
def subscripts(draw: st.DrawFn, axes: int) -> Callable[..., Value]:
    """An index expression of the map indices and a captured table of positions."""
    terms = [(axis, draw(st.integers(-2, 3))) for axis in range(axes) if draw(st.booleans())]
    constant = draw(st.integers(-2, 4))
    table = draw(st.sampled_from([None, None, *range(axes)]))
    folded = draw(st.sampled_from([None, None, 2, 3]))

    def build(b: Builder, ids: Value, at: list[Value]) -> Value:
        total = arith.index(b, constant)
        for axis, step in terms:
            total = arith.add(b, total, times(b, at[axis], step))
        if folded is not None:
            total = arith.remainder(b, total, arith.index(b, folded))
        if table is not None:
            total = arith.add(b, total, tensor.extract(b, ids, [at[table]]))
        return total

    return build


@settings(max_examples=60)
@given(st.data())
def test_any_reads(data: st.DataObject) -> None:
    sizes = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    own = [data.draw(subscripts(len(sizes))) for _ in shape]

    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        return tensor.extract(b, inputs[0], [s(b, inputs[1], at) for s in own])

    inputs = [RNG.normal(size=shape), RNG.integers(0, 4, 4), RNG.normal(size=sizes)]
    batched(inputs, sizes, body)
    batched(inputs, sizes, adjoint_of(body), summed=True)


@settings(max_examples=60)
@given(st.data())
def test_any_windows(data: st.DataObject) -> None:
    sizes = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=2)))
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=2)))
    part = tuple(data.draw(st.integers(1, n)) for n in shape)
    own = [data.draw(subscripts(len(sizes))) for _ in shape]

    def body(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        starts = [s(b, inputs[1], at) for s in own]
        return tensor.dynamic_slice(b, inputs[0], starts, part)

    def adjoint(b: Builder, inputs: list[Value], at: list[Value]) -> Value:
        op = body(b, inputs, at).defining_op
        assert op is not None
        seed = tensor.take(b, inputs[2], at[0])
        bar = op.adjoint(b, [seed])[0]
        assert bar is not None
        return bar

    seeds = RNG.normal(size=(sizes[0], *part))
    inputs = [RNG.normal(size=shape), RNG.integers(0, 4, 4), seeds]
    batched(inputs, sizes, body)
    batched(inputs, sizes, adjoint, summed=True)
