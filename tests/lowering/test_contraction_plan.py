"""Which operands of a product are packed, and how its result is divided, by what that costs."""

from __future__ import annotations

import pytest

import dmc
from benchmarks.gemm import Case, program
from dmc.ir import Module
from dmc.jit.target import named
from dmc.lowering.schedules import contraction
from dmc.lowering.schedules.contraction_plan import Plan
from dmc.lowering.to_loops import lower_to_loops


def plan(monkeypatch: pytest.MonkeyPatch, case: Case, cpu: str = "x86-64-v4") -> Plan:
    """The plan of a product, for a processor with or without AVX-512."""
    return plan_in(monkeypatch, program(case)[0], "main", cpu)


def plan_in(
    monkeypatch: pytest.MonkeyPatch, module: Module, entry: str, cpu: str = "x86-64-v4"
) -> Plan:
    """The plan of the only product in a function."""
    made: list[Plan] = []
    make_plan = contraction.make_plan
    with monkeypatch.context() as patch:
        patch.setattr(contraction, "make_plan", lambda *a: made.append(make_plan(*a)) or made[0])
        lower_to_loops(module, entry, named(cpu).machine)
    (found,) = made
    return found


def test_what_lies_as_a_panel_does_is_read_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not plan(monkeypatch, Case(128, 64, 2048)).pack_right
    assert plan(monkeypatch, Case(128, 80, 256)).pack_right
    assert plan(monkeypatch, Case(128, 64, 256), "x86-64-v3").pack_right
    assert not plan(monkeypatch, Case(128, 16, 2048), "x86-64-v3").pack_right


def test_sums_over_several_dimensions_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are one loop then, though the weights of a convolution lie as a panel does."""
    text = """
fn f[B, H, W, C, O](x: f32[B, H, W, C], w: f32[3, 3, C, O]) -> f32[B, H - 2, W - 2, O] =
    [b, i in 0..H - 2, j in 0..W - 2, o] => sum[r, s, c](x[b, i + r, j + s, c] * w[r, s, c, o])
"""
    sizes = {"B": 2, "H": 34, "W": 34, "C": 16, "O": 64}
    compilation = dmc.loads(text).f.specialize(**sizes).compilation
    assert plan_in(monkeypatch, compilation.kernels, compilation.entry).pack_right


def test_few_rows_do_not_repay_a_copy_of_what_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not plan(monkeypatch, Case(32, 256, 1024)).pack_right
    assert plan(monkeypatch, Case(512, 256, 1024)).pack_right
    assert plan(monkeypatch, Case(32, 256, 256)).pack_right


def test_columns_across_many_pages_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The left operand of a weight gradient: two panels repay it where each row has a page."""
    assert plan(monkeypatch, Case(1024, 128, 512, a="km")).pack_left
    assert not plan(monkeypatch, Case(1024, 64, 512, a="km")).pack_left
    assert not plan(monkeypatch, Case(128, 128, 512, a="km")).pack_left


def test_a_narrow_last_tile_costs_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five tiles of six rows and one of two beat eight of four; two of four beat six and two."""
    assert plan(monkeypatch, Case(32, 1024, 256)).tile.rows == 6
    assert plan(monkeypatch, Case(8, 1024, 256)).tile.rows == 4


def test_tasks_do_not_all_pack_the_larger_operand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes panels of its own, and all rows."""
    found = plan(monkeypatch, Case(256, 1024, 512, a="km"))
    assert found.pack_right
    assert found.rows >= 256
    assert found.panels == 4
