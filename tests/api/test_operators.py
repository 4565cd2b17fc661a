"""Differentiation operators from Python: what they give, and that they nest."""

import numpy as np
import pytest

import dmc
from dmc.dialects import autodiff
from tests.api.programs import KEY, program

x = np.array([0.5, -1.0, 2.0])


def test_grad_and_value() -> None:
    np.testing.assert_allclose(dmc.grad(program.cubes)(x), 3 * x**2)
    value, gradient = dmc.value_and_grad(program.cubes)(x)
    np.testing.assert_allclose(value, np.sum(x**3))
    np.testing.assert_allclose(gradient, 3 * x**2)


def test_operators_nest() -> None:
    np.testing.assert_allclose(dmc.grad(dmc.grad(program.product))(3.0, 2.0), 4.0)
    third = dmc.grad(dmc.grad(dmc.grad(program.fourth)))
    np.testing.assert_allclose(third(2.0), 48.0)
    v = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(dmc.hvp(program.cubes, along=v)(x), 6 * x * v)
    gradient, change = dmc.jvp(dmc.grad(program.cubes), along=v)(x)
    np.testing.assert_allclose(gradient, 3 * x**2)
    np.testing.assert_allclose(change, 6 * x * v)
    np.testing.assert_allclose(dmc.jacobian(dmc.grad(program.cubes))(x), np.diag(6 * x))
    np.testing.assert_allclose(dmc.hessian(program.cubes)(x), np.diag(6 * x))
    np.testing.assert_allclose(dmc.jacobian(program.squares)(x), np.diag(2 * x))


def test_wrt_by_name() -> None:
    assert dmc.grad(program.product, wrt="y")(3.0, 2.0) == 9.0
    assert dmc.grad(program.product, wrt=("y", "x"))(3.0, 2.0) == (9.0, 12.0)
    assert dmc.grad(program.product, wrt=("y",))(3.0, 2.0) == (9.0,)
    assert dmc.hvp(program.product, wrt=("x", "y"), along=(1.0, 0.0))(3.0, 2.0) == (4.0, 6.0)
    assert dmc.jvp(program.product, wrt="y", along=2.0)(3.0, 2.0) == (18.0, 18.0)
    assert dmc.jvp(program.product, wrt=("x", "y"), along=(1.0, 1.0))(3.0, 2.0) == (18.0, 21.0)


def test_wrt_by_path() -> None:
    p = program.Weights(w=x, b=1.0)
    a, y = np.arange(6.0).reshape(2, 3), np.zeros(2)
    whole = dmc.grad(program.loss)(p, a, y)
    np.testing.assert_array_equal(dmc.grad(program.loss, wrt="p.w")(p, a, y), whole.w)
    w, inputs = dmc.grad(program.loss, wrt=("p.w", "x"))(p, a, y)
    np.testing.assert_array_equal(w, whole.w)
    np.testing.assert_allclose(inputs, np.outer(a @ x + 1.0, x))


def test_what_rides_along() -> None:
    gradient, rest = dmc.grad(program.with_extras)(x)
    np.testing.assert_allclose(gradient, 2 * x)
    assert rest == (2.0, 3)
    value, gradient = dmc.value_and_grad(program.with_extras)(x)
    assert value == (5.25, 2.0, 3)
    value, change = dmc.jvp(program.with_extras, along=np.ones(3))(x)
    assert value == (5.25, 2.0, 3)
    assert change == 3.0
    value, pull = dmc.vjp(program.with_extras)(x)
    assert value == (5.25, 2.0, 3)
    np.testing.assert_allclose(pull(1.0), 2 * x)


def test_what_rides_along_with_a_jacobian() -> None:
    mod = dmc.loads("fn f[N](x: f64[N]) -> (f64[N], f64) = (x * x, sum(x))")
    rows, rest = dmc.jacobian(mod.f)(x)
    np.testing.assert_allclose(rows, np.diag(2 * x))
    assert rest == 1.5


def test_pulling_back_twice() -> None:
    y, pull = dmc.vjp(program.squares)(x)
    np.testing.assert_allclose(y, x**2)
    for cotangent in (np.ones(3), np.arange(3.0)):
        np.testing.assert_allclose(pull(cotangent), 2 * x * cotangent)


