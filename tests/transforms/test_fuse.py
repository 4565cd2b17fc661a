"""kernelize and fuse: the same results from fewer kernels."""

from __future__ import annotations

import numpy as np
import pytest

from dmc.dialects import arith, control, func, kernel, math, tensor
from dmc.ir import Block, Builder, DType, Module, TensorType, Value
from dmc.ir import tensor as tensor_type
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.cse import Cse
from dmc.transforms.dce import Dce
from dmc.transforms.fuse import Fuse
from dmc.transforms.kernelize import Kernelize
from tests.transforms.programs import Code, check, counts, program

F32, F64, I32, I64, BOOL = DType.F32, DType.F64, DType.I32, DType.I64, DType.BOOL
Kind = tensor.Kind


def t(*shape: int) -> TensorType:
    return tensor_type(F64, *shape)


def generics(module: Module) -> list[kernel.Generic]:
    return [op for op in module.walk() if isinstance(op, kernel.Generic)]


def fused(module: Module) -> Module:
    return check(module, Kernelize(), Fuse(), Canonicalize(), Cse(), Dce())


def relu(b: Builder, x: Value) -> Value:
    return b.insert(arith.Relu([x])).result


def spread(b: Builder, x: Value, shape: tuple[int, ...], *dims: int) -> Value:
    return tensor.broadcast_in_dim(b, x, shape, dims)


SINGLE: dict[str, tuple[list[tuple[DType, tuple[int, ...]]], Code]] = {
    "broadcast": ([(F64, (3,))], lambda b, a: [spread(b, a[0], (2, 3, 4), 1)]),
    "transpose": ([(F64, (2, 3, 4))], lambda b, a: [tensor.transpose(b, a[0], (2, 0, 1))]),
    "reshape": ([(F64, (2, 3))], lambda b, a: [tensor.reshape(b, a[0], (3, 2))]),
    "to a scalar": ([(F64, (1, 1))], lambda b, a: [tensor.reshape(b, a[0], ())]),
    "from a scalar": ([(F64, ())], lambda b, a: [tensor.reshape(b, a[0], (1, 1))]),
    "slice": ([(F64, (5, 6))], lambda b, a: [tensor.slice_(b, a[0], (1, 0), (5, 6), (2, 3))]),
    "reverse": ([(F64, (5, 2))], lambda b, a: [tensor.reverse(b, a[0], (0,))]),
    "pad": (
        [(F64, (3, 2)), (F64, ())],
        lambda b, a: [tensor.pad(b, a[0], a[1], (1, 0), (2, -1), (2, 0))],
    ),
    "negative pad": (
        [(F64, (4,)), (F64, ())],
        lambda b, a: [tensor.pad(b, a[0], a[1], (-1,), (-1,), (1,))],
    ),
    "concatenate": (
        [(F64, (2, 3)), (F64, (2, 1))],
        lambda b, a: [tensor.concatenate(b, a, 1)],
    ),
    "iota": ([], lambda b, a: [tensor.iota(b, tensor_type(F64, 3, 4), 1)]),
    "from elements": ([(F64, ()), (F64, ())], lambda b, a: [tensor.from_elements(b, a)]),
    "extract": (
        [(F64, (3, 4)), (I64, ())],
        lambda b, a: [tensor.extract(b, a[0], [a[1], a[1]])],
    ),
    "dynamic slice": (
        [(F64, (5, 4)), (I32, ()), (I32, ())],
        lambda b, a: [tensor.dynamic_slice(b, a[0], a[1:], (2, 4))],
    ),
    "dynamic update": (
        [(F64, (5, 4)), (F64, (2, 3)), (I64, ()), (I64, ())],
        lambda b, a: [tensor.dynamic_update_slice(b, a[0], a[1], a[2:])],
    ),
    "gather": (
        [(F64, (5, 4)), (I32, (3, 2))],
        lambda b, a: [tensor.gather(b, a[0], [a[1]], [0])],
    ),
    "batched gather": (
        [(F64, (5, 3)), (I64, (3,))],
        lambda b, a: [tensor.gather(b, a[0], [a[1]], [0], [1], [0])],
    ),
    "scatter add": (
        [(F64, (5, 4)), (F64, (6, 4)), (I32, (6,))],
        lambda b, a: [tensor.scatter(b, a[0], a[1], [a[2]], [0])],
    ),
    "scatter set": (
        [(F64, (5,)), (F64, (6,)), (I64, (6,))],
        lambda b, a: [tensor.scatter(b, a[0], a[1], [a[2]], [0], tensor.Combiner.SET)],
    ),
    "sum": ([(F64, (3, 4, 2))], lambda b, a: [tensor.reduce_sum(b, a[0], (0, 2))]),
    "product": ([(F64, (3, 4))], lambda b, a: [tensor.reduce(b, a[0], Kind.PROD, (1,))]),
    "max": ([(F64, (3, 4))], lambda b, a: [tensor.reduce(b, a[0], Kind.MAX, (0, 1))]),
    "any": ([(BOOL, (3, 4))], lambda b, a: [tensor.reduce(b, a[0], Kind.ANY, (1,))]),
    "all": ([(BOOL, (3, 4))], lambda b, a: [tensor.reduce(b, a[0], Kind.ALL, (0,))]),
    "arg max": ([(F64, (3, 4))], lambda b, a: [tensor.arg_reduce(b, a[0], Kind.MAX, 0)]),
    "arg min": ([(I32, (3, 9))], lambda b, a: [tensor.arg_reduce(b, a[0], Kind.MIN, 1)]),
    "dot": (
        [(F64, (2, 3, 4)), (F64, (4, 2, 5))],
        lambda b, a: [tensor.dot_general(b, a[0], a[1], ([0], [1]), ([2], [0]))],
    ),
    "outer": (
        [(F64, (2,)), (F64, (3,))],
        lambda b, a: [tensor.dot_general(b, a[0], a[1], ([], []), ([], []))],
    ),
    "inner": (
        [(F64, (2, 3)), (F64, (3, 2))],
        lambda b, a: [tensor.dot_general(b, a[0], a[1], ([], []), ([0, 1], [1, 0]))],
    ),
    "cumulative sum": (
        [(F64, (3, 4))],
        lambda b, a: [tensor.cumsum(b, a[0], 1, reverse=True, exclusive=True)],
    ),
    "sort": ([(F64, (3, 4))], lambda b, a: [tensor.sort(b, a[0], True)]),
    "argsort": ([(I32, (3, 9))], lambda b, a: [tensor.argsort(b, a[0], True)]),
    "top k": ([(F64, (3, 4))], lambda b, a: list(tensor.top_k(b, a[0], 2))),
    "constants": (
        [(F64, (3,))],
        lambda b, a: [
            arith.add(b, a[0], arith.constant(b, np.arange(3.0), a[0].type)),
            arith.constant(b, 2.0, a[0].type),
        ],
    ),
    "half precision sum": (
        [(DType.F16, (3, 4))],
        lambda b, a: [tensor.reduce_sum(b, a[0], (1,))],
    ),
}


