"""Contestants must agree before they are timed; what a run finds is kept whole."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measure import Disagreement, agree, measure
from benchmarks.report import Machine, Report, Row, chart, read, table
from benchmarks.roofline import Roofline, roofline
from benchmarks.workload import Contestant, Workload

TOY = Workload("toy", "two numbers", "f64", 1e3, 1e3, 1e-6)


def contestant(name: str, *values: float) -> Contestant:
    return Contestant(name, lambda: values, lambda out: {"value": np.array(out)})


def report() -> Report:
    limits = [Roofline(threads, 1e11 * threads, 5e10 * threads, 3e10) for threads in (2, 1)]
    times = {"dmc": 1.0, "jax": 2.0, "torch": 4.0}
    two = Row("toy", TOY.what, 2, times, times, times, 0.5, 20.0, 40.0)
    alone = dataclasses.replace(two, threads=1, ms={"dmc": 1.5})
    return Report(Machine("a processor", "its features", {"dmc": "0"}), limits, [two, alone])


@pytest.mark.parametrize("wrong", [(1.0, 2.001), (1.0, np.nan)], ids=["far", "nan"])
def test_disagreement_is_caught(wrong: tuple[float, float]) -> None:
    makers = {"dmc": lambda: contestant("dmc", 1.0, 2.0), "jax": lambda: contestant("jax", *wrong)}
    workload = dataclasses.replace(TOY, makers=makers)
    with pytest.raises(Disagreement, match="toy: value of jax differs from dmc"):
        measure(workload, {"jax"}, 1)


def test_rounding_is_not_disagreement() -> None:
    agree(TOY, {"dmc": {"value": np.ones(2)}, "jax": {"value": np.ones(2) + 1e-9}})


def test_who_cannot_be_imported_is_left_out() -> None:
    def missing() -> Contestant:
        raise ImportError

    makers = {"dmc": lambda: contestant("dmc", 1.0), "jax": missing}
    assert measure(dataclasses.replace(TOY, makers=makers), {"jax"}, 1).keys() == {"dmc"}


def test_report_round_trips() -> None:
    assert read(report().json()) == report()


def test_table_names_the_best_peer_and_the_limits() -> None:
    text = table(report())
    assert "2 threads: at most 200 f32 and 100 f64 GFLOP/s, 30 GB/s" in text
    assert "jax 2.000           2.00      0.500    50.0" in text
    assert text.splitlines()[-1].split()[4:6] == ["-", "-"]


def test_chart_is_drawn(tmp_path: Path) -> None:
    chart(report(), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_roofline_is_plausible() -> None:
    """Between a slow phone and a large server."""
    limits = roofline(1)
    assert 1e9 < limits.fma_f64 < 1e13
    assert 1e9 < limits.fma_f32 < 1e13
    assert 1e8 < limits.bandwidth < 1e13
