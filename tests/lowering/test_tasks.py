"""The same schedules cut into many tasks, as large sizes are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dmc.dialects import arith, kernel, math
from dmc.ir import (
    AffineMap,
    ArrayAttr,
    Builder,
    DType,
    Module,
    Region,
    TensorType,
    Value,
    tensor,
)
from dmc.jit.target import Target, host, named
from dmc.lowering.schedules import contraction, contraction_plan, plan, scatter
from dmc.transforms.generics import Read, block_of, make_generic
from tests.lowering.native import check, compile_native, program, random

F32, I64 = DType.F32, DType.I64
TARGETS = [t for t in (host(), named("x86-64-v2")) if t.is_host]
on_targets = pytest.mark.parametrize("target", TARGETS, ids=[t.cpu for t in TARGETS])


@pytest.fixture(autouse=True, params=[3, 64], ids=["few", "many"])
def many_tasks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is worth tasks."""
    monkeypatch.setattr(plan, "MOST_TASKS", request.param)
    monkeypatch.setattr(plan, "TASK_NANOSECONDS", 0.01)
    monkeypatch.setattr(contraction_plan, "PARALLEL_NANOSECONDS", 0)
    monkeypatch.setattr(contraction, "MOST_TASKS", request.param)
    monkeypatch.setattr(scatter, "COPY_POINTS", 1)
    monkeypatch.setattr(scatter, "LEAST_POINTS", 2)
    monkeypatch.setattr(scatter, "ROW_ELEMENTS", 2)
    monkeypatch.setattr(scatter, "MOST_COPIES", request.param)
    monkeypatch.setattr(scatter, "MOST_RANGES", request.param)
    monkeypatch.setattr(contraction_plan, "PROCESSORS", 4 * request.param)


def picks(count: int, *dims: int) -> AffineMap:
    return AffineMap.select(count, dims)


def run(
    module: Module, types: Sequence[TensorType], target: Target, divisible: bool = True
) -> None:
    check(module, [random(t, i) for i, t in enumerate(types)], target, plans=[True])
    loops = compile_native(module, target).loops.module
    assert not divisible or any(op.name == "loop.parallel" for op in loops.walk())


@on_targets
@pytest.mark.parametrize("shape", [(67,), (64,), (4, 33), (37, 5), (2, 3, 17), (100, 40)])
def test_map(shape: tuple[int, ...], target: Target) -> None:
    rank = len(shape)
    whole = AffineMap.identity(rank)

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        def code(inner: Builder, a: list[Value]) -> list[Value]:
            row = arith.convert(inner, inner.insert(kernel.Index([], {"dim": 0})).output, F32)
            return [arith.add(inner, math.exp(inner, a[0]), arith.multiply(inner, row, a[1]))]

        reads = [Read(args[0], whole), Read(args[1], picks(rank, rank - 1))]
        return make_generic(b, shape, reads, code, [whole]).results

    types = [tensor(F32, *shape), tensor(F32, shape[-1])]
    run(program(types, write), types, target)


@pytest.mark.parametrize("shape", [(37, 41), (3, 35, 18), (33, 70)])
def test_transposition(shape: tuple[int, ...]) -> None:
    rank = len(shape)

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        turned = picks(rank, *range(rank - 2), rank - 1, rank - 2)
        reads = [Read(args[0], turned)]

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            return [arith.negate(inner, a[0])]

        return make_generic(b, shape, reads, code, [AffineMap.identity(rank)]).results

    types = [tensor(F32, *shape[:-2], shape[-1], shape[-2])]
    run(program(types, write), types, host())


