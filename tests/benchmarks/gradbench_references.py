"""What GradBench's evals ask for, in NumPy and SciPy: values as the mathematics says them.

They share nothing with the programs under test; derivatives are central differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]
Json = Any


@dataclass(frozen=True)
class Example:
    """A small input, and what each function of the eval makes of it."""

    given: Json
    outputs: dict[str, Callable[[], Json]]


def derivative(f: Callable[[Array], Any], x: Array, step: float = 1e-5) -> Array:
    """Central differences: the axes of f(x), then one for the elements of x."""
    columns = [
        (np.asarray(f(x + step * e)) - np.asarray(f(x - step * e))) / (2 * step)
        for e in np.eye(x.size).reshape(x.size, *x.shape)
    ]
    return np.stack(columns, axis=-1)


def gradient(f: Callable[[Array], Any], x: Array) -> Array:
    return derivative(f, x).reshape(x.shape)


def hello() -> Example:
    return Example(3.0, {"square": lambda: 9.0, "double": lambda: 6.0})


def lse() -> Example:
    x = np.array([700.0, 701.5, -3.0, 699.0])
    return Example(
        {"x": x.tolist()},
        {
            "primal": lambda: special.logsumexp(x),
            "gradient": lambda: special.softmax(x),
        },
    )


def llsq() -> Example:
    x, n = np.array([0.3, -1.2, 0.7, 0.4]), 7
    t = np.linspace(-1, 1, n)

    def misfit(x: Array) -> Any:
        return 0.5 * ((np.sign(t) - np.polynomial.polynomial.polyval(t, x)) ** 2).sum()

    return Example(
        {"x": x.tolist(), "n": n},
        {"primal": lambda: misfit(x), "gradient": lambda: gradient(misfit, x)},
    )


def ode() -> Example:
    """The system is linear, and a step of Runge and Kutta's is four terms of the exponential."""
    x, steps = np.array([0.7, 1.3, 0.4, 0.9]), 3

    def solved(x: Array) -> Array:
        a = np.diag(x, -1)
        h = 2.0 / steps
        y = np.eye(len(x) + 1)[0]
        for _ in range(steps):
            y = y + sum(
                h**k / special.factorial(k) * np.linalg.matrix_power(a, k) @ y for k in range(1, 5)
            )
        return y[1:]

    return Example(
        {"x": x.tolist(), "s": steps},
        {
            "primal": lambda: solved(x),
            "gradient": lambda: gradient(lambda x: solved(x)[-1], x),
        },
    )


def det() -> Example:
    a = np.random.default_rng(1).random((4, 4))
    return Example(
        {"A": a.ravel().tolist(), "ell": 4},
        {
            "primal": lambda: np.linalg.det(a),
            "gradient": (np.linalg.det(a) * np.linalg.inv(a).T).ravel,
        },
    )


def kmeans() -> Example:
    points = np.random.default_rng(2).random((9, 2))
    centres = points[-3:]
    distances = ((points[:, None] - centres) ** 2).sum(2)
    nearest = distances.argmin(1)
    means = np.array([points[nearest == k].mean(0) for k in range(len(centres))])
    return Example(
        {"points": points.tolist(), "centroids": centres.tolist()},
        {"cost": lambda: distances.min(1).sum(), "dir": lambda: centres - means},
    )


