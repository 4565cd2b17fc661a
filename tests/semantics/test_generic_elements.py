"""Code that does not know the element type of its values."""

import numpy as np
import pytest

import dmc

PROGRAM = """
struct Mixed {
    a: f64[2]
    b: f32[3]
}

fn narrow[F: float, G: float, *S](x: G[*S], i: i32) -> F[*S] = F(x) + cast[F](x) / F(i)

fn both(x: f64[2]) -> (f32[2], f64[2]) = (narrow[f32](x, 2), narrow[f64](x, 4))

fn norm[M: record, F: float = f64](m: M) -> F = sqrt(F(sum(m * m)))

fn short[M: record](m: M) -> f32 = sqrt(sum(m * m))

fn step[M: record, F: float](m: M, g: Grad[M], rate: F) -> M = m - rate * g

fn decay[M: record, F: float](m: M, by: F) -> Grad[M] =
    map(fn(p) => if rank(p) > 0 { by * p * by + by } else { 0.0 * p }, m.params)

fn all(m: Mixed, rate: f64) -> (f64, f32, Mixed, Grad[Mixed]) =
    (norm(m), short(m), step(m, m.params, rate), decay(m, f32(rate)))
"""


def test_conversions_to_an_element_type_that_is_a_parameter():
    narrow, wide = dmc.loads(PROGRAM).both(np.array([0.1, 2.0]))
    assert narrow.dtype == np.float32
    assert wide.dtype == np.float64
    assert np.allclose(narrow, [0.15, 3.0])
    assert np.allclose(wide, [0.125, 2.5], rtol=1e-15)


def test_a_number_takes_the_element_type_of_each_leaf():
    program = dmc.loads(PROGRAM)
    m = program.Mixed(a=np.array([3.0, 0.0]), b=np.array([4.0, 0.0, 0.0], np.float32))
    norm, short, moved, decayed = program.all(m, 0.25)
    assert norm == 5
    assert short.dtype == np.float32
    assert moved.a.tolist() == [2.25, 0]
    assert moved.b.dtype == np.float32
    assert decayed.a.dtype == np.float64
    assert decayed.b.tolist() == [0.5, 0.25, 0.25]


def test_a_known_record_still_refuses_another_element_type():
    text = "struct P {\n    a: f64[2]\n}\nfn f(p: P, r: f32) -> P = r * p\n"
    with pytest.raises(dmc.Error, match="do not mix"):
        dmc.loads(text)


def test_the_help_leaves_out_what_arguments_determine():
    text = PROGRAM.replace("(narrow[f32](x, 2)", "(narrow(x, 2)")
    with pytest.raises(dmc.Error, match=r"in brackets: `narrow\[f32\]\(x, 2\)`"):
        dmc.loads(text)


def test_a_shape_cannot_be_given_in_brackets() -> None:
    text = "fn f[*K, I](x: f32[I]) -> f32[*K, I] = zeros\nfn a(x: f32[3]) -> f32[2, 3] = f(x)\n"
    with pytest.raises(dmc.Error, match=r"\*K of `f` is not known") as refused:
        dmc.loads(text)
    assert "brackets" not in str(refused.value)
