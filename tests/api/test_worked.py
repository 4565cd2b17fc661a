"""Numbers worked out by hand must come out exactly."""

from pathlib import Path

import numpy as np
import pytest

import dmc

worked = dmc.load(Path(__file__).parent / "worked.dm")


def test_the_square_of_a_line() -> None:
    value, (dw, dx, db) = dmc.value_and_grad(worked.square_of_line, wrt=("w", "x", "b"))(
        3.0, 2.0, 1.0
    )
    assert (value, dw, dx, db) == (49.0, 28.0, 42.0, 14.0)


def test_relu_passes_what_is_positive() -> None:
    gradient = dmc.grad(worked.relu_sum)(np.array([-2.0, 1.0, 3.0]))
    assert gradient.tolist() == [0.0, 1.0, 1.0]


def test_sigmoid_and_squared_error() -> None:
    assert dmc.grad(worked.half_squared_error)(0.0, 1.0) == -0.125


def test_sigmoid_and_binary_cross_entropy() -> None:
    h, y, p = 2.0, 0.5, 0.8
    w = np.log(p / (1 - p)) / h
    gradient = dmc.grad(worked.binary_cross_entropy)(w, h, y)
    np.testing.assert_allclose(gradient, (p - y) * h, rtol=1e-14)
    assert gradient == pytest.approx(0.6, rel=1e-14)


def test_heavy_ball_momentum() -> None:
    np.testing.assert_allclose(worked.heavy_ball[3](0.8), [1.0, 1.8, 2.44], rtol=1e-15)


@pytest.mark.parametrize("name", ["guarded_root", "branched_root"])
def test_an_untaken_branch_contributes_zero(name: str) -> None:
    f = getattr(worked, name)
    assert dmc.grad(f)(0.0) == 0.0
    assert dmc.grad(f)(4.0) == 0.25


def test_two_layers_match_the_delta_recursion() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(3), rng.standard_normal(2)
    w1, b1 = rng.standard_normal((3, 5)), rng.standard_normal(5)
    w2, b2 = rng.standard_normal((5, 2)), rng.standard_normal(2)
    p = worked.TwoLayers(w1=w1, b1=b1, w2=w2, b2=b2)
    gradient = dmc.grad(worked.two_layers)(p, x, y)

    z = x @ w1 + b1
    delta2 = np.maximum(z, 0) @ w2 + b2 - y
    delta1 = (w2 @ delta2) * (z > 0)
    np.testing.assert_allclose(gradient.b2, delta2, rtol=1e-13)
    np.testing.assert_allclose(gradient.w2, np.outer(np.maximum(z, 0), delta2), rtol=1e-13)
    np.testing.assert_allclose(gradient.b1, delta1, rtol=1e-13)
    np.testing.assert_allclose(gradient.w1, np.outer(x, delta1), rtol=1e-13)


def xor_points() -> tuple[np.ndarray, np.ndarray]:
    """The four corners, and four points pulled in from them."""
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    y = np.array([-1.0, 1.0, 1.0, -1.0])
    return np.concatenate([corners, 0.8 * corners]), np.concatenate([y, y])


def test_the_xor_net_learns() -> None:
    x, y = xor_points()
    rng = np.random.default_rng(1)
    p = worked.Xor(
        w1=rng.standard_normal((2, 4)), b1=np.zeros(4), w2=rng.standard_normal(4), b2=0.0
    )
    fitted = worked.xor_fit(p, x, y, lr=2.0, epochs=201)
    assert (np.sign(worked.xor_output(fitted, x)) == y).all()


def test_twelve_weights_agree_with_central_differences() -> None:
    x, y = xor_points()
    rng = np.random.default_rng(2)
    w1, w2 = rng.standard_normal((2, 4)), rng.standard_normal(4)
    gradient = dmc.grad(worked.bare_loss)(worked.Bare(w1=w1, w2=w2), x, y)
    analytic = np.concatenate([gradient.w1.ravel(), gradient.w2])

    def loss(weights: np.ndarray) -> float:
        return worked.bare_loss(worked.Bare(w1=weights[:8].reshape(2, 4), w2=weights[8:]), x, y)

    weights, h = np.concatenate([w1.ravel(), w2]), 1e-5
    steps = h * np.eye(12)
    numeric = np.array([(loss(weights + s) - loss(weights - s)) / (2 * h) for s in steps])
    assert np.linalg.norm(analytic - numeric) / np.linalg.norm(analytic + numeric) < 1e-7
