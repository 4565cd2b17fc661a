"""Programs of dm inside PyTorch and JAX, and weights of PyTorch in layers of dm."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.interop.state_dicts import LAYERS
from dmc_runtime import STD_FOLDER
from tests.oracle.peers import HERE, close, jax, jnp, torch

pytestmark = pytest.mark.oracle
PROGRAM = dmc.load(HERE / "interop.dm")
X = np.random.default_rng(0).standard_normal(6)


def test_a_function_inside_pytorch() -> None:
    mix = dmc.torch.wrap(PROGRAM.mix, k=2)
    x = torch.tensor(X, requires_grad=True)
    s = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y, total = mix(2.0 * x, s)
    assert not total.requires_grad
    (y.cos().sum() + total).backward()
    x2, s2 = x.detach().requires_grad_(), s.detach().requires_grad_()
    z = 2.0 * x2
    (torch.sin(s2 * z) * z[2]).cos().sum().backward()
    close(x.grad.numpy(), x2.grad.numpy(), 1e-12)
    close(s.grad.numpy(), s2.grad.numpy(), 1e-12)
    assert torch.autograd.gradcheck(lambda x, s: mix(x, s)[0], (x, s))


def test_the_transforms_of_pytorch_know_functions_of_dm() -> None:
    mix = dmc.torch.wrap(PROGRAM.mix, k=2, s=0.7)
    xs = torch.tensor(np.stack([X, 2.0 * X]))

    def mine(x: Any) -> Any:
        return mix(x)[0].sum()

    def other(x: Any) -> Any:
        return (torch.sin(0.7 * x) * x[2]).sum()

    each = torch.func.vmap(torch.func.grad(mine))(xs)
    close(each.numpy(), torch.func.vmap(torch.func.grad(other))(xs).numpy(), 1e-12)


def nested(mix: Any, host: Any, fixed: Any) -> tuple[Any, Any]:
    """A function with a call of `mix` inside, and the same in the host's own operations."""

    def mine(x: Any, s: Any) -> Any:
        y, total = mix(2.0 * x, s)
        return host.cos(y).sum() + total

    def other(x: Any, s: Any) -> Any:
        z = 2.0 * x
        return host.cos(host.sin(s * z) * z[2]).sum() + fixed(z.sum())

    return mine, other


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_derivatives_of_any_order_in_pytorch() -> None:
    mix, func, functional = (
        dmc.torch.wrap(PROGRAM.mix, k=2),
        torch.func,
        torch.autograd.functional,
    )
    point = torch.tensor(X[:3]), torch.tensor(0.7, dtype=torch.float64)
    for take in [
        lambda f: functional.hessian(f, point),
        lambda f: func.hessian(f, (0, 1))(*point),
        lambda f: func.jvp(f, point, point),
        lambda f: func.jacfwd(func.jacfwd(f))(*point),
        lambda f: func.jacrev(func.jacrev(func.grad(f)))(*point),
    ]:
        mine, other = (take(f) for f in nested(mix, torch, torch.detach))
        for got, wanted in zip(*map(torch.utils._pytree.tree_leaves, (mine, other)), strict=True):
            close(got.numpy(), wanted.numpy(), 1e-13)
    given = [part.clone().requires_grad_() for part in point]
    assert torch.autograd.gradgradcheck(lambda x, s: mix(x, s)[0], given)
    both = dmc.torch.wrap(dmc.grad(PROGRAM.energy, ("x", "s")))
    assert torch.autograd.gradcheck(both, given, check_forward_ad=True)


def test_a_module_is_differentiated_twice() -> None:
    net = PROGRAM.Mlp.init(dmc.key(0))
    module = dmc.torch.Module(net)
    x = torch.tensor(np.random.default_rng(1).standard_normal((2, 3)))

    def rough(module: Any) -> list[Any]:
        inputs = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(module(inputs).sum(), inputs, create_graph=True)
        (slope**2).sum().backward()
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in module.parameters()]

    nn = torch.nn
    plain = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    for mine, other in zip(module.parameters(), plain.parameters(), strict=True):
        other.data = mine.detach().clone().t()
    for got, wanted in zip(rough(module), rough(plain), strict=True):
        close(got.numpy(), wanted.t().numpy(), 1e-13)


