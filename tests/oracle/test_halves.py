"""f16 and bf16 beside JAX and PyTorch: values and gradients, and arrays of both as arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import dmc
from tests.oracle.peers import jax, jnp, torch

pytestmark = pytest.mark.oracle

PROGRAM = dmc.loads("""
fn matmul[F: float](a: F[9, 33], b: F[33, 17]) -> F[9, 17] = a @ b

fn probabilities[F: float](a: F[9, 33]) -> F[9, 33] = softmax[-1](a)

fn normed[F: float](a: F[9, 33]) -> F[9, 33] {
    let centred = a - mean[-1](a)[:, _]
    centred / sqrt(mean[-1](centred * centred) + 1e-3)[:, _]
}

fn loss[F: float](w: F[33, 17], v: F[17], a: F[9, 33]) -> F = mean(tanh(a @ w) @ v)
""")


def normed(xp: Any, a: Any) -> Any:
    centred = a - a.mean(-1)[:, None]
    return centred / xp.sqrt((centred * centred).mean(-1) + 1e-3)[:, None]


def jax_loss(w: Any, v: Any, a: Any) -> Any:
    return (jnp.tanh(a @ w) @ v).mean()


JAX: dict[str, Callable[..., Any]] = {
    "matmul": jnp.matmul,
    "probabilities": lambda a: jax.nn.softmax(a, -1),
    "normed": lambda a: normed(jnp, a),
}
TORCH: dict[str, Callable[..., Any]] = {
    "matmul": torch.matmul,
    "probabilities": lambda a: torch.softmax(a, -1),
    "normed": lambda a: normed(torch, a),
}
HALVES = {"f16": (np.float16, torch.float16), "bf16": (ml_dtypes.bfloat16, torch.bfloat16)}


def wide(value: Any) -> np.ndarray:
    return np.asarray(value.float().numpy() if isinstance(value, torch.Tensor) else value, "f8")


def as_good(got: Any, peers: list[Any], truth: Any, unit: float) -> None:
    """No farther from the truth than the better peer, but for a rounding of the largest."""
    truth = np.asarray(truth, "f8")
    error, *others = (np.abs(wide(value) - truth).max() for value in (got, *peers))
    assert error <= min(others) + unit * np.abs(truth).max(), (error, others)


@pytest.mark.parametrize("half", HALVES)
def test_values_and_gradients(half: str) -> None:
    dtype, kind = HALVES[half]
    unit = float(ml_dtypes.finfo(dtype).eps)
    rng = np.random.default_rng(0)
    a, b, w, v = (
        rng.standard_normal(shape).astype(dtype) for shape in ((9, 33), (33, 17), (33, 17), (17,))
    )

    def tensor(x: np.ndarray) -> Any:
        return torch.tensor(x.astype(np.float32)).to(kind)

    for name in JAX:
        given = (a, b) if name == "matmul" else (a,)
        got = getattr(PROGRAM, name)(*given)
        assert got.dtype == dtype
        peers = [JAX[name](*map(jnp.asarray, given)), TORCH[name](*map(tensor, given))]
        exact = getattr(PROGRAM, name)(*(x.astype(np.float64) for x in given))
        as_good(got, peers, exact, unit)
    wrt = ("w", "v", "a")
    got = dmc.grad(PROGRAM.loss, wrt=wrt)(w, v, a)
    exact = dmc.grad(PROGRAM.loss, wrt=wrt)(*(x.astype(np.float64) for x in (w, v, a)))
    of_jax = jax.grad(jax_loss, (0, 1, 2))(*map(jnp.asarray, (w, v, a)))
    leaves = [tensor(x).requires_grad_() for x in (w, v, a)]
    (torch.tanh(leaves[2] @ leaves[0]) @ leaves[1]).mean().backward()
    for mine, theirs, leaf, truth in zip(got, of_jax, leaves, exact, strict=True):
        assert mine.dtype == dtype
        as_good(mine, [theirs, leaf.grad], truth, 2 * unit)


def test_arrays_of_other_libraries() -> None:
    x = torch.linspace(-1.0, 1.0, 9 * 33).reshape(9, 33).to(torch.bfloat16)
    wanted = PROGRAM.normed(x.view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    for given in (x, jnp.asarray(x.float().numpy(), jnp.bfloat16)):
        np.testing.assert_array_equal(PROGRAM.normed(given), wanted)
    wrapped = dmc.torch.wrap(PROGRAM.normed)
    y = x.requires_grad_()
    out = wrapped(y)
    assert out.dtype == torch.bfloat16
    np.testing.assert_array_equal(wide(out.detach()), wide(wanted))
    out.sum().backward()
    assert y.grad.dtype == torch.bfloat16
    of_jax = jax.jit(dmc.jax.wrap(PROGRAM.normed))(jnp.asarray(wanted))
    assert of_jax.dtype == jnp.bfloat16
