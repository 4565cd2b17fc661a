"""What the machine does in a second: measured once and kept."""

from __future__ import annotations

import math
from dataclasses import astuple
from pathlib import Path

import pytest

import dmc
from dmc.ir import USUAL, Cost, Rates
from dmc.jit import rates
from dmc.jit.cache import ObjectCache
from dmc.jit.engine import Engine
from dmc.jit.target import host, named


def test_rates_are_text() -> None:
    assert Rates.of(USUAL.text) == USUAL
    for text in ("", "1 2 3", "1 2 3 4 5 6 0", "1 2 3 4 5 6 x"):
        with pytest.raises(ValueError, match=r"are no rates|could not convert"):
            Rates.of(text)


def test_what_takes_how_long() -> None:
    machine = Rates(8e9, 4e9, 2e9, 1e9, 16e9, 4e9, 1000)
    work = Cost(flops=800, bytes=0)
    times = [machine.seconds(work, wide=w, product=p) for p in (True, False) for w in (False, True)]
    assert times == pytest.approx([1e-7, 2e-7, 4e-7, 8e-7])
    moved = [machine.seconds(Cost(bytes=n), wide=False, product=False) for n in (1000, 2000)]
    assert moved == pytest.approx([1000 / 16e9, 2000 / 4e9])


def test_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(rates.RATES_VARIABLE)
    monkeypatch.setattr(rates, "_known", {})
    engine = Engine(host(), ObjectCache(tmp_path))
    found = rates.rates_of(engine)
    assert all(math.log2(number).is_integer() for number in astuple(found)[:-1])
    monkeypatch.setattr(rates, "measured", lambda engine: pytest.fail("measured again"))
    assert rates.rates_of(engine) == found
    monkeypatch.setattr(rates, "_known", {})
    assert rates.rates_of(engine) == found
    foreign = "aarch64" if host().is_x86 else "x86-64-v3"
    assert rates.rates_of(Engine(named(foreign))) == USUAL


def test_the_cache_is_as_large_as_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "CACHES", tmp_path)
    assert rates.cache_bytes(77) == 77
    caches = [("1", "Data", "48K"), ("2", "Instruction", "9K"), ("2", "Unified", "2048K")]
    for number, parts in enumerate(caches):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        for name, text in zip(("level", "type", "size"), parts, strict=True):
            (folder / name).write_text(text + "\n")
    assert rates.cache_bytes(77) == 2 << 20
    (tmp_path / "index2" / "size").write_text("much\n")
    assert rates.cache_bytes(77) == 77


def test_other_text_than_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rates.RATES_VARIABLE, "fast")
    program = dmc.loads("fn f(x: f64) -> f64 = sin(x)\n")
    with pytest.raises(dmc.UnsupportedError, match="seven numbers"):
        dmc.grad(program.f, budget="1MB")(0.5)
