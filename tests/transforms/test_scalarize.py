"""scalarize: small tensors in loops become scalars."""

from __future__ import annotations

from collections import Counter

import numpy as np

from dmc.dialects import arith, control, math, tensor
from dmc.ir import (
    AffineExpr,
    AffineMap,
    Block,
    Builder,
    DType,
    Interpreter,
    Module,
    TensorType,
    Value,
    shape_of,
    verify,
)
from dmc.ir import tensor as tensor_type
from dmc.ir.parser import parse_module
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.cse import Cse
from dmc.transforms.dce import Dce
from dmc.transforms.scalarize import Scalarize
from tests.transforms.programs import check, counts, program

F64 = DType.F64


def t(*shape: int) -> TensorType:
    return tensor_type(F64, *shape)


def scalarized(module: Module) -> Module:
    return check(module, Canonicalize(), Scalarize(), Canonicalize(), Cse(), Dce())


def inside(module: Module) -> Counter[int]:
    """Ranks of the values computed in loops."""
    loops = [op for op in module.walk() if isinstance(op, control.For | control.While)]
    return Counter(
        len(shape_of(value.type))
        for loop in loops
        for op in loop.walk()
        if op is not loop
        for value in op.results
    )


def field(b: Builder, y: Value, damping: Value) -> Value:
    y0 = tensor.extract(b, y, [arith.index(b, 0)])
    y1 = tensor.extract(b, y, [arith.index(b, 1)])
    down = arith.negate(b, math.sin(b, y0))
    return tensor.from_elements(b, [y1, arith.subtract(b, down, arith.multiply(b, damping, y1))])


def runge_kutta(b: Builder, args: list[Value]) -> list[Value]:
    """Steps of the classical method for a pendulum; the states are stacked."""
    start, damping, h = args
    block = Block([control.INDEX, start.type])
    inner = Builder(block)
    y = block.args[1]

    def ahead(k: Value, part: float) -> Value:
        step = arith.multiply(inner, h, arith.scalar(inner, part, F64))
        return arith.add(inner, y, arith.multiply(inner, spread(step), k))

    def spread(s: Value) -> Value:
        return tensor.broadcast_in_dim(inner, s, (2,), ())

    k1 = field(inner, y, damping)
    k2 = field(inner, ahead(k1, 0.5), damping)
    k3 = field(inner, ahead(k2, 0.5), damping)
    k4 = field(inner, ahead(k3, 1.0), damping)
    total = arith.add(inner, arith.add(inner, k1, k4), arith.add(inner, k2, k3))
    sixth = arith.multiply(inner, h, arith.scalar(inner, 1 / 6, F64))
    y = arith.add(inner, y, arith.multiply(inner, spread(sixth), total))
    control.make_yield(inner, [y, y])
    return list(control.make_for(b, arith.index(b, 9), [start], [], block, 9).results)


def test_runge_kutta_is_scalar_code_in_one_loop() -> None:
    module = scalarized(program([t(2), t(), t()], runge_kutta))
    assert counts(module)["control.for"] == 1
    # Only the row to stack is put together.
    assert inside(module)[1] == 1
    (loop,) = (op for op in module.walk() if isinstance(op, control.For))
    assert [v.type for v in loop.inits] == [t(), t()]


def test_all_kinds_of_small_work() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, xs = args
        block = Block([control.INDEX, x.type, t(3)])
        inner = Builder(block)
        i, x_in, row = block.args
        turned = tensor.transpose(inner, x_in, (1, 0))
        product = tensor.dot_general(inner, turned, x_in, ([], []), ([1], [0]))
        peak = tensor.reduce(inner, product, tensor.Kind.MAX, (0,))
        both = tensor.concatenate(inner, [peak, row], 0)
        part = tensor.slice_(inner, tensor.reverse(inner, both, (0,)), (1,), (6,), (2,))
        zero = arith.scalar(inner, 0.0, F64)
        padded = tensor.pad(inner, part, zero, (1,), (0,), (0,))
        flat = tensor.reshape(inner, tensor.slice_(inner, padded, (1,), (4,)), (1, 3))
        there = tensor.dynamic_slice(inner, xs, [i, arith.index(inner, 0)], [1, 3])
        step = math.tanh(inner, arith.add(inner, flat, there))
        nexts = arith.add(inner, x_in, tensor.broadcast_in_dim(inner, step, (3, 3), (0, 1)))
        control.make_yield(inner, [math.tanh(inner, nexts), tensor.reduce_sum(inner, part, (0,))])
        op = control.make_for(b, arith.index(b, 4), [x], [xs], block, 4)
        return list(op.results)

    assert set(inside(scalarized(program([t(3, 3), t(4, 3)], code)))) == {0}


