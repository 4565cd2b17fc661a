"""Steps by shards, which several processes share: here threads that take their places."""

import queue
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from dmc_runtime import keys
from dmc_runtime.checkpoint import read
from dmc_runtime.errors import TrainError
from dmc_runtime.exchange import Flat, Seats, TreeSum, owners_of
from dmc_runtime.recipe import Recipe, parse
from dmc_runtime.records import Record, make_record
from dmc_runtime.runs import Functions, Report
from dmc_runtime.step_halves import Changed, Common, Halves, Unit
from dmc_runtime.train import run
from dmc_runtime.trees import Field, Role

STATE = [Field("middle", role=Role.STATE), Field("calls", role=Role.STATE)]
Line = make_record("Line", ["w", "b", *STATE], sizes=["D"])
Momentum = make_record("Momentum", ["v", "u", "t"])
f32 = np.float32


@dataclass
class Threads:
    """What members of a team of threads share."""

    size: int
    barrier: threading.Barrier = field(init=False)
    farewell: threading.Barrier = field(init=False)
    desk: dict[int, object] = field(default_factory=dict)
    post: defaultdict[tuple[int, int], queue.Queue[np.ndarray]] = field(
        default_factory=lambda: defaultdict(queue.Queue)
    )
    bytes: int = 0

    def __post_init__(self):
        self.barrier = threading.Barrier(self.size, timeout=20)
        self.farewell = threading.Barrier(self.size, timeout=2)


class Member:
    def __init__(self, threads: Threads, rank: int) -> None:
        self.threads, self.rank, self.size = threads, rank, threads.size

    def swap(self, partner, give, take):
        self.send(give, partner)
        self.receive(take, partner)

    def share(self, value):
        self.threads.desk[self.rank] = value
        self.threads.barrier.wait()
        listed = [self.threads.desk[rank] for rank in range(self.size)]
        self.threads.barrier.wait()
        return listed

    def send(self, array, to):
        self.threads.bytes += array.nbytes
        self.threads.post[self.rank, to].put(array.copy())

    def receive(self, array, source):
        array[...] = self.threads.post[source, self.rank].get(timeout=20)

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
        sums = {i: TreeSum() for i in shards[0]}
        for number in Seats(member.size).shards(member.rank, 8):
            for i, leaf in shards[number].items():
                sums[i].add(leaf.copy())
        leaves = {i: tree.total for i, tree in sums.items()}
        flat = Flat(member, leaves, {i: rank % member.size for i, rank in owners.items()})
        for i, leaf in leaves.items():
            flat.views[i][...] = leaf
        flat.reduce()
        flat.gather()
        return np.concatenate([flat.views[i].reshape(-1) for i in leaves]).tobytes()

    for size in range(1, 9):
        results, threads = together(size, summed)
        assert results == [level[0].tobytes()] * size
        if size in (1, 2, 4, 8):
            # Each process gives all that it does not end with, and then gets that again.
            assert threads.bytes == 2 * (size - 1) * level[0].nbytes


def test_all_shards_are_taken_in_order_and_as_evenly_as_pairs_go():
    for size in range(1, 65):
        runs = [Seats(size).shards(rank, 64) for rank in range(size)]
        assert [number for run in runs for number in run] == [*range(64)]
        assert max(map(len, runs)) <= 64 // Seats(size).count


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
        assert leaves.net[3] == leaves.opt[2] + 1  # new state is there already
        step = leaves.gradient[unit] / np.maximum(common.numbers[0], 1)
        state = f32(0.5) * state + step.astype(f32)
        rate = f32(leaves.given["peak"]) / (1 + leaves.opt[2])
        return Changed({unit: leaves.net[unit] - rate * state}, {unit: state})


class Update:
    def plan(self, net, opt, /, **given) -> Any:
        return Plan()


