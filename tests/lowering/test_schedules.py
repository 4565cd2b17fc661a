"""Schedules against the kernels' own semantics: odd sizes, every layout, several machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dmc.dialects import arith, kernel, math
from dmc.ir import (
    AffineExpr,
    AffineMap,
    ArrayAttr,
    Attribute,
    Builder,
    DType,
    MemRefType,
    Module,
    Operation,
    Region,
    TensorType,
    Value,
    tensor,
)
from dmc.jit.target import Target, host, named
from dmc.lowering.loop_builder import LoopBuilder, function
from dmc.lowering.schedules import contraction_plan, packing
from dmc.lowering.schedules.nest import nest_of
from dmc.transforms.generics import Read, block_of, make_generic
from tests.lowering.native import check, program, random

F32, F64, I32, I64, BOOL = DType.F32, DType.F64, DType.I32, DType.I64, DType.BOOL
Code = Callable[[Builder, list[Value]], Sequence[Value]]

TARGETS = [t for t in (host(), named("x86-64-v3"), named("x86-64-v2")) if t.is_host]
on_targets = pytest.mark.parametrize("target", TARGETS, ids=[t.cpu for t in TARGETS])


def picks(count: int, *dims: int) -> AffineMap:
    return AffineMap.select(count, dims)


def run(
    types: Sequence[TensorType],
    write: Callable[[Builder, list[Value]], Sequence[Value]],
    target: Target | None = None,
    rtol: float = 1e-5,
) -> Module:
    module = program(types, write)
    arrays = [random(t, i) for i, t in enumerate(types)]
    check(module, arrays, target, rtol, plans=[True])
    return module


def product(b: Builder, a: list[Value]) -> list[Value]:
    return [arith.multiply(b, a[0], a[1])]


def passing(b: Builder, a: list[Value]) -> list[Value]:
    return a


# Maps


@on_targets
@pytest.mark.parametrize("shape", [(1,), (7,), (16,), (50,), (3, 5), (4, 33), (2, 3, 17), (0, 4)])
def test_map(shape: tuple[int, ...], target: Target) -> None:
    rank = len(shape)

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [
            Read(args[0], AffineMap.identity(rank)),
            Read(args[1], picks(rank, rank - 1)),
            Read(args[2], picks(rank)),
        ]

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            y = arith.add(inner, arith.multiply(inner, a[0], a[2]), a[1])
            return [math.exp(inner, y), y]

        write_all = AffineMap.identity(rank)
        return make_generic(b, shape, reads, code, [write_all, write_all]).results

    run([tensor(F32, *shape), tensor(F32, shape[-1]), tensor(F32)], write, target)


@on_targets
def test_transposing_strided_and_shifted_reads(target: Target) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        shifted = AffineMap(2, (AffineExpr((0, 1), 1), AffineExpr((2, 0), 1)))
        reads = [Read(args[0], picks(2, 1, 0)), Read(args[1], shifted)]
        return make_generic(b, (9, 21), reads, product, [picks(2, 1, 0)]).results

    run([tensor(F64, 21, 9), tensor(F64, 22, 18)], write, target)


@on_targets
@pytest.mark.parametrize("shape", [(3, 37, 41), (16, 32), (1, 17, 100), (40, 4)])
def test_transposed_reads_go_by_blocks(shape: tuple[int, ...], target: Target) -> None:
    rank = len(shape)
    turned = picks(rank, *range(rank - 2), rank - 1, rank - 2)

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [Read(args[0], turned), Read(args[1], AffineMap.identity(rank))]

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            row = inner.insert(kernel.Index([], {"dim": rank - 2})).output
            return [arith.add(inner, a[0], a[1]), row]

        return make_generic(b, shape, reads, code, [AffineMap.identity(rank)] * 2).results

    types = [tensor(F32, *shape[:-2], shape[-1], shape[-2]), tensor(F32, *shape)]
    run(types, write, target)


def test_reads_against_the_order_of_memory() -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        backwards = AffineMap(1, (AffineExpr((-1,), 36),))
        return make_generic(b, (37,), [Read(args[0], backwards)], passing, [picks(1, 0)]).results

    run([tensor(F32, 37)], write)


@on_targets
def test_bodies_with_subscripts_and_loads(target: Target) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        table, where = args

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            row = inner.insert(kernel.Index([], {"dim": 0})).output
            column = inner.insert(kernel.Index([], {"dim": 1})).output
            found = inner.insert(kernel.Load([table, a[0], column])).output
            total = arith.convert(inner, arith.add(inner, row, column), F32)
            return [arith.add(inner, found, total)]

        reads = [Read(where, picks(2, 0))]
        return make_generic(b, (11, 19), reads, code, [picks(2, 0, 1)]).results

    run([tensor(F32, 4, 19), tensor(I64, 11)], write, target)


@on_targets
@pytest.mark.parametrize("in_bounds", [False, True])
def test_loads_of_neighbours(in_bounds: bool, target: Target) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        table, base = args

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            row = inner.insert(kernel.Index([], {"dim": 0})).output
            column = inner.insert(kernel.Index([], {"dim": 1})).output
            at = arith.add(inner, arith.subtract(inner, column, row), a[0])
            load = kernel.Load([table, row, at], {"in_bounds": in_bounds})
            return [inner.insert(load).output]

        return make_generic(b, (5, 39), [Read(base, picks(2))], code, [picks(2, 0, 1)]).results

    module = program([tensor(F32, 5, 44), tensor(I64)], write)
    for base in (4, 5) if in_bounds else (-60, -3, 0, 4, 7, 60):
        check(module, [random(tensor(F32, 5, 44)), np.array(base)], target, plans=[True])


@on_targets
def test_mixed_element_types(target: Target) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        whole = picks(1, 0)

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            x, n, flag = a
            wide = arith.convert(inner, x, F64)
            number = arith.convert(inner, n, F64)
            chosen = arith.select(inner, flag, wide, number)
            positive = arith.compare(inner, arith.Direction.GT, chosen, number)
            both = arith.logical_and(inner, positive, flag)
            return [chosen, both, arith.convert(inner, chosen, I64), arith.convert(inner, x, I32)]

        reads = [Read(v, whole) for v in args]
        return make_generic(b, (45,), reads, code, [whole] * 4).results

    run([tensor(F32, 45), tensor(I32, 45), tensor(BOOL, 45)], write, target)


_TWO_OPERANDS = [
    arith.Divide,
    arith.FloorDivide,
    arith.Remainder,
    arith.Maximum,
    arith.Minimum,
    arith.Subtract,
]


@on_targets
@pytest.mark.parametrize("dtype", [F32, I64, I32], ids=str)
@pytest.mark.parametrize("op", _TWO_OPERANDS, ids=lambda op: op.name)
def test_arithmetic_at_its_edges(op: type[Operation], dtype: DType, target: Target) -> None:
    bits = 8 * dtype.bytes
    lowest, highest = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    floats = [-np.inf, -2.5, -0.0, 0.0, 3.0, np.nan]
    edges = [lowest, -7, -1, 0, 1, 7, highest] if dtype.is_integer else floats
    left, right = (v.ravel() for v in np.meshgrid(np.array(edges).astype(dtype.numpy), edges))
    right = right.astype(dtype.numpy)
    if dtype.is_integer and op is arith.Remainder:
        # NumPy itself traps here.
        keep = ~((left == lowest) & (right == -1))
        left, right = left[keep], right[keep]

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [Read(v, picks(1, 0)) for v in args]

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            return [inner.insert(op(a)).results[0]]

        return make_generic(b, left.shape, reads, code, [picks(1, 0)]).results

    type_ = tensor(dtype, *left.shape)
    check(program([type_, type_], write), [left, right], target)


_ONE_OPERAND = [
    arith.Abs, arith.Sign, arith.Negate, arith.Relu, math.Floor, math.Ceil, math.Round, math.Sqrt,
    math.Rsqrt, math.Tanh, math.Logistic, math.Log1p, math.Erf, math.Cos,
    math.Trigamma,
]  # fmt: skip


@pytest.mark.parametrize("op", _ONE_OPERAND, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_functions_of_one_operand(op: type[Operation], dtype: DType) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        def code(inner: Builder, a: list[Value]) -> list[Value]:
            return [inner.insert(op(a)).results[0]]

        return make_generic(b, (21,), [Read(args[0], picks(1, 0))], code, [picks(1, 0)]).results

    values = np.array([*np.linspace(-3.2, 4.1, 16), 0.5, -0.0, np.inf, -np.inf, np.nan])
    module = program([tensor(dtype, 21)], write)
    check(module, [values.astype(dtype.numpy)], rtol=1e-5 if dtype is F32 else 1e-12)


@pytest.mark.parametrize("target_dtype", [I32, I64, BOOL], ids=str)
def test_conversions_saturate(target_dtype: DType) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        def code(inner: Builder, a: list[Value]) -> list[Value]:
            return [arith.convert(inner, a[0], target_dtype)]

        return make_generic(b, (9,), [Read(args[0], picks(1, 0))], code, [picks(1, 0)]).results

    values = np.array([0.0, -0.5, 2.9, -2.9, 1e30, -1e30, np.inf, -np.inf, np.nan])
    check(program([tensor(F64, 9)], write), [values])


# Reductions


@on_targets
@pytest.mark.parametrize("combiner", ["add", "mul", "max", "min"])
@pytest.mark.parametrize(
    ("space", "reduced", "read"),
    [
        ((37,), 1, (0,)),
        ((5, 130), 1, (0, 1)),
        ((70, 5), 1, (1, 0)),
        ((6, 3, 11), 2, (0, 1, 2)),
        ((6, 3, 11), 2, (1, 0, 2)),
        ((4, 3), 1, (0, 1)),
        ((4, 1), 1, (0, 1)),
        ((3, 0), 1, (0, 1)),
        ((0, 3), 1, (0, 1)),
    ],
)
def test_reduction(
    combiner: str, space: tuple[int, ...], reduced: int, read: tuple[int, ...], target: Target
) -> None:
    rank = len(space)
    outer = range(rank - reduced)

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        def after(inner: Builder, a: list[Value]) -> list[Value]:
            return [arith.add(inner, a[0], a[1]), a[0]]

        return make_generic(
            b,
            space,
            [Read(args[0], picks(rank, *read))],
            passing,
            [picks(rank, *outer), picks(rank, *reversed(outer))],
            [combiner],
            reduced,
            [Read(args[1], picks(rank, *outer))],
            after,
        ).results

    types = [tensor(F32, *(space[d] for d in read)), tensor(F32, *(space[d] for d in outer))]
    run(types, write, target)


def test_several_reductions_at_once_of_other_types() -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        def code(inner: Builder, a: list[Value]) -> list[Value]:
            row = inner.insert(kernel.Index([], {"dim": 1})).output
            positive = arith.compare(inner, arith.Direction.GT, a[0], a[1])
            return [arith.multiply(inner, a[0], a[0]), row, positive, a[1]]

        reads = [Read(args[0], picks(2, 0, 1)), Read(args[1], picks(2, 1))]
        writes = [picks(2, 0)] * 4
        return make_generic(
            b, (9, 41), reads, code, writes, ["add", "max", "max", "min"], 1
        ).results

    run([tensor(F64, 9, 41), tensor(F64, 41)], write)


@on_targets
def test_few_outputs_of_many_elements_are_reduced_in_chunks(target: Target) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        def code(inner: Builder, a: list[Value]) -> list[Value]:
            return [math.tanh(inner, a[0]), a[0]]

        reads = [Read(args[0], picks(1, 0))]
        return make_generic(b, (4099,), reads, code, [picks(1)] * 2, ["add", "max"], 1).results

    run([tensor(F32, 4099)], write, target, rtol=1e-4)


# Contractions


@on_targets
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("left", [(0, 2), (2, 0)], ids=["mk", "km"])
@pytest.mark.parametrize("right", [(2, 1), (1, 2)], ids=["kn", "nk"])
@pytest.mark.parametrize("out", [(0, 1), (1, 0)], ids=["mn", "nm"])
def test_contraction_layouts(
    left: tuple[int, ...],
    right: tuple[int, ...],
    out: tuple[int, ...],
    dtype: DType,
    target: Target,
) -> None:
    for space in ((13, 37, 9), (3, 20, 5), (26, 5, 33)):

        def write(b: Builder, args: list[Value], space: tuple[int, ...] = space) -> Sequence[Value]:
            reads = [Read(args[0], picks(3, *left)), Read(args[1], picks(3, *right))]
            return make_generic(b, space, reads, product, [picks(3, *out)], ["add"], 1).results

        types = [tensor(dtype, *(space[d] for d in dims)) for dims in (left, right)]
        run(types, write, target)


@on_targets
@pytest.mark.parametrize(
    "space", [(1, 1, 1), (1, 40, 7), (40, 1, 7), (7, 40, 1), (1, 1, 90), (12, 32, 8), (25, 64, 16)]
)
def test_contraction_sizes(space: tuple[int, int, int], target: Target) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [Read(args[0], picks(3, 0, 2)), Read(args[1], picks(3, 2, 1))]
        return make_generic(b, space, reads, product, [picks(3, 0, 1)], ["add"], 1).results

    m, n, k = space
    run([tensor(F32, m, k), tensor(F32, k, n)], write, target)


@on_targets
@pytest.mark.parametrize("heavy", [False, True])
def test_contraction_with_an_epilogue_of_several_results(heavy: bool, target: Target) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        def after(inner: Builder, a: list[Value]) -> list[Value]:
            total, bias, residual = a
            y = arith.add(inner, total, bias)
            for _ in range(4 if heavy else 1):
                y = arith.add(inner, y, residual)
            zero = arith.zeros(inner, y.type)
            positive = arith.compare(inner, arith.Direction.GT, y, zero)
            return [arith.select(inner, positive, y, zero), positive]

        return make_generic(
            b,
            (29, 45, 12),
            [Read(args[0], picks(3, 0, 2)), Read(args[1], picks(3, 2, 1))],
            product,
            [picks(3, 0, 1), picks(3, 0, 1)],
            ["add"],
            1,
            [Read(args[2], picks(3, 1)), Read(args[3], picks(3, 0, 1))],
            after,
        ).results

    types = [tensor(F32, 29, 12), tensor(F32, 12, 45), tensor(F32, 45), tensor(F32, 29, 45)]
    run(types, write, target)


def test_batched_and_many_dimensional_contractions() -> None:
    def batched(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [Read(args[0], picks(4, 0, 1, 3)), Read(args[1], picks(4, 0, 3, 2))]
        return make_generic(
            b, (3, 7, 18, 5), reads, product, [picks(4, 0, 1, 2)], ["add"], 1
        ).results

    run([tensor(F32, 3, 7, 5), tensor(F32, 3, 5, 18)], batched)

    def mixed(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [Read(args[0], picks(5, 3, 0, 4, 1)), Read(args[1], picks(5, 4, 2, 3))]
        return make_generic(
            b, (4, 3, 17, 5, 6), reads, product, [picks(5, 1, 0, 2)], ["add"], 2
        ).results

    run([tensor(F64, 5, 4, 6, 3), tensor(F64, 6, 17, 5)], mixed)


def test_a_long_sum_goes_through_memory_in_parts() -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [Read(args[0], picks(3, 0, 2)), Read(args[1], picks(3, 2, 1))]
        return make_generic(b, (2, 5, 2500), reads, product, [picks(3, 0, 1)], ["add"], 1).results

    run([tensor(F32, 2, 2500), tensor(F32, 2500, 5)], write, rtol=1e-4)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts, blocks and groups of a few elements, and everything packed."""
    monkeypatch.setattr(contraction_plan, "LONGEST_PART", 16)
    monkeypatch.setattr(contraction_plan, "BLOCK_BYTES", 768)
    monkeypatch.setattr(contraction_plan, "GROUP_BYTES", 2048)
    monkeypatch.setattr(contraction_plan, "FIRST_CACHE", 0)
    monkeypatch.setattr(contraction_plan, "PAGE", 1)
    monkeypatch.setattr(packing, "STRIP_BYTES", 64)


