"""Warnings are given for what is wrong, nothing else, and their ways out are ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmc.diagnostics.codes import FAMILIES, Code
from dmc.diagnostics.diagnostic import Diagnostic, Severity
from dmc.lints.lint import lint
from dmc.semantics.modules import check_program, check_text
from dmc.semantics.program import Program

ROOT = Path(__file__).parents[2]
STD = ROOT / "runtime" / "dmc_runtime" / "std"
EXAMPLES = sorted((ROOT / "examples").glob("**/*.dm"))


def warnings(text: str) -> list[Diagnostic]:
    return lint(check_text(text))


@pytest.mark.parametrize("code", FAMILIES["lint"], ids=lambda code: code.name)
def test_rows(code: Code) -> None:
    (found,) = warnings(code.failing)
    assert found.code == code.name
    assert found.severity is Severity.WARNING
    assert found.primary is not None
    assert warnings(code.fixed) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_false_alarms_in_examples(path: Path) -> None:
    assert lint(check_program(path)) == []


def test_no_false_alarms_in_the_library() -> None:
    """All of it is loaded once; a file that only passes on names has nothing of its own."""
    names = sorted(path.stem for path in STD.glob("*.dm"))
    program = check_text("".join(f"import {name}\n" for name in names))
    known = 0
    while known < len(program.modules):
        known = len(program.modules)
        for module in list(program.modules.values()):
            dict(module.names)
    assert len(program.modules) > len(list(STD.glob("**/*.dm")))
    for module in program.modules.values():
        assert not [w.title for w in lint(Program(module, program.modules))]


MODEL = """model M {{
    param a: f64 = 1.0
    param b: f64 = 1.0
    {more}
    fn forward(x: f64) -> f64 = {value}
}}
"""


def model(value: str, more: str = "state c: f64 = 1.0\n    fn c_now() -> f64 = c") -> str:
    return MODEL.format(value=value, more=more)


WAYS = {
    # what is wrong: the program, the code, what is replaced, what with
    "rounding": (
        model("a * x + round(2.0 * b)"),
        "lint.step", "round(2.0 * b)", "((2.0 * b) + stop_gradient(round(2.0 * b) - (2.0 * b)))",
    ),
    "a comparison": (
        model("a * x + (if b > x { 1.0 } else { 0.0 })"),
        "lint.step", "param b", "state b",
    ),
    "a comparison that selects": (
        model("a * x + where(b > x, 1.0, 0.0)"),
        "lint.step", "param b", "state b",
    ),
    "an integer": (
        model("a * x + f64(i64(b))"),
        "lint.step", "param b", "state b",
    ),
    "a gradient that is stopped": (
        model("a * x + stop_gradient(b)"),
        "lint.gradient", "param b", "state b",
    ),
    "a derivative in another parameter": (
        "fn f(x: f64, y: f64) -> f64 = x * x\nfn g(x: f64, y: f64) -> f64 = grad(f, wrt = y)(x, y)",
        "lint.gradient", "wrt = y", "wrt = x",
    ),
    "a logarithm of a softmax": (
        "fn f[N](x: f32[N]) -> f32 = sum(log(softmax[-1](x)))",
        "lint.singular", "log(softmax[-1](x))", "log(maximum(softmax[-1](x), 1e-12))",
    ),
    "a root in a loop": (
        "fn f[N](x: f64[N]) -> f64[N] = for v in x { sqrt(maximum(v, 0.0)) }",
        "lint.singular", "sqrt(maximum(v, 0.0))", "sqrt(maximum(maximum(v, 0.0), 1e-12))",
    ),
    "a quotient by an index": (
        "fn f[N](x: f64[N]) -> f64[N] = [i] => x[i] / f64(i)",
        "lint.singular", "x[i] / f64(i)", "x[i] / maximum(f64(i), 1.0)",
    ),
    "a quotient by a difference of indexes": (
        "fn f() -> f64 = sum[i in 0..9, j in 0..9](1.0 / f64(i - j))",
        "lint.singular", "1.0 / f64(i - j)", "where(f64(i - j) != 0.0, 1.0 / f64(i - j), 0.0)",
    ),
    "a count of integers": (
        model("a * b * x", "state n: i64 = 0\n    mut fn seen() -> f64 { n += 1; 1.0 }"),
        "lint.state", "fn forward", "fn n_now() -> i64 = n\n    fn forward",
    ),
    "a key": (
        "fn f(key: Key) -> f64 {\n    let (k, l) = split(key)\n    normal(k)\n}",
        "lint.key", "let (k, l) = split(key)", "let (k, _) = split(key)",
    ),
    "a key of a parameter": (
        "fn f(key: Key, x: f64) -> f64 = x",
        "lint.key", "(key: Key, x: f64)", "(x: f64)",
    ),
    "a sum of an array": (
        "fn f() -> f32 = sum(f32(arange[10_000]()))",
        "lint.sum", "sum(f32(arange[10_000]()))", "f32(sum(f64(arange[10_000]())))",
    ),
    "a sum of what was converted before": (
        "fn f(n: i64) -> f32 {\n    let x = f32(arange[10_000]())\n    sum[0](x)\n}",
        "lint.sum", "sum[0](x)", "f32(sum[0](f64(x)))",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_ways_out(way: tuple[str, str, str, str]) -> None:
    text, code, wrong, right = way
    (found,) = warnings(text)
    assert found.code == code
    assert f"`{right.removesuffix(' ' * 4 + 'fn forward').rstrip()}`" in found.help[0]
    repaired = warnings(text.replace(wrong, right, 1))
    assert {each.code for each in repaired} <= ({"lint.state"} if "state b" in right else set())


def test_what_is_guarded_or_not_known_is_passed_over() -> None:
    assert (
        warnings(
            "fn norm[N](x: f64[N]) -> f64[N] = x / sqrt(sum(x * x) + 1e-6)\n"
            "fn bare[N](x: f64[N]) -> f64[N] = x / sqrt(x @ x)\n"
            "fn plain(x: f64, y: f64) -> f64 = log(x) / y + sqrt(x) + 1.0 / tanh(y)\n"
            "fn chosen(x: f64) -> f64 = where(x > 0.0, log(maximum(x, 0.0)), 0.0)\n"
            "fn branched[N](x: f64[N]) -> f64[N] = [i] => if i > 0 { x[i] / f64(i) } else { 0.0 }\n"
            "fn smooth(x: f64) -> f64 = log(1.0 + exp(x)) - log(exp(x)) + 1.0 / (1.0 + exp(-x))\n"
            "fn shifted[N](x: f64[N]) -> f64[N] = [i] => x[i] / f64(i + 1)\n"
            "fn sized[N](x: f64[N]) -> f64[N] = [i] => x[i] / f64(i + N - 3)\n"
            "fn count[N](x: f32[N]) -> f32 = sum(where(x > 0.0, 1.0, 0.0))\n"
            "fn share(x: f32[100_000_000]) -> f32 = mean(f32(x > 0.0))\n"
        )
        == []
    )


def test_states_that_are_for_each_other_only() -> None:
    found = warnings(
        "model M {\n    state a: f64 = 0.0\n    state b: f64 = 0.0\n    state c: f64 = 0.0\n"
        "    mut fn forward(x: f64) -> f64 {\n        let t = a\n        a = b + x + c\n"
        "        b = t\n        c = 0.9 * c\n        x + c\n    }\n}\n"
    )
    assert [each.title for each in found] == [f"nothing reads the state `{s}`" for s in "ab"]


def test_models_are_judged_by_all_of_their_functions() -> None:
    assert (
        warnings(
            "model Part {\n    param w: f64 = 1.0\n    fn forward(x: f64) -> f64 = w * x\n}\n"
            "model Whole {\n"
            "    one: Part\n"
            "    param level: f64 = 1.0\n"
            "    state mean: f64 = 0.0\n"
            "    mut fn forward(x: f64) -> f64 {\n"
            "        mean = 0.9 * mean + 0.1 * x\n"
            "        one(x)\n"
            "    }\n"
            "    fn settled(x: f64) -> f64 {\n"
            "        var s = 0.0\n"
            "        for i in 0..3 { s = s + level * (x - mean) }\n"
            "        s\n"
            "    }\n"
            "}\n"
            "fn loss(var net: Whole, x: f64) -> f64 = net(x)\n"
            "fn step(net: Whole, x: f64) -> Whole = net - 0.1 * grad(loss)(net, x)\n"
        )
        == []
    )