def test_what_wrapped_functions_refuse() -> None:
    mix, x = dmc.torch.wrap(PROGRAM.mix, k=2), torch.tensor(X)
    close(mix(s=0.7, x=x)[0].numpy(), np.sin(0.7 * X) * X[2], 1e-15)
    net = PROGRAM.Mlp.init(dmc.key(0))
    for wrong, message in [
        (lambda: mix(x, 0.7, 1.0), "takes 2 arguments, 3 were given"),
        (lambda: mix(x, x=x), "`x` is given twice"),
        (lambda: mix(x, k=2), "`k` is no parameter that is left open"),
        (lambda: dmc.jax.wrap(PROGRAM.mix, n=2), "no parameter `n` to fix"),
        (lambda: mix(x.float(), 0.7), r"`x\.to\(torch\.float64\)`"),
        (lambda: mix(x.to("meta"), 0.7), "on meta"),
        (lambda: mix(x.to_sparse(), 0.7), "sparse_coo"),
        (lambda: dmc.torch.wrap(PROGRAM.same)(0.5), "gives a record"),
        (lambda: dmc.jax.wrap(PROGRAM.same)(0.5), "gives a record"),
        (lambda: dmc.jax.wrap(PROGRAM.Mlp.forward)(net, X), r"wrap\(Mlp.forward, self=…\)"),
        (lambda: dmc.torch.Module(PROGRAM.Mlp), "is no model with a `forward`"),
        (lambda: jax.jit(lambda x: PROGRAM.mix(x, 2, 0.7))(X), r"dmc\.jax\.wrap"),
    ]:
        with pytest.raises(dmc.Error, match=message):
            wrong()


def test_a_model_of_dm_trains_in_pytorch() -> None:
    net = PROGRAM.Mlp.init(dmc.key(0))
    module = dmc.torch.Module(net)
    inputs = torch.tensor(np.random.default_rng(1).standard_normal((8, 3)))
    target = inputs[:, :2].sin()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = ((module(inputs) - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
    trained: Any = module.record
    close(trained(inputs.numpy()), module(inputs).detach().numpy(), 1e-15)
    assert [name for name, _ in module.named_parameters()] == ["l1_w", "l1_b", "l2_w", "l2_b"]


def test_a_function_inside_jax() -> None:
    mine, other = nested(dmc.jax.wrap(PROGRAM.mix, k=2), jnp, jax.lax.stop_gradient)
    x, s = jnp.asarray(X[:3]), jnp.asarray(0.7)

    def third(f: Any) -> Any:
        def along(t: Any) -> Any:
            return f(t * x, s)

        return jax.grad(jax.grad(jax.grad(along)))(1.0)

    for take in [
        lambda f: f(x, s),
        lambda f: jax.jit(f)(x, s),
        lambda f: jax.jit(jax.hessian(f, (0, 1)))(x, s),
        lambda f: jax.vmap(jax.grad(f), (0, None))(jnp.stack([x, 2.0 * x]), s),
        third,
    ]:
        for part, wanted in zip(*(jax.tree.leaves(take(f)) for f in (mine, other)), strict=True):
            close(part, wanted, 1e-13)

    def energy(x: Any, s: Any) -> Any:
        return jnp.sum(jnp.sin(s * x) * x[0])

    both, wanted = dmc.jax.wrap(dmc.grad(PROGRAM.energy, ("x", "s"))), jax.grad(energy, (0, 1))
    for part, of_jax in zip(
        *(jax.tree.leaves(jax.jvp(f, (x, s), (x, s))) for f in (both, wanted)), strict=True
    ):
        close(part, of_jax, 1e-13)


def test_tensors_come_in_as_they_are() -> None:
    x = torch.tensor(X)
    close(PROGRAM.mix(x, 2, 0.7)[0], np.sin(0.7 * X) * X[2], 1e-15)
    close(PROGRAM.mix(jnp.asarray(X), 2, 0.7)[0], np.sin(0.7 * X) * X[2], 1e-15)
    net = PROGRAM.Mlp.init(dmc.key(0))
    close(torch.from_dlpack(net(np.ones((2, 3)))).numpy(), net(np.ones((2, 3))), 0.0)
    with pytest.raises(dmc.Error, match=r"detach\(\)"):
        PROGRAM.mix(x.requires_grad_(), 2, 0.7)


class Zoo(torch.nn.Module):
    def __init__(self) -> None:
        nn = torch.nn
        super().__init__()
        how: dict[str, Any] = {"batch_first": True}
        self.embed = nn.Embedding(7, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4, bias=False)])
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, **how)
        self.plain = nn.MultiheadAttention(4, 2, bias=False, **how)
        self.rnn, self.lstm = nn.RNN(4, 4, **how), nn.LSTM(4, 4, **how)
        self.both, self.gru = nn.LSTM(4, 2, bidirectional=True, **how), nn.GRU(4, 4, **how)
        self.sequence = nn.Conv1d(4, 4, 3, padding=1)
        self.scale = nn.Parameter(torch.randn(4))

    def forward(self, ids: Any) -> Any:
        h = self.embed(ids)
        for block in self.blocks:
            h = torch.tanh(block(h))
        h = self.norm(h)
        for attention in (self.attention, self.plain):
            h = attention(h, h, h)[0]
        for layer in (self.rnn, self.lstm, self.both, self.gru):
            h = layer(h)[0]
        return self.sequence(h.mT).mT * self.scale


