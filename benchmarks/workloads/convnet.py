"""A convolutional network with batch norm. Images and kernels have their channels last."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import (
    Loss,
    dmc_record,
    jax_entry,
    torch_compile_entry,
    torch_entry,
)
from benchmarks.workload import Arrays, Foreign, Goal, Inputs, Precision, Workload, package

B, SIDE = 32, 32
CHANNELS = ((3, 32), (32, 64), (64, 128))
PIXELS = (SIDE * SIDE, SIDE * SIDE, SIDE * SIDE // 4)
PRODUCTS = [2 * B * p * 9 * i * o for p, (i, o) in zip(PIXELS, CHANNELS, strict=True)]
MOVED = 3 * 1024 + 8 * 1024 * 32 + 8 * 1024 * 64 + 2 * 256 * 64 + 8 * 256 * 128

PYTORCH_CHANNELS_LAST = 5e-3
"""PyTorch's batch norm over channels-last images is off by 6e-5, which convolutions enlarge."""


def inputs() -> Inputs:
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 0.1) -> Foreign:
        return (scale * rng.standard_normal(shape)).astype("f4")

    params: Arrays = {}
    for i, (a, b) in enumerate(CHANNELS):
        params[f"k{i}"] = normal(3, 3, a, b, scale=(2 / (9 * a)) ** 0.5)
        params[f"g{i}"], params[f"b{i}"] = 1 + normal(b), normal(b)
    params["w"], params["b"] = normal(128, 10), normal(10)
    x = normal(B, SIDE, SIDE, 3, scale=1.0)
    return Inputs(params, {"x": x, "y": rng.integers(0, 10, B).astype("i4")})


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")
    order = ("NHWC", "HWIO", "NHWC")

    def block(x: Foreign, i: int) -> Foreign:
        z = jax.lax.conv_general_dilated(x, p[f"k{i}"], (1, 1), "SAME", dimension_numbers=order)
        c = z - z.mean((0, 1, 2))
        scale = jax.lax.rsqrt((c * c).mean((0, 1, 2)) + 1e-5)
        return jax.nn.relu(c * (scale * p[f"g{i}"]) + p[f"b{i}"])

    x = block(block(d["x"], 0), 1)
    window = (1, 2, 2, 1)
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
    logp = jax.nn.log_softmax(block(x, 2).mean((1, 2)) @ p["w"] + p["b"])
    return -jnp.mean(jnp.take_along_axis(logp, d["y"][:, None], 1))


def _torch(channels_last: bool) -> Loss:
    def loss(p: Foreign, d: Foreign) -> Foreign:
        torch, f = package("torch"), package("torch.nn.functional")
        layout = torch.channels_last if channels_last else torch.contiguous_format

        def block(x: Foreign, i: int) -> Foreign:
            kernel = p[f"k{i}"].permute(3, 2, 0, 1).contiguous(memory_format=layout)
            z = f.conv2d(x, kernel, padding=1)
            z = f.batch_norm(z, None, None, p[f"g{i}"], p[f"b{i}"], training=True, eps=1e-5)
            return f.relu(z)

        x = d["x"].permute(0, 3, 1, 2).contiguous(memory_format=layout)
        x = f.max_pool2d(block(block(x, 0), 1), 2)
        return f.cross_entropy(torch.addmm(p["b"], block(x, 2).mean((2, 3)), p["w"]), d["y"])

    return loss


WORKLOAD = Workload(
    "convnet",
    f"B={B}, {SIDE}×{SIDE}×3; convolutions 3×3 to 32, 64, 128 with batch norm; cross-entropy",
    Precision.F32,
    3 * sum(PRODUCTS) - PRODUCTS[0] + 3 * 2 * B * 128 * 10,
    4 * B * MOVED,
    inputs,
    (
        dmc_record("convnet", "loss", "Net", ("x", "y")),
        jax_entry(_jax),
        torch_entry(_torch(False)),
        torch_entry(_torch(True), "channels_last", PYTORCH_CHANNELS_LAST),
        torch_compile_entry(_torch(False), tolerance=PYTORCH_CHANNELS_LAST),
    ),
    Goal(1.2),
)
