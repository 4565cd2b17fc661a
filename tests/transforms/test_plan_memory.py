"""plan-memory: plans replay without a conflict, save what they should, and errors are found."""

from __future__ import annotations

import pytest

from dmc.dialects import arith, control, func, kernel, math, tensor
from dmc.ir import AffineMap, ArrayAttr, Block, Builder, DType, Module, TensorType, Value
from dmc.ir import tensor as tensor_type
from dmc.ir.parser import parse_module
from dmc.ir.printer import print_module
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.cse import Cse
from dmc.transforms.dce import Dce
from dmc.transforms.fuse import Fuse
from dmc.transforms.generics import Read, make_generic
from dmc.transforms.kernelize import Kernelize
from dmc.transforms.memory import (
    Kind,
    MemoryPlan,
    Place,
    PlanError,
    place_of,
    replay,
    report,
)
from dmc.transforms.plan_memory import PlanMemory, plan
from tests.transforms.programs import Code, check, counts, inputs_of, outputs_of, program
from tests.transforms.test_fuse import mlp

F64, I64 = DType.F64, DType.I64


def t(*shape: int) -> TensorType:
    return tensor_type(F64, *shape)


def planned(module: Module, fuse: bool = True) -> tuple[Module, MemoryPlan]:
    """Kernels with a plan that replays, and whose results are those from before."""
    passes = [Kernelize(), *([Fuse()] if fuse else []), Canonicalize(), Cse(), Dce()]
    check(module, *passes)
    arguments = inputs_of(module)
    expected = outputs_of(module, arguments)
    function = func.lookup(module, "main")
    plan(function)
    made = report(function)
    check(module)
    for a, e in zip(outputs_of(module, arguments), expected, strict=True):
        assert (a == e).all()
    replay(function, made.arena_bytes)
    assert made.least_bytes <= made.arena_bytes
    return module, made


def contract(b: Builder, x: Value, w: Value) -> Value:
    return tensor.dot_general(b, x, w, ([], []), ([1], [0]))


def test_places_print_and_parse() -> None:
    places = [
        Place(Kind.REGISTER),
        Place(Kind.ARENA, offset=128),
        Place(Kind.PRIVATE, offset=64),
        Place(Kind.RESULT, 2),
        Place(Kind.ARGUMENT, 1),
        Place(Kind.STACK, 1, depth=2),
    ]
    assert [Place.parse(str(place)) for place in places] == places
    for wrong in ("arena", "nowhere 1", "result 1 2"):
        with pytest.raises(ValueError, match=wrong.split()[0]):
            Place.parse(wrong)


def test_chain_reuses_two_buffers() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args
        for _ in range(6):
            x = contract(b, x, w)
        return [x]

    module, made = planned(program([t(8, 8), t(8, 8)], code))
    assert made.arena_bytes == 2 * 8 * 8 * 8
    assert counts(module)["kernel.copy"] == 0


def test_elementwise_work_is_done_in_place() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        (x,) = args
        for function in (math.sin, math.cos, math.tanh):
            x = function(b, x)
        return [x]

    module, made = planned(program([t(8, 8)], code), fuse=False)
    assert made.arena_bytes == 0
    assert counts(module)["kernel.copy"] == 0


def test_arguments_and_repeated_results_are_copied() -> None:
    module, _ = planned(program([t(3)], lambda b, a: [a[0], a[0], math.sin(b, a[0])]))
    assert counts(module)["kernel.copy"] == 2


def test_donated_argument_holds_the_result() -> None:
    module = program([t(3), t(3)], lambda b, a: [math.sin(b, a[0]), arith.add(b, *a)])
    check(module, Kernelize())
    function = func.lookup(module, "main")
    function.attributes["donated"] = (0,)
    plan(function)
    made = report(function)
    replay(function, made.arena_bytes)
    kinds = {str(place_of(v)) for v in function.body.terminator.operands}
    assert kinds == {"argument 0", "result 0"}


