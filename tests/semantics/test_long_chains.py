"""Chains of operators are no nesting: no stage goes a level deeper for each term."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.ir.location import SourceFile
from dmc.syntax.dump import dump
from dmc.syntax.parser import parse

MANY = 1200


def joined(operator: str, terms: list[str]) -> str:
    return f" {operator}\n    ".join(terms)


@pytest.mark.parametrize(
    ("source", "arguments", "wanted"),
    [
        (
            f"fn f(x: f64) -> f64 = {joined('+', [f'x * {i}.0' for i in range(MANY)])}",
            (2.0,),
            MANY * (MANY - 1.0),
        ),
        (
            f"fn f[N](x: f64[N]) -> f64[N] = {joined('-', ['x'] * MANY)}",
            (np.array([1.0, 3.0]),),
            np.array([2.0 - MANY, 3.0 * (2 - MANY)]),
        ),
        (f"fn f(x: f64) -> f64 = x + {joined('+', ['1.0'] * MANY)}", (0.5,), MANY + 0.5),
        (
            f"fn f(x: f64) -> f64 = if {joined('and', ['x > 0.0'] * MANY)} {{ 1.0 }} else {{ x }}",
            (2.0,),
            1.0,
        ),
        (
            f"fn f[N](x: f64[N], i: i64) -> f64 = x[{joined('+', ['i'] * MANY)}]",
            (np.arange(MANY + 1.0), 1),
            MANY,
        ),
        (f"fn f[N](x: f64[N]) -> i64 = {joined('+', ['N'] * MANY)}", (np.ones(3),), 3 * MANY),
        (
            f"fn f[N](x: f64[{joined('+', ['N'] * MANY)}]) -> i64 = N",
            (np.ones(2 * MANY),),
            2,
        ),
    ],
)
def test_values(source: str, arguments: tuple[Any, ...], wanted: Any) -> None:
    np.testing.assert_array_equal(dmc.loads(source + "\n").f(*arguments), wanted)


def test_gradients() -> None:
    terms = [f"sin({i}.0 * x)" for i in range(MANY)]
    program = dmc.loads(f"fn f(x: f64) -> f64 = {joined('+', terms)}\n")
    numbers = np.arange(float(MANY))
    wanted = (numbers * np.cos(numbers * 0.25)).sum()
    assert dmc.grad(program.f)(0.25) == pytest.approx(wanted, rel=1e-12)


def test_keys() -> None:
    source = f"fn f(k: Key, i: i64) -> f64 = normal(fold(k, {joined('+', ['i'] * MANY)}))\n"
    plain = dmc.loads("fn f(k: Key, i: i64) -> f64 = normal(fold(k, i))\n")
    assert dmc.loads(source).f(dmc.key(0), 1) == plain.f(dmc.key(0), MANY)


def test_an_error_in_the_last_term() -> None:
    with pytest.raises(dmc.Error, match="unknown name `y`"):
        dmc.loads(f"fn f(x: f64) -> f64 = {joined('+', ['x'] * MANY)} + y\n")


def test_the_tree_is_shown() -> None:
    text = f"fn f(x: f64) -> f64 = {joined('+', ['x'] * MANY)}\n"
    assert dump(parse(SourceFile("m.dm", text))).count("Binary") == MANY - 1


@pytest.mark.parametrize(
    "nest",
    [lambda inner: f"({inner} * 2.0)", lambda inner: f"-{inner}", lambda inner: f"x ** {inner}"],
)
def test_what_nests_is_still_limited(nest: Callable[[str], str]) -> None:
    inner = "x"
    for _ in range(200):
        inner = f"sin({nest(inner)})"
    with pytest.raises(dmc.Error, match="nested more than"):
        dmc.loads(f"fn f(x: f64) -> f64 = {inner}\n")
