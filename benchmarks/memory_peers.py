"""The programs of `benchmarks.memory` in JAX and PyTorch, with what these offer to keep less.

A program is a number of steps from a state to the next, each with a slice of what is scanned; the
loss is the mean of the squares of the first part of the last state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.workload import Array, Foreign, package

State = Foreign
Step = Callable[[Foreign, State, Foreign, Foreign], State]
"""From the package, a state, a slice and what all steps share to the next state."""


@dataclass(frozen=True)
class Model:
    """A program by its name in `programs/memory.dm`; gradients are in `w`.

    A recurrent one scans `x` from a state of zeros, another the layers of `w` from `x`.
    """

    name: str
    w: Array
    x: Array
    is_recurrent: bool = False

    @property
    def steps(self) -> int:
        return len(self.x) if self.is_recurrent else len(self.w)

    @property
    def segments(self) -> int:
        """About √n, and a divisor."""
        n = self.steps
        return min((k for k in range(1, n + 1) if n % k == 0), key=lambda k: abs(k * k - n))


@dataclass(frozen=True)
class Peer:
    """A way to have value and gradient: the bytes that it takes at once, and a call."""

    label: str
    bytes: int
    call: Callable[[], float]


def jax_step(name: str) -> Step:
    """One step of a program in JAX."""
    nn, lax = package("jax.nn"), package("jax.lax")
    order = ("NHWC", "HWIO", "NHWC")

    def conv(h: State, w: Foreign) -> Foreign:
        return lax.conv_general_dilated(h, w, (1, 1), "SAME", dimension_numbers=order)

    return {
        "mlp": _mlp,
        "convnet": lambda lib, h, w, shared: nn.relu(conv(h, w)),
        "lstm": _lstm,
        "gpt": _gpt(nn.softmax, nn.gelu),
    }[name]


def torch_step(name: str) -> Step:
    """One step of a program in PyTorch."""
    f = package("torch.nn.functional")

    def conv(h: State, w: Foreign) -> Foreign:
        z = f.conv2d(h.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), padding=1)
        return z.permute(0, 2, 3, 1)

    return {
        "mlp": _mlp,
        "convnet": lambda lib, h, w, shared: f.relu(conv(h, w)),
        "lstm": _lstm,
        "gpt": _gpt(lambda s: f.softmax(s, -1), lambda x: f.gelu(x, approximate="tanh")),
    }[name]


def _mlp(lib: Foreign, h: State, w: Foreign, shared: Foreign) -> State:
    return lib.tanh(h @ w)


def _lstm(lib: Foreign, state: State, x: Foreign, w: Foreign) -> State:
    h, c = state
    size = h.shape[-1]
    z = x @ w[:size] + h @ w[size:]
    i, f, u, o = (z[:, k * size : (k + 1) * size] for k in range(4))

    def sigmoid(y: Foreign) -> Foreign:
        return 1 / (1 + lib.exp(-y))

    c = sigmoid(f + 3) * c + sigmoid(i) * lib.tanh(u)
    return sigmoid(o) * lib.tanh(c), c


def _gpt(softmax: Callable[[Foreign], Foreign], gelu: Callable[[Foreign], Foreign]) -> Step:
    def norm(x: Foreign) -> Foreign:
        c = x - x.mean(-1)[..., None]
        return c / ((c * c).mean(-1)[..., None] + 1e-5) ** 0.5

    def step(lib: Foreign, h: State, w: Foreign, shared: Foreign) -> State:
        b, t, d = h.shape
        z = (norm(h) @ w[:, : 3 * d]).reshape(b, t, 3, 4, d // 4)
        s = lib.einsum("btne,bune->bntu", z[:, :, 0], z[:, :, 1]) / math.sqrt(d // 4)
        s = lib.where(lib.tril(lib.ones((t, t))) > 0, s, -math.inf)
        a = lib.einsum("bntu,bune->btne", softmax(s), z[:, :, 2]).reshape(b, t, d)
        h = h + a @ w[:, 3 * d : 4 * d]
        return h + gelu(norm(h) @ w[:, 4 * d : 8 * d]) @ w[:, 8 * d :].T

    return step


def jax_peers(model: Model) -> Iterator[Peer]:
    """Everything kept, `jax.checkpoint` of each step by two policies, and of √n segments."""
    jax, jnp, step = package("jax"), package("jax.numpy"), jax_step(model.name)

    def loss(way: Callable[[Foreign], Foreign], in_segments: bool) -> Foreign:
        def run(w: Foreign, x: Foreign) -> Foreign:
            given, shared, state = w, None, x
            if model.is_recurrent:
                given, shared, state = x, w, (jnp.zeros(x.shape[1:]),) * 2

            def one(state: State, part: Foreign) -> tuple[State, None]:
                return step(jnp, state, part, shared), None

            def segment(state: State, part: Foreign) -> tuple[State, None]:
                return jax.lax.scan(one, state, part)

            if in_segments:
                cut = given.reshape(model.segments, -1, *given.shape[1:])
                return _mean(jax.lax.scan(way(segment), state, cut)[0])
            return _mean(jax.lax.scan(way(one), state, given)[0])

        return run

    def dots(body: Foreign) -> Foreign:
        return jax.checkpoint(body, policy=jax.checkpoint_policies.dots_saveable)

    ways: list[tuple[str, Callable[[Foreign], Foreign], bool]] = [
        ("JAX", lambda body: body, False),
        ("JAX, checkpoint", jax.checkpoint, False),
        ("JAX, checkpoint, dots saveable", dots, False),
        ("JAX, checkpoint, √n", jax.checkpoint, True),
    ]
    w, x = jnp.asarray(model.w), jnp.asarray(model.x)
    for label, way, in_segments in ways:
        compiled = jax.jit(jax.value_and_grad(loss(way, in_segments))).lower(w, x).compile()
        taken = int(compiled.memory_analysis().temp_size_in_bytes)

        def call(compiled: Foreign = compiled) -> float:
            return float(jax.block_until_ready(compiled(w, x))[0])

        yield Peer(label, taken, call)


def torch_peers(model: Model) -> Iterator[Peer]:
    """Everything kept, `torch.utils.checkpoint` of each step and of √n segments."""
    torch, step = package("torch"), torch_step(model.name)
    checkpoint = package("torch.utils.checkpoint").checkpoint
    x = torch.from_numpy(model.x)

    def run(length: int) -> float:
        w = torch.from_numpy(model.w).requires_grad_()
        given, shared, state = list(w.unbind(0)), None, x
        if model.is_recurrent:
            given, shared, state = list(x.unbind(0)), w, (torch.zeros(x.shape[1:]),) * 2

        def segment(state: State, *parts: Foreign) -> State:
            for part in parts:
                state = step(torch, state, part, shared)
            return state

        if not length:
            state = segment(state, *given)
        for at in range(0, len(given) if length else 0, max(length, 1)):
            state = checkpoint(segment, state, *given[at : at + length], use_reentrant=False)
        loss = _mean(state)
        loss.backward()
        return float(loss)

    ways = [
        ("PyTorch", 0),
        ("PyTorch, checkpoint", 1),
        ("PyTorch, checkpoint, √n", model.steps // model.segments),
    ]
    for label, length in ways:
        call = partial(run, length)
        yield Peer(label, _torch_peak(call), call)


def _torch_peak(call: Callable[[], float]) -> int:
    """The most that PyTorch has allocated at once during a call, from its profiler."""
    profiler = package("torch.profiler")
    call()
    with profiler.profile(
        activities=[profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        call()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def _mean(state: State) -> Foreign:
    first = state[0] if isinstance(state, tuple) else state
    return (first**2).mean()
