"""The kernel dialect: reference semantics and constraints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dmc.dialects import arith, kernel
from dmc.ir import (
    AffineExpr,
    AffineMap,
    Array,
    ArrayAttr,
    Attribute,
    Block,
    Builder,
    DType,
    Interpreter,
    Operation,
    Region,
    TensorType,
    Value,
    VerifyError,
    tensor,
)

F32, F64, I64 = DType.F32, DType.F64, DType.I64
RNG = np.random.default_rng(0)
Code = Callable[[Builder, list[Value]], list[Value]]


def block(dtypes: Sequence[DType], code: Code) -> Region:
    body = Block([TensorType((), dtype) for dtype in dtypes])
    builder = Builder(body)
    builder.insert(kernel.Yield(code(builder, body.args)))
    return Region(body)


def picks(dims: int, *axes: Sequence[int]) -> ArrayAttr:
    return ArrayAttr(tuple(AffineMap.select(dims, a) for a in axes))


def arguments(*types: TensorType) -> list[Value]:
    return Block(types).args


def evaluate(op: Operation, *arrays: Array) -> Array:
    op.verify_()
    results = op.evaluate(arrays, Interpreter())
    for array, type_ in zip(results, op.result_types, strict=True):
        assert isinstance(type_, TensorType)
        assert (array.shape, array.dtype) == (type_.shape, type_.dtype.numpy)
    return results[0]


def product(b: Builder, args: list[Value]) -> list[Value]:
    return [arith.multiply(b, args[0], args[1])]


def contraction(attributes: dict[str, Attribute] | None = None) -> kernel.Generic:
    """`relu(x @ w + b)` of 3x4 and 4x5, stored transposed."""
    chosen: dict[str, Attribute] = {
        "sizes": (3, 5, 4),
        "reduction": (2,),
        "maps": picks(3, (0, 2), (2, 1), (1,), (1, 0)),
        "combiners": ArrayAttr(("add",)),
        "epilogue_operands": 1,
    }
    chosen.update(attributes or {})
    values = arguments(tensor(F32, 3, 4), tensor(F32, 4, 5), tensor(F32, 5))
    body = block([F32, F32], product)
    epilogue = block([F32, F32], lambda b, a: [b.insert(arith.Relu([arith.add(b, *a)])).result])
    return kernel.Generic(values, chosen, [body, epilogue])


def test_contraction_with_epilogue() -> None:
    x, w, bias = (RNG.normal(size=s).astype(np.float32) for s in ((3, 4), (4, 5), (5,)))
    np.testing.assert_allclose(
        evaluate(contraction(), x, w, bias), np.maximum(x @ w + bias, 0).T, rtol=1e-5
    )
    assert contraction().contraction() == kernel.Contraction(0, 1, (), (0,), (1,), (2,))


@pytest.mark.parametrize(
    ("number", "attributes"),
    [
        (1, {"reduction": (1,)}),
        (2, {"maps": picks(3, (0, 2), (2, 1), (1,), (1, 0), (0, 1))}),
        (3, {"maps": picks(3, (2, 0), (2, 1), (1,), (1, 0))}),
        (3, {"maps": picks(3, (0, 2), (2, 1), (2,), (1, 0)), "sizes": (3, 5, 4)}),
        (4, {"maps": picks(3, (0, 2), (2, 1), (1,), (1,))}),
        (5, {"epilogue_operands": 0}),
        (6, {"combiners": ArrayAttr(("add", "add"))}),
    ],
)
def test_constraints(number: int, attributes: dict[str, Attribute]) -> None:
    with pytest.raises(VerifyError) as error:
        contraction(attributes).verify_()
    assert error.value.number == number


def test_strided_and_constant_subscripts() -> None:
    maps = ArrayAttr(
        (
            AffineMap(1, (AffineExpr((0,), 1), AffineExpr((-2,), 4))),
            AffineMap(1, ()),
            AffineMap.identity(1),
        )
    )
    op = kernel.Generic(
        arguments(tensor(F64, 2, 5), tensor(F64)),
        {"sizes": (3,), "maps": maps},
        [block([F64, F64], product), block([F64], lambda b, a: a)],
    )
    x = RNG.normal(size=(2, 5))
    np.testing.assert_array_equal(evaluate(op, x, np.array(3.0)), 3.0 * x[1, 4::-2])


def test_full_reduction_and_empty_space() -> None:
    for size, expected in ((4, 6.0), (0, -np.inf)):
        op = kernel.Generic(
            arguments(tensor(F64, size)),
            {
                "sizes": (size,),
                "reduction": (0,),
                "maps": picks(1, (0,), ()),
                "combiners": ArrayAttr(("max",)),
            },
            [block([F64], lambda b, a: a), block([F64], lambda b, a: a)],
        )
        assert evaluate(op, np.arange(size) * 2.0) == expected


def test_gather_is_a_load_that_clamps() -> None:
    source, ids = arguments(tensor(F64, 4), tensor(I64, 3))

    def code(b: Builder, args: list[Value]) -> list[Value]:
        row = b.insert(kernel.Index([], {"dim": 0})).output
        loaded = b.insert(kernel.Load([source, args[0]])).output
        return [arith.add(b, loaded, arith.convert(b, row, F64))]

    op = kernel.Generic(
        [ids],
        {"sizes": (3,), "maps": picks(1, (0,), (0,))},
        [block([I64], code), block([F64], lambda b, a: a)],
    )
    runner = Interpreter()
    runner.values[source] = np.array([0.0, 10.0, 20.0, 30.0])
    op.verify_()
    # The interpreter finds what the body captures among its values.
    np.testing.assert_array_equal(op.evaluate([np.array([2, 9, -1])], runner)[0], [20, 31, 2])


def test_bodies_capture_only_loaded_tensors() -> None:
    outside, x = arguments(tensor(F64), tensor(F64, 3))
    op = kernel.Generic(
        [x],
        {"sizes": (3,), "maps": picks(1, (0,), (0,))},
        [
            block([F64], lambda b, a: [arith.multiply(b, a[0], outside)]),
            block([F64], lambda b, a: a),
        ],
    )
    with pytest.raises(VerifyError, match="captured"):
        op.verify_()


@pytest.mark.parametrize(
    ("combiner", "expected"), [("add", [1, 0, 6.0]), ("set", [1, 0, 4.0]), ("max", [1, 0, 4.0])]
)
def test_scatter_with_duplicates_and_misses(combiner: str, expected: list[float]) -> None:
    op = kernel.Scatter(
        arguments(tensor(F64, 3), tensor(I64, 4), tensor(F64, 4)),
        {"sizes": (4,), "maps": picks(1, (0,), (0,)), "combiner": combiner},
        [block([I64, F64], lambda b, a: a)],
    )
    updates = np.array([1.0, 2.0, 7.0, 4.0])
    out = evaluate(op, np.zeros(3), np.array([0, 2, 5, 2]), updates)
    np.testing.assert_array_equal(out, expected)


def test_scan_and_sort() -> None:
    x = np.array([[3.0, 1.0, 2.0, 1.0]])
    source = arguments(tensor(F64, 1, 4))
    scan = kernel.Scan(source, {"axis": 1, "reverse": True})
    np.testing.assert_array_equal(evaluate(scan, x), [[7, 4, 3, 1]])
    order = kernel.Sort(source, {"axis": 1, "descending": True}).evaluate([x], Interpreter())[1]
    np.testing.assert_array_equal(order, [[0, 2, 1, 3]])
    nan = np.array([[np.nan, 1.0, np.inf, -np.inf]])
    order = kernel.Sort(source, {"axis": 1}).evaluate([nan], Interpreter())[1]
    np.testing.assert_array_equal(order, [[3, 1, 2, 0]])


def test_movement() -> None:
    target, update, i = arguments(tensor(F64, 4), tensor(F64, 2), tensor(I64))
    window = kernel.UpdateWindow([target, update, i])
    np.testing.assert_array_equal(
        evaluate(window, np.zeros(4), np.ones(2), np.array(9)), [0, 0, 1, 1]
    )
    added = kernel.UpdateWindow([target, update, i], {"combiner": "add"})
    np.testing.assert_array_equal(
        evaluate(added, np.ones(4), np.ones(2), np.array(1)), [1, 2, 2, 1]
    )
    joined = kernel.Concatenate([target, update], {"axis": 0})
    np.testing.assert_array_equal(evaluate(joined, np.zeros(4), np.ones(2)), [0] * 4 + [1] * 2)
    view = kernel.View([target], {"shape": (2, 2)})
    np.testing.assert_array_equal(evaluate(view, np.arange(4.0)), [[0, 1], [2, 3]])
    with pytest.raises(VerifyError):
        kernel.View([target], {"shape": (3,)}).verify_()


def test_store_changes_one_element() -> None:
    target, value, i = arguments(tensor(F64, 2, 3), tensor(F64), tensor(I64))
    arrays = np.zeros((2, 3)), np.array(4.0), np.array(1)
    store = kernel.Store([target, value, i, i])
    np.testing.assert_array_equal(evaluate(store, *arrays, np.array(2)), [[0, 0, 0], [0, 0, 4]])
    np.testing.assert_array_equal(evaluate(store, *arrays, np.array(9)), [[0, 0, 0], [0, 0, 4]])
    added = kernel.Store([target, value, i, i], {"combiner": "add"})
    ones = np.ones((2, 3)), *arrays[1:], np.array(-1)
    np.testing.assert_array_equal(evaluate(added, *ones), [[1, 1, 1], [5, 1, 1]])
    empty, *rest = arguments(tensor(F64, 0, 3), tensor(F64), tensor(I64))
    nothing = kernel.Store([empty, *rest, rest[-1]])
    assert evaluate(nothing, np.zeros((0, 3)), *arrays[1:], np.array(0)).size == 0
    with pytest.raises(VerifyError, match="subscript"):
        kernel.Store([target, value, i]).verify_()
    with pytest.raises(VerifyError, match="element"):
        kernel.Store([target, i, i, i]).verify_()
