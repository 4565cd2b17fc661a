"""Training from Python: a stack of layers, a masked last batch, data and callbacks of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc

PROGRAM = """
import optim
from nn import Linear

model Net[D] {
    layers: 2 * Linear[D, D]
    last: Linear[D, 1]

    fn forward[B](x: f32[B, D]) -> f32[B] {
        var h = x
        for layer in layers { h = h + tanh(layer(h)) }
        last(h)[:, 0]
    }
}

fn loss[B](net: Net, x: f32[B, net.D], y: f32[B], here: bool[B]) -> f32 {
    let errors = (net(x) - y) ** 2
    sum[b in 0..B](if here[b] { errors[b] } else { 0.0 }) / sum(f32(here))
}

fn start(net: Net) -> optim.AdamW[Net] = optim.adamw_init(net)

struct Told { norm: f32 }

fn step[B](net: Net, opt: optim.AdamW[Net], x: f32[B, net.D], y: f32[B], here: bool[B], rate: f32)
        -> (f32, Net, optim.AdamW[Net], Told) {
    let (l, g) = value_and_grad(loss)(net, x, y, here)
    let (net2, opt2) = optim.adamw_update(net, g, opt, rate)
    (l, net2, opt2, Told(norm = optim.global_norm(g)))
}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "net.dm").write_text(PROGRAM)
    return {
        "program": str(tmp_path / "net.dm"),
        "epochs": 3,
        "model": {"name": "Net", "sizes": {"D": 4}},
        "data": {"batch_size": 8, "last": "mask"},
        "arguments": {"rate": 0.01, "here": "mask"},
        "outputs": {"directory": str(tmp_path / "run"), "plot": False},
    }


def data(n: int = 20) -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((n, 4)).astype(np.float32)
    return {"x": x, "y": np.sin(x @ np.array([1, -1, 2, 0.5], np.float32))}


def test_a_trainer_trains_a_stack_on_arrays(recipe: dict[str, Any], tmp_path: Path) -> None:
    losses: list[float] = []
    trainer = dmc.Trainer(
        recipe,
        settings={"steps": 60},
        data=data(),
        callbacks=[lambda moment: losses.append(moment.row["loss"])],
    )
    report = trainer.run(progress=False)
    assert report.steps == len(losses) == 60
    assert report.training.keys() == {"loss", "norm"}
    assert losses[-1] < 0.5 * losses[0]
    # The last batch of an epoch has 4 examples, and runs what the full ones run.
    assert len(trainer.program.step._shared.compiled) == 1
    assert isinstance(report.net, trainer.program.Net)
    x, y = data().values()
    here = np.ones(20, bool)
    restored = dmc.restore(report.checkpoint, trainer.program.Net, part="net")
    assert trainer.program.loss(restored, x, y, here) < losses[0]
    with pytest.raises(dmc.TrainError, match="holds a run of 60 steps"):
        dmc.train(recipe, data=data(), progress=False)
    again = dmc.train(recipe, settings={"steps": 62}, data=data(), resume=True, progress=False)
    assert again.steps == 62


def test_a_stream_of_batches(recipe: dict[str, Any]) -> None:
    x, y = data().values()
    batches = [{"x": x[:8], "y": y[:8]}, {"x": x[8:16], "y": y[8:16]}]
    settings: dict[str, Any] = {"steps": 5, "data.last": "fill"}
    report = dmc.train(recipe, settings=settings, data=batches, progress=False)
    assert report.steps == 5
    settings["steps"] = 6
    on = dmc.train(recipe, settings=settings, data=batches, resume=True, progress=False)
    assert on.steps == 6


def test_what_the_recipe_lacks_is_named(recipe: dict[str, Any]) -> None:
    with pytest.raises(dmc.TrainError, match="names no training data") as caught:
        dmc.train(recipe, progress=False)
    assert caught.value.diagnostics[0].code == "train.recipe"
    with pytest.raises(dmc.TrainError, match=r"unknown key `epoch`; did you mean `epochs`"):
        dmc.Trainer(recipe, settings={"epoch": 1})
    with pytest.raises(dmc.TrainError, match="has no function `evaluate`"):
        dmc.train(recipe, data=data(), validation=data(), progress=False)


ROLLED = """
import optim
from random import randint

model Sum[N] { param w: f32[N] = zeros }

fn rolled[B, N](x: f32[B, N], key: Key, most: i64) -> f32[B, N] requires N >= 1 {
    let by = randint[B](key, 0, most)
    [b, i in 0..N] => x[b, (i + by[b]) % N]
}

fn loss[B](net: Sum, x: f32[B, net.N], y: f32[B]) -> f32 = mean((x @ net.w - y) ** 2)

fn start(net: Sum) -> optim.Adam[Sum] = optim.adam_init(net)

fn step[B](net: Sum, opt: optim.Adam[Sum], x: f32[B, net.N], y: f32[B], key: Key, most: i64)
        -> (f32, Sum, optim.Adam[Sum]) requires net.N >= 1 {
    let (l, g) = value_and_grad(loss)(net, rolled(x, key, most), y)
    let (net2, opt2) = optim.adam_update(net, g, opt, 0.05)
    (l, net2, opt2)
}
"""


@pytest.mark.parametrize("most", [1, 8])
def test_augmentation_is_written_in_the_language(tmp_path: Path, most: int) -> None:
    """Seen at the first place only, a peak is known at all of them if examples are rolled."""
    (tmp_path / "sum.dm").write_text(ROLLED)
    y = np.linspace(0.5, 1.5, 16, dtype=np.float32)
    recipe = {
        "program": str(tmp_path / "sum.dm"),
        "steps": 300,
        "model": {"name": "Sum", "sizes": {"N": 8}},
        "data": {"batch_size": 16},
        "arguments": {"key": "key", "most": most},
        "outputs": {"directory": str(tmp_path / "run"), "plot": False},
    }
    x = np.outer(y, np.eye(8, dtype=np.float32)[0])
    report = dmc.train(recipe, data={"x": x, "y": y}, progress=False)
    known = np.abs(report.net.w - 1) < 0.05
    assert known.sum() == most
