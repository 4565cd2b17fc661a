"""Steps by shards, which several processes share: here threads that take their places."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from dmc_runtime import keys
from dmc_runtime.checkpoint import read
from dmc_runtime.errors import TrainError
from dmc_runtime.exchange import Flat, TreeSum, owners_of
from dmc_runtime.recipe import Recipe, parse
from dmc_runtime.records import Record, make_record
from dmc_runtime.runs import Functions, Report
from dmc_runtime.step_halves import Changed, Common, Halves, Unit
from dmc_runtime.train import run

Line = make_record("Line", ["w", "b"], sizes=["D"])
Momentum = make_record("Momentum", ["v", "u", "t"])
f32 = np.float32


@dataclass
class Threads:
    """What members of a team of threads share."""

    size: int
    barrier: threading.Barrier = field(init=False)
    farewell: threading.Barrier = field(init=False)
    desk: dict[object, object] = field(default_factory=dict)
    bytes: int = 0

    def __post_init__(self):
        self.barrier = threading.Barrier(self.size, timeout=20)
        self.farewell = threading.Barrier(self.size, timeout=2)


class Member:
    def __init__(self, threads: Threads, rank: int) -> None:
        self.threads, self.rank, self.size = threads, rank, threads.size

    def swap(self, partner, give, take):
        desk = self.threads.desk
        desk[self.rank] = give.copy()
        self.threads.bytes += give.nbytes
        self.threads.barrier.wait()
        take[...] = desk[partner]
        self.threads.barrier.wait()

    def share(self, value):
        self.threads.desk[self.rank] = value
        self.threads.barrier.wait()
        listed = [self.threads.desk[rank] for rank in range(self.size)]
        self.threads.barrier.wait()
        return listed

    def send(self, array, to):
        self.threads.desk[self.rank, to] = array.copy()

    def receive(self, array, source):
        while (source, self.rank) not in self.threads.desk:
            threading.Event().wait(0.001)
        array[...] = self.threads.desk.pop((source, self.rank))

    def give_up(self):
        try:
            self.threads.farewell.wait()
        except threading.BrokenBarrierError:
            self.threads.barrier.abort()


def together(size: int, work: Callable[[Any], Any]) -> tuple[list[Any], Threads]:
    threads = Threads(size)
    results: list[Any] = [None] * size

    def one(rank: int) -> None:
        try:
            results[rank] = work(Member(threads, rank))
        except Exception as error:  # noqa: BLE001  # told to the test
            results[rank] = error

    workers = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results, threads


def test_sums_are_those_of_one_tree_for_any_number_of_processes():
    rng = np.random.default_rng(0)
    shards = [{0: rng.normal(size=5), 1: rng.normal(size=(3, 2)), 2: rng.normal(size=7)}]
    shards += [{i: rng.normal(size=leaf.shape) for i, leaf in shards[0].items()} for _ in range(7)]
    level = [np.concatenate([leaf.reshape(-1) for leaf in shard.values()]) for shard in shards]
    while len(level) > 1:
        level = [a + b for a, b in zip(level[::2], level[1::2], strict=True)]
    owners = {0: 3, 1: 0, 2: 1}

    def summed(member: Any) -> bytes:
        count = 8 // member.size
        sums = {i: TreeSum() for i in shards[0]}
        for shard in shards[member.rank * count : (member.rank + 1) * count]:
            for i, leaf in shard.items():
                sums[i].add(leaf.copy())
        leaves = {i: tree.total for i, tree in sums.items()}
        flat = Flat(member, leaves, {i: rank % member.size for i, rank in owners.items()})
        for i, leaf in leaves.items():
            flat.views[i][...] = leaf
        flat.reduce()
        flat.gather()
        return np.concatenate([flat.views[i].reshape(-1) for i in leaves]).tobytes()

    for size in (1, 2, 4, 8):
        results, threads = together(size, summed)
        assert results == [level[0].tobytes()] * size
        # Each process gives all that it does not end with, and then gets that again.
        assert threads.bytes == 2 * (size - 1) * level[0].nbytes


def test_loads_are_even():
    assert owners_of([5, 3, 3, 2, 1], 2) == [0, 1, 1, 0, 1]


@dataclass
class Plan:
    """Momentum for `w`, a Nesterov-like memory for `b`, scaled by the norm of the gradient."""

    units = (Unit((0,), (0,), (0,)), Unit((1,), (1,), (1,)))
    shared = frozenset()
    everywhere = frozenset({2})

    def find(self, unit, leaves):
        return [np.sum(leaves.gradient[unit] ** 2)]

    def common(self, found, leaves):
        norm = np.sqrt(sum(number for (number,) in found))
        return Common([norm], Changed({}, {2: leaves.opt[2] + 1}))

    def change(self, unit, common, leaves):
        # Nothing but this unit's part of the state is here.
        state = np.asarray(leaves.opt[unit])
        assert 0 not in state.strides
        step = leaves.gradient[unit] / np.maximum(common.numbers[0], 1)
        state = f32(0.5) * state + step.astype(f32)
        rate = f32(leaves.given["peak"]) / (1 + leaves.opt[2])
        return Changed({unit: leaves.net[unit] - rate * state}, {unit: state})


class Update:
    def plan(self, net, opt, /, **given) -> Any:
        return Plan()


class Gradient:
    def __call__(self, ready, net, /, *, x, y, key, **given):
        r = x @ net.w + net.b - y
        ready({1: (2 * r.mean(keepdims=True)).astype(f32)})
        noise = f32(0.01) * keys.normal(key, 3, f32)
        ready({0: 2 * (r @ x) / f32(len(y)) + noise})
        return {"loss": float((r**2).mean()), "least": float(r.min())}

    def blame(self, net, /, **given):
        return f"shard of {len(given['y'])}" if not np.isfinite(given["x"]).all() else ""


def init() -> Record:
    return Line(w=np.zeros(3, f32), b=np.zeros(1, f32), D=3)


def start(net: Record) -> Record:
    return Momentum(v=net.w * 0, u=net.b * 0, t=np.asarray(0))


def score(net, /, x, y):
    return float(((x @ net.w + net.b - y) ** 2).mean())


def never(*_, **__):
    raise AssertionError


FUNCTIONS = Functions(init, start, never, score, halves=Halves(Gradient(), Update()))


@pytest.fixture
def recipe(tmp_path) -> Recipe:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 3)).astype(f32)
    y = (x @ np.array([1.0, -2.0, 0.5], f32) + 3).astype(f32)
    np.savez(tmp_path / "train.npz", x=x, label=y)
    content = {
        "program": "line.dm",
        "epochs": 3,
        "model": {"name": "Line"},
        "functions": {"gradient": "gradient", "update": "update"},
        "data": {
            "train": "train.npz",
            "validation": 0.2,
            "inputs": {"x": "x", "y": "label"},
            "batch_size": 16,
            "evaluation_batch_size": 4,
            "shards": 4,
        },
        "arguments": {"peak": 2.0, "key": "key"},
        "outputs": {"plot": False},
    }
    return parse(content, folder=tmp_path)


def trained(recipe: Recipe, size: int, **options) -> list[Report]:
    def one(member: Any) -> Report:
        return run(recipe, FUNCTIONS, progress=False, overwrite=True, team=member, **options)

    return together(size, one)[0]


def state(recipe: Recipe) -> dict[str, bytes]:
    path = recipe.path(recipe.outputs.directory) / "last.safetensors"
    return {name: array.tobytes() for name, array in read(path).arrays.items()}


def test_one_process_and_several_end_with_the_same_bits(recipe):
    (alone,) = trained(recipe, 1)
    assert alone.validation["loss"] < 2
    expected = state(recipe)
    for size in (2, 4):
        reports = trained(recipe, size)
        assert state(recipe) == expected
        assert {str(report.training) for report in reports} == {str(alone.training)}
        assert {str(report.validation) for report in reports} == {str(alone.validation)}


def test_a_run_goes_on_with_another_number_of_processes(recipe):
    trained(recipe, 1)
    expected = state(recipe)
    trained(recipe, 4, max_steps=4)
    trained(recipe, 2, max_steps=7, resume=True)
    assert trained(recipe, 1, resume=True)[0].steps == 15
    assert state(recipe) == expected


def test_a_callback_of_the_leader_ends_the_run_of_all(recipe):
    reports = trained(recipe, 2, callbacks=[lambda moment: moment.step == 3])
    assert [report.steps for report in reports] == [3, 3]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_not_finite_ends_the_run_of_all(recipe, tmp_path):
    x = np.ones((90, 3), f32)
    x[7] = np.inf
    np.savez(tmp_path / "train.npz", x=x, label=np.ones(90, f32))
    recipe = replace(recipe, data=replace(recipe.data, validation=0.0))
    failures = trained(recipe, 2)
    assert [type(failure) for failure in failures] == [TrainError] * 2, failures
    assert "shard of 4" in str(failures[0])
    assert len({str(failure) for failure in failures}) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data.shards": 3}, "power of two"),
        ({"data.shards": 32}, "does not divide"),
        ({"data.last": "short"}, "unequal"),
        ({"functions.update": ""}, "belong together"),
        ({"functions.update": "", "functions.gradient": ""}, "`data.shards` needs"),
    ],
)
def test_recipes_that_cannot_be_shared_are_refused(recipe, settings, message):
    with pytest.raises(TrainError, match=message):
        parse(recipe.content(), settings=settings)


def test_a_team_that_does_not_fit_is_refused(recipe):
    recipe = replace(recipe, data=replace(recipe.data, shards=1))
    assert "share 1 shards" in str(trained(recipe, 2)[0])
    functions = replace(FUNCTIONS, halves=None)
    whole, _ = together(2, lambda member: run(recipe, functions, team=member, overwrite=True))
    assert "two halves" in str(whole[0])
