"""Calls from Python: what is accepted, and what comes back."""

import timeit

import numpy as np
import numpy.typing as npt
import pytest

import dmc
from tests.api.programs import KEY, program

Array = npt.NDArray[np.float64]

read_only = np.arange(3.0)
read_only.setflags(write=False)
unaligned = np.frombuffer(b"\0" + np.arange(3.0).tobytes(), np.float64, offset=1)

LAYOUTS: dict[str, Array] = {
    "contiguous": np.arange(3.0),
    "strided": np.arange(6.0)[::2] / 2,
    "reversed": np.arange(2.0, -1.0, -1.0)[::-1],
    "a column": np.arange(3.0)[:, None].repeat(2, axis=1)[:, 1],
    "broadcast": np.broadcast_to(np.arange(3.0), (2, 3))[1],
    "read-only": read_only,
    "unaligned": unaligned,
    "a subclass": np.arange(3.0).view(np.recarray),
}


@pytest.mark.parametrize("x", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_any_layout(x: Array) -> None:
    before = x.tobytes()
    assert program.doubled(x).tolist() == [0.0, 2.0, 4.0]
    assert dmc.grad(program.cubes)(x).tolist() == [0.0, 3.0, 12.0]
    assert x.tobytes() == before


def test_matrices_by_column() -> None:
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(program.doubled(x), 2 * x)
    p = program.Weights(w=np.array([1.0, 2.0, 3.0]), b=0.5)
    np.testing.assert_allclose(program.loss(p, x, np.zeros(2)), np.mean((x @ p.w + 0.5) ** 2))


@pytest.mark.parametrize("x", [2.0, 2, np.float64(2.0), np.array(2.0)])
def test_scalars(x: object) -> None:
    result = program.shifted(x)
    assert result == 4.0
    assert isinstance(result, np.float64)


def test_numbers_adapt_to_the_declared_type() -> None:
    y = program.scaled(np.ones(3, np.float32), 2)
    assert y.dtype == np.float32
    assert program.scaled(np.ones(3), 2).dtype == np.float64
    assert program.small(2**31 - 2) == 2**31 - 1
    assert program.flag(True) == np.False_


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3, 2), (1,), (1, 1, 1)])
def test_empty_and_tiny_arrays(shape: tuple[int, ...]) -> None:
    x = np.ones(shape)
    assert program.doubled(x).shape == shape
    np.testing.assert_array_equal(program.doubled(x), 2 * x)


def test_an_empty_sum_is_zero() -> None:
    assert program.total(np.ones(0)) == 0.0
    assert dmc.grad(program.total)(np.ones(0)).shape == (0,)


def test_nan_and_inf_are_data() -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0])
    np.testing.assert_array_equal(program.doubled(x), 2 * x)
    assert np.isnan(program.total(x))


def test_results_are_new_arrays() -> None:
    x = np.ones(4)
    y = program.evens(x)
    assert not np.shares_memory(x, y)
    y[0] = 5.0
    assert program.evens(x).tolist() == [1.0] * 4


def test_arguments_by_name_and_defaults() -> None:
    assert program.shifted(1.0) == 3.0
    assert program.shifted(1.0, 5.0) == 6.0
    assert program.shifted(by=5.0, x=1.0) == 6.0
    p = program.Weights(w=np.ones(3), b=0.0)
    assert program.loss(y=np.zeros(2), x=np.ones((2, 3)), p=p) == 9.0


def test_sizes_in_brackets_and_by_name() -> None:
    assert program.power[3](2.0).tolist() == [1.0, 2.0, 4.0]
    assert program.power(2.0, N=3).tolist() == [1.0, 2.0, 4.0]
    assert program.power(2.0, N=2).tolist() == [1.0, 2.0]
    assert program.power[np.int64(2)](2.0).tolist() == [1.0, 2.0]
    assert dmc.jacobian(program.power[3])(2.0).tolist() == [0.0, 1.0, 4.0]


def test_element_types_in_brackets() -> None:
    mod = dmc.loads("fn halves[F: float, N]() -> F[N] = [n in 0..N] => 0.5")
    assert mod.halves[np.float32, 2]().dtype == np.float32
    assert mod.halves[np.dtype("f8"), 2]().tolist() == [0.5, 0.5]


def test_functions_as_arguments() -> None:
    assert program.apply_to(program.total, np.ones(3)) == 3.0
    assert program.apply_to(program.cubes, 2 * np.ones(3)) == 24.0
    assert program.apply_to(program.cubes[3], 2 * np.ones(3)) == 24.0
    assert program.spread(program.power[3], 2.0).tolist() == [1.0, 2.0, 4.0]
    assert program.spread(program.power[2], 2.0).tolist() == [1.0, 2.0]
    assert dmc.grad(program.apply_to, wrt="x")(program.cubes, np.ones(3)).tolist() == [3.0] * 3


def test_tuples_come_back_as_tuples() -> None:
    assert program.with_extras(np.array([1.0, 3.0])) == (10.0, 3.0, 2)


def test_keys() -> None:
    a, b = program.noise[4](KEY), program.noise[4](KEY)
    assert a.tobytes() == b.tobytes()
    assert program.noise[4](dmc.key(1)).tobytes() != a.tobytes()
    assert program.noise[4](dmc.fold(KEY, 1)).tobytes() != a.tobytes()
    assert len({int(key) for key in dmc.split(KEY, 3)}) == 3


