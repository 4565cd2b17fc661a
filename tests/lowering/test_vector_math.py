"""Elementary functions: accuracy, exceptional values, independence of the lane count."""

import math
import re
from dataclasses import replace
from functools import partial

import mpmath
import numpy as np
import pytest
import scipy.special
from mpmath import mp, mpf

from dmc.ir.types import DType
from dmc.jit.engine import Engine
from dmc.jit.target import host, named
from dmc.lowering import llvm_ir as ir
from dmc.lowering import vector_math
from dmc.lowering.vector_math import coefficients, constants, exponential
from dmc.lowering.vector_math.lanes import Format
from tests.lowering import vector_math_accuracy as accuracy
from tests.lowering import vector_math_fit as fit
from tests.lowering.vector_math_accuracy import Floats

DTYPES = (DType.F32, DType.F64)
SAMPLES = 60
INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", sorted(accuracy.CLAIMS))
def test_error_is_within_the_claim(name: str, dtype: DType) -> None:
    assert accuracy.worst_error(name, dtype, SAMPLES) <= accuracy.CLAIMS[name].bound(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", sorted(accuracy.CLAIMS))
def test_error_without_fma(name: str, dtype: DType) -> None:
    bound = 1.5 * accuracy.CLAIMS[name].bound(dtype)
    machine = replace(host().machine, has_fma=False)
    assert accuracy.worst_error(name, dtype, SAMPLES, machine) <= bound


def test_every_function_has_a_claim() -> None:
    assert set(accuracy.CLAIMS) == vector_math.NAMES


def test_a_planted_error_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled = list(coefficients.EXP[Format.F64])
    spoiled[6] *= 1 + 1e-7
    monkeypatch.setattr(exponential, "EXP", {Format.F64: tuple(spoiled)})
    accuracy.loop.cache_clear()
    assert accuracy.worst_error("exp", DType.F64, SAMPLES) > 1
    accuracy.loop.cache_clear()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", sorted(vector_math.NAMES))
def test_results_do_not_depend_on_the_lanes(name: str, dtype: DType) -> None:
    inputs = accuracy.samples(accuracy.CLAIMS[name], dtype, 20)
    vector = accuracy.evaluate(name, dtype, *inputs)
    for lanes in (1, 3):
        other = accuracy.evaluate(name, dtype, *inputs, lanes=lanes)
        np.testing.assert_array_equal(vector, other)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_exponentials_below_the_normal_range_are_rounded_once(dtype: DType) -> None:
    low, high, exponent = (-104.5, -87.4, 149) if dtype is DType.F32 else (-746.0, -708.4, 1074)
    x = np.linspace(low, high, 4001, dtype=dtype.numpy)
    units = mpf(2) ** exponent
    with mp.workprec(120):
        exact = [mp.exp(mpf(each.item())) * units for each in x]
    found = accuracy.evaluate("exp", dtype, x).view(f"i{dtype.bytes}")  # of subnormals, units
    for count, value in zip(found.tolist(), exact, strict=True):
        assert abs(count - value) <= 1


SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 1e-40, -1e-40, 5e-324, 1e300, -1e300)
SPECIAL += (INF, -INF, NAN, 3e38, -3e38, 710.5, -745.5, 89.0, -103.9, 1.5, -2.5)


def lgamma(x: float) -> float:
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):
        return INF


UNARY_REFERENCES = {
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "erfinv": lambda x: np.copysign(scipy.special.erfinv(x), x),  # which gives 0.0 for -0.0
    "exp": np.exp,
    "expm1": np.expm1,
    "lgamma": np.vectorize(lgamma),
    "log": np.log,
    "log1p": np.log1p,
    "logistic": scipy.special.expit,
    "sin": np.sin,
    "sinh": np.sinh,
    "tan": np.tan,
    "tanh": np.tanh,
}


def assert_alike(result: Floats, expected: Floats, dtype: DType) -> None:
    """Equal but for rounding, with NaN, infinities and the sign of zero as expected."""
    limits = accuracy.limits(dtype)
    expected = expected.astype(dtype.numpy)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(result), np.isinf(expected))
    np.testing.assert_allclose(
        result, expected, rtol=64 * float(limits.eps), atol=float(limits.smallest_subnormal)
    )
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result)[known], np.signbit(expected)[known])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", sorted(UNARY_REFERENCES))
def test_exceptional_values(name: str, dtype: DType) -> None:
    with np.errstate(all="ignore"):
        x = np.array(SPECIAL).astype(dtype.numpy)
        expected = UNARY_REFERENCES[name](x.astype(np.float64))
        assert_alike(accuracy.evaluate(name, dtype, x), np.asarray(expected), dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["digamma", "trigamma"])
