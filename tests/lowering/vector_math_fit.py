"""Computes the polynomial coefficients of `dmc.lowering.vector_math`.

    python -m tests.lowering.vector_math_fit > compiler/dmc/lowering/vector_math/coefficients.py

Each polynomial is the weighted minimax approximation of a function that mpmath evaluates to fifty
digits, found by Remez's exchange algorithm on a grid (Remez 1934; Muller, Elementary Functions,
3rd ed., chapter 3). Leading coefficients are rounded to the format first and the others fitted to
what is left, so that rounding costs little. The degree is the smallest that meets the tolerance.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath
import numpy as np
from mpmath import mp, mpf

mp.dps = 50

Function = Callable[[mpf], mpf]
GRID = 600


@dataclass(frozen=True)
class Fit:
    """`function` on `interval`, so that |error|·weight is below the tolerance of the format."""

    name: str
    meaning: str
    function: Function
    weight: Function
    interval: tuple[float, float]
    # Bits of the tolerance in each format; None where the format has no use for it.
    f32: int | None = 27
    f64: int | None = 57
    narrow: tuple[float, float] | None = None  # the interval in f32, where it differs


def evaluate(coefficients: Sequence[mpf], x: mpf) -> mpf:
    result = mpf(0)
    for c in reversed(coefficients):
        result = result * x + c
    return result


def extrema(errors: Sequence[mpf], count: int) -> list[int] | None:
    """Positions of `count` alternating extrema, or None when there are fewer."""
    chosen: list[int] = []
    for i, error in enumerate(errors):
        if chosen and (error > 0) == (errors[chosen[-1]] > 0):
            if abs(error) > abs(errors[chosen[-1]]):
                chosen[-1] = i
        else:
            chosen.append(i)
    while len(chosen) > count:
        weaker_first = abs(errors[chosen[0]]) < abs(errors[chosen[-1]])
        chosen.pop(0 if weaker_first else -1)
    return chosen if len(chosen) == count else None


def remez(
    xs: Sequence[mpf], values: Sequence[mpf], weights: Sequence[mpf], degree: int
) -> tuple[list[mpf], mpf]:
    """Coefficients, lowest first, and the largest weighted error on the grid."""
    count = degree + 2
    chosen = [round(i * (len(xs) - 1) / (count - 1)) for i in range(count)]
    coefficients: list[mpf] = []
    worst = mpf("inf")
    for _ in range(40):
        system = mpmath.matrix(count, count)
        right = mpmath.matrix(count, 1)
        for row, i in enumerate(chosen):
            for column in range(degree + 1):
                system[row, column] = xs[i] ** column
            system[row, degree + 1] = (-1) ** row / weights[i]
            right[row] = values[i]
        solution = mpmath.lu_solve(system, right)
        coefficients = [solution[j] for j in range(degree + 1)]
        levelled = abs(solution[degree + 1])
        errors = [
            (f - evaluate(coefficients, x)) * w for x, f, w in zip(xs, values, weights, strict=True)
        ]
        worst = max(abs(e) for e in errors)
        if worst <= levelled * mpf("1.001"):
            break
        exchanged = extrema(errors, count)
        if exchanged is None or exchanged == chosen:
            break
        chosen = exchanged
    return coefficients, worst


def rounded(x: mpf, single: bool) -> float:
    return float(np.float32(float(x))) if single else float(x)


def solve(fit: Fit, single: bool, bits: int) -> list[float]:
    """Coefficients of the format for `fit`."""
    low, high = (mpf(end) for end in (fit.narrow if single and fit.narrow else fit.interval))
    nodes = [mpmath.cos(mp.pi * (i + mpf("0.5")) / GRID) for i in reversed(range(GRID))]
    xs = [(low + high) / 2 + (high - low) / 2 * node for node in nodes]
    values = [fit.function(x) for x in xs]
    weights = [abs(fit.weight(x)) for x in xs]
    degree = 1
    while True:
        coefficients, worst = remez(xs, values, weights, degree)
        if worst < mpf(2) ** -bits:
            break
        degree += 1
    target, significance = values, weights
    result: list[float] = []
    # Dividing by x is of no use where x = 0 lies inside the interval.
    fixed = 0 if low < 0 < high else 3 if single else 2
    for i in range(degree + 1):
        result.append(rounded(coefficients[0], single))
        if i < min(fixed, degree):
            # The rest, fitted again to what the rounded coefficient leaves.
            values = [(f - mpf(result[-1])) / x for x, f in zip(xs, values, strict=True)]
            weights = [w * abs(x) for x, w in zip(xs, weights, strict=True)]
            coefficients, _ = remez(xs, values, weights, degree - i - 1)
        else:
            coefficients = coefficients[1:]
    worst = max(
        abs(f - evaluate([mpf(c) for c in result], x)) * w
        for x, f, w in zip(xs, target, significance, strict=True)
    )
    name = f"{fit.name} {'f32' if single else 'f64'}"
    print(f"{name}: degree {degree}, error 2^{float(mpmath.log(worst, 2)):.1f}", file=sys.stderr)
    return result


def root(function: Function) -> Function:
    """`function` of x as a function of u = x²."""
    return lambda u: function(mpf(mpmath.sqrt(u)))


def atanh_series(s: mpf) -> mpf:
    return 2 * mpmath.atanh(s)


def scaled_erfc(t: mpf) -> mpf:
    """(1 + 2a)·exp(a²)·erfc(a), where t = (a - 4)/(a + 4)."""
    a = 4 * (1 + t) / (1 - t)
    return (1 + 2 * a) * mpmath.exp(a * a) * mpmath.erfc(a)


def erfinv_quotient(w: mpf) -> mpf:
    """erfinv(x)/x, where w = -log(1 - x²)."""
    with mp.extradps(20):
        x = mpmath.sqrt(-mpmath.expm1(-w))
        return mpmath.erfinv(x) / x if x else mpmath.sqrt(mp.pi) / 2


def scaled_erfinv(t: mpf) -> mpf:
    """erfinv(x)/(x·s), where s² = -log(1 - x²) and t = (s - 3.5)/(s + 1)."""
    s = (mpf("3.5") + t) / (1 - t)
    return erfinv_quotient(s**2) / s


def stirling(u: mpf) -> mpf:
    x = 1 / mpmath.sqrt(u)
    with mp.extradps(20):
        main = (x - mpf("0.5")) * mpmath.log(x) - x + mpmath.log(2 * mp.pi) / 2
        return (mpmath.loggamma(x) - main) * x


def digamma_tail(u: mpf) -> mpf:
    x = 1 / mpmath.sqrt(u)
    with mp.extradps(20):
        return (mpmath.log(x) - 1 / (2 * x) - mpmath.digamma(x)) / u


def trigamma_tail(u: mpf) -> mpf:
    x = 1 / mpmath.sqrt(u)
    with mp.extradps(20):
        return (mpmath.polygamma(1, x) - 1 / x - 1 / (2 * x**2)) * x**3


DIGAMMA_ROOT = mpmath.findroot(mpmath.digamma, mpf("1.46"))
QUARTER = float(mp.pi / 4)

FITS = (
    Fit(
        "EXP",
        "(eʳ - 1 - r)/r² for |r| ≤ ln(2)/2",
        lambda r: (mpmath.expm1(r) - r) / r**2,
        lambda r: r**2 / mpmath.expm1(r),
        (-0.34675, 0.34675),
    ),
    Fit(
        "LOG",
        "(2·atanh(s)/s - 2)/s², in s², for |s| ≤ (√2 - 1)/(√2 + 1)",
        root(lambda s: (atanh_series(s) / s - 2) / s**2),
        lambda u: u / 2,
        (0, 0.029438),
    ),
    Fit(
        "LOG_TAIL",
        "((2·atanh(s) - 2s)/s³ - 2/3)/s², in s²; used by power",
        root(lambda s: ((atanh_series(s) - 2 * s) / s**3 - mpf(2) / 3) / s**2),
        lambda u: u**2 / 2,
        (0, 0.029438),
        f32=None,
        f64=68,
    ),
    Fit(
        "TANH",
        "(tanh(x)/x - 1)/x², in x², for |x| ≤ 0.625",
        root(lambda x: (mpmath.tanh(x) / x - 1) / x**2),
        lambda u: u,
        (0, 0.625**2),
    ),
    Fit(
        "SINH",
        "(sinh(x)/x - 1)/x², in x², for |x| ≤ 1",
        root(lambda x: (mpmath.sinh(x) / x - 1) / x**2),
        lambda u: u,
        (0, 1),
    ),
    Fit(
        "SIN",
        "(sin(r)/r - 1)/r², in r², for |r| ≤ π/4",
        root(lambda r: (mpmath.sin(r) / r - 1) / r**2),
        lambda u: u,
        (0, QUARTER**2 + 1e-4),
    ),
    Fit(
        "COS",
        "(cos(r) - 1 + r²/2)/r⁴, in r², for |r| ≤ π/4",
        root(lambda r: (mpmath.cos(r) - 1 + r**2 / 2) / r**4),
        lambda u: u**2,
        (0, QUARTER**2 + 1e-4),
    ),
    Fit(
        "ATAN",
        "(atan(x)/x - 1)/x², in x², for |x| ≤ 1",
        root(lambda x: (mpmath.atan(x) / x - 1) / x**2),
        lambda u: u,
        (0, 1),
    ),
    Fit(
        "ASIN",
        "(asin(x)/x - 1)/x², in x², for |x| ≤ 1/2",
        root(lambda x: (mpmath.asin(x) / x - 1) / x**2),
        lambda u: u,
        (0, 0.25),
    ),
    Fit(
        "ERF",
        "erf(x)/x - 1, in x², for |x| ≤ 1",
        root(lambda x: mpmath.erf(x) / x - 1),
        lambda u: mpf(1),
        (0, 1),
    ),
    Fit(
        "ERFC",
        "(1 + 2a)·exp(a²)·erfc(a), in (a - 4)/(a + 4), for a ≥ 0.9 until erfc underflows",
        scaled_erfc,
        lambda t: 1 / scaled_erfc(t),
        (-0.6328, 0.746),
        narrow=(-0.6328, 0.44),
    ),
    Fit(
        "ERFINV",
        "erfinv(x)/x, in w = -log(1 - x²), for w ≤ 5",
        erfinv_quotient,
        lambda w: 1 / erfinv_quotient(w),
        (0, 5),
    ),
    Fit(
        "ERFINV_TAIL",
        "erfinv(x)/(x·s), in (s - 3.5)/(s + 1), for s² = -log(1 - x²) ≥ 5 until x is 1",
        scaled_erfinv,
        lambda t: 1 / scaled_erfinv(t),
        (-0.3907, 0.3576),
        narrow=(-0.3907, 0.0987),
    ),
    Fit(
        "LGAMMA",
        "lgamma(y)/((y - 1)(y - 2)), in y - 2, for 1.5 ≤ y ≤ 2.5",
        lambda z: mpmath.loggamma(2 + z) / ((1 + z) * z),
        lambda z: mpf(2),
        (-0.5, 0.5),
        f32=None,
    ),
    Fit(
        "STIRLING",
        "(lgamma(x) - (x - 1/2)·log(x) + x - log(2π)/2)·x, in x⁻², for x ≥ 8",
        stirling,
        lambda u: mpmath.sqrt(u) / 8,
        (1e-12, 1 / 64),
        f32=None,
    ),
    Fit(
        "DIGAMMA",
        "digamma(x)/(x - x₀), in x - 1.5, for 1 ≤ x ≤ 2, where digamma(x₀) = 0",
        lambda z: mpmath.digamma(mpf("1.5") + z) / (mpf("1.5") + z - DIGAMMA_ROOT),
        lambda z: mpf(1),
        (-0.5, 0.5),
        f32=None,
    ),
    Fit(
        "DIGAMMA_TAIL",
        "(log(x) - 1/(2x) - digamma(x))·x², in x⁻², for x ≥ 8",
        digamma_tail,
        lambda u: u / 2,
        (1e-12, 1 / 64),
        f32=None,
    ),
    Fit(
        "TRIGAMMA_TAIL",
        "(trigamma(x) - 1/x - 1/(2x²))·x³, in x⁻², for x ≥ 8",
        trigamma_tail,
        lambda u: u,
        (1e-12, 1 / 64),
        f32=None,
    ),
)


def module() -> str:
    """The text of coefficients.py."""
    lines = [
        '"""Minimax polynomials, lowest degree first, for each format.',
        "",
        "Computed by tests/lowering/vector_math_fit.py: change that, not this.",
        '"""',
        "",
        "from dmc.lowering.vector_math.lanes import Format",
        "",
        "Table = dict[Format, tuple[float, ...]]",
    ]
    for fit in FITS:
        lines += ["", f"{fit.name}: Table = {{"]
        for single, bits in ((True, fit.f32), (False, fit.f64)):
            if bits is None:
                continue
            lines.append(f"    Format.{'F32' if single else 'F64'}: (")
            lines += [f"        {c!r}," for c in solve(fit, single, bits)]
            lines.append("    ),")
        lines += ["}", f'"""{fit.meaning}."""']
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(module())
