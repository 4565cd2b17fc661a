"""Contestants in processes of their own: timed when they are right, reported when not."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest

from benchmarks.messages import Absent, Message, Ready, Times, Turn, decode, encode
from benchmarks.process import Settings, Worker, environment
from benchmarks.race import race
from benchmarks.workload import Entry, Precision, System, Workload
from benchmarks.workloads import NAMES, load

SMALL = load("small")
TURN = Turn(0.01, fewest=3)
SETTINGS = Settings(1)


def with_tolerance(workload: Workload, system: System, tolerance: float) -> Workload:
    def changed(entry: Entry) -> Entry:
        fits = entry.system is system
        return dataclasses.replace(entry, tolerance=tolerance) if fits else entry

    return dataclasses.replace(workload, entries=tuple(map(changed, workload.entries)))


def test_those_who_agree_are_timed() -> None:
    results = race(SMALL, SETTINGS, {System.DMC, System.NUMPY}, 2, TURN)
    assert results.keys() == {"dmc", "numpy"}
    for result in results.values():
        assert result.absent is None
        assert len(result.seconds) == len(result.processor) >= 6
        assert 0 < result.best <= result.median
        assert result.compile_s is not None
        assert 0 < result.peak_bytes < 1 << 30


def test_who_is_wrong_is_reported_and_not_timed() -> None:
    strict = with_tolerance(SMALL, System.DMC, -1.0)
    results = race(strict, SETTINGS, {System.DMC, System.NUMPY}, 1, TURN)
    assert results["dmc"].absent is not None
    assert results["dmc"].absent.kind == "wrong"
    assert "from numpy" in results["dmc"].absent.why
    assert results["dmc"].seconds == []
    assert results["numpy"].seconds


def test_who_is_missing_or_fails_is_left_out(tmp_path: Path) -> None:
    """An interpreter without packages, one that is none, and one that never answers."""
    (tmp_path / "jax.py").write_text("raise ImportError")
    ended = reply_of("false", tmp_path)
    assert ended.kind == "failed"
    assert "status 1" in ended.why
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    assert reply_of(str(slow), tmp_path, patience=0.2).why == "no answer in 0 s"


def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jax.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    absent = reply_of(sys.executable, tmp_path)
    assert absent == Absent("missing", "jax cannot be imported")


def reply_of(python: str, folder: Path, patience: float = 60.0) -> Absent:
    settings = Settings(1, python, patience)
    worker = Worker(SMALL, SMALL.entry("jax"), settings, folder)
    try:
        reply = worker.reply()
    finally:
        worker.end()
    assert isinstance(reply, Absent)
    return reply


@pytest.mark.parametrize(
    "message", [Turn(0.5), Ready(1.5), Times([0.1], [0.2], 3), Absent("refused", "a.code")]
)
def test_messages_are_lines(message: Message) -> None:
    line = encode(message)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert decode(line) == message


def test_workers_know_how_many_threads_they_have(tmp_path: Path) -> None:
    for threads in (1, 2):
        variables = environment(Settings(threads), Precision.F64, tmp_path)
        assert variables["OMP_NUM_THREADS"] == variables["DMC_NUM_THREADS"] == str(threads)
        assert ("intra_op_parallelism_threads=1" in variables.get("XLA_FLAGS", "")) == (
            threads == 1
        )
        assert variables["JAX_ENABLE_X64"] == "1"


@pytest.mark.parametrize("name", NAMES)
def test_a_workload_is_whole(name: str) -> None:
    """Names are told apart, inputs are those of its precision and the same each time."""
    workload = load(name)
    names = [entry.name for entry in workload.entries]
    assert len(set(names)) == len(names)
    assert names[0] == "dmc"
    once, again = workload.inputs(), workload.inputs()
    floats = {"f32": "float32", "f64": "float64"}[workload.precision.value]
    for first, second in ((once.params, again.params), (once.data, again.data)):
        for key, array in first.items():
            assert array.dtype.name in (floats, "int32"), key
            assert (array == second[key]).all()
    assert all(array.dtype.name == floats for array in once.params.values())
    assert min(workload.flops, workload.bytes) > 0