def test_weights_of_pytorch_give_the_same_outputs() -> None:
    torch.manual_seed(0)
    module = Zoo().double().eval()
    torch.nn.init.normal_(module.attention.in_proj_bias)
    torch.nn.init.normal_(module.attention.out_proj.bias)
    net = dmc.torch.load_state(PROGRAM.Zoo.init(dmc.key(0)), module.state_dict())
    ids = np.random.default_rng(0).integers(0, 7, (2, 5)).astype(np.int32)
    close(net(ids), module(torch.tensor(ids)).detach().numpy(), 1e-13)


class Others(torch.nn.Module):
    def __init__(self) -> None:
        nn = torch.nn
        super().__init__()
        how: dict[str, Any] = {
            "dim_feedforward": 6,
            "dropout": 0.0,
            "activation": partial(nn.functional.gelu, approximate="tanh"),
            "batch_first": True,
            "norm_first": True,
        }
        self.grouped, self.up = (
            nn.Conv1d(4, 4, 3, padding=1, groups=2),
            nn.ConvTranspose1d(4, 4, 2, 2),
        )
        self.slope = nn.PReLU(4)
        self.block, self.decoder = (
            nn.TransformerEncoderLayer(4, 2, **how),
            nn.TransformerDecoderLayer(4, 2, **how),
        )
        self.gru = nn.GRU(4, 3, bidirectional=True, batch_first=True)
        self.rnn = nn.RNN(6, 3, bidirectional=True, batch_first=True)
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 2))

    def forward(self, x: Any) -> Any:
        h = self.slope(self.up(self.grouped(x.mT))).mT
        future = torch.nn.Transformer.generate_square_subsequent_mask(h.shape[1], dtype=x.dtype)
        h = self.decoder(h, self.block(x), tgt_mask=future)
        return self.spectral(self.rnn(self.gru(h)[0])[0])


def test_weights_of_the_other_layers_give_the_same_outputs() -> None:
    torch.manual_seed(0)
    module = Others().double()
    for name, parameter in module.named_parameters():
        if "attn" in name and "bias" in name:
            torch.nn.init.normal_(parameter)
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    for _ in range(80):
        module(torch.tensor(x))  # until the power iteration has settled
    fresh, state = PROGRAM.Others.init(dmc.key(0)), module.eval().state_dict()
    names = {"both": "gru.0"}
    net = dmc.torch.load_state(fresh, state, names)
    # The library adds 1e-12 to the length of a singular vector, PyTorch takes the larger.
    close(PROGRAM.once(net, x), module(torch.tensor(x)).detach().numpy(), 1e-11)


def test_every_layer_of_the_library_has_its_counterpart() -> None:
    declared = {
        f"nn.{file.stem}.{name}"
        for file in (STD_FOLDER / "nn").glob("*.dm")
        for name in re.findall(r"^model (\w+)", file.read_text(), re.MULTILINE)
    }
    assert declared - {"nn.layers.Highway"} == set(LAYERS)


def test_weights_of_a_sequential_of_images() -> None:
    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.ConvTranspose2d(4, 2, 4, 2, 1),
    ).double()
    x = np.random.default_rng(0).standard_normal((2, 8, 6, 3))
    channels_first = torch.tensor(x).permute(0, 3, 1, 2)
    module(channels_first)  # moves the running statistics
    module.eval()
    fresh, state = PROGRAM.Images.init(dmc.key(0)), module.state_dict()
    names = {"first": "0", "bn": "1", "grouped": "2", "up": "3"}
    net = dmc.torch.load_state(fresh, state, names)
    close(net(x), module(channels_first).permute(0, 2, 3, 1).detach().numpy(), 1e-13)
    for change, message in [
        ({"names": {}}, "`first.w` would be `first.weight`, which the state dict lacks"),
        ({"state": state | {"4.weight": x}}, "`4.weight` of the state dict has no place in Images"),
        ({"names": names | {"last": "4"}}, "`names` has `last`, which is no path of Images"),
        ({"state": state | {"0.weight": x}}, r"`first.w` is \[3, 3, 3, 4\], and `0.weight` gives"),
    ]:
        with pytest.raises(dmc.Error, match=message):
            dmc.torch.load_state(fresh, **({"state": state, "names": names} | change))