class Gradient:
    """Of the examples that are there, or not a number where there are none."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def __call__(self, ready, net, /, *, x, y, key=None, here=None, **given):
        if here is not None:
            x, y = x[here], y[here]
        r = x @ net.w + net.b - y
        self.keys.add(str(key))
        noise = f32(0) if key is None else f32(0.01) * keys.normal(key, 3, f32)
        count = f32(len(y))
        told = {
            1: (2 * r.sum(keepdims=True) / count).astype(f32),
            2: net.middle + x.sum(0) / count / 10,
            3: net.calls + 1,
            0: 2 * (r @ x) / count + noise,
        }
        for leaf in map(np.asarray, told.values()):
            leaf.setflags(write=False)
        ready({i: told[i] for i in (1, 2)})
        ready({i: told[i] for i in (3, 0)})
        return {"loss": float((r**2).sum() / count), "last": float(r.sum() / count)}

    def blame(self, net, /, **given):
        return f"shard of {len(given['y'])}" if not np.isfinite(given["x"]).all() else ""


def init() -> Record:
    zeros = np.zeros(3, f32)
    return Line(w=zeros, b=np.zeros(1, f32), middle=zeros.copy(), calls=np.asarray(0), D=3)


def start(net: Record) -> Record:
    return Momentum(v=net.w * 0, u=net.b * 0, t=np.asarray(0))


def score(net, /, x, y):
    return float(((x @ net.w + net.b - y) ** 2).mean())


def never(*_, **__):
    raise AssertionError


GRADIENT = Gradient()
FUNCTIONS = Functions(init, start, never, score, halves=Halves(GRADIENT, Update()))


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


def arrays(recipe: Recipe) -> dict[str, np.ndarray]:
    path = recipe.path(recipe.outputs.directory) / "last.safetensors"
    return dict(read(path).arrays)


def state(recipe: Recipe) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays(recipe).items()}


def test_one_process_and_several_end_with_the_same_bits(recipe):
    GRADIENT.keys.clear()
    (alone,) = trained(recipe, 1)
    assert len(GRADIENT.keys) == 15 * 4
    assert alone.validation["loss"] < 2
    expected = state(recipe)
    for size in (2, 3, 4):
        reports = trained(recipe, size)
        assert state(recipe) == expected
        assert {str(report.training) for report in reports} == {str(alone.training)}
        assert {str(report.validation) for report in reports} == {str(alone.validation)}


def test_a_step_by_shards_is_the_step_by_hand(recipe):
    content = recipe.content() | {"arguments": {"peak": 0.5}}
    settings = {"steps": 1, "data.validation": 0.0, "data.batch_size": 90}
    trained(parse(content, "", recipe.folder, settings), 3)
    with np.load(recipe.folder / "train.npz") as data:
        x, y = data["x"].astype(float), data["label"].astype(float)
    of_w, of_b = -2 * y @ x / 90, -2 * y.mean()
    rate = 0.5 / np.hypot(np.linalg.norm(of_w), of_b)
    found = arrays(recipe)
    np.testing.assert_allclose(found["net.w"], -rate * of_w, rtol=1e-5)
    np.testing.assert_allclose(found["net.b"], [-rate * of_b], rtol=1e-5)
    np.testing.assert_allclose(found["net.middle"], x.mean(0) / 10, rtol=1e-4)
    assert found["net.calls"] == 1


def test_a_run_goes_on_with_another_number_of_processes(recipe):
    trained(recipe, 1)
    expected = state(recipe)
    trained(recipe, 4, max_steps=4)
    trained(recipe, 3, max_steps=7, resume=True)
    assert trained(recipe, 1, resume=True)[0].steps == 15
    assert state(recipe) == expected


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # shards without examples
@pytest.mark.parametrize("last", ["short", "mask"])
@pytest.mark.parametrize("size", [20, 7])
def test_shards_of_unequal_lengths_make_the_gradient_of_their_batch(recipe, last, size):
    """The last of 72 examples fill two and a part of four shards, or a part of the first."""
    arguments = {"peak": 0.05} | ({"here": "mask"} if last == "mask" else {})
    settings = {"data.batch_size": size, "data.last": last}

    def parted(shards: int) -> Recipe:
        content = recipe.content() | {"arguments": arguments}
        return parse(content, "", recipe.folder, {**settings, "data.shards": shards})

    (alone,) = trained(parted(1), 1)
    expected = arrays(recipe)
    bits: list[dict[str, bytes]] = []
    for team in (1, 3, 4):
        report, *_ = trained(parted(4), team)
        assert report.training == pytest.approx(alone.training, rel=1e-5)
        for name, leaf in arrays(recipe).items():
            np.testing.assert_allclose(leaf, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
        bits.append(state(recipe))
    assert bits[0] == bits[1] == bits[2]


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
        ({"functions.update": ""}, "belong together"),
        ({"functions.update": "", "functions.gradient": ""}, "`data.shards` needs"),
    ],
)
def test_recipes_that_cannot_be_shared_are_refused(recipe, settings, message):
    with pytest.raises(TrainError, match=message):
        parse(recipe.content(), settings=settings)


def test_a_team_that_does_not_fit_is_refused(recipe):
    recipe = replace(recipe, data=replace(recipe.data, shards=2))
    assert "share 2 shards: set `data.shards` to 4" in str(trained(recipe, 3)[0])
    functions = replace(FUNCTIONS, halves=None)
    whole, _ = together(2, lambda member: run(recipe, functions, team=member, overwrite=True))
    assert "two halves" in str(whole[0])
