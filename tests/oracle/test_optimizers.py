"""Optimizers of the library against PyTorch's and optax's, step by step over 100 steps."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from tests.oracle.peers import HERE, close, jax, jnp, torch

pytestmark = pytest.mark.oracle
LIBRARY = dmc.load(HERE / "optimizers.dm")
optax: Any = importlib.import_module("optax")
contrib: Any = importlib.import_module("optax.contrib")
STEPS = 100


def problem() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(2)
    weights = LIBRARY.Weights(w=rng.standard_normal((6, 4)), b=rng.standard_normal(4))
    return weights, rng.standard_normal((16, 6)), np.tanh(rng.standard_normal((16, 4)))


def path_of_torch(make: Callable[[Any, Any], Any], clip: float | None = None) -> Any:
    p, x, y = problem()
    w, b, x, y = (torch.tensor(leaf) for leaf in (p.w, p.b, x, y))
    leaves = [leaf.requires_grad_() for leaf in (w, b)]
    optimizer, path = make(w, b), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        ((torch.tanh(x @ w + b) - y) ** 2).mean().backward()
        if clip is not None:
            # `clip_grad_norm_` adds 1e-6 to the norm, which shows.
            norm = torch.sqrt(sum((leaf.grad**2).sum() for leaf in leaves))
            for leaf in leaves:
                leaf.grad *= min(1.0, clip / norm.item())
        optimizer.step()
        path.append([leaf.detach().numpy().copy() for leaf in leaves])
    return tuple(map(np.stack, zip(*path, strict=True)))


def matrices(w: Any, b: Any, decay: float) -> list[dict[str, Any]]:
    return [{"params": [w], "weight_decay": decay}, {"params": [b], "weight_decay": 0.0}]


o = torch.optim
OF_TORCH: dict[str, Callable[[Any, Any], Any]] = {
    "sgd": lambda w, b: o.SGD([w, b], 0.1, momentum=0.8),
    "nesterov": lambda w, b: o.SGD([w, b], 0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda w, b: o.Adagrad([w, b], 0.05),
    "rmsprop": lambda w, b: o.RMSprop([w, b], 0.003, momentum=0.5),
    "centered_rmsprop": lambda w, b: o.RMSprop([w, b], 0.003, momentum=0.5, centered=True),
    "adadelta": lambda w, b: o.Adadelta([w, b], 0.5),
    "adafactor": lambda w, b: o.Adafactor(matrices(w, b, 0.1), 0.02, eps=(2.0**-23, 1e-3)),
    "adam": lambda w, b: o.Adam([w, b], 0.01),
    "adamw": lambda w, b: o.AdamW(matrices(w, b, 0.1), 0.01),
    "adamax": lambda w, b: o.Adamax([w, b], 0.01),
    "nadam": lambda w, b: o.NAdam([w, b], 0.01),
    "radam": lambda w, b: o.RAdam([w, b], 0.01),
    "amsgrad": lambda w, b: o.Adam([w, b], 0.01, amsgrad=True),
    "coupled": lambda w, b: o.SGD(matrices(w, b, 0.1), 0.1, momentum=0.9),
}


def held(name: str, wanted: Any, tolerance: float = 1e-10) -> None:
    p, x, y = problem()
    found = getattr(LIBRARY, name)[STEPS](p, x, y)
    assert np.abs(found[0][-1] - p.w).max() > 0.05
    for mine, other, leaf in zip(found, wanted, ("w", "b"), strict=True):
        close(mine, other, tolerance, leaf)


@pytest.mark.parametrize("name", OF_TORCH)
def test_against_torch(name: str) -> None:
    # PyTorch keeps the product of NAdam's momenta in single precision.
    held(name, path_of_torch(OF_TORCH[name]), 1e-8 if name == "nadam" else 1e-10)


def test_groups_with_rates_and_decays_of_their_own_and_clipping() -> None:
    def make(w: Any, b: Any) -> Any:
        groups = [
            {"params": [w], "lr": 0.01, "weight_decay": 0.0},
            {"params": [b], "lr": 0.005, "weight_decay": 0.1},
        ]
        return torch.optim.AdamW(groups)

    held("grouped", path_of_torch(make, clip=0.1))


def loss(p: Any, x: Any, y: Any) -> Any:
    return ((jnp.tanh(x @ p["w"] + p["b"]) - y) ** 2).mean()


def path_of_optax(optimizer: Any, shown: Callable[[Any, Any], Any] = lambda state, p: p) -> Any:
    """What is shown of the state and the parameters after each step: the latter."""
    start, x, y = problem()
    p = {"w": jnp.asarray(start.w), "b": jnp.asarray(start.b)}

    @jax.jit
    def step(p: Any, state: Any) -> Any:
        updates, state = optimizer.update(jax.grad(loss)(p, x, y), state, p)
        return optax.apply_updates(p, updates), state

    state, path = optimizer.init(p), []
    for _ in range(STEPS):
        p, state = step(p, state)
        seen = shown(state, p)
        path.append([np.asarray(seen["w"]), np.asarray(seen["b"])])
    return tuple(map(np.stack, zip(*path, strict=True)))


MASK = {"w": True, "b": False}


def halved() -> Any:
    """Heavy balls whose gradients count half from the first, unlike PyTorch's dampening."""
    return optax.chain(optax.scale(0.5), optax.sgd(0.1, momentum=0.9))


