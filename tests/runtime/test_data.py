"""Data: reading, refusing, splitting, and batches that depend on seed and epoch only."""

import itertools
import zipfile

import numpy as np
import pytest

from dmc_runtime.data import Batches, Stream, Table, class_weights, load, split, table
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.prefetch import prefetched
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
    np.savez_compressed(tmp_path / "packed.npz", x=np.arange(99.0))
    packed = bytearray((tmp_path / "packed.npz").read_bytes())
    packed[60:90] = bytes(30)
    (tmp_path / "packed.npz").write_bytes(packed)
    with zipfile.ZipFile(tmp_path / "vast.npz", "w") as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }"
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    (tmp_path / "word.csv").write_text("a,b\n1,2\n3,x\n")
    (tmp_path / "latin.csv").write_bytes("a\né\n".encode("latin-1"))
    (tmp_path / "twice.csv").write_text("a,b,a\n1,2,3\n")
    (tmp_path / "dir.csv").mkdir()
    for name, message in {
        "none.npz": "cannot read .*no such file",
        "dir.csv": r"holds no \.npy files",
        "a.parquet": r"is no folder and none of .npz, .npy, .csv, .safetensors",
        "cut.npz": "no archive of plain arrays",
        "text.npz": "no archive of plain arrays",
        "packed.npz": "no archive of plain arrays",
        "vast.npz": "needs more memory than there is",
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
    masks = [batches.mask(step, 5).tolist() for step in (3, 4, 9)]
    assert masks == [[True] * 5, [True] * 3 + [False] * 2, [True] * 3 + [False] * 2]
    few = Batches(numbers(3), 5)
    assert len(next(few.epoch(0))) == 3
    assert few.mask(0, 3).tolist() == [True] * 3


def test_dropping_the_last_batch():
    assert Batches(numbers(23), 5, last=Last.DROP).per_epoch == 4
    assert Batches(numbers(20), 5, last=Last.DROP).per_epoch == 4
    with pytest.raises(TrainError, match="no full batch of 5 among 3"):
        Batches(numbers(3), 5, last=Last.DROP)
    with pytest.raises(TrainError, match="a batch of 0"):
        Batches(numbers(3), 0)


def test_folders_of_arrays_stay_on_the_disk(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
    np.save(tmp_path / "y.npy", np.arange(10))
    data = load(tmp_path, {"y": np.int32})
    assert isinstance(data["x"], np.memmap)
    rest, held_out = split(data, 0.3, seed=0)
    assert (len(rest), len(held_out)) == (7, 3)
    assert sorted([*rest["y"], *held_out["y"]]) == list(range(10))
    assert rest.columns["x"] is data.columns["x"]
    batch = next(Batches(rest, 4).epoch(0))
    assert type(batch["x"]) is np.ndarray
    assert np.array_equal(batch["x"][:, 0], 2 * batch["y"])
    points = np.array([(1, 2.0), (3, 4.0)], [("n", np.int32), ("v", np.float64)])
    np.save(tmp_path / "points.npy", points)
    assert load(tmp_path / "points.npy")["v"].tolist() == [2.0, 4.0]
    (tmp_path / "none").mkdir()
    with pytest.raises(TrainError, match=r"holds no \.npy files"):
        load(tmp_path / "none")
    for header in (
        b"{'descr': [(",
        b'{"""',
        b"{'descr': 'b1', 'fortran_order': False, 'shape': (9223372036854775808,)}",
    ):
        whole = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        (tmp_path / "z.npy").write_bytes(whole)
        with pytest.raises(TrainError, match="is no plain array"):
            load(tmp_path / "z.npy")
    (tmp_path / "y.npy").write_bytes(b"no array")
    with pytest.raises(TrainError, match="is no plain array"):
        load(tmp_path / "y.npy")


def test_safetensors_of_any_origin(tmp_path):
    from safetensors.numpy import save_file

    save_file({"x": np.eye(3), "y": np.arange(3)}, tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors", {"x": np.float32})["x"].dtype == np.float32
    (tmp_path / "a.safetensors").write_bytes(b"none")
    with pytest.raises(TrainError, match="is no safetensors file"):
        load(tmp_path / "a.safetensors")


def test_streams_go_round_and_go_on_at_any_step():
    batches = [{"y": np.arange(n)} for n in range(1, 4)]
    stream = Stream.of(batches, 0)
    assert stream.per_epoch == 3
    sizes = [len(batch) for batch in itertools.islice(stream.stream(4), 4)]
    assert sizes == [2, 3, 1, 2]
    once = Stream.of(iter(batches), 2)
    with pytest.raises(TrainError, match="ended after 3, before the run did"):
        list(once.stream())
    with pytest.raises(TrainError, match=r"`data\.epoch`"):
        Stream.of(iter(batches), 0)


def test_batches_are_made_ahead_in_order():
    made = []

    def items():
        for n in range(100):
            made.append(n)
            if n == 60:
                raise OSError("no more")
            yield n

    with prefetched(items(), 3) as ahead:
        assert [next(ahead) for _ in range(10)] == list(range(10))
    assert 10 <= len(made) <= 15  # the thread has ended
    with prefetched(items(), 2) as ahead, pytest.raises(OSError, match="no more"):
        list(ahead)
    with prefetched(iter("ab"), 0) as plain:
        assert list(plain) == ["a", "b"]


def test_weights_of_classes_are_the_inverse_of_their_share():
    weights = class_weights(np.array([0, 0, 0, 1]))
    assert weights.tolist() == [4 / 6, 2.0]
    with pytest.raises(TrainError, match="no example of class 1"):
        class_weights(np.array([0, 2]))
