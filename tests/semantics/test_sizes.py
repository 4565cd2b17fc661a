"""The size algebra against brute force."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmc.semantics.sizes import (
    Division,
    Facts,
    Size,
    SizeError,
    Verdict,
    divide,
    is_whole,
    solve,
)

N, M, K, D, H, T, C, P = map(Size.named, ("N", "M", "K", "D", "H", "T", "C", "P"))
ONE, TWO = Size.of(1), Size.of(2)


@st.composite
def polynomials(draw: st.DrawFn) -> Size:
    """Small polynomials in two names."""
    total = Size.of(draw(st.integers(-3, 3)))
    for _ in range(draw(st.integers(0, 3))):
        term = Size.of(draw(st.integers(-3, 3)))
        for name in draw(st.lists(st.sampled_from(["N", "M"]), max_size=2)):
            term = term * Size.named(name)
        total = total + term
    return total


POINTS = [{"N": n, "M": m} for n, m in product(range(4), repeat=2)]


@given(polynomials(), polynomials())
def test_arithmetic_agrees_with_integers(a: Size, b: Size) -> None:
    for point in POINTS:
        x, y = a.evaluate(point), b.evaluate(point)
        assert (a + b).evaluate(point) == x + y
        assert (a - b).evaluate(point) == x - y
        assert (a * b).evaluate(point) == x * y


@given(polynomials(), polynomials())
def test_equality_is_canonical(a: Size, b: Size) -> None:
    """Equal on more points than the degree allows roots means equal as polynomials."""
    same = all(a.evaluate(p) == b.evaluate(p) for p in POINTS)
    assert (a == b) == same
    assert bool(Facts().equal(a, b)) == same


@given(polynomials(), polynomials(), polynomials())
def test_substitution_is_evaluation(a: Size, n: Size, m: Size) -> None:
    for point in POINTS:
        inner = {"N": n.evaluate(point), "M": m.evaluate(point)}
        assert a.substitute({"N": n, "M": m}).evaluate(point) == a.evaluate(inner)


@given(polynomials(), st.sampled_from([2, 3, 4, 6]))
def test_wholeness_by_residues(a: Size, divisor: int) -> None:
    answer = is_whole(a.scaled(Fraction(1, divisor)))
    points = [{"N": n, "M": m} for n, m in product(range(1, divisor + 1), repeat=2)]
    wrong = [p for p in points if a.evaluate(p) % divisor]
    assert bool(answer) == (not wrong)
    if wrong:
        found = dict(answer.counterexample or {})
        assert a.evaluate({"N": 1, "M": 1, **found}) % divisor


@given(polynomials(), polynomials())
def test_at_most_never_lies(a: Size, b: Size) -> None:
    answer = Facts().at_most(a, b)
    if answer:
        assert all(a.evaluate(p) <= b.evaluate(p) for p in POINTS)
    if answer.verdict is Verdict.REFUTED:
        point = {"N": 1, "M": 1, **(answer.counterexample or {})}
        assert a.evaluate(point) > b.evaluate(point)


@given(st.integers(1, 4), st.integers(-3, 3), st.integers(0, 20))
def test_solving_one_unknown(factor: int, offset: int, value: int) -> None:
    expression = Size.of(factor) * T + Size.of(offset)
    solution = solve(expression, expression.substitute({"T": Size.of(value)}), "T")
    assert solution is not None
    assert solution.constant == value


@given(st.integers(0, 30), st.integers(1, 7))
def test_division_of_constants(a: int, b: int) -> None:
    assert divide(Size.of(a), Size.of(b), Division.FLOOR).constant == a // b
    assert divide(Size.of(a), Size.of(b), Division.REMAINDER).constant == a % b
    exact = divide(Size.of(a), Size.of(b))
    assert exact.constant == (a // b if a % b == 0 else None)


HEADS = Facts().assume_divides(H, D)

PROVED = {
    "identity": (Facts(), T + ONE - ONE, T),
    "convolution then pooling": (Facts(), (H - K + ONE) + K - ONE, H),
    "commuting": (Facts(), H * K, K * H),
    "a required division": (HEADS, divide(D, H) * H, D),
    "a definition": (Facts().assume_equal(D, H * K), D, K * H),
    "the last index of a pooling window": (
        Facts().assume_divides(P, H),
        P * (divide(H, P) - ONE) + (P - ONE),
        H - ONE,
    ),
    "triangular packing": (Facts(), divide(D * (D + ONE), TWO) * TWO, D * D + D),
}


@pytest.mark.parametrize(("facts", "left", "right"), PROVED.values(), ids=PROVED.keys())
def test_equal_sizes(facts: Facts, left: Size, right: Size) -> None:
    assert facts.equal(left, right)


def test_refutations_are_smallest() -> None:
    assert Facts().divides(H, D).counterexample == {"D": 1, "H": 2}
    assert Facts().equal(N, M).counterexample == {"M": 1, "N": 2}
    assert Facts().divides(TWO, N).counterexample == {"N": 1}
    assert Facts().at_most(T, C).counterexample == {"C": 1, "T": 2}


def test_divisibility_by_residues() -> None:
    assert Facts().divides(TWO, D * (D + ONE))
    assert Facts().divides(Size.of(6), N * (N + ONE) * (TWO * N + ONE))


def test_facts_bound_sizes() -> None:
    facts = Facts().assume_at_most(T, C)
    assert facts.at_most(T, C)
    assert facts.at_most(T - ONE, C)
    assert facts.at_most(T + T, C + C)
    assert facts.at_most(C, T).verdict is Verdict.REFUTED
    assert not facts.at_most(T + ONE, C)


def test_counterexamples_agree_with_facts() -> None:
    facts = Facts().assume_divides(TWO, N)
    answer = facts.equal(N, TWO)
    assert answer.counterexample == {"N": 4}


def test_printing() -> None:
    assert str(H - K + ONE) == "H - K + 1"
    assert str(TWO * N) == "2 * N"
    assert str(ONE - N) == "1 - N"
    assert str(divide(D, H)) == "D / H"
    assert str(divide(D * (D + ONE), TWO)) == "(D * D + D) / 2"
    assert str(divide(D * (D + ONE), TWO).spelled("D * (D + 1) / 2")) == "D * (D + 1) / 2"
    assert str(Size.of(0)) == "0"


def test_evaluating_what_is_not_whole() -> None:
    with pytest.raises(SizeError, match="not a whole number"):
        divide(N, TWO).evaluate({"N": 3})
    with pytest.raises(SizeError, match="divides by zero"):
        divide(D, H).evaluate({"D": 3, "H": 0})
    with pytest.raises(KeyError):
        N.evaluate({})
