"""The algebra of sizes: polynomials over size names, and what can be proved about them.

A size is a polynomial with rational coefficients over *atoms*: size names (`N`, `net.D`) and
quotients that no fact resolves (`D / H`). Two sizes are equal when their difference, brought to
normal form under the facts in scope, is the zero polynomial. Every question has three answers:
proved, refuted with the smallest counterexample, or unknown, in which case the checker asks for a
`requires` clause.

Sizes are at least zero; questions of divisibility are answered over positive sizes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from math import lcm

__all__ = [
    "Answer",
    "Atom",
    "Division",
    "Facts",
    "Quotient",
    "Size",
    "SizeError",
    "Verdict",
    "divide",
    "solve",
]


class SizeError(ValueError):
    """A size expression has no integer value, such as `N / 2` at N = 3."""


class Division(enum.Enum):
    """The operators of section 5 that may stay unresolved inside a size."""

    EXACT = "/"
    FLOOR = "//"
    REMAINDER = "%"


@dataclass(frozen=True, slots=True)
class Quotient:
    """A division that is not a polynomial: one opaque atom, equal to itself only."""

    operator: Division
    numerator: Size
    denominator: Size
    text: str = field(init=False, compare=False, repr=False)
    """As it is printed, and ordered by: asked for far more often than there are quotients."""

    def __post_init__(self) -> None:
        operands = (_operand(size) for size in (self.numerator, self.denominator))
        object.__setattr__(self, "text", f" {self.operator.value} ".join(operands))

    def __str__(self) -> str:
        return self.text


Atom = str | Quotient
Monomial = tuple[Atom, ...]
Coefficient = int | Fraction
"""An `int` where it is whole: arithmetic with fractions takes thirty times as long."""
Terms = tuple[tuple[Monomial, Coefficient], ...]


_ONE: Terms = (((), 1),)


def _operand(size: Size) -> str:
    text = str(size)
    return f"({text})" if " " in text else text


def _term_order(term: tuple[Monomial, Coefficient]) -> tuple[int, tuple[str, ...]]:
    monomial, _ = term
    return (-len(monomial), tuple([str(atom) for atom in monomial]))


def _simplest(value: Coefficient) -> Coefficient:
    return value.numerator if value.denominator == 1 else value


def _ratio(top: Coefficient, bottom: Coefficient) -> Coefficient:
    return _simplest(Fraction(top) / bottom)


@dataclass(frozen=True, slots=True)
class Size:
    """An integer-valued polynomial in canonical order.

    `spelling` is how the user wrote it, where that is known.
    """

    terms: Terms
    spelling: str | None = field(default=None, compare=False)

    @staticmethod
    def collect(terms: Iterable[tuple[Monomial, Coefficient]]) -> Size:
        """Sum like terms and drop zeros."""
        total: dict[Monomial, Coefficient] = {}
        for monomial, coefficient in terms:
            key = monomial if len(monomial) < 2 else tuple(sorted(monomial, key=str))
            total[key] = total.get(key, 0) + coefficient
        kept = [(m, _simplest(c)) for m, c in total.items() if c]
        return Size(tuple(sorted(kept, key=_term_order) if len(kept) > 1 else kept))

    @staticmethod
    def of(value: int) -> Size:
        return Size((((), value),)) if value else Size(())

    @staticmethod
    def named(name: str) -> Size:
        return Size.atom(name)

    @staticmethod
    def atom(atom: Atom) -> Size:
        return Size((((atom,), 1),))

    def spelled(self, text: str) -> Size:
        return replace(self, spelling=text)

    def __add__(self, other: Size) -> Size:
        return Size.collect((*self.terms, *other.terms))

    def __neg__(self) -> Size:
        return Size(tuple((m, -c) for m, c in self.terms))

    def __sub__(self, other: Size) -> Size:
        return self + -other

    def __mul__(self, other: Size) -> Size:
        if self.terms == _ONE:
            return Size(other.terms)
        return Size.collect((m + n, c * d) for (m, c), (n, d) in product(self.terms, other.terms))

    def scaled(self, factor: Coefficient) -> Size:
        if factor == 1:
            return self
        return Size(tuple((m, _simplest(c * factor)) for m, c in self.terms if factor))

    @property
    def constant(self) -> int | None:
        """The value when no name occurs, else None."""
        if not self.terms:
            return 0
        (monomial, coefficient), *rest = self.terms
        if rest or monomial or coefficient.denominator != 1:
            return None
        return int(coefficient)

    def atoms(self) -> tuple[Atom, ...]:
        return tuple(sorted({atom for m, _ in self.terms for atom in m}, key=str))

    def names(self) -> frozenset[str]:
        """Every size name that occurs, inside quotients too."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    found |= atom.numerator.names() | atom.denominator.names()
        return frozenset(found)

    def substitute(self, sizes: Mapping[str, Size]) -> Size:
        """Replace names; quotients are divided again, so `D / H` at D = 8, H = 2 becomes 4."""
        if not self.terms or self.names().isdisjoint(sizes):
            return self
        terms: list[tuple[Monomial, Coefficient]] = []
        for monomial, coefficient in self.terms:
            value = Size.of(1)
            for atom in monomial:
                value = value * _substitute_atom(atom, sizes)
            terms += value.scaled(coefficient).terms
        return Size.collect(terms)

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The integer value.

        Raises:
            SizeError: a division leaves a remainder, or a divisor is zero.
            KeyError: a name has no value.
        """
        total = self.rational(sizes)
        if total.denominator != 1:
            raise SizeError(f"{self} is {total}, which is not a whole number")
        return int(total)

    def rational(self, sizes: Mapping[str, int]) -> Coefficient:
        total: Coefficient = 0
        for monomial, coefficient in self.terms:
            value = coefficient
            for atom in monomial:
                value *= _evaluate_atom(atom, sizes)
            total += value
        return _simplest(total)

    def __str__(self) -> str:
        return self.spelling if self.spelling is not None else _print_terms(self.terms)


def _substitute_atom(atom: Atom, sizes: Mapping[str, Size]) -> Size:
    if isinstance(atom, str):
        return sizes.get(atom, Size.atom(atom))
    numerator = atom.numerator.substitute(sizes)
    return divide(numerator, atom.denominator.substitute(sizes), atom.operator)


def _evaluate_atom(atom: Atom, sizes: Mapping[str, int]) -> int:
    if isinstance(atom, str):
        return sizes[atom]
    numerator, denominator = atom.numerator.evaluate(sizes), atom.denominator.evaluate(sizes)
    if denominator == 0:
        raise SizeError(f"{atom} divides by zero")
    match atom.operator:
        case Division.EXACT:
            if numerator % denominator:
                raise SizeError(f"{atom} is not a whole number")
            return numerator // denominator
        case Division.FLOOR:
            return numerator // denominator
        case Division.REMAINDER:
            return numerator % denominator


def _print_terms(terms: Terms) -> str:
    if not terms:
        return "0"
    if len(terms) == 1 and len(terms[0][0]) == 1 and terms[0][1] == 1:
        return str(terms[0][0][0])
    denominator = lcm(*(c.denominator for _, c in terms))
    # A positive term first, so that `N - M` never prints as `-M + N`.
    ordered = sorted(terms, key=lambda term: (-len(term[0]), term[1] < 0))
    if ordered[0][1] < 0:
        ordered.sort(key=lambda term: term[1] < 0)
    text = ""
    for monomial, coefficient in ordered:
        count = coefficient * denominator
        factors = [_factor(atom) for atom in monomial]
        if abs(count) != 1 or not factors:
            factors.insert(0, str(abs(count)))
        sign = ("-" if count < 0 else "") if not text else (" - " if count < 0 else " + ")
        text += sign + " * ".join(factors)
    if denominator == 1:
        return text
    return f"({text}) / {denominator}" if len(terms) > 1 else f"{text} / {denominator}"


def _factor(atom: Atom) -> str:
    return atom if isinstance(atom, str) else f"({atom})"


def divide(numerator: Size, denominator: Size, operator: Division = Division.EXACT) -> Size:
    """`numerator / denominator` as a polynomial where it is one, else as an opaque quotient.

    Whether an exact division is whole is a separate question: `Facts.divides`.
    """
    exact = _polynomial_quotient(numerator, denominator)
    whole = exact is not None and is_whole(exact).verdict is Verdict.PROVED
    top, bottom = numerator.constant, denominator.constant
    if top is not None and bottom:
        match operator:
            case Division.FLOOR:
                return Size.of(top // bottom)
            case Division.REMAINDER:
                return Size.of(top % bottom)
            case Division.EXACT:
                pass
    if exact is not None and (operator is Division.EXACT or whole):
        return Size(()) if operator is Division.REMAINDER else exact
    return Size.atom(Quotient(operator, numerator, denominator))


def _polynomial_quotient(numerator: Size, denominator: Size) -> Size | None:
    """Long division, exact over the rationals; None when a remainder is left."""
    if not denominator.terms:
        return None
    rest, quotient = numerator, Size(())
    lead, lead_coefficient = denominator.terms[0]
    for _ in range(64):
        if not rest.terms:
            return quotient
        monomial, coefficient = rest.terms[0]
        left = list(monomial)
        for atom in lead:
            if atom not in left:
                return None
            left.remove(atom)
        step = Size.collect([(tuple(left), _ratio(coefficient, lead_coefficient))])
        quotient, rest = quotient + step, rest - step * denominator
    return None


class Verdict(enum.Enum):
    """The three answers."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, with the smallest counterexample where one was found."""

    verdict: Verdict
    counterexample: Mapping[str, int] | None = None

    def __bool__(self) -> bool:
        return self.verdict is Verdict.PROVED


