"""Worked numbers of what a run tells: nets that are too deep, dead units, the line of a NaN."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.api.blame import blame
from dmc_runtime import monitor

PROGRAM = """
import optim
from nn import Linear, mse, relu

model Deep[L, D](gain: f32, kept: f32) {
    layers: L * Linear[D, D](std = 0.0)

    fn forward[B](x: f32[B, D]) -> f32[B, D] {
        var h = x
        for layer in layers { h = kept * h + gain * h + layer(h) }
        h
    }
}

fn loss[B](net: Deep, x: f32[B, net.D], y: f32[B, net.D]) -> f32 = sum(net(x) - y)

model Narrow[H] {
    l1: Linear[1, H]
    l2: Linear[H, 1]

    fn hidden[B](x: f32[B, 1]) -> f32[B, H] = relu(l1(x))

    fn forward[B](x: f32[B, 1]) -> f32[B, 1] = l2(hidden(x))
}

struct Seen[B, H] { hidden: f32[B, H] }

fn seen[B](net: Narrow, x: f32[B, 1]) -> Seen[B, net.H] = Seen(hidden = net.hidden(x))

fn misfit[B](net: Narrow, x: f32[B, 1], y: f32[B, 1]) -> f32 = mse(log(net(x) + 1.0), y)

fn miss[B](net: Narrow, x: f32[B, 1], y: f32[B, 1]) -> f32 = mse(net(x), y)

fn start(net: Narrow) -> optim.SGD[Narrow] = optim.sgd_init(net)

fn step[B](net: Narrow, opt: optim.SGD[Narrow], x: f32[B, 1], y: f32[B, 1], rate: f32)
        -> (f32, Narrow, optim.SGD[Narrow]) {
    let (l, g) = value_and_grad(misfit)(net, x, y)
    let (net2, opt2) = optim.sgd_update(net, g, opt, rate)
    (l, net2, opt2)
}

## The slope of a net of L random layers of relu at x, with what it skips.
fn wiggle[L, W](x: f64, w: f64[L, W, W], b: f64[L, W], kept: f64) -> f64 {
    var h = x * ones[W]
    for i in 0..L { h = kept * h + relu(h @ w[i] + b[i]) }
    sum(h)
}

fn slopes[N, L, W](x: f64[N], w: f64[L, W, W], b: f64[L, W], kept: f64) -> f64[N] =
    [n] => grad(wiggle[L, W])(x[n], w, b, kept)
