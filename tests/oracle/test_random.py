"""Draws of compiled programs: those of the runtime's reference, and distributed as SciPy says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import dmc
from dmc_runtime import keys
from tests.oracle.peers import error

pytestmark = pytest.mark.oracle

PROGRAM = dmc.loads(
    """
fn flips[N](k: Key, p: f64) -> bool[N] = bernoulli[N](k, p)
fn later[N](k: Key, i: i64) -> (f64[N], f64[N]) {
    let (a, b) = split(fold(k, i))
    (normal(a), normal(b))
}
fn normal_32[N](k: Key) -> f32[N] = normal(k)
fn normal_64[N](k: Key) -> f64[N] = normal(k)
fn uniform_32[N](k: Key) -> f32[N] = uniform(k)
fn uniform_64[N](k: Key) -> f64[N] = uniform(k)
"""
)
N = 5003
KEYS = [dmc.key(0), dmc.key(-1), dmc.fold(dmc.key(7), 3)]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("bits", [32, 64])
def test_normal(key: Any, bits: int) -> None:
    got = getattr(PROGRAM, f"normal_{bits}")[N](key)
    wanted = keys.normal(key, N, f"float{bits}")
    assert got.dtype == wanted.dtype
    assert error(got, wanted) < (1e-6 if bits == 32 else 1e-14)
    assert stats.kstest(got, "norm").pvalue > 1e-3


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("bits", [32, 64])
def test_uniform(key: Any, bits: int) -> None:
    got = getattr(PROGRAM, f"uniform_{bits}")[N](key)
    np.testing.assert_array_equal(got, keys.uniform(key, N, f"float{bits}"))
    assert stats.kstest(got, "uniform").pvalue > 1e-3


def test_bernoulli() -> None:
    got = PROGRAM.flips[N](KEYS[0], 0.3)
    np.testing.assert_array_equal(got, keys.bernoulli(KEYS[0], 0.3, N))
    assert stats.binomtest(int(got.sum()), N, 0.3).pvalue > 1e-3


def test_derived_keys() -> None:
    got = PROGRAM.later[500](KEYS[0], 12)
    wanted = [keys.normal(k, 500) for k in keys.split(keys.fold(KEYS[0], 12))]
    assert error(np.stack(got), np.stack(wanted)) < 1e-14
    assert abs(np.corrcoef(got[0], got[1])[0, 1]) < 0.15