@on_targets
@pytest.mark.parametrize(
    ("space", "reduced", "read"),
    [
        ((1037,), 1, (0,)),
        ((2, 531), 1, (0, 1)),
        ((531, 2), 1, (1, 0)),
        ((70, 45), 1, (1, 0)),
        ((45, 70), 1, (0, 1)),
        ((2, 23, 50), 2, (1, 0, 2)),
        ((2, 50, 23), 2, (2, 0, 1)),
    ],
)
def test_reduction(
    space: tuple[int, ...], reduced: int, read: tuple[int, ...], target: Target
) -> None:
    rank = len(space)
    outer = range(rank - reduced)

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        def code(inner: Builder, a: list[Value]) -> list[Value]:
            return [arith.multiply(inner, a[0], a[0]), a[0]]

        def after(inner: Builder, a: list[Value]) -> list[Value]:
            return [math.sqrt(inner, a[0]), arith.add(inner, a[1], a[2])]

        return make_generic(
            b,
            space,
            [Read(args[0], picks(rank, *read))],
            code,
            [picks(rank, *outer)] * 2,
            ["add", "max"],
            reduced,
            [Read(args[1], picks(rank, *outer))],
            after,
        ).results

    types = [tensor(F32, *(space[d] for d in read)), tensor(F32, *(space[d] for d in outer))]
    run(program(types, write), types, target)


@pytest.mark.parametrize(
    "space", [(1, 40, 37, 9), (1, 9, 300, 5), (1, 200, 20, 11), (5, 30, 33, 8), (90, 5, 18, 4)]
)
@pytest.mark.parametrize("right", [(0, 3, 2), (0, 2, 3)], ids=["kn", "nk"])
def test_contraction(space: tuple[int, int, int, int], right: tuple[int, ...]) -> None:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        def code(inner: Builder, a: list[Value]) -> list[Value]:
            return [arith.multiply(inner, a[0], a[1])]

        reads = [Read(args[0], picks(4, 0, 1, 3)), Read(args[1], picks(4, *right))]
        return make_generic(b, space, reads, code, [picks(4, 0, 1, 2)], ["add"], 1).results

    types = [tensor(F32, *(space[d] for d in dims)) for dims in ((0, 1, 3), right)]
    # A wide tile may take a small result whole.
    run(program(types, write), types, host(), divisible=space[0] > 1)


@on_targets
@pytest.mark.parametrize("combiner", ["add", "set"])
@pytest.mark.parametrize(
    ("space", "goal", "subscripts"),
    [
        ((9, 37), (5, 39), ("at", 1)),  # rows, for which the target is divided
        ((9, 3, 5), (5, 3, 6), ("at", 1, 2)),
        ((19, 1), (5, 1), ("at", 1)),  # private copies
        ((40,), (3,), ("at",)),
        ((7, 13), (2, 3), ("at", "at")),
        ((7, 13), (7, 3), (0, "at")),  # points that never meet
        ((13, 7), (3, 7), ("at", 1)),
        ((6, 5, 4), (6, 3, 4), (0, "at", 2)),
    ],
)
def test_scatter(
    combiner: str,
    space: tuple[int, ...],
    goal: tuple[int, ...],
    subscripts: tuple[str | int, ...],
    target: Target,
) -> None:
    rank = len(space)
    lead = [d for d in range(rank) if d not in subscripts] or [0]
    computed = [at for at in subscripts if at == "at"]

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        def code(inner: Builder, a: list[Value]) -> list[Value]:
            left = a[: len(computed)]
            places = [
                left.pop(0)
                if isinstance(at, str)
                else inner.insert(kernel.Index([], {"dim": at})).output
                for at in subscripts
            ]
            return [*places, a[-1]]

        maps = [picks(rank, *lead) for _ in computed] + [AffineMap.identity(rank)]
        attributes = {"sizes": space, "maps": ArrayAttr(tuple(maps)), "combiner": combiner}
        region = Region(block_of([I64] * len(computed) + [F32], code))
        return [b.insert(kernel.Scatter(args, attributes, [region])).output]

    where = tensor(I64, *(space[d] for d in lead))
    types = [tensor(F32, *goal), *(where for _ in computed), tensor(F32, *space)]
    alone = combiner == "set" and all(n == 1 for d, n in enumerate(space) if d in subscripts)
    run(program(types, write), types, target, divisible=not alone)