def test_a_model_moves_along_its_gradient() -> None:
    net = program.Net.init(KEY, I=3, H=4)
    inputs = np.ones((2, 3), np.float32)
    gradient = dmc.grad(program.output)(net, inputs)
    assert gradient.base is None
    moved = net - 0.1 * gradient
    assert moved.base == net.base
    assert moved.rate == 0.5
    assert program.output(moved, inputs) < program.output(net, inputs)
    head = dmc.grad(program.output, wrt="net.head")(net, inputs)
    np.testing.assert_array_equal(head.w, gradient.head.w)
    value, change = dmc.jvp(program.output, along=gradient)(net, inputs)
    assert value == program.output(net, inputs)
    squares = sum(float(np.sum(leaf**2)) for _, leaf in gradient.items())
    np.testing.assert_allclose(change, squares, rtol=1e-5)


def test_methods_and_calls_of_models() -> None:
    net = program.Net.init(KEY, I=3, H=4)
    inputs = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(net(inputs), net.forward(inputs))
    np.testing.assert_allclose(net.norm(), np.linalg.norm(net.w), rtol=1e-6)
    np.testing.assert_array_equal(program.Net.forward(net, inputs), net(inputs))
    gradient = dmc.grad(program.Net.norm)(net)
    np.testing.assert_allclose(gradient.w, net.w / np.linalg.norm(net.w), rtol=1e-5)


def test_derivatives_say_what_they_are() -> None:
    assert repr(dmc.grad(program.total)).startswith("<gradient of fn total")
    assert dmc.grad(program.total).signature == program.total.signature


@pytest.mark.parametrize("along", [np.float32(2.0), np.array(2.0, np.float32)])
def test_directions_have_the_declared_type(along: object) -> None:
    with pytest.raises(dmc.DTypeError):
        dmc.jvp(program.product, along=along)(1.0, 2.0)


def test_an_operator_made_anew_compiles_nothing_again() -> None:
    first, second = dmc.grad(program.cubes), dmc.grad(program.cubes)
    assert first.compile(x) is second.compile(x)
    v = np.ones(3)
    once, again = dmc.hvp(program.cubes, along=v), dmc.hvp(program.cubes, along=2 * v)
    assert once.compile(x) is again.compile(x)
    np.testing.assert_allclose(again(x), 2 * once(x))
    assert dmc.grad(program.cubes).compile(x) is not dmc.value_and_grad(program.cubes).compile(x)


def test_jacobians_take_the_fewer_passes_as_in_the_language() -> None:
    """A result of many elements in few inputs is pushed forward: work grows with the inputs."""
    program = dmc.loads(
        "fn f(x: f64[3]) -> f64[200] = [i in 0..200] => sin(f64(i) * x[0]) * x[1] + x[2]\n"
        "fn g(x: f64[3]) -> f64[200, 3] = jacobian(f)(x)\n"
    )
    x = np.array([0.3, 0.5, 0.7])
    outside = dmc.jacobian(program.f).compile(x)
    inside = program.g.compile(x)
    np.testing.assert_array_equal(outside(x), inside(x))
    for compiled in (outside, inside):
        asked = {type(op) for op in compiled.compilation.tensor.walk()}
        assert autodiff.Jvp in asked
        assert autodiff.Vjp not in asked


@pytest.mark.parametrize("sparse", [False, True])
def test_what_a_column_does_not_move_leaves_it_alone(sparse: bool) -> None:
    """The root's slope is infinite, in its own column alone; one more result asks for columns."""
    program = dmc.loads("""
fn roots(x: f64[2], s: f64) -> f64[3] {
    var y: f64[3] = zeros
    y[0] = s * x[0]
    y[1] = s * x[0] + sqrt(x[1])
    y
}
fn few(x: f64[3]) -> f64[2] = [i in 0..2] => if i == 0 { x[0] * x[2] } else { sqrt(x[1]) }
""")
    columns = dmc.jacobian(program.roots, wrt="x", sparse=sparse)(np.array([3.0, 0.0]), 2.0)
    rows = dmc.jacobian(program.few, sparse=sparse)(np.array([3.0, 0.0, 5.0]))
    found = [table.toarray() if sparse else table for table in (columns, rows)]
    np.testing.assert_array_equal(found[0], [[2, 0], [2, np.inf], [0, 0]])
    np.testing.assert_array_equal(found[1], [[5, 0, 3], [0, np.inf, 0]])
