"""Training steps of the peers: loss, gradient and an AdamW update, in place where they can."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from benchmarks.systems import Loss, torch_tensors
from benchmarks.workload import (
    Contestant,
    Entry,
    Foreign,
    Inputs,
    Maker,
    System,
    package,
    value_and_gradients,
)


@dataclass(frozen=True)
class AdamW:
    """A rate and a decay for some parameters; `limit` is the largest norm of a whole gradient."""

    rate: float
    decay: float
    decayed: Collection[str]
    limit: float | None = None


def jax_step(loss: Loss, adamw: AdamW) -> Entry:
    """`jax.jit` of a step of optax, which donates parameters and state."""

    def make(inputs: Inputs) -> Contestant:
        jax, optax = package("jax"), package("optax")
        optimizer = optax.adamw(
            adamw.rate,
            weight_decay=adamw.decay,
            mask={name: name in adamw.decayed for name in inputs.params},
        )
        if adamw.limit is not None:
            optimizer = optax.chain(optax.clip_by_global_norm(adamw.limit), optimizer)

        def step(p: Foreign, s: Foreign, d: Foreign) -> Foreign:
            value, gradients = jax.value_and_grad(loss)(p, d)
            updates, s = optimizer.update(gradients, s, p)
            return value, optax.apply_updates(p, updates), s

        run = jax.jit(step, donate_argnums=(0, 1))
        params, data = jax.device_put(inputs.params), jax.device_put(inputs.data)
        state = {"p": params, "s": optimizer.init(params)}

        def call() -> Foreign:
            value, state["p"], state["s"] = run(state["p"], state["s"], data)
            return jax.block_until_ready((value, state["p"]))

        return Contestant(call, lambda out: value_and_gradients(*out))

    return Entry(System.JAX, make)


def torch_step(loss: Loss, adamw: AdamW) -> Entry:
    """PyTorch as it stands, with its fused optimizer."""
    return Entry(System.TORCH, _torch(lambda: loss, adamw))


def torch_compile_step(loss: Loss, adamw: AdamW) -> Entry:
    """The loss by `torch.compile`, with PyTorch's fused optimizer."""
    return Entry(System.TORCH_COMPILE, _torch(lambda: package("torch").compile(loss), adamw))


def _torch(prepare: Callable[[], Loss], adamw: AdamW) -> Maker:
    def make(inputs: Inputs) -> Contestant:
        torch = package("torch")
        loss = prepare()
        params = {k: v.requires_grad_() for k, v in torch_tensors(inputs.params).items()}
        data = torch_tensors(inputs.data)
        apart = {
            decay: [v for name, v in params.items() if (name in adamw.decayed) == (decay > 0)]
            for decay in (adamw.decay, 0.0)
        }
        groups = [{"params": some, "weight_decay": decay} for decay, some in apart.items()]
        optimizer = torch.optim.AdamW(groups, lr=adamw.rate, fused=True)

        def call() -> Foreign:
            optimizer.zero_grad(set_to_none=True)
            value = loss(params, data)
            value.backward()
            if adamw.limit is not None:
                torch.nn.utils.clip_grad_norm_(params.values(), adamw.limit)
            optimizer.step()
            return value.detach(), params

        return Contestant(
            call,
            lambda out: value_and_gradients(out[0], {k: v.detach() for k, v in out[1].items()}),
        )

    return make
