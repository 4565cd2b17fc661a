"""recognize-contractions: sums of products, masks, factors taken out."""

from __future__ import annotations

from collections import Counter

import numpy as np

from dmc.dialects import arith, tensor
from dmc.ir import Builder, DType, TensorType, Value
from dmc.ir import tensor as tensor_type
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.recognize_contractions import RecognizeContractions
from tests.transforms.programs import Code, check, counts, program

F64 = DType.F64


def t(*shape: int) -> TensorType:
    return tensor_type(F64, *shape)


def recognized(inputs: list[TensorType], code: Code, masks: bool = True) -> Counter[str]:
    passes = [Canonicalize(), RecognizeContractions(masks=masks), Canonicalize()]
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


def test_factors_outside_the_sum() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        shape = (3, 4, 5)
        x, y = spread(b, args[0], shape, 0, 1), spread(b, args[1], shape, 1, 2)
        row, scale = spread(b, args[2], shape, 0), spread(b, args[3], shape)
        product = arith.multiply(b, arith.multiply(b, x, scale), arith.multiply(b, row, y))
        return [tensor.reduce_sum(b, arith.negate(b, product), (1,))]

    found = recognized([t(3, 4), t(4, 5), t(3), t()], code)
    assert found["tensor.dot_general"] == 1
    assert found["tensor.reduce"] == 0


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
    assert recognized(inputs, code, masks=False)["tensor.dot_general"] == 0


def test_what_is_no_contraction_stays() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = args
        inner = tensor.reduce_sum(b, arith.multiply(b, x, x), (0, 1))
        rows = tensor.reduce_sum(b, arith.multiply(b, x, spread(b, y, (3, 4), 1)), (1,))
        return [inner, rows]

    found = recognized([t(3, 4), t(4)], code)
    assert found["tensor.dot_general"] == 0
    assert found["tensor.reduce"] == 2


def test_sum_of_a_contraction_sums_the_operand() -> None:
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
    module = check(program(inputs, alone), RecognizeContractions())
    (dot,) = (op for op in module.walk() if isinstance(op, tensor.DotGeneral))
    assert dot.lhs.type == t(2, 4)
    # Here the contraction is needed whole anyway.
    module = check(program(inputs, code), RecognizeContractions())
    (dot,) = (op for op in module.walk() if isinstance(op, tensor.DotGeneral))
    assert dot.lhs.type == t(2, 3, 4)
    module = check(program(inputs, over_the_batch), RecognizeContractions())
    (dot,) = (op for op in module.walk() if isinstance(op, tensor.DotGeneral))
    assert dot.result.type == t(3)
