"""Schedules of factorizations, by the loop interpreter, which minds bounds, and natively."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dmc.dialects import linalg
from dmc.ir import Array, Builder, DType, TensorType, Value
from tests.lowering import native

Build = Callable[[Builder, list[Value]], Sequence[Value]]


def solves(lower: bool, transposed: bool, unit: bool = False) -> Build:
    return lambda b, v: [linalg.triangular_solve(b, v[0], v[1], lower, transposed, unit)]


CASES: dict[str, tuple[Build, list[tuple[int, ...]]]] = {
    "cholesky": (lambda b, v: [linalg.cholesky(b, v[0])], [(9, 9)]),
    "lu": (lambda b, v: linalg.lu(b, v[0]), [(2, 6, 6)]),
    "qr": (lambda b, v: linalg.qr(b, v[0]), [(5, 3)]),
    "eigh": (lambda b, v: linalg.eigh(b, v[0]), [(4, 4)]),
    "svd": (lambda b, v: linalg.svd(b, v[0]), [(5, 3)]),
    "one right side, by rows": (solves(False, False), [(10, 10), (10, 1)]),
    "one right side, by columns": (solves(False, True), [(10, 10), (10, 1)]),
    "right sides": (solves(True, True, True), [(10, 10), (10, 3)]),
    "cholesky in lanes": (lambda b, v: [linalg.cholesky(b, v[0])], [(17, 3, 3)]),
    "lu in lanes": (lambda b, v: linalg.lu(b, v[0]), [(17, 3, 3)]),
    "qr in lanes": (lambda b, v: linalg.qr(b, v[0]), [(9, 4, 3)]),
    "eigh in lanes": (lambda b, v: linalg.eigh(b, v[0]), [(9, 3, 3)]),
    "svd in lanes": (lambda b, v: linalg.svd(b, v[0]), [(9, 4, 3)]),
    "right sides in lanes": (solves(False, False), [(17, 3, 3), (17, 3, 5)]),
}


@pytest.mark.parametrize("case", CASES)
def test_loops(case: str) -> None:
    build, shapes = CASES[case]
    dtype = DType.F32 if "lanes" in case else DType.F64
    rng = np.random.default_rng(0)
    arrays: list[Array] = [rng.standard_normal(shape).astype(dtype.numpy) for shape in shapes]
    rows, columns = shapes[0][-2:]
    arrays[0] = arrays[0] + (np.eye(rows, columns) * np.arange(6, 6 * columns + 1, 6)).astype(
        dtype.numpy
    )
    types = [TensorType(shape, dtype) for shape in shapes]
    rtol = 1e-11 if dtype is DType.F64 else 1e-4
    native.check(native.program(types, build), arrays, rtol=rtol, plans=[False])


@pytest.mark.parametrize("size", [64, 70, 130])
def test_blocks(size: int) -> None:
    """Whole blocks, and a last one that is no whole number of tiles."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((size, size)), rng.standard_normal((size, 17))
    s = a @ a.T + size * np.eye(size)
    types = [TensorType(x.shape, DType.F64) for x in (a, s, b)]

    def build(builder: Builder, v: list[Value]) -> Sequence[Value]:
        factors = linalg.lu(builder, v[0])
        solved = linalg.triangular_solve(builder, v[1], v[2])
        return [*factors, linalg.cholesky(builder, v[1]), solved]

    factors, order, inverse, upper, x = native.compile_native(native.program(types, build))(a, s, b)
    product = (np.tril(factors, -1) + np.eye(size)) @ np.triu(factors)
    np.testing.assert_allclose(product, a[order], atol=1e-11 * size)
    np.testing.assert_array_equal(order[inverse], np.arange(size))
    np.testing.assert_allclose(np.abs(np.tril(factors, -1)).max(), 1.0, atol=0.1)
    np.testing.assert_allclose(upper.T @ upper, s, atol=1e-11 * size)
    np.testing.assert_allclose(np.triu(s) @ x, b, atol=1e-11)


def hard_matrices(size: int) -> dict[str, native.Array]:
    """Graded from each end, in the middle and at random; clustered, degenerate, without rank."""
    rng = np.random.default_rng(2)
    a = rng.standard_normal((size, size))
    basis = np.linalg.qr(a)[0]
    steps = np.arange(size) / size
    grades = 10.0 ** (-12 * steps)
    orders = [grades, grades[::-1], np.roll(grades, size // 2), rng.permutation(grades)]
    graded = {f"graded {i}": a * g[:, None] * g for i, g in enumerate(orders)}
    values = {"clustered": 1 + 1e-9 * steps, "degenerate": np.round(3 * steps)}
    return {
        **graded,
        **{name: basis * value @ basis.T for name, value in values.items()},
        "huge": 1e150 * a,
        "tiny": 1e-150 * a,
        "of rank two": a[:, :2] @ a[:2],
        "tridiagonal": np.diag(2 * np.ones(size)) - np.eye(size, k=1) - np.eye(size, k=-1),
        "shift": np.eye(size, k=1),
    }


@pytest.mark.parametrize("size", [8, 70])
def test_hard_matrices(size: int) -> None:
    """In lanes; and by blocks of reflections and of sweeps, the last of which is not whole.

    Errors are within a few times the size and the distance of neighbouring numbers.
    """
    cases = hard_matrices(size)
    spoilt = np.ones((size, size))
    spoilt[3, 5] = np.nan
    a = np.stack([*cases.values(), spoilt])
    s = a / 2 + np.swapaxes(a, 1, 2) / 2
    type_ = TensorType(a.shape, DType.F64)

    def build(builder: Builder, v: list[Value]) -> Sequence[Value]:
        factors = linalg.qr(builder, v[0]), linalg.svd(builder, v[0]), linalg.eigh(builder, v[1])
        return [value for values in factors for value in values]

    results = native.compile_native(native.program([type_, type_], build))(a, s)
    bound = 10 * size * np.finfo(np.float64).eps
    for name, given, symmetric, *parts in zip(cases, a, s, *results, strict=False):
        large = np.abs(given).max()
        q, r, u, z, v, w, x = parts
        r, z, w = r / large, z / large, w / large
        for product, wanted in ((q @ r, given), (u * z @ v, given), (x * w @ x.T, symmetric)):
            error = np.linalg.norm(product - wanted / large) / np.linalg.norm(wanted / large)
            assert error < bound, name
        for basis in (q, u, v.T, x):
            assert np.linalg.norm(basis.T @ basis - np.eye(size)) < bound, name
        np.testing.assert_array_equal(np.sort(w), w)
        np.testing.assert_array_equal(-np.sort(-z), z)
    assert all(np.isnan(out[-1]).any() for out in results)