"""
program = dmc.loads(PROGRAM, "watching.dm")


@pytest.mark.parametrize(
    ("gain", "kept", "ratio", "trouble"),
    [
        (0.9, 0.0, 3e-5, ["vanishing"]),  # 0.9 to the 99th power
        (1.1, 0.0, 1.25e4, ["exploding"]),
        (0.0, 1.0, 1.0, []),  # a residual connection mends it
    ],
)
def test_a_product_over_a_hundred_layers(
    gain: float, kept: float, ratio: float, trouble: list[str]
) -> None:
    net = program.Deep.init(dmc.key(0), L=100, D=2, gain=gain, kept=kept)
    x = np.ones((4, 2), np.float32)
    layers = monitor.layers(dmc.grad(program.loss)(net, x, x))
    assert monitor.along_depth(layers)["Linear.b"] == pytest.approx(ratio, rel=0.02)
    assert [finding.trouble for finding in monitor.of_gradient(layers)] == trouble


def test_depth_shatters_gradients_and_residuals_keep_them() -> None:
    x = np.linspace(-2.0, 2.0, 64)

    def found(kept: float) -> tuple[float, list[str]]:
        rng = np.random.default_rng(0)
        scale = np.sqrt(2.0 / 32) * (1.0 if not kept else 0.1)
        w = scale * rng.standard_normal((100, 32, 32))
        b = scale * rng.standard_normal((100, 32))
        slopes = program.slopes(x, w, b, kept)
        troubles = [str(finding.trouble) for finding in monitor.of_neighbours(slopes)]
        return monitor.neighbours(slopes), troubles

    correlation, troubles = found(kept=0.0)
    assert abs(correlation) < 0.1
    assert troubles == ["shattered"]
    correlation, troubles = found(kept=1.0)
    assert correlation > 0.9
    assert troubles == []


def test_a_batch_four_times_as_large_has_half_the_noise() -> None:
    rng = np.random.default_rng(0)
    net = program.Narrow.init(dmc.key(1), H=3)

    def spread(size: int) -> float:
        """The deviation of the gradient of the loss from batch to batch."""
        slopes: list[np.ndarray] = []
        for _ in range(400):
            x = rng.uniform(0.0, 1.0, (size, 1)).astype(np.float32)
            y = (x + rng.standard_normal((size, 1))).astype(np.float32)
            slopes.append(dmc.flatten(dmc.grad(program.miss)(net, x, y))[0])
        return float(np.std(slopes, axis=0).max())

    assert spread(16) / spread(64) == pytest.approx(2.0, rel=0.1)


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "watching.dm").write_text(PROGRAM)
    return {
        "program": str(tmp_path / "watching.dm"),
        "steps": 6,
        "model": {"name": "Narrow", "sizes": {"H": 3}},
        "data": {"batch_size": 4},
        "arguments": {"rate": 0.01},
        "watch": {"every": 2, "loss": "misfit", "activations": "seen"},
        "outputs": {"directory": str(tmp_path / "run"), "plot": False},
    }


def test_a_run_names_units_that_are_dead(recipe: dict[str, Any], tmp_path: Path) -> None:
    x = np.array([[0.5], [1.0], [1.5], [2.0]], np.float32)
    report = dmc.train(recipe, data={"x": x, "y": 0.1 * x}, progress=False)
    net = program.Narrow.init(dmc.key(0), H=3)
    dead = int(np.sum(net.hidden(x).max(axis=0) == 0))
    assert dead > 0
    assert str(report.findings[0]) == (
        f"step 1: dead: {dead} of 3 units of `hidden` are 0 for every example"
    )
    assert "units of `hidden`" in (tmp_path / "run" / "report.html").read_text()


def test_a_loss_that_is_not_finite_is_traced_to_its_line(recipe: dict[str, Any]) -> None:
    x = np.array([[0.5], [1.0], [1.5], [2.0]], np.float32)
    recipe["watch"] = {}
    far = {"x": x, "y": np.full_like(x, -100.0)}
    with pytest.raises(dmc.TrainError) as caught:
        dmc.train(recipe, settings={"arguments.rate": 0.05}, data=far, progress=False)
    message = str(caught.value)
    assert "`loss` is nan at step " in message
    assert "the first value that is not finite, " in message
    assert "`fn misfit[B](net: Narrow" in message
    x[2] = np.inf
    with pytest.raises(dmc.TrainError, match="the input `x` holds inf"):
        dmc.train(recipe, data={"x": x, "y": x}, overwrite=True, progress=False)


TRACED = """
fn discarded[N](x: f64[N]) -> f64 {
    let a = where(x > 0.0, log(x), x)
    let b = [i in 0..N] => if i < 1 { 1.0 / x[i] } else { -inf }
    sum(a) + sum(exp(minimum(b, 0.0))) + sum(sqrt(x - 9.0))
}

fn followed[N](x: f64[N]) -> f64 {
    var s = 1.0
    for i in 0..N {
        let far = 1e308 * exp(x[i]) * 10.0
        s = if x[i] > 0.5 { far - far } else { s }
    }
    s
}
"""


@pytest.mark.parametrize(
    ("name", "culprit"),
    [("discarded", "sum(sqrt(x - 9.0))"), ("followed", "let far = 1e308 * exp(x[i]) * 10.0")],
)
def test_a_value_that_nothing_comes_of_is_not_to_blame(name: str, culprit: str) -> None:
    function = getattr(dmc.loads(TRACED), name)
    assert culprit in blame(function, {"x": np.array([0.0, 1.0, -2.0])})