def for_loop(
    b: Builder, count: int, inits: list[Value], scanned: list[Value], carried_types: Code
) -> control.For:
    types = [v.type for v in inits]
    slices = [
        TensorType(v.type.shape[1:], v.type.dtype)
        for v in scanned
        if isinstance(v.type, TensorType)
    ]
    block = Block([control.INDEX, *types, *slices])
    inner = Builder(block)
    control.make_yield(inner, carried_types(inner, block.args))
    return control.make_for(b, arith.index(b, count), inits, scanned, block, count)


def test_carried_value_is_updated_in_place() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        def step(b: Builder, args: list[Value]) -> list[Value]:
            return [arith.multiply(b, math.sin(b, args[1]), args[1])]

        start = math.exp(b, args[0])
        return [math.cos(b, for_loop(b, 3, [start], [], step).results[0])]

    module, made = planned(program([t(64)], code))
    assert counts(module)["kernel.copy"] == 0
    assert made.arena_bytes == 0


def test_recurrence_copies_once_a_step() -> None:
    """h = tanh(h @ u) cannot overwrite h while reading it."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        h, u, xs = args

        def step(b: Builder, args: list[Value]) -> list[Value]:
            h = math.tanh(b, arith.add(b, contract(b, args[1], u), args[2]))
            return [h, h]

        op = for_loop(b, 5, [h], [xs], step)
        return [*op.results]

    module, _ = planned(program([t(2, 4), t(4, 4), t(5, 2, 4)], code))
    # The initial value, and each step from its slice to the carried buffer.
    assert counts(module)["kernel.copy"] == 2
    function = func.lookup(module, "main")
    places = {str(place_of(v)) for op in function.walk() for v in op.results if place_of(v)}
    assert "stack 1 0" in places


def test_swapped_carried_values() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        def step(b: Builder, args: list[Value]) -> list[Value]:
            _, x, y = args
            return [y, x]

        return [*for_loop(b, 3, args, [], step).results]

    planned(program([t(4), t(4)], code))


def test_rotated_and_viewed_carried_values() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        def step(b: Builder, args: list[Value]) -> list[Value]:
            _, x, y, z = args
            apart = tensor.reshape(b, y, (2, 2))
            turned = tensor.reshape(b, math.sin(b, apart), (4,))
            return [y, z, arith.add(b, turned, x)]

        return [*for_loop(b, 4, args, [], step).results]

    planned(program([t(4), t(4), t(4)], code))


def test_views_of_slices_that_a_loop_takes() -> None:
    """Reshaped where fusion cannot read through the reshape: a scan along the merged axes."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        def step(b: Builder, args: list[Value]) -> list[Value]:
            _, total, row = args
            flat = tensor.reshape(b, row, (8,))
            running = tensor.cumprod(b, flat, 0)
            return [arith.add(b, total, arith.add(b, running, flat))]

        return [*for_loop(b, 3, [args[0]], [args[1]], step).results]

    module, _ = planned(program([t(8), t(3, 2, 4)], code))
    assert counts(module)["kernel.view"] == 1


def test_nested_loops_and_invariants() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args
        outer_value = math.exp(b, w)

        def inner(b: Builder, args: list[Value]) -> list[Value]:
            return [contract(b, args[1], outer_value)]

        def outer(b: Builder, args: list[Value]) -> list[Value]:
            moved = for_loop(b, 2, [args[1]], [], inner).results[0]
            return [arith.add(b, moved, x), args[2], moved]

        return [*for_loop(b, 3, [x, w], [], outer).results]

    planned(program([t(3, 3), t(3, 3)], code))


def test_branches_share_the_result() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y, s = args
        blocks = [Block(), Block()]
        at = Builder(blocks[0])
        control.make_yield(at, [math.sin(at, x), y])
        at = Builder(blocks[1])
        e = contract(at, x, y)
        control.make_yield(at, [contract(at, e, e), contract(at, e, y)])
        zero = arith.scalar(b, 0.0, F64)
        op = control.make_if(b, arith.compare(b, arith.Direction.LT, s, zero), *blocks)
        return [contract(b, op.results[0], op.results[1]), op.results[1]]

    module, _ = planned(program([t(3, 3), t(3, 3), t()], code))
    # Only the branch that yields an argument copies.
    assert counts(module)["kernel.copy"] == 1


