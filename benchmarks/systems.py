"""How contestants of each system are made, from a function of parameters and data."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from benchmarks.workload import (
    PROGRAMS,
    Array,
    Arrays,
    Contestant,
    Entry,
    Foreign,
    Inputs,
    Maker,
    Missing,
    System,
    package,
    value_and_gradients,
)

Loss: TypeAlias = Callable[[dict[str, Foreign], dict[str, Foreign]], Foreign]
"""A function of the parameters and the data, by name."""

ByHand: TypeAlias = Callable[[Arrays, Arrays], tuple[Foreign, dict[str, Foreign]]]
"""A value and its gradients, derived by hand."""

THREADS = "DMC_NUM_THREADS"
"""The environment variable in which workers find how many threads they may use."""


def threads() -> int:
    return int(os.environ.get(THREADS, "1"))


def start(system: System) -> None:
    """Load a system's package: start-up, not compilation. Raises Missing."""
    if system is System.DMC:
        dmc = package("dmc")
        dmc.loads("fn square(x: f64) -> f64 = x * x").square(1.0)
    elif system is System.JAX:
        jax = package("jax")
        jax.block_until_ready(jax.device_put(np.zeros(1)))
    elif system in (System.TORCH, System.TORCH_COMPILE):
        package("torch").set_num_threads(threads())
    elif system is System.NUMBA:
        package("numba").set_num_threads(threads())


def refusal(failure: Foreign) -> str | None:
    """The code with which dmc refuses a program, if that is what happened."""
    try:
        dmc = package("dmc")
    except Missing:
        return None
    return str(failure.diagnostics[0].code) if isinstance(failure, dmc.Error) else None


# dmc


def program(name: str) -> Foreign:
    """A loaded program of the benchmarks."""
    return package("dmc").load(PROGRAMS / f"{name}.dm")


def dmc_record(file: str, function: str, record: str, data: Sequence[str] = ()) -> Entry:
    """The value and gradient of a function whose first parameter is a record of the parameters."""

    def make(inputs: Inputs) -> Contestant:
        module = program(file)
        run = package("dmc").value_and_grad(getattr(module, function))
        point = getattr(module, record)(**inputs.params)
        rest = [inputs.data[name] for name in data]
        names = list(inputs.params)
        return Contestant(
            lambda: run(point, *rest),
            lambda out: value_and_gradients(out[0], {n: getattr(out[1], n) for n in names}),
        )

    return Entry(System.DMC, make)


def dmc_arrays(file: str, function: str) -> Entry:
    """The value and gradient of a function of arrays, passed by name."""

    def make(inputs: Inputs) -> Contestant:
        names = tuple(inputs.params)
        run = package("dmc").value_and_grad(getattr(program(file), function), wrt=names)
        given = {**inputs.params, **inputs.data}
        return Contestant(
            lambda: run(**given),
            lambda out: value_and_gradients(out[0], dict(zip(names, out[1], strict=True))),
        )

    return Entry(System.DMC, make)


# JAX


def jax_entry(loss: Loss, variant: str = "") -> Entry:
    """`jax.jit` of the value and gradient."""

    def make(inputs: Inputs) -> Contestant:
        jax = package("jax")
        run = jax.jit(jax.value_and_grad(loss))
        params, data = jax.device_put(inputs.params), jax.device_put(inputs.data)
        return Contestant(
            lambda: jax.block_until_ready(run(params, data)),
            lambda out: value_and_gradients(*out),
        )

    return Entry(System.JAX, make, variant)


# PyTorch


def torch_tensors(arrays: Arrays) -> dict[str, Foreign]:
    """Tensors of their own memory; whole numbers as PyTorch indexes with."""
    torch = package("torch")
    return {k: torch.from_numpy(np.array(_widened(v))) for k, v in arrays.items()}


def _widened(array: Array) -> Array:
    return array.astype(np.int64) if array.dtype.kind == "i" else array


def torch_maker(prepare: Callable[[], Loss]) -> Maker:
    """`torch.autograd` of a loss; `prepare` gives the loss when the contestant is made."""

    def make(inputs: Inputs) -> Contestant:
        torch = package("torch")
        loss = prepare()
        params = {k: v.requires_grad_() for k, v in torch_tensors(inputs.params).items()}
        data = torch_tensors(inputs.data)
        leaves = list(params.values())

        def call() -> Foreign:
            value = loss(params, data)
            return value.detach(), torch.autograd.grad(value, leaves)

        return Contestant(
            call, lambda out: value_and_gradients(out[0], dict(zip(params, out[1], strict=True)))
        )

    return make


def torch_entry(loss: Loss, variant: str = "", tolerance: float | None = None) -> Entry:
    """PyTorch as it stands, an operation at a time."""
    return Entry(System.TORCH, torch_maker(lambda: loss), variant, tolerance)


def torch_compile_entry(loss: Loss, variant: str = "", tolerance: float | None = None) -> Entry:
    """The whole loss by `torch.compile`."""
    maker = torch_maker(lambda: package("torch").compile(loss))
    return Entry(System.TORCH_COMPILE, maker, variant, tolerance)


# by hand


def numpy_entry(by_hand: ByHand) -> Entry:
    """NumPy, with a derivative derived by hand."""

    def make(inputs: Inputs) -> Contestant:
        return _by_hand(by_hand, inputs)

    return Entry(System.NUMPY, make)


def made_entry(system: System, prepare: Callable[[Inputs], ByHand], variant: str = "") -> Entry:
    """A derivative derived by hand; `prepare` compiles it."""
    return Entry(system, lambda inputs: _by_hand(prepare(inputs), inputs), variant)


def _by_hand(by_hand: ByHand, inputs: Inputs) -> Contestant:
    return Contestant(
        lambda: by_hand(inputs.params, inputs.data), lambda out: value_and_gradients(*out)
    )
