"""Activations and losses of the library against PyTorch, to second order where they bend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dmc
from tests.oracle.peers import HERE, close, torch

pytestmark = pytest.mark.oracle
LIBRARY = dmc.load(HERE / "losses.dm")
F: Any = torch.nn.functional

ELEMENTWISE: dict[str, Callable[[Any], Any]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    # `F.celu` rounds 1 / 0.7 to single precision.
    "celu": lambda x: torch.where(x > 0, x, 0.7 * torch.expm1(x / 0.7)),
    "gelu_erf": F.gelu,
    "silu": F.silu,
    "mish": lambda x: x * torch.tanh(F.softplus(x)),
    "log_sigmoid": F.logsigmoid,
    "softsign": F.softsign,
    "tanh_shrink": F.tanhshrink,
    "soft_shrink": lambda x: F.softshrink(x, 0.3),
    "hard_shrink": lambda x: F.hardshrink(x, 0.3),
    # `F.hardsigmoid` has no second derivative.
    "hard_sigmoid": lambda x: torch.clamp(x / 6 + 0.5, 0, 1),
    "hard_tanh": F.hardtanh,
    "hard_silu": lambda x: x * torch.clamp(x / 6 + 0.5, 0, 1),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "tanh": torch.tanh,
}


def derivatives(function: Callable[[Any], Any], x: Any) -> list[Any]:
    """Value, slope and curvature of an elementwise function."""
    at = torch.tensor(x, requires_grad=True)
    value = function(at)
    (slope,) = torch.autograd.grad(value.sum(), at, create_graph=True)
    curvature = torch.zeros_like(at)
    if slope.requires_grad:
        (curvature,) = torch.autograd.grad(slope.sum(), at)
    return [part.detach().numpy() for part in (value, slope, curvature)]


def test_elementwise_activations() -> None:
    x = np.append(3 * np.random.default_rng(2).standard_normal(60), 0.0)
    ones = np.ones_like(x)
    found = LIBRARY.elementwise(x), LIBRARY.slopes(x, ones), LIBRARY.curvatures(x, ones)
    for row, (name, function) in enumerate(ELEMENTWISE.items()):
        for order, wanted in enumerate(derivatives(function, x)):
            # At 0, where there are two curvatures, the peers have none.
            points = slice(None, -1) if order == 2 else slice(None)
            what = f"derivative {order} of {name}"
            close(found[order][row][points], wanted[points], 1e-11, what)


def test_activations_where_they_bend() -> None:
    """To second order between what they are on both sides, and finite far away."""
    x = np.resize([-3, 3, 0, -0.0, 6, 1, -1, 0.3, -0.3, 1e-300, 40, -40, 800, -800], 61)
    ones, near = np.ones_like(x), 1e-6
    for order, of in enumerate(
        (
            LIBRARY.elementwise,
            lambda x: LIBRARY.slopes(x, ones),
            lambda x: LIBRARY.curvatures(x, ones),
        )
    ):
        found, sides = of(x), np.sort([of(x - near), of(x + near)], axis=0)
        off = np.maximum(sides[0] - found, found - sides[1]).max(axis=1)
        for name, most in zip(ELEMENTWISE, off, strict=True):
            assert most < 1e-4, f"derivative {order} of {name} is off by {most:.1e}"


def sparsemax(x: Any) -> Any:
    falling, _ = torch.sort(x, -1, descending=True)
    place = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    inside = 1 + place * falling > falling.cumsum(-1)
    count = inside.sum(-1, keepdim=True)
    level = ((falling * inside).sum(-1, keepdim=True) - 1) / count
    return torch.clamp(x - level, min=0)


def gated(gate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: x[..., :3] * gate(x[..., 3:])


ALONG_AXIS: Sequence[Callable[[Any], Any]] = (
    lambda x: F.softmax(x, -1),
    lambda x: F.log_softmax(x, -1),
    sparsemax,
    F.glu,
    gated(F.relu),
    gated(lambda x: F.gelu(x, approximate="tanh")),
    gated(F.silu),
    gated(lambda x: x),
)


def test_activations_along_the_last_axis() -> None:
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((5, 6)), rng.standard_normal((5, 33))
    at = torch.tensor(x, requires_grad=True)
    values = torch.cat([function(at) for function in ALONG_AXIS], 1)
    (gradient,) = torch.autograd.grad((values * torch.tensor(w)).sum(), at)
    got = dmc.grad(LIBRARY.along_axis, wrt=("x", "w"))(x, w)
    close(got[0], gradient.numpy(), 1e-12, "gradient")
    close(got[1], values.detach().numpy(), 1e-12)


def test_prelu() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((2, 9, 3))
    layer = LIBRARY.PReLU.init[3, np.float64](dmc.key(0))
    at, slope = torch.tensor(x, requires_grad=True), torch.full((3,), 0.25, requires_grad=True)
    value = (torch.tensor(w) * F.prelu(at, slope.double())).sum()
    wanted = torch.autograd.grad(value, (slope, at))
    got = dmc.grad(LIBRARY.prelu, wrt=("layer", "x"))(layer, x, w)
    close(got[0].slope, wanted[0].numpy(), 1e-6)
    close(got[1], wanted[1].numpy(), 1e-12)


def losses_close(
    name: str, functions: Sequence[Callable[..., Any]], wrt: Sequence[str], **values: Any
) -> None:
    """Every loss of a group, its gradients, and a sum of their Hessians times a direction."""
    tensors = {n: torch.tensor(v, requires_grad=n in wrt) for n, v in values.items()}
    found = getattr(LIBRARY, name)(**values)
    slopes = dmc.jacobian(getattr(LIBRARY, name), wrt=tuple(wrt))(**values)
    for place, function in enumerate(functions):
        loss = function(SimpleNamespace(**tensors))
        gradients = torch.autograd.grad(loss, [tensors[n] for n in wrt], allow_unused=True)
        close(found[place], loss.item(), 1e-11, f"loss {place} of {name}")
        for slope, wanted, n in zip(slopes, gradients, wrt, strict=True):
            zeros = np.zeros_like(values[n])
            wanted = zeros if wanted is None else wanted.numpy()
            close(slope[place], wanted, 1e-11, f"gradient in {n} of loss {place} of {name}")
    rng = np.random.default_rng(9)
    w, along = rng.random(len(functions)), [rng.standard_normal(values[n].shape) for n in wrt]
    total: Any = sum(c * f(SimpleNamespace(**tensors)) for c, f in zip(w, functions, strict=True))
    active = [tensors[n] for n in wrt]
    gradients = torch.autograd.grad(total, active, create_graph=True)
    moved = sum((g * torch.tensor(u)).sum() for g, u in zip(gradients, along, strict=True))
    curved = dmc.hvp(getattr(LIBRARY, f"sum_{name}"), wrt=tuple(wrt), along=tuple(along))
    of_torch = torch.autograd.grad(moved, active)
    found = curved(**values, w=w)
    found = found if isinstance(found, tuple) else (found,)
    for mine, wanted, n in zip(found, of_torch, wrt, strict=True):
        close(mine, wanted.numpy(), 1e-10, f"curvature in {n} of {name}")


def test_losses_of_pairs() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 7, 5))
    y[0] = x[0]

    def gaussian(x: Any, y: Any) -> Any:
        return F.gaussian_nll_loss(x, x * y, torch.exp(y), eps=0.0)

    def kl_normal(x: Any, y: Any) -> Any:
        usual = torch.distributions.Normal(torch.zeros_like(x), torch.ones_like(x))
        drawn = torch.distributions.Normal(x, torch.exp(0.5 * y))
        return torch.distributions.kl_divergence(drawn, usual).mean()

    functions = (
        F.mse_loss,
        F.l1_loss,
        lambda x, y: F.huber_loss(x, y, delta=0.7),
        lambda x, y: torch.log(torch.cosh(x - y)).mean(),
        lambda x, y: F.mse_loss(x, y, reduction="sum"),
        lambda x, y: F.binary_cross_entropy_with_logits(x, torch.sigmoid(y)),
        gaussian,
        lambda x, y: F.poisson_nll_loss(x, torch.exp(y)),
        lambda x, y: F.kl_div(F.log_softmax(x, -1), F.softmax(y, -1), reduction="batchmean"),
        lambda x, y: F.cross_entropy(x, F.softmax(y, -1)),
        lambda x, y: F.cosine_similarity(x, y).mean(),
        kl_normal,
    )
    of_both = [lambda v, f=f: f(v.x, v.y) for f in functions]
    losses_close("of_pairs", of_both, ("x", "y"), x=x, y=y)


def focal(x: Any, t: Any) -> Any:
    side = (2 * t - 1) * x
    weight = t * 0.25 + (1 - t) * 0.75
    return (-weight * torch.sigmoid(-side) ** 2 * F.logsigmoid(side)).mean()


@pytest.mark.parametrize("scale", [1.0, 300.0], ids=["usual", "large"])
def test_losses_of_labels(scale: float) -> None:
    rng = np.random.default_rng(6)
    x, weights = scale * rng.standard_normal((9, 5)), rng.random(5)
    y, t = rng.integers(0, 5, 9).astype(np.int32), (rng.random((9, 5)) > 0.5) * 1.0
    side = np.sign(rng.standard_normal(9))

    def entropy(v: Any, *weights: Any, **options: Any) -> Any:
        return F.cross_entropy(v.x, v.y.long(), *weights, **options)

    functions = (
        entropy,
        lambda v: entropy(v, label_smoothing=0.1),
        lambda v: entropy(v, ignore_index=2),
        lambda v: entropy(v, ignore_index=2, label_smoothing=0.1, reduction="sum"),
        lambda v: entropy(v, v.weights, ignore_index=2, label_smoothing=0.1),
        lambda v: focal(v.x, v.t),
        lambda v: F.relu(1 - v.side * v.x[:, 0]).mean(),
        lambda v: (F.relu(1 - v.side * v.x[:, 0]) ** 2).mean(),
        lambda v: F.binary_cross_entropy_with_logits(
            v.x, v.t, pos_weight=torch.tensor(2.0), reduction="sum"
        ),
        lambda v: entropy(v, v.weights),
        lambda v: entropy(v, v.weights, ignore_index=2, label_smoothing=0.1, reduction="sum"),
        lambda v: (v.side * F.relu(1 - v.side * v.x[:, 0]) ** 2).sum(),
        lambda v: (v.side * (v.x.argmax(-1) == v.y) + 0 * v.x[:, 0]).sum(),
    )
    given = {"x": x, "y": y, "weights": weights, "t": t, "side": side}
    losses_close("of_labels", functions, ("x",), **given)


def test_losses_of_vectors() -> None:
    rng = np.random.default_rng(7)
    x, y, z = rng.standard_normal((3, 8, 4))
    side = np.sign(rng.standard_normal(8))

    def contrastive(v: Any) -> Any:
        d, label = torch.linalg.vector_norm(v.x - v.y, dim=1), 0.5 + 0.5 * v.side
        return 0.5 * (label * d**2 + (1 - label) * F.relu(2.0 - d) ** 2)

    def info_nce(v: Any) -> Any:
        s = F.normalize(v.x) @ F.normalize(v.y).T / 0.5
        right = torch.arange(len(v.x))
        each = (F.cross_entropy(part, right, reduction="none") for part in (s, s.T))
        return 0.5 * sum(each)

    terms: Sequence[Callable[[Any], Any]] = (
        lambda v: F.cosine_embedding_loss(v.x, v.y, v.side, margin=0.1, reduction="none"),
        contrastive,
        lambda v: F.triplet_margin_loss(v.x, v.y, v.z, eps=0.0, reduction="none"),
        info_nce,
    )
    functions = [lambda v, each=each: each(v).mean() for each in terms]
    functions += [lambda v, each=each: (v.side * each(v)).sum() for each in terms]
    losses_close("of_vectors", functions, ("x", "y"), x=x, y=y, z=z, side=side)


def test_ctc() -> None:
    """Sequences of several lengths, with repeated labels."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((4, 9, 5))
    y = np.array([[1, 1, 2], [3, 4, 3], [2, 0, 0], [4, 4, 4]], np.int32)
    frames, labels = np.array([9, 7, 4, 6], np.int32), np.array([3, 3, 1, 3], np.int32)
    at = torch.tensor(x, requires_grad=True)
    log_p = F.log_softmax(at, -1).transpose(0, 1)
    loss = F.ctc_loss(log_p, *(torch.tensor(a).long() for a in (y, frames, labels)))
    (gradient,) = torch.autograd.grad(loss, at)
    got = dmc.value_and_grad(LIBRARY.ctc)(x, y, frames, labels)
    close(got[0], loss.item(), 1e-12)
    close(got[1], gradient.numpy(), 1e-11)
    # PyTorch has no second derivative.
    along, step = rng.standard_normal(x.shape), 1e-5
    slope = dmc.grad(LIBRARY.ctc)
    there, here = (slope(x + by * along, y, frames, labels) for by in (step, -step))
    curved = dmc.hvp(LIBRARY.ctc, along=along)(x, y, frames, labels)
    close(curved, (there - here) / (2 * step), 1e-8, "curvature")
