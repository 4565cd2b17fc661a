"""The problems, each as a `.dm` program and in JAX and PyTorch."""

from __future__ import annotations

import itertools
from math import log, pi, sqrt
from typing import Any

import numpy as np

from benchmarks.workload import PROGRAMS, Contestant, Outputs, Workload, peer

Inputs = dict[str, np.ndarray]


def _arrays(value: Any, gradients: dict[str, Any]) -> Outputs:
    return {"value": np.asarray(value), **{k: np.asarray(g) for k, g in gradients.items()}}


def _jax_value_and_grad(function: Any, params: Inputs, data: Inputs) -> Contestant:
    jax = peer("jax")

    compiled = jax.jit(jax.value_and_grad(function))
    p, d = jax.device_put(params), jax.device_put(data)
    return Contestant(
        "jax", lambda: jax.block_until_ready(compiled(p, d)), lambda out: _arrays(*out)
    )


def _torch_value_and_grad(function: Any, params: Inputs, data: Inputs) -> Contestant:
    torch = peer("torch")

    p = {k: torch.from_numpy(v.copy()).requires_grad_() for k, v in params.items()}
    d = {k: torch.from_numpy(v.copy()) for k, v in data.items()}

    def call() -> Any:
        value = function(p, d)
        return value.detach(), torch.autograd.grad(value, list(p.values()))

    def outputs(out: Any) -> Outputs:
        return _arrays(out[0].numpy(), {k: g.numpy() for k, g in zip(p, out[1], strict=True)})

    return Contestant("torch", call, outputs)


# mlp: the batch, the layers and the counts of work

BATCH, DIMS = 128, (784, 512, 512, 10)
_PRODUCTS = [2 * BATCH * a * b for a, b in itertools.pairwise(DIMS)]
_PARAMETERS = sum(a * b + b for a, b in itertools.pairwise(DIMS))
# The first layer needs no gradient of its input; each weight is read twice and its gradient
# written; activations are written, read, and the same again for their gradients.
MLP_FLOPS = 3 * sum(_PRODUCTS) - _PRODUCTS[0]
MLP_BYTES = 4 * (3 * _PARAMETERS + BATCH * DIMS[0] + 6 * BATCH * sum(DIMS[1:]))


def mlp_inputs() -> tuple[Inputs, Inputs]:
    rng = np.random.default_rng(0)
    params: Inputs = {}
    for i, (a, b) in enumerate(itertools.pairwise(DIMS)):
        params[f"w{i}"] = (rng.standard_normal((a, b)) * (2 / a) ** 0.5).astype("f4")
        params[f"b{i}"] = (rng.standard_normal(b) * 0.1).astype("f4")
    x = rng.standard_normal((BATCH, DIMS[0])).astype("f4")
    return params, {"x": x, "y": rng.integers(0, DIMS[-1], BATCH).astype("i4")}


def _dm_mlp(params: Inputs) -> tuple[Any, Any]:
    import dmc

    module = dmc.load(PROGRAMS / "mlp.dm")
    net = module.MLP.init(dmc.key(0), I=DIMS[0], H=DIMS[1], O=DIMS[-1])
    layers = {
        f"l{i}": getattr(net, f"l{i}").replace(w=params[f"w{i}"], b=params[f"b{i}"])
        for i in range(3)
    }
    return module, net.replace(**layers)


def _mlp_leaves(net: Any) -> dict[str, Any]:
    leaves = {}
    for i in range(3):
        leaves[f"w{i}"], leaves[f"b{i}"] = getattr(net, f"l{i}").w, getattr(net, f"l{i}").b
    return leaves


def _mlp_dmc() -> Contestant:
    import dmc

    params, data = mlp_inputs()
    module, net = _dm_mlp(params)
    function = dmc.value_and_grad(module.loss)
    return Contestant(
        "dmc",
        lambda: function(net, data["x"], data["y"]),
        lambda out: _arrays(out[0], _mlp_leaves(out[1])),
    )


def _mlp_loss_jax(p: Any, d: Any) -> Any:
    jax, jnp = peer("jax"), peer("jax.numpy")

    h = jax.nn.relu(d["x"] @ p["w0"] + p["b0"])
    h = jax.nn.relu(h @ p["w1"] + p["b1"])
    logp = jax.nn.log_softmax(h @ p["w2"] + p["b2"])
    return -jnp.mean(jnp.take_along_axis(logp, d["y"][:, None], 1))


def _mlp_loss_torch(p: Any, d: Any) -> Any:
    torch = peer("torch")

    h = torch.relu(torch.addmm(p["b0"], d["x"], p["w0"]))
    h = torch.relu(torch.addmm(p["b1"], h, p["w1"]))
    logits = torch.addmm(p["b2"], h, p["w2"])
    return torch.nn.functional.cross_entropy(logits, d["y"].long())


