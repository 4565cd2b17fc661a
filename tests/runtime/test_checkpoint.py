"""Checkpoints: exact round trips, refusal of bad files with the reason, and atomic replacement."""

import errno
import json
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from dmc_runtime import checkpoint, files
from dmc_runtime.checkpoint import read, restore, save
from dmc_runtime.errors import CheckpointCode, CheckpointError, MissingExtraError
from dmc_runtime.records import Field, Record, Role, make_record, stack, stack_of

Linear = make_record("Linear", ["w", "b"], sizes=["I", "O"])
Net = make_record(
    "Net",
    [Field("l1", record=Linear), Field("tower", record=Linear), Field("seen", Role.STATE)],
    sizes=["D"],
    hyper=["rate"],
)


def linear(seed: int) -> Record:
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(3, 4)).astype(np.float32)
    return Linear(w=w, b=np.array([0.0, -0.0, np.inf, np.nan], np.float32), I=3, O=4)


def network() -> Record:
    return Net(l1=linear(1), tower=stack([linear(2), linear(3)]), seen=np.asarray(7), D=3, rate=0.5)


def code_of(action) -> str:
    with pytest.raises(CheckpointError) as caught:
        action()
    return caught.value.code


def same_bits(a, b) -> bool:
    left, right = (dict(record.items()) for record in (a, b))
    return left.keys() == right.keys() and all(
        np.asarray(left[k]).tobytes() == np.asarray(right[k]).tobytes() for k in left
    )


def test_round_trip_by_class(tmp_path):
    path = tmp_path / "net.safetensors"
    net = network()
    save(net, path)
    back = restore(path, Net)
    assert same_bits(back, net)
    assert repr(back) == repr(net)
    assert (back.D, back.rate, back.l1.O, stack_of(back.tower)) == (3, 0.5, 4, (2,))
    gradient = net.params
    save(gradient, path)
    assert restore(path, Net).seen is None


def test_round_trip_by_example(tmp_path):
    path = tmp_path / "state.safetensors"
    tree = {
        "net": network(),
        "opt": (np.arange(4.0), np.zeros((0, 3)), [True, 3, np.float32(2.5), None]),
        "two words": np.asarray(5, np.int32),
    }
    save(tree, path, {"step": 12, "config": {"lr": 1e-3, "name": "résumé"}})
    back = restore(path, tree)
    assert same_bits(back["net"], tree["net"])
    assert back["opt"][2] == [True, 3, np.float32(2.5), None]
    assert isinstance(back["opt"][2][2], np.generic)
    assert back["opt"][1].shape == (0, 3)
    assert back["two words"] == 5
    assert read(path).metadata == {"step": 12, "config": {"lr": 1e-3, "name": "résumé"}}
    assert same_bits(restore(path, Net, part="net"), tree["net"])
    assert restore(path, tree["opt"], part="opt")[0].tolist() == [0, 1, 2, 3]


def test_a_bare_array_and_awkward_layouts(tmp_path):
    path = tmp_path / "a.safetensors"
    array = np.arange(12.0).reshape(3, 4)
    for odd in (array.T, array[:, ::2], array.astype(">f8"), array[1:, 1:]):
        save(odd, path)
        assert np.array_equal(restore(path, np.zeros(odd.shape)), odd)
    with pytest.raises(TypeError, match="no array of numbers"):
        save({"a": np.array(["x"])}, path)
    with pytest.raises(ValueError, match="JSON"):
        save(array, path, {"loss": float("nan")})


def test_the_file_is_plain_safetensors(tmp_path):
    path = tmp_path / "net.safetensors"
    save(network(), path)
    arrays = safetensors.numpy.load_file(path)
    assert sorted(arrays) == ["l1.b", "l1.w", "seen", "tower.b", "tower.w"]


def test_a_different_structure_is_a_mismatch(tmp_path):
    path = tmp_path / "net.safetensors"
    net = network()
    save(net, path)
    wider = net.l1.replace(w=np.zeros((3, 5), np.float32))
    for like, message in [
        (Linear, r"holds Net\[D = 3, rate = 0.5\], not a Linear"),
        (make_record("Net", ["l1", "seen"]), "Net has the fields l1, tower, seen there"),
        (make_record("Net", ["l1", "tower", "seen"]), "`l1` needs a value to restore like"),
        (net.replace(D=4), r"the record is Net\[D = 3, .*\], expected Net\[D = 4, .*\]"),
        (net.replace(l1=wider), r"`l1.w` is f32\[3, 4\] there, expected f32\[3, 5\]"),
        (net.replace(seen=np.asarray(7.0)), "`seen` is i64.* there, expected f64"),
        (net.replace(seen=None), "also holds `seen`"),
        (net.replace(seen=(np.asarray(7),)), r"has no `seen\[0\]`"),
        (np.zeros(3), "has no `value`"),
    ]:
        with pytest.raises(CheckpointError, match=message) as caught:
            restore(path, like)
        assert caught.value.code is CheckpointCode.MISMATCH
        assert str(path) in str(caught.value)


