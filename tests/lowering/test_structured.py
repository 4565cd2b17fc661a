"""Control flow at loop level and as machine code, with and without a memory plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dmc.dialects import arith, control, kernel, math
from dmc.dialects.loop import For, Load, Store
from dmc.ir import AffineMap, Block, Builder, DType, Module, TensorType, Value, tensor
from dmc.transforms.generics import Read, make_generic
from tests.lowering.native import check, compile_native, program, random

F64 = DType.F64
SCALAR = tensor(F64)


def add(b: Builder, x: Value, y: Value) -> Value:
    """Element by element, by a kernel."""
    type_ = x.type
    assert isinstance(type_, TensorType)
    whole = AffineMap.identity(type_.rank)
    reads = [Read(x, whole), Read(y, whole)]

    def code(inner: Builder, a: list[Value]) -> list[Value]:
        return [arith.add(inner, a[0], a[1])]

    return make_generic(b, type_.shape, reads, code, [whole]).results[0]


def body(
    types: Sequence[TensorType], write: Callable[[Builder, list[Value]], Sequence[Value]]
) -> Block:
    """A region that ends in `control.yield`."""
    block = Block(types)
    builder = Builder(block)
    control.make_yield(builder, write(builder, block.args))
    return block


def inputs(module: Module) -> list[np.ndarray]:
    types = [v.type for v in module.lookup("main").regions[0].block.args]
    return [random(t, i) for i, t in enumerate(types) if isinstance(t, TensorType)]


def pendulum(steps: int) -> Module:
    """RK4 with the state in two scalars, stacked; the input is (angle, speed), g/l, and h."""

    def step(b: Builder, args: list[Value], g: Value, h: Value) -> list[Value]:
        _, angle, speed = args

        def field(a: Value, s: Value) -> tuple[Value, Value]:
            return s, arith.negate(b, arith.multiply(b, g, math.sin(b, a)))

        def moved(k: tuple[Value, Value], by: Value) -> tuple[Value, Value]:
            parts = zip((angle, speed), k, strict=True)
            first, second = (arith.add(b, x, arith.multiply(b, by, d)) for x, d in parts)
            return first, second

        half = arith.multiply(b, arith.scalar(b, 0.5, F64), h)
        k1 = field(angle, speed)
        k2 = field(*moved(k1, half))
        k3 = field(*moved(k2, half))
        k4 = field(*moved(k3, h))
        sixth = arith.divide(b, h, arith.scalar(b, 6.0, F64))
        two = arith.scalar(b, 2.0, F64)
        out: list[Value] = []
        for x, a, c, d, e in zip((angle, speed), k1, k2, k3, k4, strict=True):
            inner = arith.multiply(b, two, arith.add(b, c, d))
            total = arith.add(b, arith.add(b, a, e), inner)
            out.append(arith.add(b, x, arith.multiply(b, sixth, total)))
        row = b.insert(kernel.FromElements(out, {"shape": (2,)})).output
        return [*out, row]

    def write(b: Builder, args: list[Value]) -> list[Value]:
        start, g, h = args
        inits = [b.insert(kernel.Load([start, arith.index(b, i)])).output for i in range(2)]
        region = body([control.INDEX, SCALAR, SCALAR], lambda inner, a: step(inner, a, g, h))
        count = arith.index(b, steps)
        return list(control.make_for(b, count, inits, [], region, trip_count=steps).results)

    return program([tensor(F64, 2), SCALAR, SCALAR], write)


def test_scalars_of_a_loop_stay_in_registers() -> None:
    module = pendulum(50)
    check(module, [np.array([1.0, 0.0]), np.array(9.8), np.array(0.01)], rtol=1e-12)
    loops = compile_native(module, planned=True).loops.module
    (loop,) = [op for op in loops.walk() if isinstance(op, For)]
    assert len(loop.inits) == 2
    assert not [op for op in loop.walk() if isinstance(op, Load)]
    assert len([op for op in loop.walk() if isinstance(op, Store)]) == 2


def test_tensors_are_carried_scanned_and_stacked_forwards_and_backwards() -> None:
    def write(b: Builder, args: list[Value], reverse: bool) -> list[Value]:
        start, rows, numbers = args

        def step(inner: Builder, a: list[Value]) -> list[Value]:
            _, total, count, row, number = a
            following = add(inner, total, row)
            scaled = arith.add(inner, count, number)
            return [following, scaled, following, scaled]

        types = [control.INDEX, tensor(F64, 3), SCALAR, tensor(F64, 3), SCALAR]
        zero = arith.scalar(b, 0.0, F64)
        loop = control.make_for(
            b,
            arith.index(b, 7),
            [start, zero],
            [rows, numbers],
            body(types, step),
            trip_count=7,
            reverse=reverse,
        )
        return list(loop.results)

    types = [tensor(F64, 3), tensor(F64, 7, 3), tensor(F64, 7)]
    for reverse in (False, True):
        module = program(types, lambda b, a, r=reverse: write(b, a, r))
        check(module, inputs(module))


def test_carried_tensors_that_swap() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        region = body([control.INDEX, *([tensor(F64, 4)] * 2)], lambda _, a: [a[2], a[1]])
        return list(control.make_for(b, arith.index(b, 3), args, [], region, 3).results)

    module = program([tensor(F64, 4), tensor(F64, 4)], write)
    check(module, inputs(module))


def test_a_loop_that_never_runs_and_one_of_unknown_length() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        region = body([control.INDEX, SCALAR], lambda inner, a: [arith.add(inner, a[1], a[1])])
        other = body([control.INDEX, SCALAR], lambda inner, a: [arith.add(inner, a[1], a[1])])
        never = control.make_for(b, arith.index(b, 0), [args[0]], [], region, trip_count=0)
        some = control.make_for(b, args[1], [args[0]], [], other)
        return [never.results[0], some.results[0]]

    module = program([SCALAR, control.INDEX], write)
    for count in (0, 1, 5):
        check(module, [np.array(1.5), np.array(count)])


def test_branches_give_scalars_and_tensors() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        x, y, s = args
        positive = arith.compare(b, arith.Direction.GT, s, arith.scalar(b, 0.0, F64))
        on_true = body([], lambda inner, _: [add(inner, x, y), arith.negate(inner, s)])
        on_false = body([], lambda inner, _: [y, s])
        return list(control.make_if(b, positive, on_true, on_false).results)

    module = program([tensor(F64, 5), tensor(F64, 5), SCALAR], write)
    for s in (1.0, -1.0, np.nan):
        x, y, _ = inputs(module)
        check(module, [x, y, np.array(s)])


def test_while_carries_scalars_and_tensors() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        condition = body(
            [SCALAR, tensor(F64, 3)],
            lambda inner, a: [
                arith.compare(inner, arith.Direction.GT, a[0], arith.scalar(inner, 0.01, F64))
            ],
        )
        step = body(
            [SCALAR, tensor(F64, 3)],
            lambda inner, a: [
                arith.multiply(inner, a[0], arith.scalar(inner, 0.5, F64)),
                add(inner, a[1], a[1]),
            ],
        )
        return list(control.make_while(b, args, condition, step).results)

    module = program([SCALAR, tensor(F64, 3)], write)
    for start in (1.0, 0.0):
        check(module, [np.array(start), random(tensor(F64, 3))])


def test_map_runs_its_points_as_tasks() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        x, rows = args

        def point(inner: Builder, a: list[Value]) -> list[Value]:
            i, j = a
            value = inner.insert(kernel.Load([x, i, j])).output
            doubled = math.exp(inner, value)
            return [doubled, add(inner, rows, rows)]

        return list(control.make_map(b, (5, 4), body([control.INDEX] * 2, point)).results)

    module = program([tensor(F64, 5, 4), tensor(F64, 3)], write)
    check(module, inputs(module))


def test_results_are_left_in_donated_arguments() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        return [add(b, args[0], args[1]), args[1]]

    module = program([tensor(F64, 6), tensor(F64, 6)], write)
    module.lookup("main").attributes["donated"] = (0,)
    compiled = compile_native(module, planned=True)
    assert compiled.loops.overwrites == (0, None)
    x, y = inputs(module)
    expected = x + y
    total, same = compiled(x, y)
    assert total is x
    np.testing.assert_array_equal(total, expected)
    np.testing.assert_array_equal(same, y)


def test_tasks_read_constants() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        table = arith.constant(b, np.arange(5.0) ** 2, tensor(F64, 5))

        def point(inner: Builder, a: list[Value]) -> list[Value]:
            found = inner.insert(kernel.Load([table, a[0]])).output
            return [arith.multiply(inner, found, args[0]), add(inner, table, table)]

        return list(control.make_map(b, (5,), body([control.INDEX], point)).results)

    module = program([SCALAR], write)
    check(module, [np.array(3.0)])
