"""What people write out of habit from other languages is answered with what to write in dm."""

import pytest

import dmc
from dmc.diagnostics.errors import Error

POINT = "struct P { x: f64\n y: f64 }\n"

HABITS: dict[str, tuple[str, str]] = {
    "fn f(x: float) -> f64 = x": ("name.unknown", "write `f64`, or `f32`"),
    "fn f(x: f64) -> f64 = None": ("name.unknown", "every value is there"),
    "fn f[N](x: f64[N]) -> f64 = np.sum(x)": ("name.unknown", "functions of arrays stand alone"),
    "fn f[N](x: f64[N]) -> f64 = x.sum()": ("type.field", "it is a function: `sum(x)`"),
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
    "fn f[N](x: f64[N]) -> f64[N] = relu(x)": ("name.unknown", "`from nn import relu`"),
    "fn f[N](x: f64[N]) -> f64 = norm(x)": ("name.unknown", "`sqrt(sum(x * x))`"),
    "fn f() -> f64[3] = zeros(3)": ("type.call", "`zeros[3]`"),
    "fn f[N](x: f64[N]) -> f64 { let a = zeros\n a[0, 1] }": ("shape.unknown", "`zeros[N, N]`"),
    "fn h(x: f64) -> f64 = x\nfn f(x: f64) -> f64 = h(x, 2.0)": ("call.count", "`h(x)`"),
    "fn f(x: f64) -> f64 = maximum(x, x, x)": ("call.count", "`maximum(x, x)`"),
    "fn f[N](x: f64[N]) -> f64[N, N] = x * eye(N)": ("shape.axis", "`eye[N]()`"),
    "fn f[N](x: f64[N]) -> f64[N] = x * softmax(x)": ("shape.axis", "`softmax[-1](x)`"),
    "fn f[N](x: f64[N]) -> i64 = x.shape[0]": ("type.field", "sizes have names: `N`"),
    "fn f[N](x: f64[N], h: f32) -> f64[N] = h * x": ("type.mixed", "`f64(h)`"),
    "fn f[N](x: f64[N]) -> f64 { for i in 0..N { let y = x[i] } }": (
        "type.mismatch",
        "end the block with the value",
    ),
    "model M[D] { param w: f64[D] = zeros }\nfn f(m: M, x: f64[D]) -> f64 = m.w @ x": (
        "name.unknown",
        "write `m.D`",
    ),
    "model M[D] { param w: f64[D] = zeros\n fn forward(self, x: f64[D]) -> f64 = w @ x }": (
        "syntax.type",
        "the fields of a model are in scope",
    ),
    f"{POINT}fn f(a: f64) -> P = P {{ x: a, y }}": (
        "syntax.unexpected",
        "`P(x = a, y = y)`",
    ),
    f"{POINT}fn f(a: f64) -> P = P(x: a, y: 2.0)": ("syntax.unexpected", "write `x = …`"),
    "fn f(x: f64) -> f64 { let y = x\n y += 1.0\n y += 2.0\n y }": (
        "value.immutable",
        "declare it as `var y = …`",
    ),
}


@pytest.mark.parametrize(("text", "expected"), HABITS.items(), ids=HABITS.keys())
def test_habits(text: str, expected: tuple[str, str]) -> None:
    with pytest.raises(Error) as caught:
        dmc.loads(text)
    (problem,) = caught.value.diagnostics
    code, hint = expected
    assert problem.code == code
    assert hint in problem.help[0]


def test_names_that_could_not_be_imported_are_not_suggested() -> None:
    with pytest.raises(Error) as caught:
        dmc.loads("from nn import Embedding\nfn f[N](x: Embeddings[N, N]) -> f64 = 0.0")
    _, unknown = caught.value.diagnostics
    assert not unknown.help