MLP = Workload(
    "mlp",
    f"value and gradient, B={BATCH}, {'-'.join(map(str, DIMS))}",
    "f32",
    MLP_FLOPS,
    MLP_BYTES,
    1e-4,
    {
        "dmc": _mlp_dmc,
        "jax": lambda: _jax_value_and_grad(_mlp_loss_jax, *mlp_inputs()),
        "torch": lambda: _torch_value_and_grad(_mlp_loss_torch, *mlp_inputs()),
    },
)


# mlp_step: the same and an AdamW update, the state going from call to call

RATE, DECAY = 1e-3, 0.01


def _mlp_step_dmc() -> Contestant:
    params, data = mlp_inputs()
    module, net = _dm_mlp(params)
    state = {"net": net, "opt": module.start(net)}
    rate = np.float32(RATE)

    def call() -> Any:
        loss, state["net"], state["opt"] = module.step(
            state["net"], state["opt"], data["x"], data["y"], rate, donate=("net", "opt")
        )
        return loss, state["net"]

    return Contestant("dmc", call, lambda out: _arrays(out[0], _mlp_leaves(out[1])))


def _mlp_step_jax() -> Contestant:
    jax, optax = peer("jax"), peer("optax")

    params, data = mlp_inputs()
    optimizer = optax.adamw(
        RATE, weight_decay=DECAY, mask=lambda p: jax.tree.map(lambda v: v.ndim > 1, p)
    )

    def step(p: Any, s: Any, d: Any) -> Any:
        loss, g = jax.value_and_grad(_mlp_loss_jax)(p, d)
        updates, s = optimizer.update(g, s, p)
        return loss, optax.apply_updates(p, updates), s

    compiled = jax.jit(step, donate_argnums=(0, 1))
    p, d = jax.device_put(params), jax.device_put(data)
    state = {"p": p, "s": optimizer.init(p)}

    def call() -> Any:
        loss, state["p"], state["s"] = compiled(state["p"], state["s"], d)
        return jax.block_until_ready((loss, state["p"]))

    return Contestant("jax", call, lambda out: _arrays(*out))


