"""A forced pendulum coupled to a Van der Pol oscillator: the gradient through 1,000 RK4 steps."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.systems import (
    ByHand,
    Loss,
    dmc_arrays,
    jax_entry,
    made_entry,
    torch_entry,
    torch_maker,
)
from benchmarks.workload import (
    Arrays,
    Entry,
    Foreign,
    Goal,
    Inputs,
    Precision,
    System,
    Workload,
    package,
)

STEPS, H, SEEN = 1000, 0.01, 50
EVERY = STEPS // SEEN


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    params = {
        "s0": np.array([0.5, 0.0, 1.0, 0.2]),
        "th": np.array([0.3, 4.0, 0.8, 1.7, 1.5, 0.4]),
    }
    return Inputs(params, {"obs": rng.standard_normal((SEEN, 4)), "h": np.array(H)})


def _field(numpy: Foreign, s: Foreign, t: Foreign, th: Foreign) -> Foreign:
    """The derivative of the state; `numpy` has the functions of a number."""
    c, k, a, om, mu, e = th
    angle, speed, x, y = s
    return (
        speed,
        -c * speed - k * numpy.sin(angle) + a * numpy.cos(om * t) + e * x,
        y,
        mu * (1 - x * x) * y - x + e * angle,
    )


def _rk4(numpy: Foreign, s: Foreign, t: Foreign, th: Foreign) -> Foreign:
    def moved(k: Foreign, f: float) -> Foreign:
        return tuple(u + f * v for u, v in zip(s, k, strict=True))

    k1 = _field(numpy, s, t, th)
    k2 = _field(numpy, moved(k1, H / 2), t + H / 2, th)
    k3 = _field(numpy, moved(k2, H / 2), t + H / 2, th)
    k4 = _field(numpy, moved(k3, H), t + H, th)
    stages = zip(s, k1, k2, k3, k4, strict=True)
    return tuple(u + H / 6 * (a + 2 * b + 2 * c + d) for u, a, b, c, d in stages)


def _jax(unroll: int) -> Loss:
    def loss(p: Foreign, d: Foreign) -> Foreign:
        jax, jnp = package("jax"), package("jax.numpy")
        th = tuple(p["th"][i] for i in range(6))

        def step(s: Foreign, t: Foreign) -> Foreign:
            s = _rk4(jnp, s, t, th)
            return s, s

        start = tuple(p["s0"][i] for i in range(4))
        _, path = jax.lax.scan(step, start, jnp.arange(STEPS) * H, unroll=unroll)
        seen = jnp.stack([v[EVERY - 1 :: EVERY] for v in path], 1)
        return ((seen - d["obs"]) ** 2).sum()

    return loss


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch = package("torch")
    th = p["th"].unbind(0)
    return _torch_loop(p, d, lambda s, t: torch.stack(_rk4(torch, s.unbind(0), t, th)))


def _torch_compile() -> Loss:
    """A compiled step in a loop of Python: the whole loop takes too long to compile."""
    torch = package("torch")

    def step(s: Foreign, t: Foreign, th: Foreign) -> Foreign:
        return torch.stack(_rk4(torch, s.unbind(0), t, th.unbind(0)))

    compiled = torch.compile(step)
    return lambda p, d: _torch_loop(p, d, lambda s, t: compiled(s, t, p["th"]))


def _torch_loop(p: Foreign, d: Foreign, step: Foreign) -> Foreign:
    torch = package("torch")
    times = (torch.arange(STEPS, dtype=torch.float64) * H).unbind(0)
    s, seen = p["s0"], []
    for i, t in enumerate(times):
        s = step(s, t)
        if i % EVERY == EVERY - 1:
            seen.append(s)
    return ((torch.stack(seen) - d["obs"]) ** 2).sum()


def _numba(_: Inputs) -> ByHand:
    """The adjoint of each stage by hand; the states before the stages are kept."""
    numba = package("numba")
    halves = np.array([0.0, 0.5, 0.5, 1.0])
    weights = np.array([1.0, 2.0, 2.0, 1.0]) / 6

    @numba.njit
    def field(s: Foreign, t: Foreign, th: Foreign, k: Foreign) -> None:
        k[0] = s[1]
        forced = th[2] * math.cos(th[3] * t)
        k[1] = -th[0] * s[1] - th[1] * math.sin(s[0]) + forced + th[5] * s[2]
        k[2] = s[3]
        k[3] = th[4] * (1 - s[2] * s[2]) * s[3] - s[2] + th[5] * s[0]

    @numba.njit
    def pulled(
        s: Foreign, t: Foreign, th: Foreign, g: Foreign, in_s: Foreign, in_th: Foreign
    ) -> None:
        """in_s becomes Jᵀg; what th gets is added to in_th."""
        x, y, phase = s[2], s[3], th[3] * t
        in_s[0] = th[5] * g[3] - th[1] * math.cos(s[0]) * g[1]
        in_s[1] = g[0] - th[0] * g[1]
        in_s[2] = th[5] * g[1] - (2 * th[4] * x * y + 1) * g[3]
        in_s[3] = g[2] + th[4] * (1 - x * x) * g[3]
        in_th[0] -= s[1] * g[1]
        in_th[1] -= math.sin(s[0]) * g[1]
        in_th[2] += math.cos(phase) * g[1]
        in_th[3] -= th[2] * t * math.sin(phase) * g[1]
        in_th[4] += (1 - x * x) * y * g[3]
        in_th[5] += x * g[1] + s[0] * g[3]

    @numba.njit
    def run(s0: Foreign, th: Foreign, obs: Foreign) -> Foreign:
        stages, k = np.empty((STEPS, 4, 4)), np.zeros((4, 4))
        errors, loss, s = np.empty((SEEN, 4)), 0.0, s0.copy()
        for n in range(STEPS):
            for j in range(4):
                for i in range(4):
                    before = k[j - 1, i] if j > 0 else 0.0
                    stages[n, j, i] = s[i] + H * halves[j] * before
                field(stages[n, j], H * (n + halves[j]), th, k[j])
            for i in range(4):
                for j in range(4):
                    s[i] += H * weights[j] * k[j, i]
            if n % EVERY == EVERY - 1:
                for i in range(4):
                    error = s[i] - obs[n // EVERY, i]
                    errors[n // EVERY, i] = error
                    loss += error * error
        g, total, in_th = np.zeros(4), np.empty(4), np.zeros(6)
        in_k, in_s = np.empty(4), np.empty(4)
        for n in range(STEPS - 1, -1, -1):
            if n % EVERY == EVERY - 1:
                for i in range(4):
                    g[i] += 2 * errors[n // EVERY, i]
            for i in range(4):
                total[i], in_s[i] = g[i], 0.0
            for j in range(3, -1, -1):
                after = H * halves[j + 1] if j < 3 else 0.0
                for i in range(4):
                    in_k[i] = H * weights[j] * g[i] + after * in_s[i]
                pulled(stages[n, j], H * (n + halves[j]), th, in_k, in_s, in_th)
                for i in range(4):
                    total[i] += in_s[i]
            for i in range(4):
                g[i] = total[i]
        return loss, g, in_th

    def by_hand(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        value, s0, th = run(p["s0"], p["th"], d["obs"])
        return value, {"s0": s0, "th": th}

    return by_hand


WORKLOAD = Workload(
    "ode",
    f"{STEPS:,} RK4 steps of 4 states and 6 parameters, {SEEN} observations",
    Precision.F64,
    3 * STEPS * (4 * 24 + 40),
    8 * 4 * STEPS * 2,
    inputs,
    (
        dmc_arrays("ode", "misfit"),
        jax_entry(_jax(1)),
        jax_entry(_jax(4), "unrolled"),
        torch_entry(_torch),
        Entry(System.TORCH_COMPILE, torch_maker(_torch_compile)),
        made_entry(System.NUMBA, _numba),
    ),
    Goal(1.3, (System.NUMBA,)),
)
