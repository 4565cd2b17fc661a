"""What people write out of habit from other languages is answered with what to write in dm."""

import pytest

import dmc

HABITS: dict[str, tuple[str, str]] = {
    "fn f(x: float) -> f64 = x": ("name.unknown", "write `f64`, or `f32`"),
    "fn f(x: f64) -> f64 = None": ("name.unknown", "write `()`, or leave it out"),
    "fn f[N](x: f64[N]) -> f64 = np.sum(x)": ("name.unknown", "functions of arrays stand alone"),
    "fn f[N](x: f64[N]) -> f64 = x.sum()": ("type.field", "it is a function: `sum(…)`"),
    "fn f[N](x: f64[N]) -> i64 = len(x)": ("name.unknown", "the size has a name: `N`"),
    "fn f(x: f64[N]) -> f64 = sum(x)": ("name.unknown", "declare it behind the name: `fn f[N](…)`"),
    "fn f(x: f64) -> f64 { y = 2.0 * x\n y }": ("name.unknown", "declare it: `let y = …`"),
    "fn f[N, M](x: f64[N, M]) -> f64[N] = sum(x, axis = 1)": (
        "call.keyword",
        "axes stand in brackets",
    ),
    "fn f() -> f64[2, 2] = 2.0 * eye[2]": ("type.call", "call it: `eye[2]()`"),
    "fn f(x: f64) -> f64 { print(x)\n x }": ("name.unknown", "print it in Python"),
    "fn f[N](x: f64[N]) -> f64 = max(x, 0.0)": (
        "call.count",
        "element by element: `maximum(a, b)`",
    ),
}


@pytest.mark.parametrize(("text", "expected"), HABITS.items(), ids=HABITS.keys())
def test_habits(text: str, expected: tuple[str, str]) -> None:
    with pytest.raises(dmc.Error) as caught:
        dmc.loads(text)
    (problem,) = caught.value.diagnostics
    code, hint = expected
    assert problem.code == code
    assert hint in problem.help[0]