def test_files_that_are_no_checkpoints(tmp_path):
    path = tmp_path / "x.safetensors"
    assert code_of(lambda: read(path)) is CheckpointCode.MISSING
    assert code_of(lambda: read(tmp_path)) is CheckpointCode.UNREADABLE
    path.write_bytes(b"")
    assert code_of(lambda: read(path)) is CheckpointCode.TRUNCATED
    foreign = [
        b"abc",
        b"PK\x03\x04" + bytes(100),
        os.urandom(7),
        b"\x80\x04\x95" + bytes(60),
        (10).to_bytes(8, "little") + b"{not json}" + bytes(9),
        (13).to_bytes(8, "little") + b'{"a": [1, 2]}',
        (2).to_bytes(8, "little") + b"{}",
        safetensors.numpy.save({"w": np.zeros(3)}),
        safetensors.numpy.save({"w": np.zeros(3)}, metadata={"format": "pt"}),
    ]
    for data in foreign:
        path.write_bytes(data)
        assert code_of(lambda: read(path)) is CheckpointCode.FOREIGN, data[:20]


def test_every_truncation_is_found(tmp_path):
    path = tmp_path / "x.safetensors"
    save(linear(0), path)
    data = path.read_bytes()
    for size in range(9, len(data), 7):
        path.write_bytes(data[:size])
        assert code_of(lambda: read(path)) is CheckpointCode.TRUNCATED
    path.write_bytes(data + b"more")
    assert code_of(lambda: read(path)) is CheckpointCode.DAMAGED


def test_every_flipped_byte_is_found(tmp_path):
    path = tmp_path / "x.safetensors"
    save(linear(0), path, {"step": 3})
    data = path.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(CheckpointError):
            read(path)


def test_a_newer_format_and_odd_metadata(tmp_path):
    path = tmp_path / "x.safetensors"

    def forge(content) -> str:
        text = json.dumps(content)
        digest = checkpoint._digest(text, {})
        path.write_bytes(safetensors.numpy.save({}, {"dmc": text, "dmc.sha256": digest}))
        return code_of(lambda: read(path))

    assert forge({"version": 2}) is CheckpointCode.VERSION
    for content in ([], {}, {"version": "x"}, {"version": 1, "records": {"a": {}}}):
        assert forge(content) is CheckpointCode.DAMAGED
    assert forge({"version": 1, "records": 3, "metadata": {}}) is CheckpointCode.DAMAGED
    assert forge({"version": math.inf}) is CheckpointCode.DAMAGED
    deep = "[" * 100_000
    digest = checkpoint._digest(deep, {})
    path.write_bytes(safetensors.numpy.save({}, {"dmc": deep, "dmc.sha256": digest}))
    assert code_of(lambda: read(path)) is CheckpointCode.DAMAGED


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch, failing):
    path = tmp_path / "net.safetensors"
    save(linear(1), path)
    before = path.read_bytes()

    def refuse(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, refuse)
    with pytest.raises(CheckpointError, match="disk is full") as caught:
        save(linear(2), path)
    assert caught.value.code is CheckpointCode.FULL
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_file_size_limit_leaves_the_old_checkpoint(tmp_path):
    program = textwrap.dedent(
        """
        import resource, sys
        import numpy as np
        from dmc_runtime.checkpoint import save
        from dmc_runtime.errors import CheckpointError
        save(np.zeros(10), sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            save(np.ones(10_000), sys.argv[1])
        except CheckpointError as error:
            print(error.code)
        """
    )
    path = tmp_path / "a.safetensors"
    out = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert out.stdout == "checkpoint.full\n"
    assert not restore(path, np.ones(10)).any()
    assert os.listdir(tmp_path) == [path.name]


def test_what_a_killed_process_left_is_written_over(tmp_path):
    path = tmp_path / "a.safetensors"
    left = tmp_path / ".a.safetensors.unfinished"
    left.write_bytes(b"half" * 10_000)
    save(np.ones(3), path)
    assert restore(path, np.zeros(3)).all()
    assert os.listdir(tmp_path) == [path.name]
    left.write_bytes(b"half")
    files.discard_unfinished(path)
    assert os.listdir(tmp_path) == [path.name]


def test_no_link_is_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / ".a.unfinished").symlink_to(precious)
    assert code_of(lambda: save(np.ones(3), tmp_path / "a")) is CheckpointCode.UNWRITABLE
    assert precious.read_text() == "mine"


def test_several_processes_save_to_one_file(tmp_path):
    program = textwrap.dedent(
        """
        import sys
        import numpy as np
        from dmc_runtime.checkpoint import save
        for _ in range(20):
            save(np.full(20_000, float(sys.argv[2])), sys.argv[1])
        """
    )
    path = tmp_path / "a.safetensors"
    command = [sys.executable, "-c", program, str(path)]
    processes = [subprocess.Popen([*command, str(n)]) for n in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert len(set(restore(path, np.zeros(20_000)))) == 1
    assert os.listdir(tmp_path) == [path.name]


def test_unwritable_places(tmp_path):
    for path in (tmp_path / "no" / "x", tmp_path / "file" / "x"):
        (tmp_path / "file").write_text("")
        assert code_of(lambda path=path: save(linear(0), path)) is CheckpointCode.UNWRITABLE


def test_permissions_survive(tmp_path):
    path = tmp_path / "net.safetensors"
    save(linear(1), path)
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    path.chmod(0o640)
    save(linear(2), path)
    assert path.stat().st_mode & 0o777 == 0o640


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_without_safetensors_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(MissingExtraError, match=r'pip install "dmc\[train\]"'):
        save(linear(1), Path(tmp_path) / "x")