@pytest.mark.usefixtures("small_blocks")
@on_targets
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("left", [(0, 2), (2, 0)], ids=["mk", "km"])
@pytest.mark.parametrize("right", [(2, 1), (1, 2)], ids=["kn", "nk"])
def test_packed_contractions(
    left: tuple[int, ...], right: tuple[int, ...], dtype: DType, target: Target
) -> None:
    """Tiles, blocks, groups and parts that all end with a piece of their own."""
    space = (13, 37, 35)

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [Read(args[0], picks(3, *left)), Read(args[1], picks(3, *right))]
        return make_generic(b, space, reads, product, [picks(3, 0, 1)], ["add"], 1).results

    types = [tensor(dtype, *(space[d] for d in dims)) for dims in (left, right)]
    run(types, write, target, rtol=1e-4 if dtype is F32 else 1e-10)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("apart", [(5, 9), (3, 17), (20, 2)])
def test_sums_over_two_dimensions_are_packed_as_one(apart: tuple[int, int]) -> None:
    """A weight gradient over steps and examples: neither operand has them side by side."""
    steps, batch = apart
    space = (13, 35, steps, batch)

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [Read(args[0], picks(4, 2, 0, 3)), Read(args[1], picks(4, 2, 3, 1))]
        return make_generic(b, space, reads, product, [picks(4, 0, 1)], ["add"], 2).results

    run([tensor(F64, steps, 13, batch), tensor(F64, steps, batch, 35)], write, rtol=1e-10)


