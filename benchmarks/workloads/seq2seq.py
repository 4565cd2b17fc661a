"""A recurrent encoder and decoder without attention: the value and gradient of its loss."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import (
    jax_entry,
    program,
    torch_compile_entry,
    torch_entry,
)
from benchmarks.workload import (
    Arrays,
    Contestant,
    Entry,
    Foreign,
    Goal,
    Inputs,
    Precision,
    System,
    Workload,
    package,
    value_and_gradients,
)

B, STEPS, V, D, H = 32, 32, 256, 64, 128


def inputs() -> Inputs:
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 0.1) -> Foreign:
        return (scale * rng.standard_normal(shape)).astype("f4")

    params: Arrays = {"emb": normal(V, D, scale=1.0), "wo": normal(H, V), "bo": normal(V)}
    for cell in ("encoder", "decoder"):
        params[f"{cell}_wx"], params[f"{cell}_wh"] = normal(D, 3 * H), normal(H, 3 * H)
        params[f"{cell}_b"] = normal(3 * H)
    ids = {
        name: rng.integers(0, V, (STEPS, B)).astype("i4") for name in ("source", "given", "wanted")
    }
    return Inputs(params, ids)


def _dmc(inputs: Inputs) -> Contestant:
    module, p = program("seq2seq"), inputs.params
    run = package("dmc").value_and_grad(module.loss)
    cells = {
        cell: module.GRU(**{k: p[f"{cell}_{k}"] for k in ("wx", "wh", "b")})
        for cell in ("encoder", "decoder")
    }
    out = module.Linear(w=p["wo"], b=p["bo"])
    net = module.Seq2Seq(token=module.Embed(w=p["emb"]), out=out, **cells)

    def outputs(result: Foreign) -> Arrays:
        value, g = result
        found = {"emb": g.token.w, "wo": g.out.w, "bo": g.out.b}
        for cell in cells:
            at = getattr(g, cell)
            found |= {f"{cell}_{k}": getattr(at, k) for k in ("wx", "wh", "b")}
        return value_and_gradients(value, found)

    return Contestant(lambda: run(net, **inputs.data), outputs)


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")

    def run(cell: str, h: Foreign, ids: Foreign) -> Foreign:
        def step(h: Foreign, a: Foreign) -> Foreign:
            ar, ak, an = jnp.split(a, 3, -1)
            sr, sk, sn = jnp.split(h @ p[f"{cell}_wh"], 3, -1)
            keep = jax.nn.sigmoid(ak + sk)
            h = keep * h + (1 - keep) * jnp.tanh(an + jax.nn.sigmoid(ar + sr) * sn)
            return h, h

        return jax.lax.scan(step, h, p["emb"][ids] @ p[f"{cell}_wx"] + p[f"{cell}_b"])

    h, _ = run("encoder", jnp.zeros((B, H), jnp.float32), d["source"])
    _, hs = run("decoder", h, d["given"])
    logp = jax.nn.log_softmax(hs @ p["wo"] + p["bo"])
    return -jnp.mean(jnp.take_along_axis(logp, d["wanted"][..., None], -1))


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch, f = package("torch"), package("torch.nn.functional")

    def run(cell: str, h: Foreign, ids: Foreign) -> list[Foreign]:
        hs: list[Foreign] = []
        for a in (f.embedding(ids, p["emb"]) @ p[f"{cell}_wx"] + p[f"{cell}_b"]).unbind(0):
            ar, ak, an = a.chunk(3, -1)
            sr, sk, sn = (h @ p[f"{cell}_wh"]).chunk(3, -1)
            keep = torch.sigmoid(ak + sk)
            h = keep * h + (1 - keep) * torch.tanh(an + torch.sigmoid(ar + sr) * sn)
            hs.append(h)
        return hs

    last = run("encoder", torch.zeros(B, H), d["source"])[-1]
    hs = torch.stack(run("decoder", last, d["given"]))
    return f.cross_entropy((hs @ p["wo"] + p["bo"]).view(-1, V), d["wanted"].view(-1))


FROM_INPUT, FROM_STATE = (2 * 2 * STEPS * B * n * 3 * H for n in (D, H))
WORKLOAD = Workload(
    "seq2seq",
    f"encoder and decoder of GRUs, {STEPS} steps each, B={B}, D={D}, H={H}, {V} tokens",
    Precision.F32,
    3 * (FROM_INPUT + FROM_STATE + 2 * STEPS * B * H * V),
    4 * 2 * STEPS * B * (D + 10 * H + 2 * V),
    inputs,
    (
        Entry(System.DMC, _dmc),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
    ),
    Goal(2.0, (System.JAX,)),
)
