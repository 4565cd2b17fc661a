"""tile-maps: several points at once, under masks where their loops differ."""

from __future__ import annotations

import numpy as np
import pytest

import dmc
from dmc.dialects import arith, control, math, tensor
from dmc.ir import Block, Builder, DType, TensorType, Value
from dmc.ir import tensor as tensor_type
from dmc.transforms.batch_maps import BatchMaps
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.dce import Dce
from dmc.transforms.tile_maps import TileMaps
from tests.transforms.programs import check, counts, program
from tests.transforms.test_batch_maps import branch, build, newton, row

F64 = DType.F64


def t(*shape: int) -> TensorType:
    return tensor_type(F64, *shape)


@pytest.mark.parametrize("points", [1, 3, 4, 8, 11])
def test_divergent_loops_run_in_lanes(points: int) -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        def element(b: Builder, point: list[Value]) -> list[Value]:
            return [newton(b, tensor.extract(b, args[0], point))]

        return build(b, [points], element)

    x = np.exp(np.random.default_rng(0).normal(size=points) * 2)
    module = program([t(points)], code)
    check(module, BatchMaps(), TileMaps(lanes=4), Canonicalize(), Dce(), arguments=[x])
    (loop,) = (op for op in module.walk() if isinstance(op, control.While))
    lanes = min(points, 4)
    assert loop.results[0].type == (t(lanes) if lanes > 1 else t())


def test_a_map_inside_another_goes_with_it() -> None:
    """A reduction over a range that depends on the point around it is a map in a map."""
    source = """
fn pairs[N](x: f64[N]) -> f64 = sum[i in 0..N, j in 0..i, k in j..i + 1](x[j] * x[k])
"""
    x = np.random.default_rng(0).normal(size=9)
    wanted = sum(x[j] * x[j : i + 1].sum() for i in range(9) for j in range(i))
    np.testing.assert_allclose(dmc.loads(source).pairs(x), wanted, rtol=1e-12)


def test_several_axes_vectors_and_run_time_counts() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, counts_ = args

        def element(b: Builder, point: list[Value]) -> list[Value]:
            i, j = point
            mine = row(b, x, i)
            block = Block([control.INDEX, mine.type])
            inner = Builder(block)
            step = arith.add(inner, block.args[1], mine)
            control.make_yield(inner, [step])
            count = tensor.extract(b, counts_, [i, j])
            op = control.make_for(b, count, [mine], [], block)
            return [op.results[0], arith.convert(b, j, F64)]

        return build(b, [3, 5], element)

    inputs = [t(3, 2), tensor_type(DType.I64, 3, 5)]
    found = counts(check(program(inputs, code), BatchMaps(), TileMaps(lanes=4)))
    assert found["control.map"] == 1


def test_loops_in_branches_end_although_others_run() -> None:
    """At points that do not take the branch its loop would never end."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        def element(b: Builder, point: list[Value]) -> list[Value]:
            x = tensor.extract(b, args[0], point)
            finite = arith.compare(b, arith.Direction.LT, x, arith.scalar(b, 1e300, F64))
            return branch(b, finite, lambda b, _: [newton(b, x)], lambda b, _: [x])

        return build(b, [6], element)

    x = np.array([3.0, np.inf, 0.5, 17.0, np.inf, 1.0])
    module = program([t(6)], code)
    check(module, BatchMaps(), TileMaps(lanes=4), arguments=[x])
    assert counts(module)["control.while"] == 1


def test_abandoned_attempts_leave_no_uses() -> None:
    """Whether what was tried in vain is gone shows when what it used is erased."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        def element(b: Builder, point: list[Value]) -> list[Value]:
            x = tensor.extract(b, args[0], point)
            types = [t(), t()]
            condition, body = Block(types), Block(types)
            at = Builder(condition)
            control.make_yield(at, [arith.compare(at, arith.Direction.GT, *condition.args)])
            at = Builder(body)
            y, z = body.args
            control.make_yield(at, [arith.multiply(at, y, half), arith.add(at, z, half)])
            zero = arith.scalar(b, 0.0, F64)
            return [control.make_while(b, [x, zero], condition, body).results[0]]

        half = arith.scalar(b, 0.5, F64)
        return build(b, [6], element)

    module = program([t(6)], code)
    check(module, BatchMaps())
    outside = set(module.walk())
    for value in (v for op in outside for v in op.results):
        assert set(value.users) <= outside
    check(module, TileMaps(lanes=4))
    outside = set(module.walk())
    for value in (v for op in outside for v in op.results):
        assert set(value.users) <= outside


def test_loops_over_scalars_run_in_lanes_too() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        def element(b: Builder, point: list[Value]) -> list[Value]:
            start = tensor.extract(b, args[0], point)
            block = Block([control.INDEX, t()])
            at = Builder(block)
            control.make_yield(at, [math.sin(at, block.args[1])])
            return [control.make_for(b, arith.index(b, 5), [start], [], block, 5).results[0]]

        return build(b, [9], element)

    module = program([t(9)], code)
    check(module, BatchMaps(small_loops=False))
    assert counts(module)["control.map"] == 1
    check(module, TileMaps(lanes=4))
    (loop,) = (op for op in module.walk() if isinstance(op, control.For))
    assert loop.results[0].type == t(4)