def test_the_left_operand_is_packed_where_it_lies_across() -> None:
    """Otherwise each step of the micro-kernel reads another line of a cache."""
    machine = host().machine
    for left, packed in (((2, 0), True), ((0, 2), False)):
        types = [tensor(F32, *((200, 300, 250)[d] for d in dims)) for dims in (left, (2, 1))]

        def write(b: Builder, args: list[Value], left: tuple[int, ...] = left) -> Sequence[Value]:
            reads = [Read(args[0], picks(3, *left)), Read(args[1], picks(3, 2, 1))]
            space = (200, 300, 250)
            return make_generic(b, space, reads, product, [picks(3, 0, 1)], ["add"], 1).results

        kernels = [op for op in program(types, write).walk() if isinstance(op, kernel.Generic)]
        entry = function(
            "main",
            [MemRefType(t.shape, F32) for t in (*types, tensor(F32, 200, 300))],
            ["a", "b", "c"],
            private=False,
        )
        b = LoopBuilder(entry)
        shape = contraction_plan.as_contraction(
            nest_of(b, kernels[0], list(entry.body.args), {}), machine
        )
        assert shape is not None
        plan = contraction_plan.make_plan(machine, shape, machine.lanes(F32))
        assert plan.pack_left == packed
        assert plan.pack_right


