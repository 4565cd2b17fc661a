"""One layer of LSTM over 128 steps, and a cross-entropy at each."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import (
    Loss,
    dmc_record,
    jax_entry,
    torch_entry,
    torch_maker,
)
from benchmarks.workload import (
    Entry,
    Foreign,
    Goal,
    Inputs,
    Precision,
    System,
    Workload,
    package,
)

T, B, I, H, V = 128, 32, 128, 256, 128
FROM_INPUT, FROM_STATE, OUTPUT = 2 * T * B * I * 4 * H, 2 * T * B * H * 4 * H, 2 * T * B * H * V


def inputs() -> Inputs:
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 0.06) -> Foreign:
        return (scale * rng.standard_normal(shape)).astype("f4")

    params = {
        "wx": normal(4 * H, I),
        "wh": normal(4 * H, H),
        "b": normal(4 * H),
        "wo": normal(H, V),
        "bo": normal(V),
    }
    x = normal(T, B, I, scale=1.0)
    return Inputs(params, {"x": x, "y": rng.integers(0, V, (T, B)).astype("i4")})


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")

    def step(state: Foreign, x: Foreign) -> Foreign:
        h, c = state
        i, f, u, o = jnp.split(x @ p["wx"].T + h @ p["wh"].T + p["b"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(u)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    nought = jnp.zeros((B, H), jnp.float32)
    _, hs = jax.lax.scan(step, (nought, nought), d["x"])
    logp = jax.nn.log_softmax(hs @ p["wo"] + p["bo"])
    return -jnp.mean(jnp.take_along_axis(logp, d["y"][..., None], -1))


def _torch(p: Foreign, d: Foreign) -> Foreign:
    """What `nn.LSTM` calls, with its second bias zero."""
    torch = package("torch")
    nought = torch.zeros(1, B, H)
    weights = (p["wx"], p["wh"], p["b"], torch.zeros(4 * H))
    hs, _, _ = torch.lstm(d["x"], (nought, nought), weights, True, 1, 0.0, True, False, False)
    return _output(hs, p, d)


def _cell(x: Foreign, h: Foreign, c: Foreign, w: Foreign) -> tuple[Foreign, Foreign]:
    torch = package("torch")
    i, f, u, o = torch.addmm(x, h, w).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
    return torch.sigmoid(o) * torch.tanh(c), c


def _torch_compile() -> Loss:
    """A compiled cell in a loop of Python: the whole loop unrolled is slower."""
    torch = package("torch")
    cell = torch.compile(_cell)

    def loss(p: Foreign, d: Foreign) -> Foreign:
        inputs = (d["x"].reshape(T * B, I) @ p["wx"].T + p["b"]).view(T, B, 4 * H).unbind(0)
        w = p["wh"].T
        h = c = torch.zeros(B, H)
        hs: list[Foreign] = []
        for x in inputs:
            h, c = cell(x, h, c, w)
            hs.append(h)
        return _output(torch.stack(hs), p, d)

    return loss


def _output(hs: Foreign, p: Foreign, d: Foreign) -> Foreign:
    logits = hs.reshape(T * B, H) @ p["wo"] + p["bo"]
    return package("torch.nn.functional").cross_entropy(logits, d["y"].view(-1))


WORKLOAD = Workload(
    "lstm",
    f"one layer, T={T} B={B}, {I} inputs, H={H}, {V} outputs, cross-entropy at each step",
    Precision.F32,
    3 * (FROM_INPUT + FROM_STATE + OUTPUT) - FROM_INPUT,
    4 * (T * B * (I + 2 * 4 * H + 6 * H + 3 * V) + 3 * T * H * 4 * H),
    inputs,
    (
        dmc_record("lstm", "loss", "Net", ("x", "y")),
        jax_entry(_jax),
        torch_entry(_torch),
        Entry(System.TORCH_COMPILE, torch_maker(_torch_compile)),
    ),
    Goal(1.5),
)