def muon() -> Any:
    transforms = {
        "matrix": contrib.muon(0.02, beta=0.95, weight_decay=0.1),
        "other": optax.adamw(0.01, weight_decay=0.0),
    }
    return optax.partition(transforms, {"w": "matrix", "b": "other"})


OF_OPTAX: dict[str, Callable[[], Any]] = {
    "momentum": halved,
    "lion": lambda: optax.lion(0.003, weight_decay=0.1, mask=MASK),
    "lars": lambda: optax.lars(
        1.0, weight_decay=0.1, weight_decay_mask=MASK, trust_coefficient=0.05
    ),
    "lamb": lambda: optax.lamb(0.01, weight_decay=0.1, mask=MASK, eps=1e-6),
    "muon": muon,
    "adaptively_clipped": lambda: optax.chain(
        optax.adaptive_grad_clip(0.05), optax.sgd(0.1, momentum=0.9)
    ),
}


@pytest.mark.parametrize("name", OF_OPTAX)
def test_against_optax(name: str) -> None:
    held(name, path_of_optax(OF_OPTAX[name]()))


def test_schedule_free_adamw() -> None:
    """optax accumulates in f32 what it knows of the rates unless told its type."""
    base = optax.chain(
        optax.scale_by_rms(decay=0.999, eps=1e-8, eps_in_sqrt=False, bias_correction=True),
        optax.add_decayed_weights(0.1, mask=MASK),
        optax.scale_by_learning_rate(0.01),
    )
    optimizer = contrib.schedule_free(base, 0.01, b1=0.9)
    held("schedule_free_adamw", path_of_optax(optimizer))
    average, _ = path_of_optax(optimizer, contrib.schedule_free_eval_params)
    close(LIBRARY.schedule_free_average[STEPS](*problem()), average[-1], 1e-10)


def test_sophia() -> None:
    """By the paper: optax draws its own signs."""
    start, x, y = problem()
    p = {"w": jnp.asarray(start.w), "b": jnp.asarray(start.b)}

    def signs(t: int) -> Any:
        i, j = np.meshgrid(np.arange(6), np.arange(4), indexing="ij")
        w = np.where((i + 2 * j + t) % 3 == 0, -1.0, 1.0)
        return {"w": w, "b": np.where((np.arange(4) + t) % 2 == 0, -1.0, 1.0)}

    @jax.jit
    def curvature(p: Any, u: Any) -> Any:
        return jax.jvp(jax.grad(lambda p: loss(p, x, y)), (p,), (u,))[1]

    gradient = jax.jit(jax.grad(loss))
    m = h = {"w": 0.0, "b": 0.0}
    path = []
    for t in range(STEPS):
        g, u = gradient(p, x, y), signs(t)
        hessian = curvature(p, u) if t % 10 == 0 else None
        m = {n: 0.965 * m[n] + 0.035 * g[n] for n in p}
        if hessian is not None:
            h = {n: 0.99 * h[n] + 0.01 * u[n] * hessian[n] for n in p}
        for n in p:
            mhat = m[n] / (1 - 0.965 ** (t + 1))
            step = np.clip(mhat / np.maximum(0.01 * h[n], 1e-8), -1, 1)
            p[n] = p[n] - 0.01 * (step + 0.1 * MASK[n] * p[n])
        path.append([np.asarray(p["w"]), np.asarray(p["b"])])
    held("sophia", tuple(map(np.stack, zip(*path, strict=True))))


def test_sharpness_lookahead_and_means_of_weights() -> None:
    start, x, y = problem()
    near = optax.chain(contrib.normalize(), optax.sgd(0.05))
    optimizer = contrib.sam(optax.sgd(0.1, momentum=0.8), near, sync_period=2)
    p = {"w": jnp.asarray(start.w), "b": jnp.asarray(start.b)}
    slow, path = p, []

    @jax.jit
    def step(p: Any, state: Any) -> Any:
        for _ in range(2):
            updates, state = optimizer.update(jax.grad(loss)(p, x, y), state, p)
            p = optax.apply_updates(p, updates)
        return p, state

    state = optimizer.init(p)
    for t in range(1, STEPS + 1):
        p, state = step(p, state)
        if t % 5 == 0:
            # `optax.lookahead` would start the velocity anew.
            p = slow = optax.incremental_update(p, slow, 0.5)
        path.append((np.asarray(p["w"]), np.asarray(p["b"])))
    w, b, running, plain = LIBRARY.sharp[STEPS](start, x, y)
    close(w, np.stack([leaf for leaf, _ in path]), 1e-10)
    close(b, np.stack([leaf for _, leaf in path]), 1e-10)
    means = torch.optim.swa_utils
    take_in, average = means.get_ema_avg_fn(0.9), means.get_swa_avg_fn()
    of_running, of_plain = torch.tensor(start.w), torch.zeros(6, 4, dtype=torch.float64)
    for t, (leaf, _) in enumerate(path):
        of_running = take_in(of_running, torch.tensor(leaf), t)
        of_plain = average(of_plain, torch.tensor(leaf), t)
        close(running[t], of_running.numpy(), 1e-12)
        close(plain[t], of_plain.numpy(), 1e-12)