@pytest.mark.parametrize(("inputs", "code"), SINGLE.values(), ids=SINGLE.keys())
def test_each_operation_becomes_a_kernel(
    inputs: list[tuple[DType, tuple[int, ...]]], code: Code
) -> None:
    module = program([tensor_type(dtype, *shape) for dtype, shape in inputs], code)
    check(module, Kernelize())
    assert not [name for name in counts(module) if name.startswith("tensor.")]
    check(module, Fuse(), Cse(), Dce(), Canonicalize())


def test_arg_reduce_finds_the_first_nan() -> None:
    module = program([t(5)], lambda b, a: [tensor.arg_reduce(b, a[0], Kind.MAX, 0)])
    x = np.array([1.0, np.nan, 3.0, np.nan, 9.0])
    check(module, Kernelize(), Fuse(), arguments=[x])


def test_elementwise_chains_become_one_kernel() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = args
        scaled = arith.multiply(b, x, arith.constant(b, 0.5, x.type))
        row = spread(b, y, (3, 4), 1)
        return [math.tanh(b, arith.add(b, scaled, row))]

    (op,) = generics(fused(program([t(3, 4), t(4)], code)))
    assert len(op.operands) == 2


def test_contraction_takes_bias_and_activation_as_epilogue() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w, bias, skip = args
        z = tensor.dot_general(b, x, w, ([], []), ([1], [1]))
        z = arith.add(b, z, spread(b, bias, (3, 5), 1))
        return [arith.add(b, relu(b, z), skip)]

    (op,) = generics(fused(program([t(3, 4), t(5, 4), t(5), t(3, 5)], code)))
    assert op.contraction() == kernel.Contraction(0, 1, (), (0,), (1,), (2,))
    assert op.epilogue_operands == 2


