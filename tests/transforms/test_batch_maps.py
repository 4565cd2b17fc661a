"""batch-maps: bodies at every point become operations on whole tensors."""

from __future__ import annotations

import numpy as np

from dmc.dialects import arith, control, math, tensor
from dmc.ir import Block, Builder, DType, Module, TensorType, Value
from dmc.ir import tensor as tensor_type
from dmc.transforms.batch_maps import BatchMaps
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.cse import Cse
from dmc.transforms.dce import Dce
from tests.transforms.programs import Code, check, counts, program

F64, I64 = DType.F64, DType.I64


def t(*shape: int) -> TensorType:
    return tensor_type(F64, *shape)


def build(b: Builder, sizes: list[int], code: Code) -> list[Value]:
    block = Block([control.INDEX] * len(sizes))
    inner = Builder(block)
    control.make_yield(inner, code(inner, block.args))
    return list(control.make_map(b, sizes, block).results)


def branch(b: Builder, condition: Value, on_true: Code, on_false: Code) -> list[Value]:
    blocks = [Block(), Block()]
    for block, code in zip(blocks, (on_true, on_false), strict=True):
        at = Builder(block)
        control.make_yield(at, code(at, []))
    return list(control.make_if(b, condition, *blocks).results)


def batched(module: Module) -> Module:
    return check(module, BatchMaps(), Canonicalize(), Cse(), Dce())


def row(b: Builder, x: Value, i: Value) -> Value:
    assert isinstance(x.type, TensorType)
    width = x.type.shape[1]
    part = tensor.dynamic_slice(b, x, [i, arith.index(b, 0)], [1, width])
    return tensor.reshape(b, part, (width,))


def test_elements_are_slices_and_products() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args

        def element(b: Builder, point: list[Value]) -> list[Value]:
            i, j = point
            return [arith.multiply(b, tensor.extract(b, x, [i]), tensor.extract(b, w, [j]))]

        return build(b, [3, 4], element)

    found = counts(batched(program([t(3), t(4)], code)))
    assert "control.map" not in found
    assert "tensor.gather" not in found


def test_rows_times_a_matrix_are_one_contraction() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args

        def element(b: Builder, point: list[Value]) -> list[Value]:
            y = tensor.dot_general(b, row(b, x, point[0]), w, ([], []), ([0], [0]))
            return [math.tanh(b, y)]

        return build(b, [5], element)

    found = counts(batched(program([t(5, 3), t(3, 4)], code)))
    assert found == {"tensor.dot_general": 1, "math.tanh": 1, "func.return": 1}


def test_what_depends_on_no_index_is_computed_once() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, s = args

        def element(b: Builder, point: list[Value]) -> list[Value]:
            return [arith.add(b, tensor.extract(b, x, point), math.exp(b, s))]

        return build(b, [3], element)

    module = batched(program([t(3), t()], code))
    (exp,) = (op for op in module.walk() if isinstance(op, math.Exp))
    assert exp.result.type == t()


def test_each_value_gets_only_its_own_axes() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = args

        def element(b: Builder, point: list[Value]) -> list[Value]:
            left = math.exp(b, tensor.extract(b, x, point[:1]))
            right = math.sin(b, tensor.extract(b, y, point[1:]))
            return [arith.add(b, left, right), left]

        return build(b, [3, 4], element)

    module = batched(program([t(3), t(4)], code))
    (exp,) = (op for op in module.walk() if isinstance(op, math.Exp))
    (sin,) = (op for op in module.walk() if isinstance(op, math.Sin))
    assert (exp.result.type, sin.result.type) == (t(3), t(4))


def test_nested_maps_and_reductions() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args

        def outer(b: Builder, point: list[Value]) -> list[Value]:
            i, j = point

            def inner(b: Builder, k: list[Value]) -> list[Value]:
                a = tensor.extract(b, x, [i, k[0]])
                return [arith.multiply(b, a, tensor.extract(b, w, [k[0], j]))]

            (products,) = build(b, [4], inner)
            return [tensor.reduce_sum(b, products, (0,))]

        return build(b, [3, 5], outer)

    found = counts(batched(program([t(3, 4), t(4, 5)], code)))
    assert "control.map" not in found


