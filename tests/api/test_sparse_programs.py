"""Sparse derivatives inside programs: few passes at any size, and counts known only at run time."""

from __future__ import annotations

import numpy as np
import pytest

import dmc
from dmc.dialects import arith, autodiff, control
from dmc.ir import DType, dtype_of, shape_of
from dmc.sparsity.sets import Sets

PROGRAM = dmc.loads(
    """fn tridiagonal[N](x: f64[N]) -> f64[N] =
    [i in 0..N] => x[i] ** 2 + sin(x[maximum(i - 1, 0)]) * x[minimum(i + 1, N - 1)]

fn banded[N](x: f64[N]) -> f64[N] = [i in 0..N] => sum[k in 0..5](x[minimum(i + k, N - 1)] ** 2)

fn arrow[N](x: f64[N]) -> f64 = sum(x ** 3) + x[0] * sum(x) + x[1] * sum(x ** 2)

fn stencil[N](u: f64[N, N]) -> f64[N, N] = [i in 0..N, j in 0..N] =>
    u[i, j] ** 2 + u[maximum(i - 1, 0), j] * u[minimum(i + 1, N - 1), j]
    + u[i, maximum(j - 1, 0)] * u[i, minimum(j + 1, N - 1)]

fn of_tridiagonal[N](x: f64[N]) -> f64 {
    let (values, _, _) = jacobian(tridiagonal, sparse = true)(x)
    sum(values)
}
fn of_banded[N](x: f64[N]) -> f64 {
    let (values, _, _) = jacobian(banded, sparse = true)(x)
    sum(values)
}
fn of_arrow[N](x: f64[N]) -> f64 {
    let (values, _, _) = hessian(arrow, sparse = true)(x)
    sum(values)
}
fn of_stencil[N](x: f64[N, N]) -> f64 {
    let (values, _, _) = jacobian(stencil, sparse = true)(x)
    sum(values)
}

fn some[N](x: f64[N], n: i64) -> f64[N] {
    var y = x
    for i in 0..n { y[i] = x[i] ** 2 + x[maximum(i - 1, 0)] }
    y
}
fn near[N](x: f64[N], n: i64) -> f64[N] =
    [i in 0..N] => sum[k in 0..n](x[minimum(i + k, N - 1)] ** 2)
fn whole_some[N](x: f64[N], n: i64, like: f64[N, N]) -> f64[N, N] {
    let (values, rows, columns) = jacobian(some, sparse = true)(x, n)
    var d = like
    d[rows, columns] += values
    d
}
fn whole_near[N](x: f64[N], n: i64, like: f64[N, N]) -> f64[N, N] {
    let (values, rows, columns) = jacobian(near, sparse = true)(x, n)
    var d = like
    d[rows, columns] += values
    d
}
"""
)

LARGE = {
    # the size, the entries and the passes in all
    "of_tridiagonal": (100_000, 299_998, 3),
    "of_banded": (100_000, 499_990, 5),
    "of_arrow": (100_000, 499_994, 3),
    "of_stencil": (316, 498_016, 5),
}


@pytest.mark.parametrize("name", LARGE)
def test_few_passes_at_a_hundred_thousand(name: str) -> None:
    """Passes and entries are counted, not timed."""
    size, entries, passes = LARGE[name]
    module = getattr(PROGRAM, name).specialize(N=size).compilation.tensor
    tables = [
        shape_of(op.result.type)
        for op in module.walk()
        if isinstance(op, arith.Constant) and dtype_of(op.result.type) is DType.I32
    ]
    assert (entries,) in tables
    found = [
        op.sizes[0]
        for op in module.walk()
        if isinstance(op, control.Map)
        and any(isinstance(each, autodiff.Jvp | autodiff.Vjp) for each in op.walk())
    ]
    assert sum(found) == passes


@pytest.mark.parametrize("name", ["some", "near"])
def test_counts_known_at_run_time(name: str) -> None:
    """A pattern of a loop whose count is not known takes in all that it may reach."""
    x = np.linspace(0.5, 1.5, 7)
    with pytest.warns(UserWarning, match="nothing of this sparse derivative is known to be zero"):
        whole = getattr(PROGRAM, f"whole_{name}").compile(x, 0, np.zeros((7, 7)))
    for count in (0, 3, 7):
        dense = dmc.jacobian(getattr(PROGRAM, name))(x, count)
        np.testing.assert_allclose(whole(x, count, np.zeros((7, 7))), dense, rtol=1e-13)


def test_equal_sets_have_one_number() -> None:
    """However they were made; else a loop would find new ones forever."""
    sets = Sets(40)
    odd, even = sets.singletons()[1::2], sets.singletons()[::2]
    both = sets.union(odd[:9], even[:9])
    assert both is not None
    assert sets.union(even[:9], odd[:9]) is not both
    np.testing.assert_array_equal(sets.union(even[:9], odd[:9]), both)
    np.testing.assert_array_equal(sets.all(both), sets.all(both[::-1].copy()))
    assert sets.all(both) != sets.all(both[:-1])