def test_parts_are_written_and_added_to_in_registers() -> None:
    def code(b: Builder, args: list[Value], known: bool) -> list[Value]:
        (x,) = args
        block = Block([control.INDEX, x.type])
        inner = Builder(block)
        i, row = block.args
        shifted = AffineMap(1, (AffineExpr((1,), 2),))
        ahead = inner.insert(tensor.Read([row], {"map": shifted, "sizes": (4,)})).result
        sums = row
        for slope, first in ((-3, 5), (0, 1)):  # most are outside; all meet in one place
            where = AffineMap(1, (AffineExpr((slope,), first),))
            into = inner.insert(tensor.Accumulate([ahead], {"map": where, "shape": (4,)}))
            sums = arith.add(inner, sums, into.result)
        third = arith.index(inner, 2) if known else i
        new = tensor.dynamic_update_slice(
            inner, row, tensor.slice_(inner, sums, (1,), (3,)), [third]
        )
        far = arith.index(inner, 9)
        values = [new, tensor.reverse(inner, tensor.slice_(inner, row, (0,), (3,)), (0,)), far]
        added = inner.insert(tensor.DynamicUpdateSlice(values, {"combiner": "add"})).result
        control.make_yield(inner, [math.tanh(inner, added)])
        return list(control.make_for(b, arith.index(b, 3), [x], [], block, 3).results)

    for known in (True, False):
        module = scalarized(program([t(4)], lambda b, args, known=known: code(b, args, known)))
        assert (counts(module)["tensor.dynamic_update_slice"] == 0) == known
        assert (set(inside(module)) == {0}) == known


def test_branches_and_while() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        (x,) = args
        condition, body = Block([x.type]), Block([x.type])
        at = Builder(condition)
        size = tensor.reduce_sum(at, arith.multiply(at, *condition.args * 2), (0,))
        limit = arith.scalar(at, 0.01, F64)
        control.make_yield(at, [arith.compare(at, arith.Direction.GT, size, limit)])
        at = Builder(body)
        first = tensor.extract(at, body.args[0], [arith.index(at, 0)])
        blocks = [Block(), Block()]
        for block, factor in zip(blocks, (0.5, -0.25), strict=True):
            inner = Builder(block)
            half = arith.constant(inner, factor, x.type)
            control.make_yield(inner, [arith.multiply(inner, body.args[0], half)])
        test = arith.compare(at, arith.Direction.GT, first, arith.scalar(at, 0.0, F64))
        control.make_yield(at, control.make_if(at, test, *blocks).results)
        return list(control.make_while(b, [x], condition, body).results)

    module = scalarized(program([t(3)], code))
    assert set(inside(module)) == {0}


def test_loops_with_large_work_are_left_alone() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        bias, w = args
        block = Block([control.INDEX, bias.type])
        inner = Builder(block)
        large = math.tanh(inner, tensor.broadcast_in_dim(inner, block.args[1], (8, 4), (1,)))
        total = tensor.reduce_sum(inner, arith.multiply(inner, large, w), (0,))
        control.make_yield(inner, [total])
        return list(control.make_for(b, arith.index(b, 2), [bias], [], block, 2).results)

    module = scalarized(program([t(4), t(8, 4)], code))
    assert inside(module)[2] > 0


def test_elementary_functions_of_several_elements_fill_vectors() -> None:
    """Of 14 elements; of 2 they are scalars."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        (state,) = args
        block = Block([control.INDEX, state.type])
        inner = Builder(block)
        gate = inner.insert(math.Logistic([block.args[1]])).result
        control.make_yield(inner, [math.tanh(inner, arith.multiply(inner, gate, block.args[1]))])
        return list(control.make_for(b, arith.index(b, 3), [state], [], block, 3).results)

    assert set(inside(scalarized(program([t(14)], code)))) == {1}
    assert set(inside(scalarized(program([t(2)], code)))) == {0}


ADDING = """
    %{to} = control.for %two, %{of} {{carried = 1, most = 2, trip_count = 2}}
      : (tensor<i64>, tensor<2xf64>) -> tensor<2xf64>
      (%j{to}: tensor<i64>, %a{to}: tensor<2xf64>) {{
      %b{to} = tensor.dynamic_update_slice %a{to}, %u, %j{to} {{combiner = "add"}}
        : (tensor<2xf64>, tensor<1xf64>, tensor<i64>) -> tensor<2xf64>
      control.yield %b{to} : tensor<2xf64>
    }}
"""


def test_sums_pass_through_loops_that_follow_each_other() -> None:
    """The points of a map add to a small tensor in place, in one loop and then in another."""
    module = parse_module(f"""
      func.func @f(%x: tensor<3xf64>) -> tensor<2xf64> {{
        %zero = arith.constant dense<0.0> : tensor<2xf64>
        %two = arith.constant dense<2> : tensor<i64>
        %y = control.map %zero {{sizes = [3]}} : tensor<2xf64>
          (%i: tensor<i64>, %s: tensor<2xf64>) {{
          %e = tensor.extract %x, %i : (tensor<3xf64>, tensor<i64>) -> tensor<f64>
          %u = tensor.reshape %e {{shape = [1]}} : (tensor<f64>) -> tensor<1xf64>
          {ADDING.format(of="s", to="once")}{ADDING.format(of="once", to="twice")}
          control.yield %twice : tensor<2xf64>
        }}
        func.return %y : tensor<2xf64>
      }}
    """)
    Scalarize().run(module)
    verify(module)
    (y,) = Interpreter(module).call("f", [np.array([1.0, 2.0, 4.0])])
    assert y.tolist() == [14.0, 14.0]
