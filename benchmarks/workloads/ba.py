"""Bundle adjustment of ADBench: residuals, and a block of 2 by 15 of the Jacobian for each."""

from __future__ import annotations

import ctypes

import numpy as np

from benchmarks import native
from benchmarks.systems import program, torch_tensors
from benchmarks.workload import (
    COMPILERS,
    Arrays,
    Contestant,
    Entry,
    Foreign,
    Goal,
    Inputs,
    Maker,
    Precision,
    System,
    Workload,
    package,
)

FIELDS = {
    "rot": slice(0, 3),
    "center": slice(3, 6),
    "focal": 6,
    "principal": slice(7, 9),
    "radial": slice(9, 11),
}
"""Where the parts of a camera stand in its row of eleven numbers."""


def _inputs(observations: int, cameras: int, points: int) -> Inputs:
    rng = np.random.default_rng(0)
    camera = [
        0.3 * rng.standard_normal((cameras, 3)) + 0.1,
        0.5 * rng.standard_normal((cameras, 3)),
        500 + 50 * rng.random((cameras, 1)),
        320 + 10 * rng.standard_normal((cameras, 2)),
        0.05 * rng.standard_normal((cameras, 2)),
    ]
    return Inputs(
        {
            "cams": np.concatenate(camera, 1),
            "points": rng.standard_normal((points, 3)) + np.array([0.0, 0.0, 8.0]),
            "w": rng.random(observations) + 0.5,
        },
        {
            "camera": rng.integers(0, cameras, observations).astype("i4"),
            "point": rng.integers(0, points, observations).astype("i4"),
            "seen": 320 + 100 * rng.standard_normal((observations, 2)),
        },
    )


def _dmc(inputs: Inputs) -> Contestant:
    dmc, module = package("dmc"), program("ba")
    rows = inputs.params["cams"]
    cams = dmc.stack(
        [module.Camera(**{name: row[at] for name, at in FIELDS.items()}) for row in rows]
    )
    given = inputs.data | {"points": inputs.params["points"], "w": inputs.params["w"]}

    def outputs(out: Foreign) -> Arrays:
        r, in_camera, in_point, in_weight = out
        jacobian = np.empty((len(in_weight), 2, 15))
        for name, at in FIELDS.items():
            jacobian[:, :, at] = getattr(in_camera, name)
        jacobian[:, :, 11:14], jacobian[:, :, 14] = in_point, in_weight
        return {"r": np.asarray(r), "jacobian": jacobian}

    return Contestant(lambda: module.all(cams, **given), outputs)


def _projected(numpy: Foreign, cross: Foreign, z: Foreign) -> Foreign:
    """What camera z[:11] sees of point z[11:14]; `numpy` has the functions of an array."""
    camera, x = z[:11], z[11:14] - z[3:6]
    rot = camera[:3]
    angle = numpy.sqrt((rot * rot).sum())
    c, s, axis = numpy.cos(angle), numpy.sin(angle), rot / angle
    x = x * c + cross(axis, x) * s + axis * ((axis * x).sum() * (1 - c))
    uv = x[:2] / x[2]
    r2 = (uv * uv).sum()
    return uv * (1 + camera[9] * r2 + camera[10] * r2 * r2) * camera[6] + camera[7:9]


def _jax(inputs: Inputs) -> Contestant:
    jax, jnp = package("jax"), package("jax.numpy")

    def residual(z: Foreign, seen: Foreign) -> Foreign:
        r = z[14] * (_projected(jnp, jnp.cross, z) - seen)
        return r, r

    @jax.jit
    def run(d: Foreign) -> Foreign:
        parts = [d["cams"][d["camera"]], d["points"][d["point"]], d["w"][:, None]]
        return jax.vmap(jax.jacrev(residual, has_aux=True))(jnp.concatenate(parts, 1), d["seen"])

    data = jax.device_put(inputs.params | inputs.data)
    return Contestant(lambda: jax.block_until_ready(run(data)), _outputs)


def _torch(compiled: bool) -> Maker:
    def make(inputs: Inputs) -> Contestant:
        torch = package("torch")

        def residual(z: Foreign, seen: Foreign) -> Foreign:
            r = z[14] * (_projected(torch, torch.linalg.cross, z) - seen)
            return r, r

        def blocks(d: Foreign) -> Foreign:
            parts = [d["cams"][d["camera"]], d["points"][d["point"]], d["w"][:, None]]
            jacobian = torch.func.jacrev(residual, has_aux=True)
            return torch.func.vmap(jacobian)(torch.cat(parts, 1), d["seen"])

        run = torch.compile(blocks) if compiled else blocks
        data = torch_tensors(inputs.params | inputs.data)
        return Contestant(lambda: run(data), _outputs)

    return make


def _outputs(out: Foreign) -> Arrays:
    return {"r": np.asarray(out[1]), "jacobian": np.asarray(out[0])}


def _c(inputs: Inputs) -> Contestant:
    library, given = native.library("ba"), inputs.params | inputs.data
    arrays = [given[name] for name in ("cams", "points", "w", "camera", "point", "seen")]
    count = len(given["w"])

    def call() -> Foreign:
        jacobian, r = np.empty((count, 2, 15)), np.empty((count, 2))
        library.ba(ctypes.c_long(count), *map(native.pointer, (*arrays, r, jacobian)))
        return jacobian, r

    return Contestant(call, _outputs)


def bundle(name: str, observations: int, cameras: int, points: int, goal: Goal) -> Workload:
    """Bundle adjustment of some size."""
    return Workload(
        name,
        f"bundle adjustment: {observations:,} Jacobian blocks of 2×15 and residuals",
        Precision.F64,
        observations * 2 * 4 * 75,
        observations * 8 * (2 * 15 + 2 + 2 + 1 + 2),
        lambda: _inputs(observations, cameras, points),
        (
            Entry(System.DMC, _dmc),
            Entry(System.JAX, _jax),
            Entry(System.TORCH, _torch(False)),
            Entry(System.TORCH_COMPILE, _torch(True)),
            Entry(System.C, _c),
        ),
        goal,
    )


WORKLOAD = bundle("ba", 20_000, 50, 2_000, Goal(5.0, COMPILERS))
