"""What is written for names of other languages compiles when pasted, and computes the same."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from numpy.typing import ArrayLike

import dmc
from dmc.diagnostics.errors import Error
from dmc.ir.types import Array
from dmc.semantics import elsewhere
from dmc.semantics.builtins.prelude import PRELUDE
from dmc.syntax import foreign
from dmc_runtime.spelling import did_you_mean

PLACES = (
    "    let r = {}\n",
    "    {}\n",
    "    let r: f64[N] = {}\n",
    "    let r = x[{}]\n",
    "    let r = {}(1)\n",
    "    let r: {} = zeros\n",
)
"""Where a text may stand that a message gives."""

PROGRAM = """
fn f(s: f64) -> f64 = s * s

fn pasted[N](
    x: f64[N], y: f64[N], a: f64[N, N], b: f64[N, N], c: bool[N], ids: i32[4], key: Key,
    low: f64, high: f64
) -> () requires N > 5 {
    var s = 0.5
    let h = 0.1
"""

FRAGMENTS = {"else if", "{ }", "let", "fn", "struct", "model", "while", "if", "requires", "return"}


def compiles(text: str) -> bool:
    """Whether a text can be pasted somewhere."""
    spellings = (text, re.sub(r"\bn\b", "3.0", text), text.replace("v[0]", "w[0]"))
    for spelling in spellings:
        for place in PLACES:
            body = place.format(spelling)
            more = "    var w = x\n" if "w[0]" in spelling else ""
            try:
                dmc.loads(f"{PROGRAM}{more}{body}}}\n")
            except Error:
                continue
            return True
    return False


def quoted(help_: str) -> list[str]:
    return [text for text in help_.split("`")[1::2] if text not in FRAGMENTS]


HELPS = {name: way.help for name, way in elsewhere.WAYS.items()}
HELPS |= {f".{name}": way.help for name, way in elsewhere.METHODS.items()}


@pytest.mark.parametrize("name", HELPS)
def test_what_is_written_for_names_compiles(name: str) -> None:
    for text in quoted(HELPS[name]):
        assert compiles(text), text


@pytest.mark.parametrize("word", foreign.WORDS)
def test_what_is_written_for_words_compiles(word: str) -> None:
    for text in quoted(foreign.WORDS[word].help):
        if text.startswith("fn name"):
            dmc.loads(text)
        elif text.startswith("requires"):
            dmc.loads(f"fn f[N](x: f64[N]) -> f64 {text} = sum(x)")
        elif text == "fn(x) => x + 1.0":
            dmc.loads(f"fn g(h: (f64) -> f64) -> f64 = h(1.0)\nfn f() -> f64 = g({text})")
        else:
            assert compiles(text), text


def test_the_check_of_texts_can_fail() -> None:
    assert not compiles("log3(x)")
    assert not compiles("sum(x")


def test_names_with_a_meaning_elsewhere_are_not_those_of_the_prelude() -> None:
    assert not elsewhere.WAYS.keys() & PRELUDE.keys()


# ---- values -------------------------------------------------------------------------------------

X = np.array([0.31, -0.62, 0.97, -0.08, 0.45, 0.11])
Y = np.array([0.9, 0.2, -0.4, 0.7, 0.33, -0.25])
P = np.abs(X)  # in (0, 1)
A = np.outer(X, Y) + np.eye(6)
B = np.outer(Y, Y) - np.eye(6)
C = X > 0.0
NAN = np.where(X > 0.5, np.nan, X)


SAME: dict[str, tuple[ArrayLike, list[Array]]] = {
    "exp2": (np.exp2(X), [X]),
    "square": (np.square(X), [X]),
    "power": (np.power(P, Y), [P, Y]),
    "cbrt": (np.cbrt(X), [X]),
    "reciprocal": (np.reciprocal(X), [X]),
    "logaddexp": (np.logaddexp(X, Y), [X, Y]),
    "logit": (np.log(P) - np.log1p(-P), [P]),
    "hardtanh": (np.clip(2.0 * X, -1.0, 1.0), [2.0 * X]),
    "logsigmoid": (-np.log1p(np.exp(-X)), [X]),
    "arcsinh": (np.arcsinh(X), [X]),
    "arccosh": (np.arccosh(1.0 + P), [1.0 + P]),
    "arctanh": (np.arctanh(X), [X]),
    "arcsin": (np.arcsin(X), [X]),
    "arctan2": (np.arctan2(X, Y), [X, Y]),
    "trunc": (np.trunc(3.0 * X), [3.0 * X]),
    "radians": (np.radians(X), [X]),
    "degrees": (np.degrees(X), [X]),
    "sinc": (np.sinc(np.array([0.0, *X[1:]])), [np.array([0.0, *X[1:]])]),
    "nan_to_num": (np.nan_to_num(NAN), [NAN]),
    "count_nonzero": (np.count_nonzero(np.round(X)), [np.round(X)]),
    "norm": (np.linalg.norm(X), [X]),
    "average": (np.average(X), [X]),
    "ptp": (np.ptp(X), [X]),
    "cov": (np.cov(X, Y)[0, 1], [X, Y]),
    "nansum": (np.nansum(NAN), [NAN]),
    "nanmean": (np.nanmean(NAN), [NAN]),
    "dot": (np.dot(X, Y), [X, Y]),
    "matmul": (np.matmul(A, B), [A, B]),
    "outer": (np.outer(X, Y), [X, Y]),
    "kron": (np.kron(A, B).reshape(6, 6, 6, 6), [A, B]),
    "transpose": (np.transpose(A), [A]),
    "trace": (np.trace(A), [A]),
    "diagonal": (np.diagonal(A), [A]),
    "diff": (np.diff(X), [X]),
    "flatten": (A.flatten(), [A]),
    "tile": (np.tile(X, (2, 1)), [X]),
    "select": (np.where(C, X, Y), [C, X, Y]),
}


def _parameter(value: Array, position: int, matrix: bool) -> tuple[str, str]:
    if value.dtype == bool:
        return "c", "bool[N]"
    name = ("ab" if matrix else "xy")[position]
    return name, "f64[N, N]" if matrix else "f64[N]"


def _type(value: ArrayLike) -> str:
    array = np.asarray(value)
    element = {"float64": "f64", "bool": "bool", "int64": "i64"}[array.dtype.name]
    size = len(X)
    axes = {size: "N", size - 1: "N - 1", size**2: "N * N", 2: "2"}
    shape = ", ".join(axes[extent] for extent in array.shape)
    return f"{element}[{shape}]" if shape else element


@pytest.mark.parametrize("name", SAME)
def test_what_is_written_computes_the_same(name: str) -> None:
    wanted, given = SAME[name]
    floats = [value for value in given if value.dtype != bool]
    parameters = [("c", "bool[N]")] * (len(given) - len(floats)) + [
        _parameter(value, i, value.ndim == 2) for i, value in enumerate(floats)
    ]
    declared = ", ".join(f"{parameter}: {type_}" for parameter, type_ in parameters)
    advice = elsewhere.advice(name, [parameter for parameter, _ in parameters])
    assert advice is not None
    text = quoted(advice)[-1]
    source = f"fn f[N]({declared}) -> {_type(wanted)} requires N > 5 = {text}\n"
    np.testing.assert_allclose(dmc.loads(source).f(*given), np.asarray(wanted), rtol=1e-12)


# ---- what is never suggested --------------------------------------------------------------------


def help_for(name: str) -> tuple[str, ...]:
    with pytest.raises(Error) as caught:
        dmc.loads(f"fn f[N](x: f64[N]) -> f64 = {name}(x)\n")
    (problem,) = caught.value.diagnostics
    assert problem.code == "name.unknown"
    return problem.help


NEAR_MISSES = [
    name
    for name in ("log_softmax", "relu6", "logit", "mish", "celu", "selu", "softmin", "logdet")
    if name not in PRELUDE
] + [
    name
    for name in sorted({*dir(np), *dir(np.linalg), *dir(math)})
    if name[0].islower() and name not in PRELUDE and name != "var" and did_you_mean(name, PRELUDE)
]


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_no_function_of_another_meaning_is_suggested(name: str) -> None:
    assert not any("did you mean" in line for line in help_for(name))


def test_what_the_library_has_is_imported_from_there() -> None:
    assert help_for("log_softmax") == ("it is in the library: `from nn import log_softmax`",)
    assert help_for("median") == ("it is in the library: `from stats import median`",)


def test_slips_are_still_corrected() -> None:
    assert help_for("arrange") == ("did you mean `arange`?",)
    assert help_for("Softmax") == ("did you mean `softmax`?",)
    assert help_for("sgn") == ("did you mean `sign`?",)
    assert help_for("value_and_gradient") == ("did you mean `value_and_grad`?",)


def test_local_names_are_suggested_for_what_means_something_elsewhere() -> None:
    with pytest.raises(Error) as caught:
        dmc.loads("fn f(shapes: f64) -> f64 = shape\n")
    assert caught.value.diagnostics[0].help == ("did you mean `shapes`?",)


def test_an_unlike_field_is_answered_with_those_there_are() -> None:
    source = "struct Tide {\n    amp: f64\n    phase: f64\n}\nfn f(t: Tide) -> f64 = t.{}\n"
    for name, help_ in (("fase", "there are `amp`, `phase`"), ("phas", "did you mean `phase`?")):
        with pytest.raises(Error) as caught:
            dmc.loads(source.replace("{}", name))
        assert caught.value.diagnostics[0].help == (help_,)
