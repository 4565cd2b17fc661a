"""ADBench's and GradBench's LSTM: two layers, 14 numbers a step, 1,024 steps."""

from __future__ import annotations

import ctypes

import numpy as np

from benchmarks import native
from benchmarks.systems import ByHand, dmc_record, jax_entry, made_entry, torch_entry
from benchmarks.workload import Arrays, Foreign, Goal, Inputs, Precision, System, Workload, package

L, B, T = 2, 14, 1024
ROWS = 8


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    params = {
        "w": rng.standard_normal((L, 4, B)),
        "b": rng.standard_normal((L, 4, B)),
        "in_w": rng.standard_normal(B),
        "out_w": rng.standard_normal(B),
        "out_b": rng.standard_normal(B),
    }
    data = {
        "hidden": rng.standard_normal((L, B)),
        "cell": rng.standard_normal((L, B)),
        "x": rng.integers(0, 2, (T, B)).astype(float),
    }
    return Inputs(params, data)


def _step(numpy: Foreign, sigmoid: Foreign, p: Foreign, state: Foreign, x: Foreign) -> Foreign:
    """The state after one input, and what is predicted; `numpy` has the functions of an array."""
    h, after = x * p["in_w"], []
    for layer, (hidden, cell) in enumerate(state):
        w, b = p["w"][layer], p["b"][layer]
        forget, leave = sigmoid(h * w[0] + b[0]), sigmoid(h * w[2] + b[2])
        enter, change = sigmoid(hidden * w[1] + b[1]), numpy.tanh(hidden * w[3] + b[3])
        cell = cell * forget + enter * change
        h = leave * numpy.tanh(cell)
        after.append((h, cell))
    return tuple(after), h * p["out_w"] + p["out_b"]


def _score(numpy: Foreign, y: Foreign, wanted: Foreign) -> Foreign:
    norm = numpy.log(2.0 + numpy.exp(y).sum(-1))
    return (wanted * y).sum() - (wanted.sum(-1) * norm).sum()


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")

    def step(state: Foreign, x: Foreign) -> Foreign:
        return _step(jnp, jax.nn.sigmoid, p, state, x)

    start = tuple((d["hidden"][layer], d["cell"][layer]) for layer in range(L))
    _, ys = jax.lax.scan(step, start, d["x"][:-1])
    return -_score(jnp, ys, d["x"][1:]) / (B * (T - 1))


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch = package("torch")
    state = tuple((d["hidden"][layer], d["cell"][layer]) for layer in range(L))
    ys: list[Foreign] = []
    for x in d["x"][:-1].unbind(0):
        state, y = _step(torch, torch.sigmoid, p, state, x)
        ys.append(y)
    return -_score(torch, torch.stack(ys), d["x"][1:]) / (B * (T - 1))


def _c(_: Inputs) -> ByHand:
    library, kept = native.library("lstm_diagonal"), np.empty(T * (L * ROWS + 2) * B)
    names = ("w", "b", "in_w", "out_w", "out_b")

    def by_hand(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        gradients = {name: np.zeros_like(p[name]) for name in names}
        value = np.zeros(1)
        given = [*(p[name] for name in names), d["hidden"], d["cell"], d["x"]]
        arrays = [*given, kept, *gradients.values(), value]
        library.lstm_diagonal(*map(ctypes.c_long, (L, B, T)), *map(native.pointer, arrays))
        return value[0], gradients

    return by_hand


WORKLOAD = Workload(
    "lstm_diagonal",
    f"GradBench's LSTM, {L} layers of {B} numbers, {T:,} steps",
    Precision.F64,
    T * L * B * (5 * 10 + 60),
    8 * T * L * B * ROWS * 2,
    inputs,
    (
        dmc_record("lstm_diagonal", "loss", "Net", ("hidden", "cell", "x")),
        jax_entry(_jax),
        torch_entry(_torch),
        made_entry(System.C, _c),
    ),
    Goal(1.0, (System.C,)),
)
