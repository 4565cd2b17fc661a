"""What a run finds is kept whole, and tells who is faster than whom."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks import gemm
from benchmarks.chart import chart
from benchmarks.floors import floor_ms
from benchmarks.messages import Absent
from benchmarks.race import Result
from benchmarks.report import Row, from_json, limits_text, row, table, to_json
from benchmarks.roofline import Measured, Roofline, roofline
from benchmarks.workload import (
    COMPILERS,
    Contestant,
    Entry,
    Goal,
    Inputs,
    Precision,
    System,
    Workload,
)
from dmc.jit.engine import default_engine

LIMITS = Roofline(2, fma_f32=2e11, fma_f64=1e11, bandwidth=3e10)
UNUSED = Contestant(lambda: None, lambda _: {})
ENTRIES = tuple(Entry(system, lambda _: UNUSED) for system in System)
TOY = Workload(
    "toy", "two numbers", Precision.F64, 1e8, 3e6, lambda: Inputs({}), ENTRIES, Goal(1.5, COMPILERS)
)


def rows() -> list[Row]:
    results = {
        "dmc": Result(0.5, [2e-3, 1e-3, 3e-3], [4e-3, 1e-3, 3e-3], 1_000_000, predicted_s=4e-4),
        "jax": Result(1.0, [2e-3], [4e-3], 2_000_000),
        "numba": Result(2.0, [1.7e-3], [1.7e-3], 3_000_000),
        "numpy": Result(0.1, absent=Absent("wrong", "w differs by 1.0e-01 from jax")),
        "torch": Result(absent=Absent("missing", "torch cannot be imported")),
    }
    two = row(TOY, LIMITS, "a processor", results)
    one = row(TOY, dataclasses.replace(LIMITS, threads=1), "a processor", {"dmc": results["dmc"]})
    refused = {"dmc": Result(absent=Absent("refused", "feature.unsupported"))}
    return [one, two, row(TOY, LIMITS, "a processor", refused)]


def test_a_row_has_the_figures_of_those_who_were_timed() -> None:
    _, found, _ = rows()
    assert found.ms == pytest.approx({"dmc": 1.0, "jax": 2.0, "numba": 1.7})
    assert found.median_ms["dmc"] == pytest.approx(2.0)
    assert found.cpu_ms["dmc"] == pytest.approx(1.0)
    assert found.compile_s == {"dmc": 0.5, "jax": 1.0, "numba": 2.0, "numpy": 0.1}
    assert found.peak_bytes == {"dmc": 1_000_000, "jax": 2_000_000, "numba": 3_000_000}
    assert found.best_peer == "numba"
    assert found.ratio("jax") == pytest.approx(2.0)
    assert found.ratio("numpy") is None
    assert found.rival == "jax"
    assert found.predicted_share == pytest.approx(0.4)


@pytest.mark.parametrize(("flops", "bytes_", "ms"), [(1e8, 3e6, 1.0), (1e8, 6e7, 2.0)])
def test_the_floor_is_what_takes_longer(flops: float, bytes_: float, ms: float) -> None:
    workload = dataclasses.replace(TOY, flops=flops, bytes=bytes_)
    assert floor_ms(workload, LIMITS) == pytest.approx(ms)


def test_the_floor_knows_the_precision() -> None:
    single = dataclasses.replace(TOY, precision=Precision.F32)
    assert floor_ms(single, LIMITS) == pytest.approx(0.5)


def test_json_round_trips() -> None:
    assert from_json(to_json(rows())) == rows()
    measured = Measured("a processor, AVX2", LIMITS)
    assert Measured.from_json(measured.to_json()) == measured


def test_the_table_says_it_all() -> None:
    lines = table(rows()).splitlines()
    summary = lines[2].split()
    assert summary[:6] == ["toy", "2", "1", "numba", "1.7", "1.70"]
    assert "1.5 (jax 2.00)" in lines[2]
    assert lines[1].split()[3] == "-"
    assert "refused: feature.unsupported" in lines[3]
    assert "geometric mean of 1 ratios 1.70, 0 below 1" in lines
    assert "left out, missing: torch cannot be imported" in lines
    assert "toy, 2 threads: numpy wrong: w differs by 1.0e-01 from jax" in lines


def test_columns_are_aligned() -> None:
    header, *body = table(rows()).splitlines()[:4]
    end = header.index("ratio") + len("ratio")
    assert body[1][:end].endswith(" 1.70")


def test_the_limits_are_named() -> None:
    assert limits_text(LIMITS) == "2 threads: at most 200 f32 and 100 f64 GFLOP/s, 30 GB/s copied"


def test_chart_is_drawn(tmp_path: Path) -> None:
    chart(rows(), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_roofline_is_plausible() -> None:
    """Between a slow phone and a large server."""
    limits = roofline(1)
    assert 1e9 < limits.fma_f64 < 1e13
    assert 1e9 < limits.fma_f32 < 1e13
    assert 1e8 < limits.bandwidth < 1e13


def test_contractions_are_measured() -> None:
    """A small one, whose result is held against NumPy's."""
    engine = default_engine()
    for case in (gemm.Case(16, 24, 32), gemm.Case(16, 24, 32, a="km", epilogue=True)):
        assert gemm.measure(engine, case, repeat=1) > 0