def test_each_set_of_sizes_is_compiled_once() -> None:
    f = dmc.load(program.__file__).total
    for n in (3, 4, 3, 4, 3):
        assert f(np.ones(n)) == n
    assert len({id(call.compiled) for call in f._shared.calls.values()}) == 2


def test_signatures_are_those_of_the_source() -> None:
    assert program.loss.signature == (
        "fn loss[N, D](p: Weights[D], x: f64[N, D], y: f64[N]) -> f64"
    )
    assert program.shifted.signature == "fn shifted(x: f64, by: f64 = 2.0) -> f64"
    assert program.loss.__doc__ is not None
    assert "Mean squared error" in program.loss.__doc__


def test_modules_show_what_they_have() -> None:
    assert {"loss", "Net", "Line", "relu"} <= set(dir(program))
    assert "loss" in repr(program)
    with pytest.raises(AttributeError, match="did you mean `total`"):
        program.totl  # noqa: B018


def test_programs_from_text() -> None:
    mod = dmc.loads("fn f(x: f64) -> f64 = x + 1.0")
    assert mod.f(1.0) == 2.0
    with pytest.raises(dmc.NamingError, match=r"m\.dm:1"):
        dmc.loads("fn f(x: f64) -> f64 = y")


@pytest.mark.parametrize("count", [1, 2])
def test_threads(count: int) -> None:
    before = dmc.get_num_threads()
    try:
        dmc.set_num_threads(count)
        assert dmc.get_num_threads() == count
        assert program.total(np.ones(1000)) == 1000.0
    finally:
        dmc.set_num_threads(before)


def test_a_call_costs_little() -> None:
    """Some microseconds: arguments are matched with signatures only for new sizes."""
    p = program.Weights(w=np.ones(3), b=0.0)
    x, y = np.ones((4, 3)), np.ones(4)
    program.loss(p, x, y)
    seconds = min(timeit.repeat(lambda: program.loss(p, x, y), number=200, repeat=20)) / 200
    assert seconds < 60e-6  # 7 on an idle machine


def test_a_model_is_passed_as_a_function() -> None:
    """One compilation for each size; its gradient is a record of it."""
    models = dmc.loads("""\
model Map[N] {
    param w: f64[N, 2] = normal(key)
    param v: f64[2, N] = normal(key)
    state seen: i64 = 0
    fn forward[*S](x: f64[*S, 2]) -> f64[*S, 2] = tanh(x @ v) @ w
    fn linear(x: f64[2]) -> f64[2] = x @ v @ w
    mut fn count(x: f64[2]) -> f64[2] {
        seen += 1
        x
    }
}
model Sum {
    param w: f64[2] = ones
    fn forward(x: f64[2]) -> f64 = w @ x
}
struct Plain {
    w: f64[2]
}
fn double(x: f64[2]) -> f64[2] = 2.0 * x
fn twice[*S](f: (f64[*S]) -> f64[*S], x: f64[*S]) -> f64[*S] = f(f(x))
fn size(f: (f64[2]) -> f64[2], x: f64[2], by: f64 = 1.0) -> f64 = by * sum(f(x) ** 2)
""")
    x = np.array([0.3, -0.2])
    for n in (3, 4, 3):
        net = models.Map.init(dmc.key(n), N=n)
        y = np.tanh(x @ net.v) @ net.w
        np.testing.assert_allclose(models.twice(net, x), np.tanh(y @ net.v) @ net.w, rtol=1e-14)
    np.testing.assert_array_equal(models.twice(models.double, x), 4 * x)
    gradient = dmc.grad(models.size)(net, x, by=3.0)
    np.testing.assert_allclose(gradient.w, 6 * np.outer(np.tanh(x @ net.v), y), rtol=1e-13)
    # A method is told from `forward`, which takes the same record.
    weights = net.v @ net.w
    for _ in range(2):
        np.testing.assert_allclose(models.size(net, x), np.sum(y**2), rtol=1e-14)
        np.testing.assert_allclose(models.size(net.linear, x), np.sum((x @ weights) ** 2))
    gradient = dmc.grad(models.size)(net.linear, x, by=3.0)
    np.testing.assert_allclose(gradient.w, 6 * np.outer(x @ net.v, x @ weights), rtol=1e-13)
    for wrong, why in (
        (net.count, "Map has a `count` that is a `mut fn`"),
        (models.Map.linear, r"pass the method of a record: `net.linear`"),
        (models.Sum.init(dmc.key(0)), r"`Sum.forward` is \(f64\[2\]\) -> f64 \("),
        (models.Plain(w=x), "Plain has no `forward`"),
        (3.0, "a Python float was given"),
    ):
        with pytest.raises(dmc.Error, match=why):
            models.twice(wrong, x)


def test_brackets_that_do_not_fit_are_quoted() -> None:
    f = dmc.loads("fn f[N](x: f64[N]) -> f64 = sum(x)\n").f
    with pytest.raises(dmc.ShapeError, match=r"x has N = 3 but `f\[4\]` has N = 4"):
        f[4](np.ones(3))
