"""recognize-contractions: sums of products, masks, the order of factors."""

from __future__ import annotations

from collections import Counter

import numpy as np

from dmc.dialects import arith, tensor
from dmc.ir import Builder, DType, Interpreter, TensorType, Value
from dmc.ir import tensor as tensor_type
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.recognize_contractions import RecognizeContractions
from tests.transforms.programs import Code, check, counts, program

F64 = DType.F64


def t(*shape: int) -> TensorType:
    return tensor_type(F64, *shape)


def recognized(inputs: list[TensorType], code: Code) -> Counter[str]:
    passes = [Canonicalize(), RecognizeContractions(), Canonicalize()]
    return counts(check(program(inputs, code), *passes))


def spread(b: Builder, x: Value, shape: tuple[int, ...], *dims: int) -> Value:
    return tensor.broadcast_in_dim(b, x, shape, dims)


def test_matrix_product() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        shape = (3, 4, 5)
        x, y = spread(b, args[0], shape, 0, 1), spread(b, args[1], shape, 1, 2)
        return [tensor.reduce_sum(b, arith.multiply(b, x, y), (1,))]

    found = recognized([t(3, 4), t(4, 5)], code)
    assert found == {"tensor.dot_general": 1, "func.return": 1}


def test_batched_with_transposed_result() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        shape = (2, 3, 4, 5)
        x = spread(b, args[0], shape, 1, 3, 0)
        y = spread(b, args[1], shape, 2, 3, 0)
        return [tensor.reduce_sum(b, arith.multiply(b, x, y), (3,))]

    found = recognized([t(3, 5, 2), t(4, 5, 2)], code)
    assert found["tensor.dot_general"] == 1
    assert found["tensor.reduce"] == 0