def test_roles_that_fill_the_lanes() -> None:
    """The weights' gradient of a convolution: channels are columns, not the window of 3."""
    machine = host().machine
    types = [tensor(F32, 4, 10, 10, 32), tensor(F32, 4, 8, 8, 64)]

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        down, across, channel, out, n, y, x = (AffineExpr.dim(7, d) for d in range(7))
        reads = [
            Read(args[0], AffineMap(7, (n, y + down, x + across, channel))),
            Read(args[1], AffineMap(7, (n, y, x, out))),
        ]
        space = (3, 3, 32, 64, 4, 8, 8)
        return make_generic(b, space, reads, product, [picks(7, 0, 1, 2, 3)], ["add"], 3).results

    (op,) = [op for op in program(types, write).walk() if isinstance(op, kernel.Generic)]
    buffers = [MemRefType(t.shape, F32) for t in (*types, tensor(F32, 3, 3, 32, 64))]
    entry = function("main", buffers, ["x", "g", "out"], private=False)
    nest = nest_of(LoopBuilder(entry), op, list(entry.body.args), {})
    shape = contraction_plan.as_contraction(nest, machine)
    assert shape is not None
    # Neighbours of one row of the window and their channels lie one after the other.
    assert {shape.rows, shape.columns} == {3 * 32, 64}