def test_epilogue_values_read_elsewhere_are_results_too() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args
        z = tensor.dot_general(b, x, w, ([], []), ([1], [0]))
        h = math.tanh(b, z)
        return [h, arith.multiply(b, h, h), tensor.reduce_sum(b, h, (0,))]

    found = generics(fused(program([t(3, 4), t(4, 5)], code)))
    assert [len(op.results) for op in found] == [2, 1]


def test_contraction_operands_keep_transposes_but_no_arithmetic() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args
        x = tensor.transpose(b, x, (1, 0))
        w = relu(b, w)
        return [tensor.dot_general(b, x, w, ([], []), ([1], [0]))]

    first, second = generics(fused(program([t(4, 3), t(4, 5)], code)))
    assert first.contraction() is None
    assert second.contraction() is not None
    assert second.operands[1] is first.results[0]


def test_reduction_takes_its_producers() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = args
        difference = arith.subtract(b, x, y)
        return [tensor.reduce_sum(b, arith.multiply(b, difference, difference), (0, 1))]

    (op,) = generics(fused(program([t(3, 4), t(3, 4)], code)))
    assert op.reduction == (0, 1)


def test_sum_of_products_of_broadcasts_is_a_contraction() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = (
            spread(b, a, (3, 5, 4), *dims) for a, dims in zip(args, ((0, 2), (1, 2)), strict=True)
        )
        return [tensor.reduce_sum(b, arith.multiply(b, x, y), (2,))]

    (op,) = generics(fused(program([t(3, 4), t(5, 4)], code)))
    assert op.contraction() is not None


def test_optimizer_step_is_one_pass() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        p, g, m, v, rate = args

        def number(x: float) -> Value:
            return arith.constant(b, x, p.type)

        m = arith.add(b, arith.multiply(b, m, number(0.9)), arith.multiply(b, g, number(0.1)))
        v = arith.add(
            b,
            arith.multiply(b, v, number(0.99)),
            arith.multiply(b, arith.multiply(b, g, g), number(0.01)),
        )
        v = math.exp(b, v)
        step = arith.divide(b, m, math.sqrt(b, v))
        rates = spread(b, rate, (3, 4))
        return [arith.subtract(b, p, arith.multiply(b, rates, step)), m, v]

    (op,) = generics(fused(program([t(3, 4)] * 4 + [t()], code)))
    assert len(op.results) == 3
    assert len(op.operands) == 5


def test_expensive_work_is_not_repeated_but_masks_are() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = args
        e = math.exp(b, x)
        mask = arith.compare(b, arith.Direction.GT, x, y)
        zero = arith.zeros(b, x.type)
        masked = arith.select(b, mask, y, zero)
        return [
            tensor.reduce_sum(b, arith.multiply(b, e, masked), (0,)),
            tensor.reduce_sum(b, arith.subtract(b, e, masked), (1,)),
        ]

    found = generics(fused(program([t(3, 4), t(3, 4)], code)))
    assert sum(1 for op in found for inner in op.body if isinstance(inner, math.Exp)) == 1
    assert len(found) == 3


def test_reductions_of_one_tensor_are_one_pass() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        (x,) = args
        return [
            tensor.reduce_sum(b, x, (1,)),
            tensor.reduce_sum(b, arith.multiply(b, x, x), (1,)),
            tensor.reduce(b, x, Kind.MAX, (1,)),
        ]

    (op,) = generics(fused(program([t(3, 4)], code)))
    assert sorted(op.combiner_names) == ["add", "add", "max"]


def test_work_is_not_repeated_along_broadcast_axes() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        row, x = args
        factors = math.sin(b, row)
        return [arith.multiply(b, x, spread(b, factors, (3, 4), 0))]

    found = generics(fused(program([t(3), t(3, 4)], code)))
    assert [op.space for op in found] == [(3,), (3, 4)]


def test_reshape_is_read_through() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        (x,) = args
        flat = tensor.reshape(b, math.sin(b, x), (12,))
        apart = tensor.reshape(b, arith.negate(b, flat), (3, 4))
        return [arith.add(b, apart, x)]

    module = fused(program([t(3, 4)], code))
    assert counts(module)["kernel.generic"] == 1


