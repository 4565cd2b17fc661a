"""Several errors at once, no cascades, suggestions, modules; and no failure but an `Error`."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from dmc.diagnostics.errors import Error, MissingFileError
from dmc.semantics.modules import check_program, check_text
from tests.programs import PROGRAMS


def problems(source: str, folder: Path | None = None) -> list[tuple[str, int]]:
    """Code and line of every error of a program."""
    with pytest.raises(Error) as caught:
        check_text(source, folder=folder)
    return [
        (found.code, found.primary.span.start_line if found.primary else 0)
        for found in caught.value.diagnostics
    ]


def test_independent_errors_are_reported_together() -> None:
    source = """\
fn f(x: f64) -> f64 {
    let a = unknown(x)
    let b = x + true
    let c = a + b
    let d = x @ x
    c + d
}
fn g[N, M](x: f64[N], y: f64[M]) -> f64[N] = x + y
fn h(x: Missing) -> f64 = x
fn use(x: f64) -> f64 = h(x) + f(x)
struct S {
    a: f64[Q]
    b: Unknown
}
fn fine(s: S) -> f64 = s.a[0]
"""
    assert problems(source) == [
        ("name.unknown", 2),
        ("type.operand", 3),
        ("shape.rank", 5),
        ("shape.broadcast", 8),
        ("name.unknown", 9),
        ("name.unknown", 12),
        ("name.unknown", 13),
    ]


SUGGESTIONS = {
    "a local": ("fn f(velocity: f64) -> f64 = velocty\n", "velocity"),
    "a function": ("fn energy(x: f64) -> f64 = x\nfn f(x: f64) -> f64 = enrgy(x)\n", "energy"),
    "the prelude": ("fn f(x: f64) -> f64 = sqrtt(x)\n", "sqrt"),
    "a field": ("struct S {\n    mass: f64\n}\nfn f(s: S) -> f64 = s.mas\n", "mass"),
    "a type": ("struct Camera {\n    f: f64\n}\nfn f(c: Camra) -> f64 = c.f\n", "Camera"),
    "an argument": ("fn g(rate: f64) -> f64 = rate\nfn f() -> f64 = g(rte = 1.0)\n", "rate"),
}


@pytest.mark.parametrize(("source", "meant"), SUGGESTIONS.values(), ids=SUGGESTIONS.keys())
def test_suggestions(source: str, meant: str) -> None:
    with pytest.raises(Error) as caught:
        check_text(source)
    (found,) = caught.value.diagnostics
    assert found.help == (f"did you mean `{meant}`?",)


def test_imports_are_relative_then_from_the_library(tmp_path: Path) -> None:
    (tmp_path / "nn.dm").write_text("fn relu(x: f64) -> f64 = x\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "inner.dm").write_text("let scale = 2.0\nfn g(x: f64) -> f64 = x\n")
    source = """\
import deep.inner
import deep.inner as other
from nn import relu
fn f(x: f64) -> f64 = relu(inner.g(x)) * other.scale
"""
    program = check_text(source, folder=tmp_path)
    assert sorted(program.modules) == ["inner", "m", "nn"]
    library = check_text("from nn import relu\nfn f[N](x: f32[N]) -> f32[N] = relu(x)\n")
    assert "nn" in library.modules


def test_errors_of_imports(tmp_path: Path) -> None:
    (tmp_path / "a.dm").write_text("fn f(x: f64) -> f64 = y\n")
    source = "import a\nimport none\nfrom a import g\nfn h(x: f64) -> f64 = none.f(x) + g(x)\n"
    assert problems(source, tmp_path) == [
        ("name.unknown", 1),
        ("name.module", 2),
        ("name.unknown", 3),
    ]


def test_declarations_come_in_any_order() -> None:
    check_text("""\
fn f(x: A) -> f64 = g(x.b)
fn g(b: B[2]) -> f64 = sum(b.w) * scale
struct A {
    b: B[2]
}
struct B[N] {
    w: f64[N]
}
let scale = 2.0
""")


def test_literals_unify_over_the_whole_body() -> None:
    program = check_text("fn f(x: f32) -> f32 {\n    var t = 0.0\n    t = t + 1\n    t * x\n}\n")
    assert program.main.functions["f"].body is not None
    source = "fn f(x: f32, y: f64) -> f32 {\n    var t = 0.0\n    t = x\n    t = y\n    t\n}\n"
    assert problems(source) == [("type.mismatch", 4)]


@pytest.mark.parametrize("given", ["i64[3]", "bool[3]"])
def test_a_float_parameter_takes_floats_only(given: str) -> None:
    source = f"fn g[F: float](x: F[3]) -> F[3] = x\nfn f(x: {given}) -> {given} = g(x)\n"
    with pytest.raises(Error, match="F of `g` is a float type"):
        check_text(source)


def test_loops_that_read_past_the_end() -> None:
    loop = (
        "fn f[N](x: f64[N]) -> f64 {\n    var t = 0.0\n    for i in RANGE { t += READ }\n    t\n}\n"
    )
    read = loop.replace("READ", "x[i + 1] - x[i]")
    assert problems(read.replace("RANGE", "0..N")) == [("index.bounds", 3)]
    check_text(read.replace("RANGE", "0..N - 1"))
    inside = loop.replace("READ", "if i + 1 < N { x[i + 1] } else { 0.0 }")
    check_text(inside.replace("RANGE", "0..N"))


def test_a_missing_file() -> None:
    with pytest.raises(MissingFileError):
        check_program("nowhere.dm")


TOKENS = re.compile(r"\s+|[A-Za-z_]\w*|\d[\w.]*|#.*|[^\sA-Za-z0-9_]")


def broken(text: str, chance: random.Random) -> str:
    """The text with one token replaced, removed or doubled."""
    parts = TOKENS.findall(text)
    places = [i for i, part in enumerate(parts) if part.strip() and not part.startswith("#")]
    one, other = chance.choice(places), chance.choice(places)
    match chance.randrange(3):
        case 0:
            parts[one] = parts[other]
        case 1:
            parts[one] = ""
        case _:
            parts[one] = chance.choice(["x", "N", "0", "f64", "sum", "key", "_", "(", "@", "true"])
    return "".join(parts)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_broken_programs_get_errors_with_places(path: Path) -> None:
    chance, text = random.Random(path.stem), path.read_text()
    for _ in range(15):
        changed = broken(text, chance)
        try:
            check_text(changed, path.name, path.parent)
        except Error as error:
            for found in error.diagnostics:
                assert found.primary is not None
                lines = changed.count("\n") + 1
                assert (
                    1 <= found.primary.span.start_line <= lines
                    or found.primary.span.file.name != path.name
                )


@pytest.mark.parametrize(
    "value", ["grad[3](x)", "grad[3](f)(x)", "grad(f)[3](x)", "jvp[2](f, along = x)(x)"]
)
def test_derivatives_have_no_brackets(value: str) -> None:
    source = f"fn f(x: f64) -> f64 = x\nfn g(x: f64) -> f64 = {value}\n"
    assert problems(source) == [("type.call", 2)]
