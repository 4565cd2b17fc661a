"""Fourier transforms against NumPy's."""

import numpy as np
import pytest

import dmc

PROGRAM = """
import fft

fn there[M, N](x: f64[M, N, 2]) -> (f64[M, N, 2], f64[M, N, 2]) requires N >= 1 {
    let y = fft.fft(x)
    (y, fft.ifft(y))
}

fn real[M, N](x: f64[M, N]) -> (f64[M, N // 2 + 1, 2], f64[M, N]) requires N >= 1 {
    let y = fft.rfft(x)
    (y, fft.irfft[N](y))
}

fn images[H, W](x: f32[H, W, 2]) -> (f32[H, W, 2], f32[H, W, 2]) requires H >= 1, W >= 1 {
    let y = fft.fft2(x)
    (y, fft.ifft2(y))
}

fn bend[N](x: f64[N, 2], w: f64[N, 2]) -> f64 requires N >= 1 = sum(w * fft.fft(x) ** 3)

fn bend_slope[N](x: f64[N, 2], w: f64[N, 2]) -> f64 requires N >= 1 = sum(w * grad(bend)(x, w))

fn convolved[N](x: f64[N], y: f64[N]) -> f64[N] requires N >= 1 =
    fft.irfft[N](fft.times(fft.rfft(x), fft.rfft(y)))
"""
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def library():
    return dmc.loads(PROGRAM)


def complex_(x):
    return x[..., 0] + 1j * x[..., 1]


@pytest.mark.parametrize("n", [1, 60])
def test_one_axis(library, n):
    x = RNG.standard_normal((3, n, 2))
    wanted = np.fft.fft(complex_(x))
    there, back = library.there(x)
    assert np.abs(complex_(there) - wanted).max() < 2e-15 * np.abs(wanted).max() * n**0.5
    assert np.allclose(back, x, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [1, 6, 7])
def test_real_numbers(library, n):
    x = RNG.standard_normal((2, n))
    y, back = library.real(x)
    assert np.allclose(complex_(y), np.fft.rfft(x), rtol=0, atol=1e-14)
    assert np.allclose(back, x, rtol=0, atol=1e-14)


def test_two_axes(library):
    x = RNG.standard_normal((6, 5, 2)).astype(np.float32)
    y, back = library.images(x)
    assert np.allclose(complex_(y), np.fft.fft2(complex_(x)), atol=1e-5)
    assert np.allclose(back, x, atol=1e-6)


def test_derivatives_and_a_convolution(library):
    x, w = RNG.standard_normal((2, 6, 2))
    dmc.check_grads(library.bend_slope, x, w)
    a, b = RNG.standard_normal((2, 6))
    wanted = [sum(a[k] * b[(n - k) % 6] for k in range(6)) for n in range(6)]
    assert np.allclose(library.convolved(a, b), wanted, rtol=0, atol=1e-14)
    assert np.allclose(library.fft.frequencies[5](0.5), np.fft.fftfreq(5, 0.5))