@pytest.mark.parametrize("joined", [(2, 3), (3, 2, 2), (1, 3)])
def test_extremes_of_joined_axes_read_past_what_joins_them(joined: tuple[int, ...]) -> None:
    """`argmax` over a window, whose axes are one for it; sums keep the order of the joined axis."""
    count, rank = int(np.prod(joined)), len(joined)

    def write(b: Builder, args: list[Value]) -> list[Value]:
        turned = tensor.transpose(b, args[0], (rank, *range(rank)))
        rows = tensor.reshape(b, turned, (5, count))
        place = tensor.arg_reduce(b, rows, Kind.MAX, 1)
        total = tensor.reduce_sum(b, rows, [1])
        return [place, total]

    places = fused(program([t(*joined, 5)], lambda b, a: write(b, a)[:1]))
    assert all(isinstance(op, kernel.Generic) and op.reduction for op in generics(places))
    assert not any(isinstance(op, kernel.View) for op in places.walk())
    sums = fused(program([t(*joined, 5)], lambda b, a: write(b, a)[1:]))
    assert all(len(op.reduction) < rank for op in generics(sums))


def test_fusion_does_not_cross_a_dependence() -> None:
    """b reads a twice: directly, and through a reduction that stands between them."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        e = math.exp(b, args[0])
        total = tensor.reduce_sum(b, e, (1,))
        return [arith.divide(b, e, spread(b, total, (3, 4), 0))]

    found = generics(fused(program([t(3, 4)], code)))
    assert len(found) == 3


def test_loops_are_fused_inside() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, w = args
        block = Block([control.INDEX, x.type])
        inner = Builder(block)
        z = tensor.dot_general(inner, block.args[1], w, ([], []), ([1], [0]))
        control.make_yield(inner, [math.tanh(inner, z)])
        return [control.make_for(b, arith.index(b, 3), [x], [], block, 3).results[0]]

    module = fused(program([t(3, 4), t(4, 4)], code))
    assert counts(module)["kernel.generic"] == 1


def test_siblings_of_siblings_share_a_pass() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = args
        parts = [arith.multiply(b, x, y), math.sin(b, x), math.cos(b, y)]
        return [tensor.reduce_sum(b, part, (0,)) for part in parts]

    (op,) = generics(fused(program([t(8), t(8)], code)))
    assert len(op.results) == 3


def test_locations_survive() -> None:
    module = program([t(3)], lambda b, a: [tensor.reduce_sum(b, arith.negate(b, a[0]), (0,))])
    fused(module)
    (op,) = generics(module)
    assert op.location.producer == "fuse"
    assert isinstance(func.lookup(module, "main"), func.Func)


def test_batched_products_store_whole_matrices() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y, z = args
        dot = tensor.dot_general(b, x, y, ([0], [0]), ([2], [2]))
        turned = tensor.transpose(b, dot, (1, 2, 0))
        return [tensor.reduce_sum(b, arith.multiply(b, turned, z), (1,))]

    module = fused(program([t(2, 3, 4), t(2, 5, 4), t(3, 5, 2)], code))
    dot, _ = generics(module)
    assert dot.result_maps[0].picked() == (0, 1, 2)


def mlp(b: Builder, args: list[Value]) -> list[Value]:
    """Two layers with relu and squared error, and the gradient, written out."""
    x, y, w1, b1, w2, b2 = args
    batch, hidden, out = 6, 5, 3
    z1 = tensor.dot_general(b, x, w1, ([], []), ([1], [0]))
    h = relu(b, arith.add(b, z1, spread(b, b1, (batch, hidden), 1)))
    z2 = tensor.dot_general(b, h, w2, ([], []), ([1], [0]))
    error = arith.subtract(b, arith.add(b, z2, spread(b, b2, (batch, out), 1)), y)
    loss = tensor.reduce_sum(b, arith.multiply(b, error, error), (0, 1))
    z2_bar = arith.multiply(b, error, arith.constant(b, 2.0, error.type))
    w2_bar = tensor.dot_general(b, h, z2_bar, ([], []), ([0], [0]))
    h_bar = tensor.dot_general(b, z2_bar, w2, ([], []), ([1], [1]))
    mask = arith.compare(b, arith.Direction.GT, h, arith.zeros(b, h.type))
    z1_bar = arith.select(b, mask, h_bar, arith.zeros(b, h.type))
    w1_bar = tensor.dot_general(b, x, z1_bar, ([], []), ([0], [0]))
    sums = [tensor.reduce_sum(b, z, (0,)) for z in (z1_bar, z2_bar)]
    return [loss, w1_bar, sums[0], w2_bar, sums[1]]


def test_mlp_loss_and_gradient() -> None:
    types = [t(6, 4), t(6, 3), t(4, 5), t(5), t(5, 3), t(3)]
    found = generics(fused(program(types, mlp)))
    contractions = [op for op in found if op.contraction() is not None]
    assert len(contractions) == 5
    # The loss and the two bias gradients.
    assert len(found) == 8
