"""Data: reading, refusing, splitting, and batches that depend on seed and epoch only."""

import itertools

import numpy as np
import pytest

from dmc_runtime.data import Batches, Table, load, split, table
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.recipe import Last


def numbers(n: int) -> Table:
    return table(x=np.arange(2 * n).reshape(n, 2), y=np.arange(n))


def test_npz_and_csv(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.eye(3), y=np.arange(3))
    data = load(tmp_path / "a.npz", {"x": np.float32})
    assert data["x"].dtype == np.float32
    assert data["y"].tolist() == [0, 1, 2]
    (tmp_path / "a.csv").write_text("a,label\n1.5,2\n-3e2,0\n", encoding="utf-8")
    data = load(tmp_path / "a.csv", {"label": np.int32})
    assert data["a"].tolist() == [1.5, -300]
    assert data["label"].dtype == np.int32
    assert data.select(["label"]).columns.keys() == {"label"}


def test_bad_files_are_refused_with_the_reason(tmp_path):
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "objects.npz", x=np.array([None]))
    np.savez(tmp_path / "lengths.npz", x=np.zeros(3), y=np.zeros(4))
    np.savez(tmp_path / "scalar.npz", x=np.zeros(()))
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    (tmp_path / "word.csv").write_text("a,b\n1,2\n3,x\n")
    (tmp_path / "latin.csv").write_bytes("a\né\n".encode("latin-1"))
    (tmp_path / "twice.csv").write_text("a,b,a\n1,2,3\n")
    (tmp_path / "dir.csv").mkdir()
    for name, message in {
        "none.npz": "cannot read .*no such file",
        "dir.csv": "cannot read .*is a directory",
        "a.parquet": r"neither .npz nor .csv",
        "cut.npz": "no archive of plain arrays",
        "text.npz": "no archive of plain arrays",
        "objects.npz": "no archive of plain arrays",
        "lengths.npz": "`y` has 4 examples but `x` has 3",
        "scalar.npz": "`x` is a single number",
        "empty.csv": "is empty",
        "ragged.csv": r"ragged.csv:3: 1 values under 2 names",
        "word.csv": r"word.csv:3: `x` under `b` is no float32",
        "latin.csv": "no CSV text",
        "twice.csv": "two columns are named `a`",
    }.items():
        with pytest.raises(TrainError, match=message) as caught:
            load(tmp_path / name)
        assert caught.value.code == TrainCode.DATA
    with pytest.raises(TrainError, match="at least one"):
        table()
    with pytest.raises(TrainError, match="no array `z`; it has `x`, `y`"):
        _ = numbers(3)["z"]


def test_columns_of_other_types(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "\ufefftrue or false,count,large\nTrue,-3,3000000000\n0,+7,1\nFALSE,0,2\n1,1,3\n"
    )
    kinds = {"true or false": np.bool_, "count": np.int32, "large": np.int64}
    data = load(path, kinds)
    assert data["true or false"].tolist() == [True, False, False, True]
    assert data["count"].tolist() == [-3, 7, 0, 1]
    assert data["large"].tolist() == [3_000_000_000, 1, 2, 3]
    with pytest.raises(TrainError, match=r"a.csv:2: `3000000000` under `large` is no int32"):
        load(path, {**kinds, "large": np.int32})
    with pytest.raises(TrainError, match=r"a.csv:2: `-3` under `count` is no bool"):
        load(path, {**kinds, "count": np.bool_})
    with pytest.raises(TrainError, match=r"a.csv:2: `True` under `true or false` is no float32"):
        load(path)


def test_split_is_a_partition_and_seeded():
    data = numbers(100)
    train, held_out = split(data, 0.2, seed=1)
    assert (len(train), len(held_out)) == (80, 20)
    assert sorted([*train["y"], *held_out["y"]]) == list(range(100))
    assert np.array_equal(split(data, 0.2, seed=1)[1]["y"], held_out["y"])
    assert not np.array_equal(split(data, 0.2, seed=2)[1]["y"], held_out["y"])
    with pytest.raises(TrainError, match="leaves a part empty"):
        split(data, 0.001, seed=0)


def test_an_epoch_visits_every_example_once():
    batches = Batches(numbers(23), 5, seed=4, last=Last.SHORT)
    assert batches.per_epoch == 5
    seen = [batch["y"] for batch in batches.epoch(3)]
    assert [len(y) for y in seen] == [5, 5, 5, 5, 3]
    assert sorted(np.concatenate(seen)) == list(range(23))
    first = next(batches.epoch(3))
    assert np.array_equal(first["x"][:, 0], 2 * first["y"])


def test_order_is_a_function_of_seed_and_epoch():
    one, other = Batches(numbers(50), 7, seed=1), Batches(numbers(50), 7, seed=1)
    list(one.epoch(0))
    assert np.array_equal(one.order(2), other.order(2))
    assert not np.array_equal(one.order(2), one.order(3))
    assert not np.array_equal(one.order(2), Batches(numbers(50), 7, seed=2).order(2))
    plain = Batches(numbers(50), 7, shuffle=False)
    assert plain.order(5).tolist() == list(range(50))


def test_batches_resume_at_any_step():
    batches = Batches(numbers(23), 5, seed=4)
    run = [batch["y"] for epoch in range(3) for batch in batches.epoch(epoch)]
    for step in range(15):
        assert np.array_equal(next(batches.stream(step))["y"], run[step])
    later = itertools.islice(batches.stream(3), 12)
    assert all(np.array_equal(batch["y"], want) for batch, want in zip(later, run[3:], strict=True))
    rest = [batch["y"] for batch in batches.epoch(1, start=2)]
    assert all(map(np.array_equal, rest, run[7:10]))


def test_a_short_last_batch_is_filled_up():
    batches = Batches(numbers(23), 5, seed=4)
    *_, last = batches.epoch(3)
    order = batches.order(3)
    assert last["y"].tolist() == [*order[20:], *order[:2]]
    masks = [batches.mask(step).tolist() for step in (3, 4, 9)]
    assert masks == [[True] * 5, [True] * 3 + [False] * 2, [True] * 3 + [False] * 2]
    few = Batches(numbers(3), 5)
    assert len(next(few.epoch(0))) == 3
    assert few.mask(0).tolist() == [True] * 3


def test_dropping_the_last_batch():
    assert Batches(numbers(23), 5, last=Last.DROP).per_epoch == 4
    assert Batches(numbers(20), 5, last=Last.DROP).per_epoch == 4
    with pytest.raises(TrainError, match="no full batch of 5 among 3"):
        Batches(numbers(3), 5, last=Last.DROP)
    with pytest.raises(TrainError, match="a batch of 0"):
        Batches(numbers(3), 0)
