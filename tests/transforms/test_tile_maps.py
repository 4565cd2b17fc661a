"""tile-maps: several points at once, under masks where their loops differ."""

from __future__ import annotations

import numpy as np
import pytest

from dmc.dialects import arith, control, tensor
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