def test_while_loop() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = args
        condition, body = Block([x.type, y.type]), Block([x.type, y.type])
        at = Builder(condition)
        size = tensor.reduce_sum(at, arith.multiply(at, *condition.args[:1] * 2), (0,))
        limit = arith.scalar(at, 1.0, F64)
        control.make_yield(at, [arith.compare(at, arith.Direction.GT, size, limit)])
        at = Builder(body)
        half = arith.constant(at, 0.5, x.type)
        control.make_yield(at, [arith.multiply(at, body.args[0], half), body.args[0]])
        return [*control.make_while(b, [x, y], condition, body).results]

    planned(program([t(4), t(4)], code))


def test_map_bodies_have_memory_of_their_own() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args
        block = Block([control.INDEX])
        at = Builder(block)
        zero = arith.index(at, 0)
        row = tensor.dynamic_slice(at, x, [block.args[0], zero], [1, 4])
        row = contract(at, contract(at, row, w), w)
        control.make_yield(at, [tensor.reshape(at, row, (4,))])
        return [*control.make_map(b, [3], block).results]

    module, made = planned(program([t(3, 4), t(4, 4)], code))
    assert made.arena_bytes == 0
    assert made.private_bytes > 0
    assert counts(module)["kernel.copy"] == 0


def test_scatter_overwrites_a_target_that_dies() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, ids, updates = args
        zeros = math.exp(b, x)
        return [tensor.scatter(b, zeros, updates, [ids], [0])]

    module, made = planned(program([t(5), tensor_type(I64, 3), t(3)], code))
    assert made.arena_bytes == 0
    assert counts(module)["kernel.copy"] == 0


def test_mlp_plan_is_near_the_least() -> None:
    types = [t(6, 4), t(6, 3), t(4, 5), t(5), t(5, 3), t(3)]
    for fuse in (True, False):
        _, made = planned(program(types, mlp), fuse)
        assert made.arena_bytes <= 1.1 * made.least_bytes


def _planned_mlp() -> func.Func:
    module = program([t(6, 4), t(6, 3), t(4, 5), t(5), t(5, 3), t(3)], mlp)
    planned(module, fuse=False)
    return func.lookup(module, "main")


def test_every_planted_overlap_is_found() -> None:
    """Moving any buffer onto another that is live at the time must fail."""
    function = _planned_mlp()
    arena = function.attributes["arena_bytes"]
    assert isinstance(arena, int)
    values = [v for op in function.walk() for v in op.results]
    in_arena = [v for v in values if (p := place_of(v)) is not None and p.kind is Kind.ARENA]
    found = 0
    for value in in_arena:
        op = value.defining_op
        assert op is not None
        before = op.attributes["places"]
        for other in in_arena:
            texts = [str(place_of(v)) for v in op.results]
            texts[value.index] = str(place_of(other))
            op.attributes["places"] = ArrayAttr(tuple(texts))
            try:
                replay(function, 1 << 20)
            except PlanError:
                found += 1
            op.attributes["places"] = before
    assert found > len(in_arena)
    replay(function, arena)


def test_planted_wrong_arena_size_is_found() -> None:
    function = _planned_mlp()
    with pytest.raises(PlanError, match="leaves the arena"):
        replay(function, 64)


def test_planted_overwriting_is_found() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x = math.exp(b, args[0])
        return [contract(b, contract(b, x, x), x)]

    module, made = planned(program([t(4, 4)], code))
    function = func.lookup(module, "main")
    exp, first, _ = (op for op in function.walk() if isinstance(op, kernel.Generic))
    first.attributes["places"] = exp.attributes["places"]
    with pytest.raises(PlanError, match="while reading it"):
        replay(function, made.arena_bytes)


def test_pass_records_the_sizes() -> None:
    module = program([t(6, 4), t(6, 3), t(4, 5), t(5), t(5, 3), t(3)], mlp)
    check(module, Kernelize(), Fuse(), PlanMemory())
    assert isinstance(func.lookup(module, "main").attributes["arena_bytes"], int)