# Other kernels


@on_targets
@pytest.mark.parametrize("combiner", ["add", "max", "set"])
@pytest.mark.parametrize("width", [4, 37])
def test_scatter(combiner: str, width: int, target: Target) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        goal, where, updates = args

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            return [a[0], inner.insert(kernel.Index([], {"dim": 1})).output, a[1]]

        attributes = {
            "sizes": (9, width),
            "maps": ArrayAttr((picks(2, 0), picks(2, 0, 1))),
            "combiner": combiner,
        }
        region = Region(block_of([I64, F32], code))
        return [b.insert(kernel.Scatter([goal, where, updates], attributes, [region])).output]

    # Rows 6, -1 … are outside; the target's own rows are longer.
    run([tensor(F32, 4, width + 2), tensor(I64, 9), tensor(F32, 9, width)], write, target)


def test_scatter_of_points() -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        goal, where = args

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            row = inner.insert(kernel.Index([], {"dim": 0})).output
            return [a[0], row, arith.constant(inner, 2.0, tensor(F32))]

        attributes = {"sizes": (7,), "maps": ArrayAttr((picks(1, 0),)), "combiner": "mul"}
        region = Region(block_of([I64], code))
        return [b.insert(kernel.Scatter([goal, where], attributes, [region])).output]

    run([tensor(F32, 3, 7), tensor(I64, 7)], write)


