"""Layers and optimizers in single precision against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from dmc_runtime.trees import tree_map
from tests.oracle.peers import HERE, all_close, close, torch

pytestmark = pytest.mark.oracle
RNG = np.random.default_rng(2)
LIBRARY = dmc.load(HERE / "library.dm")
F: Any = torch.nn.functional


def narrow(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def of_torch(function: Callable[..., Any], *arrays: Any) -> tuple[Any, list[Any]]:
    """Value and gradients in all float arrays."""
    tensors = [torch.tensor(a) for a in arrays]
    active = [t.requires_grad_() for t in tensors if t.is_floating_point()]
    value = function(*tensors)
    gradients = torch.autograd.grad(value, active)
    return value.detach().numpy(), [g.numpy() for g in gradients]


START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Every test draws the same numbers, whichever ran before it."""
    RNG.bit_generator.state = START


# Layers


def disturbed(net: Any) -> Any:
    return tree_map(lambda leaf: leaf + 0.2 * narrow(*np.shape(leaf)), net)


def layer_close(name: str, layer: Any, function: Callable[..., Any], x: Any, w: Any) -> None:
    """A layer's weighted output, and its gradient in the parameters and in the input."""
    leaves = dict(layer.items())

    def weighted(x: Any, w: Any, *parameters: Any) -> Any:
        return (w * function(x, **dict(zip(leaves, parameters, strict=True)))).sum()

    value, gradients = of_torch(weighted, x, w, *leaves.values())
    wanted = dict(zip(leaves, gradients[-len(leaves) :], strict=True))
    wrt = ("layer", "x") if x.dtype == np.float32 else ("layer",)
    found, (of_layer, *of_x) = dmc.value_and_grad(getattr(LIBRARY, name), wrt=wrt)(layer, x, w)
    # A sum of numbers about 1 that may cancel: its rounding is theirs.
    close(found, value, 1e-5, least=1.0)
    all_close(of_layer, wanted, 1e-5)
    for mine in of_x:
        close(mine, gradients[0], 1e-5)


def test_linear() -> None:
    layer = disturbed(LIBRARY.Linear.init(dmc.key(1), I=6, O=4))
    layer_close("linear", layer, lambda x, w, b: F.linear(x, w.T, b), narrow(9, 6), narrow(9, 4))


def test_embed() -> None:
    layer = disturbed(LIBRARY.Embed.init(dmc.key(2), V=5, D=4))
    ids = RNG.integers(0, 5, 12).astype(np.int32)
    layer_close("embed", layer, lambda x, w: F.embedding(x.long(), w), ids, narrow(12, 4))


def test_layer_norm() -> None:
    layer = disturbed(LIBRARY.LayerNorm.init(dmc.key(3), D=8))

    def function(x: Any, gain: Any, bias: Any) -> Any:
        return F.layer_norm(x, (8,), gain, bias, 1e-5)

    layer_close("layer_norm", layer, function, narrow(6, 8), narrow(6, 8))


def test_conv() -> None:
    """Channels last here, channels first there."""
    layer = disturbed(LIBRARY.Conv.init(dmc.key(4), K=3, I=2, O=5))

    def function(x: Any, w: Any, b: Any) -> Any:
        out = F.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), b)
        return out.permute(0, 2, 3, 1)

    layer_close("conv", layer, function, narrow(2, 7, 8, 2), narrow(2, 5, 6, 5))


def test_max_pool() -> None:
    x, w = narrow(2, 6, 8, 3), narrow(2, 3, 4, 3)

    def function(x: Any, w: Any) -> Any:
        return (w * F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)).sum()

    value, gradients = of_torch(function, x, w)
    got = dmc.value_and_grad(LIBRARY.pool, wrt=("x", "w"))(x, w)
    close(got[0], value, 1e-5)
    for mine, wanted in zip(got[1], gradients, strict=True):
        close(mine, wanted, 1e-6)


# Optimizers, for 100 steps. PyTorch takes them in f64: in f32 it strays 4e-6 from there, dmc 5e-7.


def problem() -> tuple[Any, Any, Any]:
    p = LIBRARY.Weights(w=narrow(6, 4), b=np.zeros(4, np.float32))
    return p, narrow(16, 6), np.tanh(narrow(16, 4))


def steps_of_torch(make: Callable[..., Any], p: Any, x: Any, y: Any, limit: float | None) -> Any:
    w, b, x, y = (torch.tensor(leaf).double() for leaf in (p.w, p.b, x, y))
    w.requires_grad_()
    b.requires_grad_()
    optimizer = make(w, b)
    path: list[Any] = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = ((torch.tanh(x @ w + b) - y) ** 2).mean()
        loss.backward()
        if limit is not None:
            # `clip_grad_norm_` adds 1e-6 to the norm, which shows.
            norm = torch.sqrt((w.grad**2).sum() + (b.grad**2).sum())
            for leaf in (w, b):
                leaf.grad *= min(1.0, limit / norm.item())
        optimizer.step()
        path.append(w.detach().numpy().copy())
    return np.stack(path)


def test_adamw() -> None:
    """With decay of the matrix alone, and clipping of the global norm."""
    p, x, y = problem()

    def make(w: Any, b: Any) -> Any:
        groups = [{"params": [w], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=0.01)

    wanted = steps_of_torch(make, p, x, y, 0.1)
    close(LIBRARY.adamw[100](p, x, y, lr=0.01, wd=0.1), wanted, 1e-6)


def test_sgd() -> None:
    p, x, y = problem()
    wanted = steps_of_torch(
        lambda w, b: torch.optim.SGD([w, b], lr=0.1, momentum=0.9), p, x, y, None
    )
    close(LIBRARY.sgd[100](p, x, y, lr=0.1, momentum=0.9), wanted, 1e-6)