def test_epilogue_overwrites_what_it_alone_reads() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args
        skip = math.exp(b, x)
        other = math.sin(b, x)
        return [arith.add(b, contract(b, other, w), skip), contract(b, w, w)]

    def reading_it_twice(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args
        skip = math.exp(b, x)
        return [arith.add(b, contract(b, skip, w), skip)]

    inputs = [t(4, 4), t(4, 4)]
    module, _ = planned(program(inputs, code))
    function = func.lookup(module, "main")
    (skip,) = (
        op.results[0]
        for op in function.body
        if any(isinstance(inner, math.Exp) for region in op.regions for inner in region.block)
    )
    assert str(place_of(skip)) == "result 0"
    _, made = planned(program(inputs, reading_it_twice))
    assert made.arena_bytes > 0


UNIT_AXES = """
func.func @main(%x: tensor<8x4xf64>) -> tensor<8x4xf64> {
  %y = kernel.generic %x {
      maps = [affine_map<(d0, d1) -> (d0, d1)>,
        affine_map<(d0, d1) -> (d0, d1)>],
      sizes = [8, 4]
    } : (tensor<8x4xf64>) -> tensor<8x4xf64> (
    %a: tensor<f64>) {
    %0 = math.exp %a : tensor<f64>
    kernel.yield %0 : tensor<f64>
  }, (%1: tensor<f64>) {
    kernel.yield %1 : tensor<f64>
  }
  %z = kernel.generic %y {
      maps = [affine_map<(d0, d1, d2) -> (d1, d2)>,
        affine_map<(d0, d1, d2) -> (d0, d1, d2)>],
      sizes = [1, 8, 4]
    } : (tensor<8x4xf64>) -> tensor<1x8x4xf64> (
    %b: tensor<f64>) {
    %2 = math.sin %b : tensor<f64>
    kernel.yield %2 : tensor<f64>
  }, (%3: tensor<f64>) {
    kernel.yield %3 : tensor<f64>
  }
  %w = kernel.generic %z {
      maps = [affine_map<(d0, d1) -> (0, d0, d1)>,
        affine_map<(d0, d1) -> (d0, d1)>],
      sizes = [8, 4]
    } : (tensor<1x8x4xf64>) -> tensor<8x4xf64> (
    %c: tensor<f64>) {
    %4 = math.cos %c : tensor<f64>
    kernel.yield %4 : tensor<f64>
  }, (%5: tensor<f64>) {
    kernel.yield %5 : tensor<f64>
  }
  func.return %w : tensor<8x4xf64>
}
"""


def test_axes_of_one_element_do_not_matter_in_place() -> None:
    function = func.lookup(parse_module(UNIT_AXES), "main")
    plan(function)
    made = report(function)
    replay(function, made.arena_bytes)
    assert made.arena_bytes == 0


def test_what_nothing_reads_overwrites_nothing_that_is_read() -> None:
    """A kernel writes both of its results, also the one without a reader."""
    row, all_ = AffineMap.select(2, [0]), AffineMap.identity(2)

    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, each = args[0], math.exp(b, args[1])

        def two(inner: Builder, values: list[Value]) -> list[Value]:
            total, other = values
            return [arith.multiply(inner, total, other), arith.add(inner, total, other)]

        made = make_generic(
            b,
            (3, 4),
            [Read(x, all_)],
            lambda _, values: values,
            [row, row],
            ("add",),
            1,
            [Read(each, row)],
            two,
        )
        return [math.sin(b, made.results[1]), math.cos(b, each)]

    module = program([t(3, 4), t(3)], code)
    check(module, Kernelize())
    function = func.lookup(module, "main")
    plan(function)
    replay(function, report(function).arena_bytes)


def test_report_of_printed_ir_is_the_same() -> None:
    function = _planned_mlp()
    module = function.parent_op
    assert isinstance(module, Module)
    again = parse_module(print_module(module))
    one, other = report(function), report(func.lookup(again, "main"))
    assert (one.arena_bytes, one.least_bytes) == (other.arena_bytes, other.least_bytes)
    rows = [[(e.type, e.offset, e.first, e.last) for e in r.entries] for r in (one, other)]
    assert rows[0] == rows[1]
    assert max(live for _, live in one.live_bytes()) == one.least_bytes <= one.arena_bytes