def test_no_factor_is_taken_out_of_a_sum() -> None:
    """Nor is one moved from the second factor of each term to the first."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        shape = (3, 4, 5)
        x, y = spread(b, args[0], shape, 0, 1), spread(b, args[1], shape, 1, 2)
        row, scale = spread(b, args[2], shape, 0), spread(b, args[3], shape)
        product = arith.multiply(b, arith.multiply(b, x, scale), arith.multiply(b, row, y))
        return [tensor.reduce_sum(b, arith.negate(b, product), (1,))]

    found = recognized([t(3, 4), t(4, 5), t(3), t()], code)
    assert found["tensor.dot_general"] == 0
    assert found["tensor.reduce"] == 1


def test_products_of_factors_along_their_own_axes() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        shape = (3, 4, 5)
        x, y = spread(b, args[0], shape, 0, 1), spread(b, args[1], shape, 1, 2)
        row, scale = spread(b, args[2], shape, 0), spread(b, args[3], shape)
        product = arith.multiply(b, arith.multiply(b, x, row), arith.multiply(b, scale, y))
        return [tensor.reduce_sum(b, arith.negate(b, product), (1,))]

    found = recognized([t(3, 4), t(4, 5), t(3), t()], code)
    assert found["tensor.dot_general"] == 1
    assert found["tensor.reduce"] == 0


def test_terms_do_not_overflow_on_their_way() -> None:
    """Any other order of these factors is infinite, or 0 times infinity."""

    def scaled(b: Builder, args: list[Value]) -> list[Value]:
        x, y = spread(b, args[0], (2, 2), 0), spread(b, args[1], (2, 2), 1)
        return [tensor.reduce_sum(b, arith.multiply(b, x, y), (1,))]

    def grouped(b: Builder, args: list[Value]) -> list[Value]:
        shape = (2, 2, 2)
        x, y = spread(b, args[0], shape, 0), spread(b, args[1], shape, 1)
        z = spread(b, args[0], shape, 2)
        product = arith.multiply(b, x, arith.multiply(b, y, z))
        return [tensor.reduce_sum(b, product, (1,))]

    def summed(b: Builder, args: list[Value]) -> list[Value]:
        columns = tensor.reshape(b, args[1], (2, 1))
        dot = tensor.dot_general(b, args[0], columns, ([], []), ([], []))
        return [tensor.reduce_sum(b, dot, (1, 2))]

    a, large = np.array([1e-200, 0.0]), np.array([1e308, 1e308])
    for code, wanted in ((scaled, [2e108, 0.0]), (grouped, None), (summed, [2e108, 0.0])):
        module = program([t(2), t(2)], code)
        (plain,) = Interpreter(module).call("main", [a, large])
        for each in [Canonicalize(), RecognizeContractions(), Canonicalize()]:
            each.run(module)
        (after,) = Interpreter(module).call("main", [a, large])
        np.testing.assert_allclose(after, plain, rtol=1e-15)
        if wanted is not None:
            np.testing.assert_allclose(after, wanted, rtol=1e-15)


def test_three_factors_and_repeated_sums() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        shape = (3, 4, 5, 2)
        x, y = spread(b, args[0], shape, 0, 1), spread(b, args[1], shape, 1, 2)
        weights = spread(b, args[2], shape, 1)
        product = arith.multiply(b, arith.multiply(b, x, weights), y)
        return [tensor.reduce_sum(b, product, (1, 3))]

    assert recognized([t(3, 4), t(4, 5), t(4)], code)["tensor.dot_general"] == 1


def test_masked_products() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        shape = (3, 4, 4)
        x, y = spread(b, args[0], shape, 0, 2), spread(b, args[1], shape, 1, 2)
        mask = arith.constant(b, np.tri(4, k=-1).astype(bool), tensor_type(DType.BOOL, 4, 4))
        product = arith.multiply(b, x, y)
        chosen = arith.select(
            b, spread(b, mask, shape, 1, 2), product, arith.zeros(b, product.type)
        )
        return [tensor.reduce_sum(b, chosen, (2,))]

    inputs = [t(3, 4), t(4, 4)]
    assert recognized(inputs, code)["tensor.dot_general"] == 1


def test_masks_keep_what_products_are() -> None:
    """`Σ_k where(m[i, k], x[i, k] · y[k, j], 0)`, and with factors and masks without k."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        shape = (3, 4, 5)
        x, y = spread(b, args[0], shape, 0, 1), spread(b, args[1], shape, 1, 2)
        scale, whole = spread(b, args[2], shape, 2), spread(b, args[4], shape, 0)
        mask = spread(b, args[3], shape, 0, 1)
        zero = arith.zeros(b, x.type)
        product = arith.multiply(b, x, y)
        sums = [
            arith.select(b, mask, product, zero),
            arith.select(b, mask, arith.multiply(b, product, scale), zero),
            arith.select(b, mask, arith.multiply(b, x, scale), zero),
            arith.select(b, whole, product, zero),
            arith.select(b, mask, arith.select(b, whole, product, zero), zero),
        ]
        return [tensor.reduce_sum(b, each, (1,)) for each in sums]

    flags = [tensor_type(DType.BOOL, 3, 4), tensor_type(DType.BOOL, 3)]
    rng = np.random.default_rng(0)
    x, y, scale = rng.normal(size=(3, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)
    mask = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    y[2], y[1, 3], x[0, 1], scale[2] = np.inf, np.nan, 0.0, np.inf
    given = [x, y, scale, mask, np.array([True, False, True])]
    made = program([t(3, 4), t(4, 5), t(5), *flags], code)
    with np.errstate(invalid="ignore"):
        module = check(made, RecognizeContractions(), arguments=given)
    assert counts(module)["tensor.dot_general"] == 3


def test_what_is_no_contraction_stays() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = args
        inner = tensor.reduce_sum(b, arith.multiply(b, x, x), (0, 1))
        rows = tensor.reduce_sum(b, arith.multiply(b, x, spread(b, y, (3, 4), 1)), (1,))
        return [inner, rows]

    found = recognized([t(3, 4), t(4)], code)
    assert found["tensor.dot_general"] == 0
    assert found["tensor.reduce"] == 2


def test_sum_of_a_contraction_contracts_batching_axes_alone() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        dot = tensor.dot_general(b, args[0], args[1], ([0], [0]), ([2], [2]))
        turned = tensor.transpose(b, dot, (1, 0, 2))
        return [tensor.reduce_sum(b, turned, (0,)), tensor.reduce_sum(b, dot, ())]

    def alone(b: Builder, args: list[Value]) -> list[Value]:
        return code(b, args)[:1]

    def over_the_batch(b: Builder, args: list[Value]) -> list[Value]:
        dot = tensor.dot_general(b, args[0], args[1], ([0], [0]), ([2], [2]))
        return [tensor.reduce_sum(b, dot, (0, 2))]

    inputs = [t(2, 3, 4), t(2, 5, 4)]
    for along_one_operand in (alone, code):
        module = check(program(inputs, along_one_operand), RecognizeContractions())
        (dot,) = (op for op in module.walk() if isinstance(op, tensor.DotGeneral))
        assert dot.result.type == t(2, 3, 5)
    module = check(program(inputs, over_the_batch), RecognizeContractions())
    (dot,) = (op for op in module.walk() if isinstance(op, tensor.DotGeneral))
    assert dot.result.type == t(3, 5)
