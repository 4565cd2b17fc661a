"""Training steps in two halves: gradients in pieces, updates unit by unit."""

from typing import Any

import numpy as np
import pytest

import dmc
from dmc.api.gradients import Gradient
from dmc.api.updates import Update
from dmc_runtime.step_halves import UpdateLeaves, UpdatePlan
from dmc_runtime.trees import Tree, tree_leaves

PROGRAM = """
import optim
from nn import cross_entropy

model Net[I, O] {
    param first: f32[I, I] = normal(key)
    param gain: f32[I] = ones
    param last: f32[I, O] = normal(key)
    param heat: f32 = 1.0
    state seen: f32[I] = zeros
    state calls: i64 = 0

    fn forward[B](x: f32[B, I]) -> f32[B, O] = heat * ((gain * tanh(x @ first)) @ last)
}

struct Told { norm: f32 }

fn loss[B](net: Net, x: f32[B, net.I], y: i32[B], table: f32[3]) -> f32 =
    cross_entropy(net(x), y) + mean[b](table[y[b]])

fn gradient[B](net: Net, x: f32[B, net.I], y: i32[B], table: f32[3]) -> (f32, Grad[Net], Told) {
    let (l, g) = value_and_grad(loss)(net, x, y, table)
    (l, g, Told(norm = optim.global_norm(g)))
}

fn noticing[B](var net: Net, x: f32[B, net.I], y: i32[B], table: f32[3]) -> (f32, Net) {
    net.seen = 0.5 * net.seen + mean[b](x[b])
    net.calls = net.calls + 1
    (loss(net, x, y, table), net)
}

fn moving[B](net: Net, x: f32[B, net.I], y: i32[B], table: f32[3])
        -> (f32, Grad[Net], Net, Told) {
    let ((l, moved), g) = value_and_grad(noticing)(net, x, y, table)
    (l, g, moved, Told(norm = optim.global_norm(g)))
}

fn lamb(net: Net, g: Grad[Net], opt: optim.LAMB[Net], rate: f32) -> (Net, optim.LAMB[Net]) =
    optim.lamb_update(net, optim.clip_norm(g, 0.1), opt, rate)

# A number of two velocities bounds every step.
struct Bounded[M: record] {
    v: Grad[M]
}

fn begin(net: Net, g: Grad[Net]) -> Bounded[Net] = Bounded(v = g)

fn bounded(net: Net, g: Grad[Net], opt: Bounded[Net], rate: f32) -> (Net, Bounded[Net]) {
    let most = abs(sum[i](opt.v.gain[i] * opt.v.last[i, 0]))
    let v = 0.9 * opt.v + g
    (net - rate / (1.0 + most) * v, Bounded(v = v))
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("halves") / "net.dm"
    path.write_text(PROGRAM)
    return dmc.load(path)


@pytest.fixture(scope="module")
def net(program):
    return program.Net.init(dmc.key(0), I=6, O=3)


@pytest.fixture(scope="module")
def given():
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    return {"x": x, "y": np.array([0, 1, 2, 1, 0], np.int32), "table": np.zeros(3, np.float32)}


def test_a_gradient_is_told_in_parts_and_is_that_of_the_function(program, net, given):
    told: list[dict[int, np.ndarray]] = []
    numbers = Gradient(program.gradient)(lambda leaves: told.append(dict(leaves)), net, **given)
    loss, gradient, rest = program.gradient(net, **given)
    assert len(told) > 1
    whole = {index: leaf for part in told for index, leaf in part.items()}
    assert len(whole) == sum(map(len, told)) == 4
    for index, leaf in enumerate(map(np.asarray, tree_leaves(gradient))):
        np.testing.assert_allclose(whole[index], leaf, rtol=1e-6, atol=1e-7)
    assert numbers == pytest.approx({"loss": float(loss), "norm": float(rest.norm)}, rel=1e-6)


def test_new_state_of_the_model_is_told_behind_the_gradient(program, net, given):
    told: dict[int, np.ndarray] = {}
    numbers = Gradient(program.moving)(told.update, net, **given)
    loss, gradient, moved, rest = program.moving(net, **given)
    leaves = [*tree_leaves(gradient), moved.seen, moved.calls]
    assert moved.calls == 1
    assert told.keys() == {*range(6)}
    for index, leaf in enumerate(leaves):
        np.testing.assert_allclose(told[index], leaf, rtol=1e-6, atol=1e-7)
    assert numbers == pytest.approx({"loss": float(loss), "norm": float(rest.norm)}, rel=1e-6)


def test_the_parts_of_a_gradient_still_find_an_index_that_is_outside(program, net, given):
    wrong = given | {"y": np.array([0, 1, 3, 1, 0], np.int32)}
    with pytest.raises(dmc.Error, match=r"outside 0\.\.3"):
        Gradient(program.gradient)(lambda _: None, net, **wrong)


def test_what_gives_no_gradient_is_refused(program, net, given):
    with pytest.raises(dmc.Error, match=r"not \(loss, gradient\)"):
        Gradient(program.loss)(lambda _: None, net, **given)


def updated(plan: UpdatePlan, leaves: UpdateLeaves) -> tuple[dict, dict]:
    """Every unit by itself, with nothing of the state but its own part."""
    state = leaves.opt
    own = [{*unit.opt, *plan.everywhere} for unit in plan.units]

    def seen(number: int) -> UpdateLeaves:
        nan = [leaf * np.nan if leaf.dtype.kind == "f" else leaf for leaf in map(np.asarray, state)]
        opt = [leaf if i in own[number] else nan[i] for i, leaf in enumerate(state)]
        kept = {*plan.units[number].gradients, *plan.shared}
        gradient = {i: leaf for i, leaf in leaves.gradient.items() if i in kept}
        return UpdateLeaves(leaves.net, gradient, opt, leaves.given)

    found = [plan.find(number, seen(number)) for number in range(len(plan.units))]
    common = plan.common(found, leaves)
    net, opt = dict(common.changed.net), dict(common.changed.opt)
    for number in range(len(plan.units)):
        changed = plan.change(number, common, seen(number))
        net |= changed.net
        opt |= changed.opt
    return net, opt


def check(update: Any, net: Tree, opt: Tree, gradient: Tree) -> UpdatePlan:
    rate = np.float32(0.1)
    plan = Update(update).plan(net, opt, rate=rate, other=3)
    slopes = dict(enumerate(map(np.asarray, tree_leaves(gradient))))
    leaves = UpdateLeaves(tree_leaves(net), slopes, tree_leaves(opt), {"rate": rate})
    found = updated(plan, leaves)
    for new, expected in zip(found, update(net, gradient, opt, rate), strict=True):
        listed = [*map(np.asarray, tree_leaves(expected))]
        assert new.keys() == {*range(len(listed))}
        for index, leaf in enumerate(listed):
            np.testing.assert_allclose(new[index], leaf, rtol=2e-6, atol=1e-7)
    return plan


def test_an_update_needs_of_others_only_numbers(program, net, given):
    gradient = program.gradient(net, **given)[1]
    plan = check(program.lamb, net, program.optim.lamb_init(net), gradient)
    # The last is state, which stays what it is.
    assert [unit.net for unit in plan.units] == [(0,), (1,), (2,), (4,)]
    # The norm of the whole gradient takes the number that is a parameter, and no array.
    assert plan.shared == {3}


def test_state_that_all_need_is_everywhere(program, net, given):
    gradient = program.gradient(net, **given)[1]
    plan = check(program.bounded, net, program.begin(net, gradient), gradient)
    assert plan.everywhere == {1, 2, 3}