@on_targets
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_scan(axis: int, reverse: bool, exclusive: bool, target: Target) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        attributes: dict[str, Attribute] = {"axis": axis, "combiner": "add"}
        attributes |= {"reverse": reverse, "exclusive": exclusive}
        return [b.insert(kernel.Scan([args[0]], attributes)).output]

    run([tensor(F32, 3, 5, 18)], write, target)


@on_targets
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("shape", [(1,), (2, 7), (17, 3), (0, 2)])
def test_sort(shape: tuple[int, ...], descending: bool, target: Target) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        return b.insert(kernel.Sort([args[0]], {"axis": 0, "descending": descending})).results

    values = np.round(random(tensor(F32, *shape)) * 2)
    if values.size > 4:
        values.reshape(-1)[2] = np.nan
    check(program([tensor(F32, *shape)], write), [values], target)


def test_movement() -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        x, y, i = args
        joined = b.insert(kernel.Concatenate([x, y, x], {"axis": 1})).output
        zero = arith.index(b, 0)
        window = b.insert(kernel.UpdateWindow([joined, y, i, zero])).output
        adding = kernel.UpdateWindow([window, x, i, arith.index(b, 7)], {"combiner": "add"})
        added = b.insert(adding).output
        viewed = b.insert(kernel.View([window], {"shape": (5 * 12,)})).output
        return [joined, window, added, viewed, b.insert(kernel.Copy([x])).output]

    module = program([tensor(F32, 5, 3), tensor(F32, 5, 6), tensor(I64)], write)
    for i in (-2, 0, 1):
        x, y = random(tensor(F32, 5, 3)), random(tensor(F32, 5, 6), 1)
        check(module, [x, y, np.array(i)])
