"""Sizes below zero: refused at the call where they are the result's, else where they are made."""

import numpy as np
import pytest

import dmc
from dmc.diagnostics.errors import Error

PROGRAM = """
fn windows[H, K](x: f64[H], k: f64[K]) -> f64[H - K + 1] {
    [i in 0..H - K + 1] => sum[j](x[i + j] * k[j])
}

fn called[H, K](x: f64[H], k: f64[K]) -> f64 = sum(windows(x, k))

fn built[H, K](x: f64[H], k: f64[K]) -> f64 {
    let y = [i in 0..H - K + 1] => x[i] * k[0]
    sum(y)
}

fn stacked[H, K](x: f64[H], k: f64[K]) -> f64 {
    let y = for i in 0..H - K + 1 { x[0] * k[0] }
    sum(y)
}

fn filled[H, K](x: f64[H], k: f64[K]) -> f64 {
    let y: f64[H - K + 1] = zeros
    sum(y) + x[0] * k[0]
}

fn second[H, K](x: f64[H], k: f64[K]) -> (f64, f64[H - K + 1]) = (x[0], windows(x, k))

fn summed[H, K](x: f64[H], k: f64[K]) -> f64 = sum[i in 0..H - K + 1](x[0] * k[0])

fn counted[H, K](x: f64[H], k: f64[K]) -> f64 {
    var s = 0.0
    for i in 0..H - K + 1 { s += x[0] * k[0] }
    s
}
"""

ENOUGH, FEW, NONE = (np.ones(5), np.ones(2)), (np.ones(1), np.ones(2)), (np.ones(2), np.ones(4))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> dmc.Module:
    path = tmp_path_factory.mktemp("sizes") / "sizes.dm"
    path.write_text(PROGRAM)
    return dmc.load(path)


def test_sizes_of_results_are_checked_at_the_call(program: dmc.Module) -> None:
    np.testing.assert_array_equal(program.windows(*ENOUGH), np.full(4, 2.0))
    assert program.windows(*FEW).shape == (0,)
    for name in ("windows", "second"):
        with pytest.raises(dmc.ShapeError, match=r"H - K \+ 1 is -1 for H = 2, K = 4"):
            getattr(program, name)(*NONE)
    with pytest.raises(dmc.ShapeError, match=r"H - K \+ 1 is -1"):
        dmc.jacobian(program.windows)(*NONE)


@pytest.mark.parametrize("name", ["called", "built", "stacked", "filled"])
def test_sizes_inside_are_checked(program: dmc.Module, name: str) -> None:
    getattr(program, name)(*ENOUGH)
    getattr(program, name)(*FEW)
    with pytest.raises(dmc.ShapeError, match=r"is -1 here"):
        getattr(program, name)(*NONE)


@pytest.mark.parametrize("name", ["summed", "counted"])
def test_a_range_that_ends_before_it_starts_is_empty(program: dmc.Module, name: str) -> None:
    assert getattr(program, name)(*ENOUGH) == 4.0
    assert getattr(program, name)(*NONE) == 0.0


@pytest.mark.parametrize(
    ("result", "value"),
    [("f32[N]", "sort[-1](x)"), ("i32[N]", "argsort[0](x)"), ("i32", "argmax(x)"),
     ("(f32[3], i32[3])", "top_k[3](x)")],
)  # fmt: skip
def test_places_are_counted_in_32_bits(result: str, value: str) -> None:
    ordered = dmc.loads(f"fn ordered[N](x: f32[N]) -> {result} = {value}\n").ordered
    assert ordered.ir(N=2**31 - 1)
    with pytest.raises(dmc.UnsupportedError, match="of 2,147,483,648 elements"):
        ordered.ir(N=2**31)


@pytest.mark.parametrize(
    ("parameter", "help_"),
    [
        ("x: f64[2 * N + 1]", "give `N=32`, or an array as `x`"),
        ("x: f64[*S]", "give an array as `x`"),
    ],
)
def test_a_size_that_nothing_tells(parameter: str, help_: str) -> None:
    generic = "N" if "N" in parameter else "*S"
    program = dmc.loads(f"fn f[{generic}]({parameter}) -> f64 = sum(x)\n")
    with pytest.raises(dmc.CallError, match="is unknown") as caught:
        program.f.compile()
    assert caught.value.diagnostics[0].help == (help_,)


def test_a_size_that_no_axis_has_is_given_by_name() -> None:
    """What the message about an unknown size says to give is taken: here the heads of a model."""
    module = dmc.loads("""
    model Heads[D, H] requires D % H == 0 {
        param w: f64[D] = zeros
        fn forward(x: f64[D]) -> f64 = sum(w * x) / f64(H)
    }
    model Deep[D, H, L] requires D % H == 0 { layers: L * Heads[D, H] }
    fn loss(net: Deep, x: f64[net.D]) -> f64 {
        var y = 0.0
        for layer in net.layers { y = y + layer(x) }
        y
    }
    """)
    with pytest.raises(dmc.Error, match=r"give `net.H=32`"):
        module.loss.specialize(**{"net.D": 6, "net.L": 2})
    compiled = dmc.grad(module.loss).specialize(**{"net.D": 6, "net.L": 2, "net.H": 3})
    assert compiled.memory().arguments == 8 * (2 * 6 + 6)


def test_what_no_machine_can_hold_is_refused() -> None:
    for size in (4294967296, 3037000500):
        text = f"fn f() -> f64 {{\n    var a: f64[{size}, {size}] = zeros\n    a[0, 0]\n}}\n"
        with pytest.raises(Error) as caught:
            dmc.loads(text).f()
        assert caught.value.diagnostics[0].code == "memory.size"


def test_calls_that_double_are_refused() -> None:
    lines = ["fn f0(x: f64) -> f64 = x * 1.5"]
    lines += [f"fn f{i + 1}(x: f64) -> f64 = f{i}(x) + f{i}(x + 1.0)" for i in range(30)]
    program = dmc.loads("\n".join(lines) + "\n")
    for function in (program.f30, dmc.grad(program.f30)):
        with pytest.raises(Error) as caught:
            function(1.0)
        assert caught.value.diagnostics[0].code == "memory.calls"
        assert caught.value.diagnostics[0].title.startswith("with its calls written out `f1")
    assert program.f6(1.0) == 64 * 1.5 + 1.5 * 6 * 32
