"""canonicalize, cse, dce, inline, hoist."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dmc.dialects import arith, control, func, math, tensor
from dmc.ir import Block, Builder, DType, Interpreter, Module, SymbolRef, Value, verify
from dmc.ir import tensor as tensor_type
from dmc.ir.passes import Pass
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.cse import Cse
from dmc.transforms.dce import Dce
from dmc.transforms.hoist import Hoist
from dmc.transforms.inline import Inline
from dmc.transforms.relax_guards import RelaxGuards
from tests.transforms.programs import add_function, check, counts, program

F64, I64 = DType.F64, DType.I64
S, V = tensor_type(F64), tensor_type(F64, 3)


Step = Callable[[Builder, Value, list[Value]], list[Value]]


def loop(b: Builder, count: Value, inits: list[Value], code: Step) -> control.For:
    block = Block([control.INDEX, *(v.type for v in inits)])
    inner = Builder(block)
    control.make_yield(inner, code(inner, block.args[0], block.args[1:]))
    return control.make_for(b, count, inits, [], block)


def test_folds_reach_a_fixed_point() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        two = arith.add(b, arith.scalar(b, 1.0, F64), arith.scalar(b, 1.0, F64))
        one = arith.subtract(b, two, arith.scalar(b, 1.0, F64))
        return [arith.multiply(b, one, arith.negate(b, arith.negate(b, args[0])))]

    module = check(program([S], code), Canonicalize())
    assert counts(module) == {"func.return": 1}


@pytest.mark.parametrize("passes", [Canonicalize, RelaxGuards])
def test_a_constant_of_any_size_is_looked_at_once(passes: type[Pass]) -> None:
    """Guards ask whether a constant has zeros or infinities: 2^40 of them are one number."""
    wide = tensor_type(F64, 1 << 20, 1 << 20)

    def code(b: Builder, args: list[Value]) -> list[Value]:
        scale = arith.constant(b, 0.5, wide)
        return [arith.product(b, scale, args[0], True, False)]

    module = program([wide], code)
    passes().run(module)
    assert counts(module)["arith.multiply"] == 1


def test_known_branches_and_counts() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        blocks = [Block(), Block()]
        for block, function in zip(blocks, (math.sin, math.cos), strict=True):
            inner = Builder(block)
            control.make_yield(inner, [function(inner, args[0])])
        branch = control.make_if(b, arith.scalar(b, False, DType.BOOL), *blocks)

        def step(b: Builder, i: Value, carried: list[Value]) -> list[Value]:
            return [arith.multiply(b, carried[0], carried[0])]

        once = loop(b, arith.index(b, 1), [branch.results[0]], step)
        never = loop(b, arith.index(b, -3), [once.results[0]], step)
        return [never.results[0]]

    module = check(program([S], code), Canonicalize())
    assert counts(module) == {"math.cos": 1, "arith.multiply": 1, "func.return": 1}


def test_constants_come_last() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        return [arith.add(b, arith.scalar(b, 3.0, F64), args[0])]

    module = check(program([S], code), Canonicalize())
    (add,) = (op for op in module.walk() if isinstance(op, arith.Add))
    assert isinstance(add.rhs.defining_op, arith.Constant)


def test_cse_merges_regions_and_commuted_operands_but_not_attributes() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = args
        total = arith.add(b, arith.add(b, x, y), arith.add(b, y, x))
        less = arith.compare(b, arith.Direction.LT, x, y)
        more = arith.compare(b, arith.Direction.GT, x, y)

        def step(b: Builder, i: Value, carried: list[Value]) -> list[Value]:
            return [math.sin(b, arith.add(b, carried[0], arith.add(b, x, y)))]

        count = arith.index(b, 3)
        first = loop(b, count, [x], step).results[0]
        second = loop(b, count, [x], step).results[0]
        third = loop(b, count, [y], step).results[0]
        both = arith.logical_and(b, less, more)
        return [arith.select(b, both, total, arith.add(b, first, arith.add(b, second, third)))]

    module = check(program([S, S], code), Cse())
    found = counts(module)
    assert found["control.for"] == 2
    assert found["arith.compare"] == 2
    # x + y once (also inside the loops), the sum with itself, one in each loop, two at the end.
    assert found["arith.add"] == 6


def test_cse_keeps_signed_zeros_and_types_apart() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        zeros = [arith.scalar(b, z, F64) for z in (0.0, -0.0)]
        return [arith.divide(b, args[0], z) for z in zeros]

    module = check(program([S], code), Cse())
    assert counts(module)["arith.constant"] == 2


def test_dce_of_carried_values_and_functions() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y, z = args

        def step(b: Builder, i: Value, carried: list[Value]) -> list[Value]:
            # The second feeds only itself, the third feeds the first.
            kept, idle, feeding = carried
            return [arith.add(b, kept, feeding), math.sin(b, idle), math.cos(b, feeding)]

        dead = loop(b, arith.index(b, 2), [x], lambda b, i, c: [math.exp(b, c[0])])
        assert dead.results
        return [loop(b, arith.index(b, 4), [x, y, z], step).results[0]]

    module = program([S, S, S], code)
    add_function(module, "unused", [S], lambda b, a: a, private=True)
    add_function(module, "public", [S], lambda b, a: a)
    check(module, Dce())
    found = counts(module)
    assert found["control.for"] == 1
    assert "math.sin" not in found
    assert "math.cos" in found
    assert [f.sym_name for f in func.functions(module)] == ["main", "public"]
    (kept,) = (op for op in module.walk() if isinstance(op, control.For))
    assert kept.carried == 2


def test_dce_of_stacks_scans_and_branches() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, xs, ys = args
        block = Block([control.INDEX, S, S, S])
        inner = Builder(block)
        _, carry, a, c = block.args
        control.make_yield(
            inner, [arith.add(inner, carry, a), math.sin(inner, carry), math.cos(inner, c)]
        )
        op = control.make_for(b, arith.index(b, 3), [x], [xs, ys], block, 3)
        blocks = [Block(), Block()]
        for branch in blocks:
            at = Builder(branch)
            control.make_yield(at, [math.exp(at, x), math.log(at, x)])
        condition = arith.compare(b, arith.Direction.LT, x, op.results[0])
        chosen = control.make_if(b, condition, *blocks)
        return [op.results[1], chosen.results[0]]

    found = counts(check(program([S, V, V], code), Dce()))
    assert "math.cos" not in found
    assert "math.log" not in found
    assert found["math.exp"] == 2


def test_dce_of_while() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        condition, body = Block([S, S, S]), Block([S, S, S])
        at = Builder(condition)
        limit = arith.scalar(at, 10.0, F64)
        control.make_yield(at, [arith.compare(at, arith.Direction.LT, condition.args[1], limit)])
        at = Builder(body)
        x, y, z = body.args
        one = arith.scalar(at, 1.0, F64)
        nexts = [arith.add(at, x, y), arith.add(at, y, one), math.sin(at, z)]
        control.make_yield(at, nexts)
        return [control.make_while(b, args, condition, body).results[0]]

    module = check(program([S, S, S], code), Dce())
    assert "math.sin" not in counts(module)
    (op,) = (op for op in module.walk() if isinstance(op, control.While))
    assert len(op.results) == 2


def test_inline_keeps_rules_until_asked() -> None:
    module = Module.empty()
    square = add_function(module, "sq", [S], lambda b, a: [arith.multiply(b, *a, *a)], True)
    rule = add_function(module, "rule", [S], lambda b, a: [math.sin(b, a[0])], True)
    rule.attributes["jvp_rule"] = SymbolRef("sq")
    twice = add_function(
        module, "twice", [S], lambda b, a: func.call(b, square, func.call(b, square, a)), True
    )
    add_function(module, "main", [S], lambda b, a: func.call(b, rule, func.call(b, twice, a)))
    verify(module)
    check(module, Inline())
    assert counts(module)["func.call"] == 1
    assert counts(module)["arith.multiply"] == 2
    check(module, Inline(rules=True))
    assert counts(module)["func.call"] == 0


def test_hoist_from_nested_loops_but_not_from_branches() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = args

        def inner(b: Builder, i: Value, carried: list[Value]) -> list[Value]:
            once = math.sin(b, x)
            blocks = [Block(), Block()]
            for block, function in zip(blocks, (math.exp, math.log), strict=True):
                at = Builder(block)
                control.make_yield(at, [function(at, y)])
            test = arith.compare(b, arith.Direction.LT, carried[0], y)
            branch = control.make_if(b, test, *blocks).results[0]
            return [arith.add(b, carried[0], arith.multiply(b, once, branch))]

        def outer(b: Builder, i: Value, carried: list[Value]) -> list[Value]:
            return [loop(b, arith.index(b, 2), [carried[0]], inner).results[0]]

        return [loop(b, arith.index(b, 2), [x], outer).results[0]]

    module = check(program([S, S], code), Hoist(), arguments=[np.array(0.5), np.array(2.0)])
    where = {op.name: op.parent_op for op in module.walk()}
    assert isinstance(where["math.sin"], func.Func)
    assert isinstance(where["math.exp"], control.If)


def test_hoist_leaves_a_while_that_might_not_run() -> None:
    def endless(b: Builder, x: Value) -> Value:
        condition, body = Block([S]), Block([S])
        at = Builder(condition)
        control.make_yield(at, [arith.compare(at, arith.Direction.EQ, *condition.args * 2)])
        control.make_yield(Builder(body), body.args)
        return control.make_while(b, [x], condition, body).results[0]

    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, count = args
        return [loop(b, count, [x], lambda b, i, c: [endless(b, x)]).results[0]]

    module = program([S, tensor_type(I64)], code)
    Hoist().run(module)
    verify(module)
    out = Interpreter(module).call("main", [np.array(1.0), np.array(0)])
    assert out[0] == 1.0


def test_sums_of_pads_are_concatenations() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        zero = arith.scalar(b, 0.0, F64)
        x, y, z, whole = args
        first = tensor.pad(b, x, zero, (0, 0), (0, 3))
        second = tensor.pad(b, y, zero, (0, 2), (0, 0))
        third = tensor.pad(b, z, zero, (1, 0), (0, 0))
        overlapping = tensor.pad(b, y, zero, (0, 1), (0, 1))
        total = arith.add(b, arith.add(b, first, whole), arith.add(b, second, third))
        return [arith.add(b, total, overlapping), total]

    inputs = [tensor_type(F64, *s) for s in ((2, 1), (2, 2), (1, 4), (2, 4))]
    found = counts(check(program(inputs, code), Canonicalize()))
    assert found["tensor.concatenate"] == 1
    # The one along the other axis, and the one that overlaps.
    assert found["tensor.pad"] == 2


def test_planted_difference_is_found() -> None:
    """The harness itself: a pass that changes the result must fail."""

    class Break(Pass):
        def run(self, module: Module) -> None:
            for op in module.walk():
                if isinstance(op, arith.Add):
                    op.set_operand(1, op.operands[0])

    module = program([V, V], lambda b, a: [arith.add(b, *a)])
    with pytest.raises(AssertionError):
        check(module, Break())
