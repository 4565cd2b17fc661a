"""A U-net on images of 64²: two halvings and two doublings. Channels stand last."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import (
    Loss,
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

B, SIDE, COLOURS, C = 4, 64, 3, 32
PARTS = {
    "down1": (SIDE, COLOURS, C),
    "down2": (SIDE // 2, C, 2 * C),
    "bottom": (SIDE // 4, 2 * C, 4 * C),
    "up2": (SIDE // 2, 6 * C, 2 * C),
    "up1": (SIDE, 3 * C, C),
}
"""The side of the images in each pair of convolutions, and their channels before and after."""

LAYERS = {
    f"{part}_{layer}": (side, first if layer == "first" else last, last)
    for part, (side, first, last) in PARTS.items()
    for layer in ("first", "second")
}
PRODUCTS = [2 * B * side * side * 9 * i * o for side, i, o in LAYERS.values()]
ACTIVATIONS = sum(B * side * side * o for side, _, o in LAYERS.values())


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    params: Arrays = {"out": (0.1 * rng.standard_normal((C, COLOURS))).astype("f4")}
    for name, (_, i, o) in LAYERS.items():
        kernel = (2 / (9 * i)) ** 0.5 * rng.standard_normal((3, 3, i, o))
        params[f"k_{name}"] = kernel.astype("f4")
        params[f"b_{name}"] = (0.1 * rng.standard_normal(o)).astype("f4")
    x, y = (rng.standard_normal((B, SIDE, SIDE, COLOURS)).astype("f4") for _ in range(2))
    return Inputs(params, {"x": x, "y": y})


def _dmc(inputs: Inputs) -> Contestant:
    module, p = program("unet"), inputs.params
    run = package("dmc").value_and_grad(module.loss)

    def pair(part: str) -> Foreign:
        names = {layer: f"{part}_{layer}" for layer in ("first", "second")}
        return module.Pair(
            **{k: module.Layer(k=p[f"k_{n}"], b=p[f"b_{n}"]) for k, n in names.items()}
        )

    net = module.UNet(**{part: pair(part) for part in PARTS}, out=p["out"])
    x, y = inputs.data["x"], inputs.data["y"]

    def outputs(out: Foreign) -> Arrays:
        found = {"out": out[1].out}
        for name in LAYERS:
            part, layer = name.split("_")
            at = getattr(getattr(out[1], part), layer)
            found[f"k_{name}"], found[f"b_{name}"] = at.k, at.b
        return value_and_gradients(out[0], found)

    return Contestant(lambda: run(net, x, y), outputs)


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")
    order, window = ("NHWC", "HWIO", "NHWC"), (1, 2, 2, 1)

    def twice(x: Foreign, part: str) -> Foreign:
        for name in (f"{part}_first", f"{part}_second"):
            kernel = p[f"k_{name}"]
            z = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=order)
            x = jax.nn.relu(z + p[f"b_{name}"])
        return x

    def halved(x: Foreign) -> Foreign:
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")

    def joined(x: Foreign, y: Foreign) -> Foreign:
        return jnp.concatenate([x.repeat(2, 1).repeat(2, 2), y], 3)

    a = twice(d["x"], "down1")
    b = twice(halved(a), "down2")
    c = twice(halved(b), "bottom")
    out = twice(joined(twice(joined(c, b), "up2"), a), "up1") @ p["out"]
    return ((out - d["y"]) ** 2).mean()


def _torch(channels_last: bool) -> Loss:
    def loss(p: Foreign, d: Foreign) -> Foreign:
        torch, f = package("torch"), package("torch.nn.functional")
        layout = torch.channels_last if channels_last else torch.contiguous_format

        def twice(x: Foreign, part: str) -> Foreign:
            for name in (f"{part}_first", f"{part}_second"):
                kernel = p[f"k_{name}"].permute(3, 2, 0, 1).contiguous(memory_format=layout)
                x = torch.relu(f.conv2d(x, kernel, p[f"b_{name}"], padding=1))
            return x

        def joined(x: Foreign, y: Foreign) -> Foreign:
            return torch.cat([f.interpolate(x, scale_factor=2, mode="nearest"), y], 1)

        x = d["x"].permute(0, 3, 1, 2).contiguous(memory_format=layout)
        a = twice(x, "down1")
        b = twice(f.max_pool2d(a, 2), "down2")
        c = twice(f.max_pool2d(b, 2), "bottom")
        out = twice(joined(twice(joined(c, b), "up2"), a), "up1")
        return ((out.permute(0, 2, 3, 1) @ p["out"] - d["y"]) ** 2).mean()

    return loss


WORKLOAD = Workload(
    "unet",
    f"U-net, B={B}, {SIDE}²×{COLOURS}, {C} channels, two levels, mean square",
    Precision.F32,
    3 * sum(PRODUCTS) - PRODUCTS[0],
    4 * 4 * ACTIVATIONS,
    inputs,
    (
        Entry(System.DMC, _dmc),
        jax_entry(_jax),
        torch_entry(_torch(False)),
        torch_entry(_torch(True), "channels_last"),
        torch_compile_entry(_torch(False)),
    ),
    Goal(1.0),
)
