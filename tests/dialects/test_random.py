"""The random dialect agrees with the reference construction in `dmc_runtime.keys`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dmc.dialects import arith, random
from dmc.ir import Array, Builder, DType, TensorType, Value
from dmc_runtime import keys
from tests.transforms.programs import outputs_of, program

I64, F64 = DType.I64, DType.F64
KEYS = [0, 1, -1, 2**63 - 1, -(2**63), 1234567890123456789]


def draw(code: Callable[[Builder, Value], Value], key: int | Array) -> Array:
    array = np.asarray(key, np.int64)
    made = program([TensorType(array.shape, I64)], lambda b, args: [code(b, args[0])])
    return outputs_of(made, [array])[0]


@pytest.mark.parametrize("key", KEYS)
def test_derived_keys(key: int) -> None:
    assert tuple(draw(lambda b, k: random.split(b, k, 5), key)) == keys.split(key, 5)
    for number in (0, 7, -3, 2**40):
        folded = draw(lambda b, k, n=number: random.fold(b, k, arith.index(b, n)), key)
        assert folded == keys.fold(key, number)


SHAPES = [(), (1,), (16,), (5, 13), (3, 1, 40), (0, 3), (130,)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", [32, 64])
def test_bits(shape: tuple[int, ...], width: int) -> None:
    got = draw(lambda b, k: random.bits(b, k, shape, width), 42)
    np.testing.assert_array_equal(got.view(f"u{width // 8}"), keys.bits(42, shape, width))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [DType.F16, DType.F32, DType.F64], ids=repr)
def test_uniform_and_normal(shape: tuple[int, ...], dtype: DType) -> None:
    uniform = draw(lambda b, k: random.uniform(b, k, shape, dtype), -7)
    np.testing.assert_array_equal(uniform, keys.uniform(-7, shape, dtype.numpy), strict=True)
    normal = draw(lambda b, k: random.normal(b, k, shape, dtype), -7)
    wanted = keys.normal(-7, shape, dtype.numpy)
    np.testing.assert_allclose(normal, wanted, rtol=4 * float(np.finfo(str(dtype.numpy)).eps))


def test_bernoulli() -> None:
    def code(b: Builder, k: Value) -> Value:
        return random.bernoulli(b, k, arith.scalar(b, 0.3, F64), (50,))

    np.testing.assert_array_equal(draw(code, 9), keys.bernoulli(9, 0.3, (50,)))


def test_each_of_many_keys_draws_its_own_numbers() -> None:
    several = np.array([[1, 2], [3, 4]])
    got = draw(lambda b, k: random.normal(b, k, (3, 7), F64), several)
    for at in np.ndindex(2, 2):
        wanted = keys.normal(int(several[at]), (3, 7))
        np.testing.assert_allclose(got[at], wanted, rtol=1e-15)