PROVED = Answer(Verdict.PROVED)
UNKNOWN = Answer(Verdict.UNKNOWN)


def is_whole(size: Size) -> Answer:
    """Whether a polynomial with rational coefficients takes whole values at all whole arguments.

    It does if and only if it does on every residue modulo the common denominator.
    """
    denominator = lcm(*(c.denominator for _, c in size.terms)) if size.terms else 1
    atoms = size.atoms()
    if denominator == 1:
        return PROVED
    if denominator ** len(atoms) > 100_000:
        return UNKNOWN
    residues = sorted(
        product(range(1, denominator + 1), repeat=len(atoms)), key=lambda v: (sum(v), v)
    )
    for values in residues:
        bound = dict(zip(atoms, values, strict=True))
        total = sum([_at(m, bound) * c for m, c in size.terms])
        if total.denominator != 1:
            named = {str(atom): value for atom, value in bound.items()}
            return Answer(Verdict.REFUTED, named)
    return PROVED


def _at(monomial: Monomial, values: Mapping[Atom, int]) -> int:
    total = 1
    for atom in monomial:
        total *= values[atom]
    return total


def _assignments(names: Iterable[str], limit: int = 6) -> Iterator[dict[str, int]]:
    """Positive values for the names, smallest sum first, then alphabetically."""
    ordered = sorted(names)
    reach = limit if len(ordered) <= 4 else 2
    values = sorted(product(range(1, reach + 1), repeat=len(ordered)), key=lambda v: (sum(v), v))
    for chosen in values:
        yield dict(zip(ordered, chosen, strict=True))


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the sizes in scope. Immutable; `assume_*` returns extended facts.

    `definitions` maps a name to what it equals (`requires D % H == 0` gives D = H * (D / H));
    `nonnegative` lists polynomials known to be at least zero, `divisions` divisors with multiples.
    """

    definitions: Mapping[str, Size] = field(default_factory=dict[str, Size])
    nonnegative: tuple[Size, ...] = ()
    divisions: tuple[tuple[Size, Size], ...] = ()

    def normal(self, size: Size) -> Size:
        """Substitute definitions until none applies."""
        if not self.definitions:
            return size
        for _ in range(len(self.definitions) + 1):
            # A definition mentions its own name inside the quotient atom, which must stay.
            following = _substitute_outside(size, self.definitions)
            if following == size:
                break
            size = following
        return size

    def assume_divides(self, divisor: Size, multiple: Size) -> Facts:
        """`multiple % divisor == 0`."""
        divisor, multiple = self.normal(divisor), self.normal(multiple)
        if self.divides(divisor, multiple):
            return self
        quotient = Quotient(Division.EXACT, multiple, divisor)
        # By a constant the quotient is a polynomial already; a name of its own makes it whole.
        atom = str(quotient) if divisor.constant is not None else quotient
        known = replace(self, divisions=(*self.divisions, (divisor, multiple)))
        return known.assume_equal(multiple, divisor * Size.atom(atom))

    def assume_equal(self, left: Size, right: Size) -> Facts:
        """`left == right`, kept as the definition of one name that occurs linearly."""
        left, right = self.normal(left), self.normal(right)
        if left == right:
            return self
        for one, other in ((left, right), (right, left)):
            if len(one.terms) == 1 and len(one.terms[0][0]) == 1 and one.terms[0][1] == 1:
                name = one.terms[0][0][0]
                if isinstance(name, str) and name not in _outer_names(other):
                    return replace(self, definitions={**self.definitions, name: other})
        difference = left - right
        for name in sorted(_outer_names(difference)):
            solution = solve(difference, Size(()), name)
            if solution is not None and is_whole(solution):
                return replace(self, definitions={**self.definitions, name: solution})
        return replace(self, nonnegative=(*self.nonnegative, difference, -difference))

    def assume_at_most(self, small: Size, large: Size) -> Facts:
        """`small <= large`."""
        return replace(self, nonnegative=(*self.nonnegative, large - small))

    def equal(self, left: Size, right: Size) -> Answer:
        """Whether two sizes are always equal."""
        if left.terms == right.terms:
            return PROVED
        difference = self.normal(left - right)
        if not difference.terms:
            return PROVED
        return self._refute(left, right, lambda a, b: a == b)

    def at_most(self, small: Size, large: Size) -> Answer:
        """Whether `small <= large` always holds."""
        if self._nonnegative(self.normal(large - small)):
            return PROVED
        return self._refute(small, large, lambda a, b: a <= b)

    def divides(self, divisor: Size, multiple: Size) -> Answer:
        """Whether `multiple / divisor` is always whole."""
        top, bottom = self.normal(multiple), self.normal(divisor)
        exact = _polynomial_quotient(top, bottom)
        if exact is not None:
            answer = is_whole(exact)
            if answer or not self.nonnegative:
                return answer
        return self._refute(multiple, divisor, lambda a, b: b != 0 and a % b == 0)

    def _nonnegative(self, size: Size) -> bool:
        """All coefficients at least zero after subtracting at most two known facts."""
        if _all_nonnegative(dict(size.terms)):
            return True
        known = [self.normal(fact).terms for fact in self.nonnegative]
        rests = [_less(dict(size.terms), fact) for fact in known]
        return any(map(_all_nonnegative, rests)) or any(
            _all_nonnegative(_less(rest, fact))
            for count, rest in enumerate(rests, 1)
            for fact in known[:count]
        )

    def _refute(self, left: Size, right: Size, holds: Callable[[int, int], bool]) -> Answer:
        names = left.names() | right.names()
        for fact in self.nonnegative:
            names |= fact.names()
        for name, definition in self.definitions.items():
            if name in names:
                names |= definition.names()
        if len(names) > 6:
            return UNKNOWN
        asked = left.names() | right.names()
        for sizes in _assignments(names):
            try:
                if self._allows(sizes) and not holds(left.evaluate(sizes), right.evaluate(sizes)):
                    return Answer(Verdict.REFUTED, {n: v for n, v in sizes.items() if n in asked})
            except (SizeError, KeyError):
                continue
        return UNKNOWN

    def _allows(self, sizes: Mapping[str, int]) -> bool:
        """Whether an assignment agrees with every fact; facts about unnamed sizes are ignored.

        Raises SizeError when a division that a fact makes whole is not.
        """
        for name, definition in self.definitions.items():
            known = name in sizes and definition.names() <= sizes.keys()
            if known and definition.evaluate(sizes) != sizes[name]:
                return False
        for divisor, multiple in self.divisions:
            if divisor.names() | multiple.names() <= sizes.keys():
                bottom = divisor.evaluate(sizes)
                if bottom == 0 or multiple.evaluate(sizes) % bottom:
                    return False
        return all(
            fact.evaluate(sizes) >= 0 for fact in self.nonnegative if fact.names() <= sizes.keys()
        )


def _all_nonnegative(terms: Mapping[Monomial, Coefficient]) -> bool:
    """Whether no coefficient is below zero."""
    return all(c >= 0 for c in terms.values())


def _less(terms: Mapping[Monomial, Coefficient], fact: Terms) -> dict[Monomial, Coefficient]:
    """The difference, its terms in no order."""
    rest = dict(terms)
    for monomial, coefficient in fact:
        rest[monomial] = rest.get(monomial, 0) - coefficient
    return rest


def _outer_names(size: Size) -> frozenset[str]:
    return frozenset(atom for atom in size.atoms() if isinstance(atom, str))


def _substitute_outside(size: Size, definitions: Mapping[str, Size]) -> Size:
    """Substitute names, and divide again the quotients that definitions resolve."""
    total = Size(())
    for monomial, coefficient in size.terms:
        value = Size.of(1)
        for atom in monomial:
            value = value * _resolve_atom(atom, definitions)
        total = total + value.scaled(coefficient)
    return total


def _resolve_atom(atom: Atom, definitions: Mapping[str, Size]) -> Size:
    if isinstance(atom, str):
        return definitions.get(atom, Size.atom(atom))
    numerator = _substitute_outside(atom.numerator, definitions)
    denominator = _substitute_outside(atom.denominator, definitions)
    return divide(numerator, denominator, atom.operator)


def solve(expression: Size, value: Size, unknown: str) -> Size | None:
    """The unknown for which `expression == value`, when it occurs linearly; else None.

    The solution may need a divisibility proof (`N` from `2 * N == M` is `M / 2`).
    """
    factor, rest = Size(()), Size(())
    for monomial, coefficient in expression.terms:
        count = monomial.count(unknown)
        term = Size.collect([(monomial, coefficient)])
        if count == 0:
            if unknown in term.names():
                return None
            rest = rest + term
        elif count == 1:
            left = list(monomial)
            left.remove(unknown)
            if unknown in Size.collect([(tuple(left), 1)]).names():
                return None
            factor = factor + Size.collect([(tuple(left), coefficient)])
        else:
            return None
    if not factor.terms:
        return None
    return divide(value - rest, factor)
