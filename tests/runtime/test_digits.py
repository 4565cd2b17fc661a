"""The digits example: its compiled step against NumPy, and the accuracy that it must reach."""

import runpy
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc_runtime import keys, recipe, train
from dmc_runtime.checkpoint import read
from dmc_runtime.data import Stream
from dmc_runtime.records import tree_leaves, tree_map
from dmc_runtime.runs import Functions

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
f32 = np.float32


@pytest.fixture(scope="module")
def program():
    return dmc.load(EXAMPLE / "digits.dm")


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> recipe.Recipe:
    """The recipe with fresh data in a folder of its own."""
    folder = tmp_path_factory.mktemp("digits")
    runpy.run_path(str(EXAMPLE / "data.py"))["main"](folder / "data")
    return replace(recipe.load(EXAMPLE / "recipe.toml"), folder=folder)


def functions(program, plan: recipe.Recipe) -> Functions:
    return Functions(
        lambda: program.MLP.init(dmc.key(plan.seed), **plan.model.sizes),
        program.start,
        program.step,
        program.evaluate,
    )


def arrays(tree) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in tree_leaves(tree)]


def numpy_gradient(net, x, y):
    """Loss, accuracy and gradient in f64, by the chain rule written out."""
    net = tree_map(lambda leaf: leaf.astype(np.float64), net)
    z1 = x @ net.l1.w + net.l1.b
    z2 = np.maximum(z1, 0) @ net.l2.w + net.l2.b
    z3 = np.maximum(z2, 0) @ net.l3.w + net.l3.b
    p = np.exp(z3 - z3.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    d3 = (p - np.eye(10)[y]) / len(y)
    d2 = (d3 @ net.l3.w.T) * (z2 > 0)
    d1 = (d2 @ net.l2.w.T) * (z1 > 0)
    inputs = (x, np.maximum(z1, 0), np.maximum(z2, 0))
    layers = [(h.T @ d, d.sum(axis=0)) for h, d in zip(inputs, (d1, d2, d3), strict=True)]
    loss = -np.log(p[np.arange(len(y)), y]).mean()
    return loss, (z3.argmax(axis=1) == y).mean(), [part for layer in layers for part in layer]


def test_initial_weights_are_drawn_with_the_names_of_their_fields(program, digits):
    net = program.MLP.init(dmc.key(7), **digits.model.sizes)
    key = keys.fold_path(keys.fold_path(keys.key(7), "l1"), "w")
    drawn = np.sqrt(f32(2 / 64)) * keys.normal(key, (64, 256), f32)
    assert np.allclose(net.l1.w, drawn, rtol=1e-6, atol=1e-7)
    assert not net.l1.b.any()


def test_a_compiled_step_is_the_step_by_hand(program, digits):
    net = program.MLP.init(dmc.key(1), **digits.model.sizes)
    opt = program.start(net)
    constants = {"peak": 3e-3, "warmup": 2, "total": 4, "clip": 1.0, "decay": 0.3}
    table = train.load_tables(digits).train
    assert not isinstance(table, Stream)
    m = v = [np.zeros(leaf.shape) for leaf in arrays(net)]
    for t in range(4):
        x, y = table["x"][37 * t : 37 * (t + 1)], table["y"][37 * t : 37 * (t + 1)]
        loss, accuracy, g = numpy_gradient(net, x, y)
        norm = np.sqrt(sum((part**2).sum() for part in g))
        rate = 3e-3 * ((t + 1) / 2 if t < 2 else 0.5 * (1 + np.cos(np.pi * (t - 2) / 2)))
        g = [part * min(1, 1.0 / norm) for part in g]
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g, strict=True)]
        before = arrays(net)
        got, net, opt, told = program.step(net, opt, x, y, **constants)
        assert got == pytest.approx(loss, rel=1e-5)
        assert told.accuracy == pytest.approx(accuracy)
        assert told.learning_rate == pytest.approx(rate, rel=1e-5)
        assert told.gradient_norm == pytest.approx(norm, rel=1e-5)
        for new, old, a, b in zip(arrays(net), before, m, v, strict=True):
            step = a / (1 - 0.9 ** (t + 1)) / (np.sqrt(b / (1 - 0.999 ** (t + 1))) + 1e-8)
            step += 0.3 * old * (old.ndim > 1)
            # Where a gradient is next to nothing, Adam divides rounding by rounding.
            settled = np.sqrt(b) > 1e-7
            assert np.allclose(new[settled], (old - rate * step)[settled], rtol=1e-3, atol=1e-5)
        assert opt.t == t + 1


@pytest.mark.slow
def test_the_demo_reaches_its_figures(program, digits):
    compiled = functions(program, digits)
    began = time.process_time()
    report = train.run(digits, compiled, progress=False)
    assert report.steps == 840
    # Ten seconds on two cores, counted so that other work on the machine does not matter.
    assert time.process_time() - began < 20
    assert report.test["accuracy"] >= 0.97
    assert report.plot is not None
    assert train.evaluate(digits, compiled, report.checkpoint) == report.test


def test_an_interrupted_run_resumes_to_the_same_bits(program, digits):
    short = replace(digits, epochs=2, outputs=replace(digits.outputs, plot=False))
    whole = replace(short, outputs=replace(short.outputs, directory="whole"))
    parts = replace(short, outputs=replace(short.outputs, directory="parts"))
    compiled = functions(program, digits)
    train.run(whole, compiled, progress=False)
    train.run(parts, compiled, progress=False, max_steps=13)
    train.run(parts, compiled, progress=False, resume=True)
    saved = [
        {name: array.tobytes() for name, array in read(plan.path(name)).arrays.items()}
        for plan, name in ((whole, "whole/last.safetensors"), (parts, "parts/last.safetensors"))
    ]
    assert saved[0] == saved[1]
