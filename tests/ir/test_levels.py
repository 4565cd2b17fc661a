"""What the compiler prints at every level reads back to the same text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

import pytest

import dmc
from dmc.driver import Compilation, Stage
from dmc.ir import verify
from dmc.ir.parser import parse_module
from dmc.ir.printer import print_module
from tests.ir.test_mlir_oracle import accept

PROGRAM = """
func.func @f(%x: tensor<8x4xf64>, %w: tensor<4x3xf64>, %n: tensor<i64>) -> (tensor<f64>, tensor<4x3xf64>) {
  %one = arith.constant dense<1.0> : tensor<f64>
  %loss, %w_bar = autodiff.vjp %x, %w, %n, %one {callee = @loss, of = [0], wrt = [1]} : (tensor<8x4xf64>, tensor<4x3xf64>, tensor<i64>, tensor<f64>) -> (tensor<f64>, tensor<4x3xf64>)
  func.return %loss, %w_bar : (tensor<f64>, tensor<4x3xf64>) -> ()
}

func.func @loss(%x: tensor<8x4xf64>, %w: tensor<4x3xf64>, %n: tensor<i64>) -> tensor<f64> {visibility = "private"} {
  %h = tensor.dot_general %x, %w {lhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_batching_dimensions = [], rhs_contracting_dimensions = [0]} : (tensor<8x4xf64>, tensor<4x3xf64>) -> tensor<8x3xf64>
  %t = math.tanh %h : tensor<8x3xf64>
  %s = tensor.reduce %t {dimensions = [0, 1], kind = "sum"} : (tensor<8x3xf64>) -> tensor<f64>
  %c = arith.constant dense<5> : tensor<i64>
  %r = control.for %c, %s {carried = 1, trip_count = 5} : (tensor<i64>, tensor<f64>) -> tensor<f64> (%i: tensor<i64>, %a: tensor<f64>) {
    %b = math.sin %a : tensor<f64>
    control.yield %b : tensor<f64>
  }
  func.return %r : tensor<f64>
}
"""  # noqa: E501

STAGES = [stage for stage in Stage if stage not in (Stage.LLVM, Stage.ASM)]
PROGRAMS = Path(__file__).parent.parent.parent / "benchmarks" / "programs"


class Dump(Protocol):
    """Gives the text of a program at a stage."""

    def __call__(self, stage: Stage, *, generic: bool) -> str: ...


def of_textual_ir() -> Dump:
    module = parse_module(PROGRAM)
    verify(module)
    return Compilation(module, "f").ir


def of_gmm() -> Dump:
    """A Gaussian mixture and its gradient."""
    function = dmc.value_and_grad(dmc.load(PROGRAMS / "gmm.dm").log_posterior)
    return of_compiled(function.compile(K=3, D=2, N=10))


def of_ode() -> Dump:
    """Runge-Kutta steps in nested loops, and the gradient through them."""
    function = dmc.value_and_grad(dmc.load(PROGRAMS / "ode.dm").misfit, wrt="th")
    return of_compiled(function.compile(E=3))


def of_training_step() -> Dump:
    """Loss, backward pass and optimizer."""
    step = dmc.load(PROGRAMS / "mlp.dm").step
    return of_compiled(step.compile(B=8, **{"net.I": 6, "net.H": 5, "net.O": 3}))


def of_compiled(compiled: dmc.Compiled) -> Dump:
    return lambda stage, *, generic: compiled.ir(stage.value, generic=generic)


@pytest.fixture(
    scope="module",
    params=[of_textual_ir, of_gmm, of_ode, of_training_step],
    ids=lambda f: f.__name__,
)
def dump(request: pytest.FixtureRequest) -> Dump:
    return request.param()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.value)
@pytest.mark.parametrize("generic", [False, True], ids=["pretty", "generic"])
def test_every_level_round_trips(dump: Dump, stage: Stage, generic: bool) -> None:
    text = dump(stage, generic=generic)
    again = parse_module(text)
    assert print_module(again, generic=generic) == without_comments(text)
    verify(again)


def without_comments(text: str) -> str:
    """What an adjoint says of itself is for people, and is not read."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("//")]
    return "\n".join(re.sub(r" +//.*$", "", line) for line in lines) + "\n"


@pytest.mark.oracle
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.value)
def test_mlir_accepts_every_level(dump: Dump, stage: Stage) -> None:
    accept(dump(stage, generic=True))