def _mlp_step_torch() -> Contestant:
    torch = peer("torch")

    params, data = mlp_inputs()
    p = {k: torch.from_numpy(v.copy()).requires_grad_() for k, v in params.items()}
    d = {k: torch.from_numpy(v.copy()) for k, v in data.items()}
    groups = [
        {"params": [v for v in p.values() if v.ndim > 1], "weight_decay": DECAY},
        {"params": [v for v in p.values() if v.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)

    def call() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = _mlp_loss_torch(p, d)
        loss.backward()
        optimizer.step()
        return loss.detach(), p

    def outputs(out: Any) -> Outputs:
        return _arrays(out[0].numpy(), {k: v.detach().numpy() for k, v in out[1].items()})

    return Contestant("torch", call, outputs)


MLP_STEP = Workload(
    "mlp_step",
    "mlp and its AdamW update",
    "f32",
    MLP_FLOPS + 14 * _PARAMETERS,
    MLP_BYTES + 4 * 7 * _PARAMETERS,
    1e-3,
    {"dmc": _mlp_step_dmc, "jax": _mlp_step_jax, "torch": _mlp_step_torch},
)


# gmm: ADBench's Gaussian mixture objective

N, D, K = 1000, 32, 25
_COLUMNS, _ROWS = np.triu_indices(D, 1)


def gmm_inputs() -> tuple[Inputs, Inputs]:
    rng = np.random.default_rng(0)
    params = {
        "alpha": rng.standard_normal(K),
        "mu": rng.random((K, D)),
        "icf": rng.standard_normal((K, D * (D + 1) // 2)) * 0.3,
    }
    return params, {"x": rng.random((N, D))}


def _gmm_dmc() -> Contestant:
    import dmc

    params, data = gmm_inputs()
    module = dmc.load(PROGRAMS / "gmm.dm")
    mixture = module.GMM(**params)
    prior = module.Wishart(gamma=1.0, m=0)
    function = dmc.value_and_grad(module.log_posterior)
    return Contestant(
        "dmc",
        lambda: function(mixture, data["x"], prior),
        lambda out: _arrays(out[0], {k: getattr(out[1], k) for k in params}),
    )


def _gmm_constant() -> float:
    """What does not depend on the parameters, with gamma = 1 and m = 0."""
    from math import lgamma

    n = D + 1
    log_gamma = D * (D - 1) / 4 * log(pi) + sum(lgamma(0.5 * (n - j)) for j in range(D))
    wishart = K * (n * D * log(1 / sqrt(2)) - log_gamma)
    return -N * D * 0.5 * log(2 * pi) - wishart


def _gmm_jax() -> Contestant:
    jax, jnp = peer("jax"), peer("jax.numpy")

    constant = _gmm_constant()

    def objective(p: Any, d: Any) -> Any:
        log_q = p["icf"][:, :D]
        q, total = jnp.exp(log_q), log_q.sum(1)
        lower = jnp.zeros((K, D, D)).at[:, _ROWS, _COLUMNS].set(p["icf"][:, D:])
        centred = d["x"][:, None, :] - p["mu"][None]
        y = q * centred + jnp.einsum("kij,nkj->nki", lower, centred)
        inner = p["alpha"] + total - 0.5 * (y * y).sum(2)
        prior = 0.5 * ((q * q).sum() + (p["icf"][:, D:] ** 2).sum())
        evidence = jax.nn.logsumexp(inner, axis=1).sum() - N * jax.nn.logsumexp(p["alpha"])
        return constant + evidence + prior

    return _jax_value_and_grad(objective, *gmm_inputs())


def _gmm_torch() -> Contestant:
    torch = peer("torch")

    constant = _gmm_constant()
    packed = torch.as_tensor(_ROWS * D + _COLUMNS)

    def objective(p: Any, d: Any) -> Any:
        log_q = p["icf"][:, :D]
        q, total = torch.exp(log_q), log_q.sum(1)
        lower = torch.zeros(K, D * D, dtype=torch.float64)
        lower = lower.index_copy(1, packed, p["icf"][:, D:]).view(K, D, D)
        centred = d["x"][:, None, :] - p["mu"][None]
        y = q * centred + torch.einsum("kij,nkj->nki", lower, centred)
        inner = p["alpha"] + total - 0.5 * (y * y).sum(2)
        prior = 0.5 * ((q * q).sum() + (p["icf"][:, D:] ** 2).sum())
        evidence = torch.logsumexp(inner, 1).sum() - N * torch.logsumexp(p["alpha"], 0)
        return constant + evidence + prior

    return _torch_value_and_grad(objective, *gmm_inputs())


GMM = Workload(
    "gmm",
    f"ADBench GMM, n={N} d={D} k={K}",
    "f64",
    3 * N * K * (D * D + 3 * D),
    8 * (N * D + 2 * K * (1 + D + D * (D + 1) // 2) + 4 * N * K * D),
    1e-10,
    {"dmc": _gmm_dmc, "jax": _gmm_jax, "torch": _gmm_torch},
)


# ode: a thousand RK4 steps

STEPS, DT, SEEN = 1000, 0.01, 50


def ode_inputs() -> tuple[Inputs, Inputs]:
    rng = np.random.default_rng(0)
    params = {
        "s0": np.array([0.5, 0.0, 1.0, 0.2]),
        "th": np.array([0.3, 4.0, 0.8, 1.7, 1.5, 0.4]),
    }
    return params, {"obs": rng.standard_normal((SEEN, 4))}


def _ode_dmc() -> Contestant:
    import dmc

    params, data = ode_inputs()
    module = dmc.load(PROGRAMS / "ode.dm")
    function = dmc.value_and_grad(module.misfit, wrt=("s0", "th"))
    return Contestant(
        "dmc",
        lambda: function(params["s0"], params["th"], data["obs"], DT),
        lambda out: _arrays(out[0], dict(zip(("s0", "th"), out[1], strict=True))),
    )


def _ode_jax() -> Contestant:
    jax, jnp = peer("jax"), peer("jax.numpy")

    def field(s: Any, t: Any, th: Any) -> Any:
        c, k, a, om, mu, e = th
        angle, speed, x, y = s
        return (
            speed,
            -c * speed - k * jnp.sin(angle) + a * jnp.cos(om * t) + e * x,
            y,
            mu * (1 - x * x) * y - x + e * angle,
        )

    def moved(s: Any, k: Any, f: float) -> Any:
        return tuple(u + f * v for u, v in zip(s, k, strict=True))

    def objective(p: Any, d: Any) -> Any:
        th = tuple(p["th"][i] for i in range(6))

        def step(s: Any, t: Any) -> Any:
            k1 = field(s, t, th)
            k2 = field(moved(s, k1, DT / 2), t + DT / 2, th)
            k3 = field(moved(s, k2, DT / 2), t + DT / 2, th)
            k4 = field(moved(s, k3, DT), t + DT, th)
            stages = zip(s, k1, k2, k3, k4, strict=True)
            s = tuple(u + DT / 6 * (a + 2 * b + 2 * c + e) for u, a, b, c, e in stages)
            return s, s

        times = jnp.arange(STEPS) * DT
        start = tuple(p["s0"][i] for i in range(4))
        _, path = jax.lax.scan(step, start, times)
        every = STEPS // SEEN
        seen = jnp.stack([v[every - 1 :: every] for v in path], 1)
        return ((seen - d["obs"]) ** 2).sum()

    return _jax_value_and_grad(objective, *ode_inputs())


ODE = Workload(
    "ode",
    f"value and gradient through {STEPS} RK4 steps, 4 states",
    "f64",
    3 * STEPS * (4 * 24 + 40),
    8 * 4 * STEPS * 2,
    1e-10,
    {"dmc": _ode_dmc, "jax": _ode_jax},
)

WORKLOADS: tuple[Workload, ...] = (MLP, MLP_STEP, GMM, ODE)