def test_branches_select_and_the_untaken_one_has_no_effect() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        (x,) = args

        def element(b: Builder, point: list[Value]) -> list[Value]:
            at = tensor.extract(b, x, point)
            positive = arith.compare(b, arith.Direction.GT, at, arith.scalar(b, 0.0, F64))
            zero = arith.scalar(b, 0.0, F64)
            return branch(b, positive, lambda b, _: [math.log(b, at)], lambda b, _: [zero])

        return build(b, [4], element)

    module = program([t(4)], code)
    check(module, BatchMaps(), arguments=[np.array([1.0, -1.0, 0.0, 2.0])])
    assert "control.map" not in counts(module)


def test_uniform_branches_stay_branches() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, s = args
        positive = arith.compare(b, arith.Direction.GT, s, arith.scalar(b, 0.0, F64))

        def element(b: Builder, point: list[Value]) -> list[Value]:
            at = tensor.extract(b, x, point)
            return branch(b, positive, lambda b, _: [math.sin(b, at)], lambda b, _: [s])

        return build(b, [4], element)

    found = counts(batched(program([t(4), t()], code)))
    assert found["control.if"] == 1
    assert "control.map" not in found


def test_loops_carry_the_axes_that_they_need() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, ys = args

        def element(b: Builder, point: list[Value]) -> list[Value]:
            block = Block([control.INDEX, t(), t(), t()])
            inner = Builder(block)
            i, total, power, y = block.args
            at = tensor.extract(inner, x, point)
            step = arith.multiply(inner, arith.convert(inner, i, F64), y)
            total = arith.add(inner, total, arith.multiply(inner, power, at))
            control.make_yield(inner, [total, arith.add(inner, power, step), total, power])
            start = arith.scalar(b, 0.0, F64)
            op = control.make_for(b, arith.index(b, 6), [start, start], [ys], block, 6)
            return [*op.results]

        return build(b, [3], element)

    module = batched(program([t(3), t(6)], code))
    (loop,) = (op for op in module.walk() if isinstance(op, control.For))
    # `power` is the same at every point, `total` is not.
    assert [v.type for v in loop.finals] == [t(3), t()]


def test_stacks_and_scans_of_batched_values() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        (x,) = args

        def element(b: Builder, point: list[Value]) -> list[Value]:
            mine = row(b, x, point[0])
            block = Block([control.INDEX, t(), t()])
            inner = Builder(block)
            total = arith.add(inner, *block.args[1:])
            control.make_yield(inner, [total, tensor.from_elements(inner, [total, total])])
            zero = arith.scalar(b, 0.0, F64)
            op = control.make_for(b, arith.index(b, 4), [zero], [mine], block, 4)
            return [*op.results]

        return build(b, [3], element)

    assert "control.map" not in counts(batched(program([t(3, 4)], code)))


def newton(b: Builder, start: Value) -> Value:
    """Halve until below 1: a trip count that depends on the point."""
    condition, body = Block([t()]), Block([t()])
    at = Builder(condition)
    one = arith.scalar(at, 1.0, F64)
    control.make_yield(at, [arith.compare(at, arith.Direction.GT, condition.args[0], one)])
    at = Builder(body)
    control.make_yield(at, [arith.multiply(at, body.args[0], arith.scalar(at, 0.5, F64))])
    return control.make_while(b, [start], condition, body).results[0]


def test_divergent_loops_stay_maps() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        def element(b: Builder, point: list[Value]) -> list[Value]:
            return [newton(b, tensor.extract(b, args[0], point))]

        return build(b, [4], element)

    module = program([t(4)], code)
    check(module, BatchMaps())
    assert counts(module)["control.map"] == 1


def test_maps_inside_are_points_too() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        def element(b: Builder, point: list[Value]) -> list[Value]:
            def term(b: Builder, inner: list[Value]) -> list[Value]:
                place = arith.add(b, point[0], inner[0])
                return [tensor.extract(b, args[0], [place])]

            (terms,) = build(b, [3], term)
            return [tensor.reduce_sum(b, math.exp(b, terms), (0,))]

        return build(b, [5], element)

    module = program([t(7)], code)
    check(module, BatchMaps())
    found = counts(module)
    assert found["control.map"] == found["tensor.gather"] == 0
    assert found["tensor.read"] == 1


def test_empty_maps() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        return build(b, [0, 3], lambda b, p: [arith.convert(b, arith.add(b, *p), F64)])

    batched(program([], code))