def gmm() -> Example:
    """By the densities themselves."""
    rng = np.random.default_rng(3)
    d, k, n, m, gamma = 3, 2, 5, 1, 1.3
    x = rng.normal(size=(n, d))
    independent = {
        "alpha": rng.normal(size=k),
        "mu": rng.random((k, d)),
        "q": 0.5 * rng.normal(size=(k, d)),
        "l": rng.normal(size=(k, d * (d - 1) // 2)),
    }

    def posterior(alpha: Array, mu: Array, q: Array, l: Array) -> Any:
        below = np.triu_indices(d, 1)
        densities, prior = np.zeros(n), 0.0
        for j in range(k):
            factor = np.diag(np.exp(q[j]))
            factor[below[1], below[0]] = l[j]
            precision = factor.T @ factor
            away = x - mu[j]
            size = np.sqrt(np.linalg.det(precision) / (2 * np.pi) ** d)
            normal = size * np.exp(-0.5 * ((away @ precision) * away).sum(1))
            densities += special.softmax(alpha)[j] * normal
            prior += stats.wishart(d + m + 1, np.eye(d) / gamma**2).logpdf(precision)
        return np.log(densities).sum() + prior

    def slopes() -> Json:
        return {
            name: gradient(lambda z, name=name: posterior(**{**independent, name: z}), value)
            for name, value in independent.items()
        }

    lists = {name: value.tolist() for name, value in independent.items()}
    return Example(
        {"d": d, "k": k, "n": n, "m": m, "gamma": gamma, "x": x.tolist(), **lists},
        {"objective": lambda: posterior(**independent), "jacobian": slopes},
    )


def lstm() -> Example:
    rng = np.random.default_rng(4)
    layers, bits, letters = 2, 3, 4
    main, extra = rng.random((2 * layers, 4 * bits)), rng.random((3, bits))
    state, sequence = rng.random((2 * layers, bits)), rng.integers(0, 2, (letters, bits))

    def loss(flat: Array) -> Any:
        weights = flat[: main.size].reshape(layers, 2, 4, bits)
        into, out, bias = flat[main.size :].reshape(3, bits)
        memory = state.copy()
        total = 0.0
        for now, after in pairwise(sequence):
            h = now * into
            for layer in range(layers):
                hidden, cell = memory[2 * layer : 2 * layer + 2]
                inputs = np.stack([h, hidden, h, hidden])
                z = inputs * weights[layer, 0] + weights[layer, 1]
                cell = cell * special.expit(z[0]) + special.expit(z[1]) * np.tanh(z[3])
                h = special.expit(z[2]) * np.tanh(cell)
                memory[2 * layer], memory[2 * layer + 1] = h, cell
            y = h * out + bias
            total += after @ (y - np.log(np.exp(y).sum() + 2))
        return -total / (bits * (letters - 1))

    flat = np.concatenate([main.ravel(), extra.ravel()])
    arrays = {
        "main_params": main,
        "extra_params": extra,
        "state": state,
        "sequence": sequence.astype(float),
    }
    return Example(
        {name: value.tolist() for name, value in arrays.items()},
        {"objective": lambda: loss(flat), "jacobian": lambda: gradient(loss, flat)},
    )


def ba(turn: float = 1.0) -> Example:
    """`turn` scales the rotation: 0 for none."""
    n, m, p = 3, 4, 20
    cam = np.array([0.3 * turn, -0.2 * turn, 0.4 * turn, 0.1, 0.2, -0.3, 500, 320, 240, 0.05, 0.02])
    x, w, feat = np.array([0.5, -0.4, 6.0]), 0.8, np.array([330.0, 200.0])

    def residual(z: Array) -> Array:
        cam, x, w = z[:11], z[11:14], z[14]
        seen = Rotation.from_rotvec(cam[:3]).apply(x - cam[3:6])
        uv = seen[:2] / seen[2]
        distance = uv @ uv
        distorted = uv * (1 + cam[9] * distance + cam[10] * distance**2)
        return w * (distorted * cam[6] + cam[7:9] - feat)

    z = np.concatenate([cam, x, [w]])

    def objective() -> Json:
        return {
            "reproj_error": {"elements": residual(z), "repeated": p},
            "w_err": {"element": 1 - w**2, "repeated": p},
        }

    def jacobian() -> Json:
        first = [*range(11), *range(11 * n, 11 * n + 3), 11 * n + 3 * m]
        starts = [15 * i for i in range(30)]
        return {
            "rows": [*starts, 31 * p],
            "cols": [*first, *first, 11 * n + 3 * m + p - 1],
            "vals": np.append(derivative(residual, z).ravel(), -2 * w),
        }

    return Example(
        {"n": n, "m": m, "p": p, "cam": list(cam), "x": list(x), "w": w, "feat": list(feat)},
        {"objective": objective, "jacobian": jacobian},
    )


def ht(free: bool = True) -> Example:
    """`free` points have places on triangles, others belong to vertices."""
    rng = np.random.default_rng(5)
    bones, vertices, count = 22, 6, 4
    parents = [-1, 0, *(0 if b % 4 == 1 else b - 1 for b in range(2, bones))]
    relative = 0.5 * rng.normal(size=(bones, 4, 4)) + np.eye(4)
    inverse = 0.5 * rng.normal(size=(bones, 4, 4)) + np.eye(4)
    skin = np.concatenate([rng.normal(size=(vertices, 3)), np.ones((vertices, 1))], 1)
    weights, points = rng.random((vertices, bones)), rng.normal(size=(count, 3))
    triangles = np.array([[0, 1, 2], [5, 3, 4], [1, 4, 2]])
    chosen = np.array([2, 0, 1, 2])
    theta, us = 0.4 * rng.normal(size=26), rng.random((count, 2))

    def posed(theta: Array) -> Array:
        angles = np.zeros((bones, 2))
        for finger, of in enumerate(theta[6:].reshape(5, 4)):
            angles[4 * finger + 2] = of[:2]
            angles[4 * finger + 3 : 4 * finger + 5, 0] = of[2:]
        absolute: list[Array] = []
        for b, parent in enumerate(parents):
            joint = np.eye(4)
            joint[:3, :3] = Rotation.from_euler("xz", angles[b]).as_matrix()
            before = absolute[parent] if parent >= 0 else np.eye(4)
            absolute.append(before @ relative[b] @ joint)
        followed = np.einsum("bij,bjk,vk,vb->vi", absolute, inverse, skin, weights)[:, :3]
        followed[:, 0] *= -1
        return Rotation.from_rotvec(theta[:3]).apply(followed) + theta[3:6]

    def distances(theta: Array, us: Array) -> Array:
        at = posed(theta)
        if not free:
            return (points - at[chosen]).ravel()
        barycentric = np.concatenate([us, 1 - us.sum(1, keepdims=True)], 1)
        return (points - np.einsum("pc,pci->pi", barycentric, at[triangles[chosen]])).ravel()

    def jacobian() -> Array:
        in_theta = derivative(lambda theta: distances(theta, us), theta)
        if not free:
            return in_theta
        shifts = (np.tile(e, (count, 1)) for e in np.eye(2))
        in_u = [
            derivative(lambda s, e=e: distances(theta, us + s * e), np.zeros(1)) for e in shifts
        ]
        return np.concatenate([*in_u, in_theta], 1)

    model = {
        "bone_count": bones,
        "bone_names": [f"bone {b}" for b in range(bones)],
        "parents": parents,
        "base_relatives": relative.tolist(),
        "inverse_base_absolutes": inverse.tolist(),
        "base_positions": skin.tolist(),
        "weights": weights.tolist(),
        "triangles": triangles.tolist(),
        "is_mirrored": True,
    }
    data = {"model": model, "correspondences": chosen.tolist(), "points": points.tolist()}
    return Example(
        {"theta": theta.tolist(), "data": data, "us": us.tolist() if free else []},
        {"objective": lambda: distances(theta, us), "jacobian": jacobian}
        if free
        else {"jacobian": jacobian},
    )


def particle() -> Example:
    """The path is integrated with the force by hand; where it misses least is looked for."""

    def miss(w: float) -> Any:
        charges = np.array([[10.0, 10.0 - w], [10.0, 0.0]])
        at, speed = np.array([0.0, 8.0]), np.array([0.75, 0.0])
        while (at + 0.1 * speed)[1] > 0:
            away = at - charges
            force = (away / np.linalg.norm(away, axis=1)[:, None] ** 3).sum(0)
            at, speed = at + 0.1 * speed, speed + 0.1 * force
        return (at - at[1] / speed[1] * speed)[0] ** 2

    found = optimize.minimize_scalar(
        miss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-9}
    )
    return Example({"w": 0.0}, dict.fromkeys(("ff", "fr", "rf", "rr"), lambda: found.x))


def saddle() -> Example:
    """It is at the origin."""
    return Example(
        {"start": [1.0, 1.0]}, dict.fromkeys(("ff", "fr", "rf", "rr"), lambda: np.zeros(4))
    )


EXAMPLES: dict[str, tuple[str, Callable[[], Example], float]] = {
    "hello": ("hello", hello, 1e-15),
    "lse": ("lse", lse, 1e-12),
    "llsq": ("llsq", llsq, 1e-8),
    "ode": ("ode", ode, 1e-8),
    "det": ("det", det, 1e-12),
    "kmeans": ("kmeans", kmeans, 1e-12),
    "gmm": ("gmm", gmm, 1e-7),
    "lstm": ("lstm", lstm, 1e-8),
    "ba": ("ba", ba, 1e-6),
    "ba_without_a_turn": ("ba", lambda: ba(0.0), 1e-6),
    "ht": ("ht", ht, 1e-7),
    "ht_on_vertices": ("ht", lambda: ht(False), 1e-7),
    "particle": ("particle", particle, 1e-4),
    "saddle": ("saddle", saddle, 2e-5),
}
"""Each with its module, and how far relative to the largest output, or to 1, an output may be."""