def test_poles_of_the_polygammas(name: str, dtype: DType) -> None:
    x = np.array([0.0, -0.0, -1.0, -7.0, -INF, NAN, INF, 1e30]).astype(dtype.numpy)
    result = accuracy.evaluate(name, dtype, x)
    np.testing.assert_array_equal(result[:4], NAN if name == "digamma" else INF)
    assert np.isnan(result[4:6]).all()
    assert result[6] == (INF if name == "digamma" else 0)
    assert np.isfinite(result[7])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("name", "numpy"), [("atan2", np.arctan2), ("hypot", np.hypot), ("power", np.power)]
)
def test_exceptional_pairs(name: str, numpy: np.ufunc, dtype: DType) -> None:
    values = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -3.0, 1e30, -1e30, INF, -INF, NAN]
    with np.errstate(all="ignore"):
        x, y = (a.ravel() for a in np.meshgrid(np.array(values), np.array(values)))
        x, y = x.astype(dtype.numpy), y.astype(dtype.numpy)
        expected = numpy(x.astype(np.float64), y.astype(np.float64))
        assert_alike(accuracy.evaluate(name, dtype, x, y), expected, dtype)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_huge_angles(name: str) -> None:
    # The double nearest to a multiple of π/2 (Kahan), powers of two, the largest double.
    x = [math.ldexp(6381956970095103, 797), -math.ldexp(6381956970095103, 797)]
    x += [2.0**k for k in range(25, 1024, 37)] + [float(np.finfo(float).max)]
    results = accuracy.evaluate(name, DType.F64, np.array(x))
    with mp.workprec(1300):
        reference = accuracy.CLAIMS[name].reference
        errors = [
            accuracy.error(r, reference(mpf(v)), DType.F64) for r, v in zip(results, x, strict=True)
        ]
    assert max(errors) <= accuracy.CLAIMS[name].f64


def test_neighbouring_lanes_may_mix_huge_and_small_angles() -> None:
    x = np.array([0.5, 1e300, -3.0, INF, 1e22, 0.0, -1e9, 2.0**31])
    alone = np.concatenate([accuracy.evaluate("sin", DType.F64, np.full(8, v))[:1] for v in x])
    np.testing.assert_array_equal(accuracy.evaluate("sin", DType.F64, x), alone)


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"])
def test_no_function_of_the_c_library_is_called(target: str) -> None:
    module, machine = ir.Module(), named(target).machine
    for name in vector_math.NAMES:
        function = vector_math.emit(module, name, DType.F32, 8, machine=machine)
        function.linkage = "external"
    assembly = Engine(named(target)).assembly(str(module))
    called = set(re.findall(r"\b(?:callq|bl)\s+([^\s@]+)", assembly))
    assert {name for name in called if "dmc." not in name} == set()


def test_functions_are_defined_once_in_a_module() -> None:
    emit = partial(vector_math.emit, ir.Module(), machine=host().machine)
    first = emit("sin", DType.F32, 4)
    assert emit("sin", DType.F32, 4) is first
    assert emit("sin", DType.F64, 4) is not first
    with pytest.raises(KeyError):
        emit("sine", DType.F32, 4)


@pytest.mark.parametrize("spec", fit.FITS, ids=lambda spec: spec.name)
def test_coefficients_approximate_their_function(spec: fit.Fit) -> None:
    for format_, bits in ((Format.F32, spec.f32), (Format.F64, spec.f64)):
        if bits is None:
            continue
        stored = [mpf(c) for c in getattr(coefficients, spec.name)[format_]]
        low, high = spec.narrow if format_ is Format.F32 and spec.narrow else spec.interval
        for i in range(1, 11):
            x = mpf(low) + (mpf(high) - low) * i / 11
            error = abs(fit.evaluate(stored, x) - spec.function(x)) * abs(spec.weight(x))
            assert error < mpf(2) ** -(bits - 4)


def test_the_fit_is_reproducible() -> None:
    log = next(spec for spec in fit.FITS if spec.name == "LOG")
    assert tuple(fit.solve(log, single=True, bits=27)) == coefficients.LOG[Format.F32]


def test_constants() -> None:
    with mp.workdps(60):
        assert abs(mpf(constants.LN2.numerator) / constants.LN2.denominator - mp.ln2) < 1e-58
        assert abs(mpf(constants.PI.numerator) / constants.PI.denominator - mp.pi) < 1e-58
    with mp.workprec(constants.TWO_OVER_PI_BITS + 20):
        assert int(mpmath.floor(mpf(2) ** constants.TWO_OVER_PI_BITS * 2 / mp.pi)) == (
            constants.TWO_OVER_PI
        )
