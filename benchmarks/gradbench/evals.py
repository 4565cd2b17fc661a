"""What each eval's messages mean to the programs: arguments from the input, and the output.

The programs say what is computed, derivatives included; here are only shapes and names of JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import dmc
from benchmarks.gradbench.fields import Fields, Refused, number
from benchmarks.gradbench.protocol import Function, Module, Run
from benchmarks.workload import PROGRAMS, Array, Foreign

FOLDER = Path(__file__).parent / "programs"
CAMERA = 11
"""The numbers of a camera."""


def _run(
    function: Foreign, arguments: tuple[Foreign, ...], output: Callable[[Foreign], Foreign]
) -> Run:
    """A function, compiled for these arguments."""
    compiled = function.compile(*arguments)
    compiled.load()
    return Run(lambda: compiled(*arguments), output)


def _list(array: Foreign) -> Foreign:
    return np.asarray(array).tolist()


def _flat(array: Foreign) -> Foreign:
    return np.asarray(array).ravel().tolist()


def _hello() -> Module:
    program = dmc.load(FOLDER / "hello.dm")

    def of(function: Foreign) -> Function:
        return lambda given: _run(function, (number(given.given),), float)

    return {"square": of(program.square), "double": of(program.double)}


def _lse() -> Module:
    program = dmc.load(FOLDER / "lse.dm")

    def arguments(given: Fields) -> tuple[Foreign, ...]:
        return (given.array("x"),)

    return {
        "primal": lambda given: _run(program.primal, arguments(given), float),
        "gradient": lambda given: _run(program.gradient, arguments(given), _list),
    }


def _llsq() -> Module:
    program = dmc.load(FOLDER / "llsq.dm")

    def of(function: Foreign, output: Callable[[Foreign], Foreign]) -> Function:
        def made(given: Fields) -> Run:
            x = given.array("x")
            return _run(function[given.whole("n"), len(x)], (x,), output)

        return made

    return {"primal": of(program.primal, float), "gradient": of(program.gradient, _list)}


def _ode() -> Module:
    program = dmc.load(FOLDER / "ode.dm")

    def of(function: Foreign) -> Function:
        return lambda given: _run(function, (given.array("x"), given.whole("s")), _list)

    return {"primal": of(program.primal), "gradient": of(program.gradient)}


def _det() -> Module:
    program = dmc.load(FOLDER / "det.dm")

    def of(function: Foreign, output: Callable[[Foreign], Foreign]) -> Function:
        def made(given: Fields) -> Run:
            n, a = given.whole("ell"), given.array("A")
            if len(a) != n * n:
                raise Refused(f"`A` has {len(a)} elements, not {n} times {n}")
            return _run(function[2**n, n], (a.reshape(n, n),), output)

        return made

    return {"primal": of(program.primal, float), "gradient": of(program.gradient, _flat)}


def _kmeans() -> Module:
    program = dmc.load(FOLDER / "kmeans.dm")

    def arguments(given: Fields) -> tuple[Foreign, ...]:
        return given.array("centroids", 2), given.array("points", 2)

    return {
        "cost": lambda given: _run(program.cost, arguments(given), float),
        "dir": lambda given: _run(program.step, arguments(given), _list),
    }


def _gmm() -> Module:
    program = dmc.load(FOLDER / "gmm.dm")
    parts = {"alpha": 1, "mu": 2, "q": 2, "l": 2}

    def arguments(given: Fields) -> tuple[Foreign, ...]:
        fields = {name: given.array(name, rank) for name, rank in parts.items()}
        d = given.whole("d")
        if d < 2:
            fields["l"] = np.zeros((given.whole("k"), 0))
        prior = program.Wishart(gamma=given.number("gamma"), m=given.whole("m"))
        return program.Mixture(**fields), given.array("x", 2), prior

    def output(mixture: Foreign) -> Foreign:
        return {name: _list(getattr(mixture, name)) for name in parts}

    return {
        "objective": lambda given: _run(program.objective, arguments(given), float),
        "jacobian": lambda given: _run(program.gradient, arguments(given), output),
    }


def _lstm() -> Module:
    """Weights and biases of a layer, and its hidden and cell state, are rows in turn."""
    program = dmc.load(PROGRAMS / "lstm_diagonal.dm")

    def arguments(given: Fields) -> tuple[Foreign, ...]:
        main, extra = given.array("main_params", 2), given.array("extra_params", 2)
        layers = main.reshape(-1, 2, 4, main.shape[1] // 4)
        state = given.array("state", 2)
        in_w, out_w, out_b = extra
        net = program.Net(w=layers[:, 0], b=layers[:, 1], in_w=in_w, out_w=out_w, out_b=out_b)
        return net, state[0::2].copy(), state[1::2].copy(), given.array("sequence", 2)

    def output(net: Foreign) -> Foreign:
        layers = np.stack([net.w, net.b], axis=1)
        return _flat(np.concatenate([layers.ravel(), net.in_w, net.out_w, net.out_b]))

    return {
        "objective": lambda given: _run(program.loss, arguments(given), float),
        "jacobian": lambda given: _run(dmc.grad(program.loss), arguments(given), output),
    }


def _ba() -> Module:
    """One camera, point and observation stand for all; what comes back is of the first ones."""
    program = dmc.load(FOLDER / "ba.dm")
    block = 2 * (CAMERA + 3 + 1)

    def arguments(given: Fields) -> tuple[Foreign, ...]:
        cameras, points, count = (given.whole(name) for name in ("n", "m", "p"))
        seen = np.arange(count)
        return (
            np.tile(given.array("cam"), (cameras, 1)),
            np.tile(given.array("x"), (points, 1)),
            np.full(count, given.number("w")),
            (seen % cameras).astype("i4"),
            (seen % points).astype("i4"),
            np.tile(given.array("feat"), (count, 1)),
        )

    def errors(out: tuple[Array, Array]) -> Foreign:
        residuals, doubts = out
        return {
            "reproj_error": {"elements": _list(residuals[0]), "repeated": len(residuals)},
            "w_err": {"element": float(doubts[0]), "repeated": len(doubts)},
        }

    def sparse(out: tuple[Array, Array, Array]) -> Foreign:
        named = zip(("rows", "cols", "vals"), out, strict=True)
        return {name: [*_list(array[:block]), array[-1].item()] for name, array in named}

    return {
        "objective": lambda given: _run(program.objective, arguments(given), errors),
        "jacobian": lambda given: _run(program.sparse, arguments(given), sparse),
    }


def _ht() -> Module:
    """With places on triangles (`us`) those are differentiated in, too, and come first."""
    program = dmc.load(FOLDER / "hand.dm")

    def hand(model: Fields) -> Foreign:
        return program.Hand(
            parents=model.places("parents"),
            relative=model.array("base_relatives", 3),
            inverse=model.array("inverse_base_absolutes", 3),
            skin=model.array("base_positions", 2),
            weights=model.array("weights", 2),
            mirror=-1.0 if model.value("is_mirrored") else 1.0,
        )

    def of(free: Foreign, on_vertices: Foreign, output: Callable[[Foreign], Foreign]) -> Function:
        def made(given: Fields) -> Run:
            theta, us, data = given.array("theta"), given.array("us", 2), given.within("data")
            model, chosen = data.within("model"), data.places("correspondences")
            points = data.array("points", 2)
            if us.size == 0:
                return _run(on_vertices, (theta, hand(model), chosen, points), output)
            triangles = model.places("triangles", 2)[chosen]
            return _run(free, (theta, us, hand(model), triangles, points), output)

        return made

    return {
        "objective": of(program.objective, program.objective_on_vertices, _flat),
        "jacobian": of(program.slopes, program.slopes_on_vertices, _list),
    }


def _descents(name: str, argument: Callable[[Fields], Foreign]) -> Callable[[], Module]:
    """The four pairs of modes."""

    def made() -> Module:
        program = dmc.load(FOLDER / f"{name}.dm")

        def of(function: Foreign) -> Function:
            return lambda given: _run(function, (argument(given),), _list)

        return {modes: of(getattr(program, modes)) for modes in ("ff", "fr", "rf", "rr")}

    return made


MODULES: dict[str, Callable[[], Module]] = {
    "ba": _ba,
    "det": _det,
    "gmm": _gmm,
    "hello": _hello,
    "ht": _ht,
    "kmeans": _kmeans,
    "llsq": _llsq,
    "lse": _lse,
    "lstm": _lstm,
    "ode": _ode,
    "particle": _descents("particle", lambda given: given.number("w")),
    "saddle": _descents("saddle", lambda given: given.array("start")),
}
"""All evals by name: where GradBench says `module`, it means one of these."""
