"""What the machine does in a second: measured once and kept; programs are known by it."""

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
from dmc.process import VERIFY_EACH


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
    assert all(math.log2(number).is_integer() for number in astuple(found))
    monkeypatch.setattr(rates, "measured", lambda engine: pytest.fail("measured again"))
    assert rates.rates_of(engine) == found
    monkeypatch.setattr(rates, "_known", {})
    assert rates.rates_of(engine) == found
    foreign = "aarch64" if host().is_x86 else "x86-64-v3"
    assert rates.rates_of(Engine(named(foreign))) == USUAL


def test_programs_are_known_by_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VERIFY_EACH, raising=False)
    monkeypatch.setenv("DMC_CACHE_DIR", str(tmp_path))
    program = tmp_path / "p.dm"
    program.write_text("fn f(x: f64) -> f64 = sin(x)\n")
    kept: list[int] = []
    for text in (USUAL.text, USUAL.text, Rates(cache=1 << 20).text):
        monkeypatch.setenv(rates.RATES_VARIABLE, text)
        dmc.load(program).f(0.5)
        kept.append(sum(1 for _ in tmp_path.glob("*/*.o")))
    assert kept[0] == kept[1] < kept[2]
    monkeypatch.setenv(rates.RATES_VARIABLE, "fast")
    with pytest.raises(dmc.UnsupportedError, match="seven numbers"):
        dmc.load(program).f(0.5)
