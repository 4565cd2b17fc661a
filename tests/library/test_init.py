"""Initial weights have the distributions that they say."""

import numpy as np
import pytest
from scipy import stats

import dmc

PROGRAM = """
import init

fn drawn(key: Key) -> (f32[100, 80], f64[20, 30], f64[30, 20], f32[3, 3, 20, 50]) {
    let (a, b, c, d) = split(key, 4)
    (init.truncated_normal[100, 80](a, 0.5, 0.3), init.orthogonal[20, 30, f64](b),
     init.orthogonal[30, 20, f64](c, gain = 2.0), init.he_conv[3, 3, 20, 50](d))
}

fn kernels(key: Key) -> f32[5, 3, 3, 20, 50] {
    let (a, b, c, d, e) = split(key, 5)
    [init.glorot_conv[3, 3, 20, 50](a), init.glorot_conv_uniform[3, 3, 20, 50](b),
     init.lecun_conv[3, 3, 20, 50](c), init.lecun_conv_uniform[3, 3, 20, 50](d),
     init.he_conv_uniform[3, 3, 20, 50](e)]
}

fn fixed() -> (f32[2, 3], f64[2, 2]) =
    (init.identity[2, 3](2.0), init.constant[2, 2, f64](0.1))
"""


@pytest.fixture(scope="module")
def library():
    return dmc.loads(PROGRAM)


def test_normals(library):
    truncated, wide, tall, he = library.drawn(dmc.key(0))
    found = stats.kstest(truncated.ravel() / 0.5, stats.truncnorm(-0.3, 0.3).cdf)
    assert found.pvalue > 0.001
    assert np.allclose(wide @ wide.T, np.eye(20), atol=1e-12)
    assert np.allclose(tall.T @ tall, 4 * np.eye(20), atol=1e-12)
    assert he.var() == pytest.approx(2 / 180, rel=0.02)
    variances = library.kernels(dmc.key(1)).var(axis=(1, 2, 3, 4))
    wanted = [2 / (9 * 70), 2 / (9 * 70), 1 / 180, 1 / 180, 2 / 180]
    assert np.allclose(variances, wanted, rtol=0.03)


def test_fixed_weights(library):
    identity, constant = library.fixed()
    assert identity.tolist() == [[2, 0, 0], [0, 2, 0]]
    assert constant.tolist() == [[0.1, 0.1], [0.1, 0.1]]
