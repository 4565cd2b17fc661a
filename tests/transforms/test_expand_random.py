"""Expanded draws are those of the runtime, bit for bit."""

import numpy as np
import pytest

from dmc.dialects import func, random
from dmc.driver import Compilation
from dmc.ir import Array, DType, Interpreter, Module, TensorType
from dmc.transforms.expand_random import ExpandDraws, ExpandPhilox
from dmc_runtime import keys

KEY = TensorType((), DType.I64)
KEYS = [0, 1, -7, 2**62 + 12345]


def draws(shape: tuple[int, ...]) -> Module:
    """All kinds of draws from one key."""
    module = Module.empty()
    f, b = func.function(module, "f", [KEY, KEY], ["key", "data"])
    key, data = f.body.args
    func.finish(
        f,
        b,
        [
            random.fold(b, key, data),
            random.split(b, key, 3),
            random.bits(b, key, shape, 32),
            random.bits(b, key, shape, 64),
            random.uniform(b, key, shape, DType.F32),
            random.uniform(b, key, shape, DType.F64),
            random.normal(b, key, shape, DType.F32),
            random.normal(b, key, shape, DType.F64),
        ],
    )
    return module


def expected(key: int, data: int, shape: tuple[int, ...]) -> list[Array]:
    return [
        np.asarray(keys.fold(key, data)),
        np.array(keys.split(key, 3)),
        keys.bits(key, shape, 32).view(np.int32),
        keys.bits(key, shape, 64).view(np.int64),
        keys.uniform(key, shape, np.float32),
        keys.uniform(key, shape, np.float64),
        keys.normal(key, shape, np.float32),
        keys.normal(key, shape, np.float64),
    ]


@pytest.mark.parametrize("shape", [(), (5,), (3, 67), (2, 3, 40)])
@pytest.mark.parametrize("native", [False, True])
def test_draws_are_those_of_the_runtime(shape: tuple[int, ...], native: bool) -> None:
    module = draws(shape)
    executable = Compilation(module.copy(), "f").executable if native else None
    ExpandDraws().run(module)
    ExpandPhilox().run(module)
    assert not [op for op in module.walk() if op.name.startswith("random.")]
    for key in KEYS:
        arguments = [np.asarray(key), np.asarray(-3)]
        if executable is not None:
            got = list(executable(*arguments))
        else:
            got = Interpreter(module).call("f", arguments)
        wanted = expected(key, -3, shape)
        for a, b in zip(got[:6], wanted[:6], strict=True):
            np.testing.assert_array_equal(a, b)
        # Normal numbers go through log, sin and cos, whose last bit is the library's own.
        np.testing.assert_allclose(got[6], wanted[6], rtol=3e-6, atol=1e-6)
        np.testing.assert_allclose(got[7], wanted[7], rtol=1e-14, atol=1e-15)
