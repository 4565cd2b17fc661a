"""Compiling ahead of time, and looking at the stages on the way."""

import numpy as np
import pytest

import dmc
from dmc.ir.parser import parse_module
from tests.api.programs import KEY, program

TEXTUAL = ("tensor", "tangent", "adjoint", "optimized", "kernel", "loop")


def test_compiled_functions_take_values_by_position() -> None:
    compiled = program.loss.compile(N=2, D=3)
    p = program.Weights(w=np.ones(3), b=0.0)
    assert compiled(p, np.ones((2, 3)), np.zeros(2)) == 9.0
    assert compiled.parameters == ("p", "x", "y")
    assert repr(compiled) == ("<compiled loss(p: Weights[3], x: f64[2, 3], y: f64[2]) -> f64>")


def test_sizes_of_a_model_that_is_given_are_known() -> None:
    net = program.Net.init(KEY, I=3, H=4)
    x = np.ones((2, 3), np.float32)
    compiled = program.output.compile(net, B=2)
    assert compiled(net, x) == program.output(net, x)
    forward = net.forward.compile(B=2)
    np.testing.assert_array_equal(forward(net, x), net(x))


def test_sizes_of_a_model_that_is_not_there() -> None:
    compiled = program.output.compile(B=2, **{"net.I": 3, "net.H": 4})
    net = program.Net.init(KEY, I=3, H=4)
    x = np.ones((2, 3), np.float32)
    assert compiled(net, x) == program.output(net, x)


def test_gradients_compile_ahead() -> None:
    compiled = dmc.value_and_grad(program.cubes).compile(N=3)
    value, gradient = compiled(np.arange(3.0))
    assert value == 9.0
    assert gradient.tolist() == [0.0, 3.0, 12.0]


@pytest.mark.parametrize("stage", TEXTUAL)
def test_stages_are_text_that_parses(stage: str) -> None:
    text = program.loss.ir(stage, N=2, D=3)
    assert "loss" in text
    parse_module(text)


def test_machine_code() -> None:
    compiled = program.loss.compile(N=2, D=3)
    assert "define" in compiled.ir("llvm")
    assert ".text" in compiled.ir("asm")


def test_generic_syntax() -> None:
    assert '"func.func"' in program.loss.compile(N=2, D=3).ir("tensor", generic=True)


def test_memory() -> None:
    assert "bytes" in str(program.loss.compile(N=2, D=3).memory())


MORE = """
fn dot[F: float, N](x: F[N], y: F[N], k: i64 = 3) -> F = sum(x * y)
fn steps(x: f64, n: i64) -> f64 {
    var a = x
    for i in 0..n { a = sin(a) }
    a
}
"""


def test_element_types_come_from_what_is_given() -> None:
    program = dmc.loads(MORE)
    x = np.ones(3, np.float32)
    for compiled in (
        program.dot.compile(x),
        program.dot.compile(y=x),
        program.dot[np.float32].compile(N=3),
        program.dot[np.float32, 3].compile(),
    ):
        assert compiled(x, 2 * x) == 6.0
        with pytest.raises(dmc.DTypeError):
            compiled(np.ones(3), np.ones(3))
    assert dmc.hvp(program.dot, along=x).compile(x, x)(x, x, x).tolist() == [0, 0, 0]


def test_counts_may_be_given_or_left_for_the_call() -> None:
    gradient = dmc.grad(dmc.loads(MORE).steps)
    for compiled in (gradient.compile(1.0, 2), gradient.compile(1.0), gradient.compile(n=2)):
        want = np.cos(np.sin(0.5)) * np.cos(0.5)
        np.testing.assert_allclose(compiled(0.5, 2), want, rtol=1e-12)
        assert compiled(0.5, 0) == 1.0
