"""Who is told to state a requirement that nothing proves, and that doing so is enough."""

import pytest

import dmc

ATTENTION = """
model Attention[D, H] requires D % H == 0 {
    param w: f32[D, D] = zeros
}
"""
HOLDERS = {
    "model": (
        "model Block[D, H] {\n    inner: Attention[D, H]\n}\n",
        "say it once, on the model: `model Block[D, H] requires D % H == 0`",
    ),
    "struct": (
        "struct Block[D, H] {\n    inner: Attention[D, H]\n}\n",
        "make it a model, which can say so: `model Block[D, H] requires D % H == 0`",
    ),
    "function": (
        "fn f[D, H](a: Attention[D, H]) -> f32[D, D] = a.w\n",
        "make it the caller's duty: `requires D % H == 0`",
    ),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_who_states_a_requirement(kind: str) -> None:
    text, wanted = HOLDERS[kind]
    with pytest.raises(dmc.ShapeError) as caught:
        dmc.loads(ATTENTION + text)
    (found,) = caught.value.diagnostics
    assert found.help == (wanted,)
    clause = " requires D % H == 0"
    head, separator, rest = text.partition(" = a.w" if kind == "function" else " {")
    dmc.loads(ATTENTION + head.replace("struct", "model") + clause + separator + rest)


def test_parameters_to_differentiate_in_are_listed() -> None:
    text = """
        fn f(start: f64, slope: f64) -> f64 = start * slope
        fn g(x: f64) -> f64 = grad(f, wrt = position)(x, x)
    """
    with pytest.raises(dmc.Error, match="there are `start`, `slope`"):
        dmc.loads(text)
