"""`requires` clauses: facts inside a function, duties of its callers."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dmc.ir.location import Span
from dmc.semantics.sizes import Answer, Division, Facts, Quotient, Size, Verdict

__all__ = ["Relation", "Requirement", "assume", "prove"]


class Relation(enum.Enum):
    """How the two sides of a `requires` clause compare."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="

    def holds(self, left: int, right: int) -> bool:
        match self:
            case Relation.EQUAL:
                return left == right
            case Relation.NOT_EQUAL:
                return left != right
            case Relation.LESS:
                return left < right
            case Relation.AT_MOST:
                return left <= right
            case Relation.MORE:
                return left > right
            case Relation.AT_LEAST:
                return left >= right


@dataclass(frozen=True, slots=True)
class Requirement:
    """One `requires` clause over sizes, as written in `text`."""

    left: Size
    relation: Relation
    right: Size
    text: str
    span: Span

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Raises SizeError when a division inside is not whole."""
        return self.relation.holds(self.left.evaluate(sizes), self.right.evaluate(sizes))

    def names(self) -> frozenset[str]:
        return self.left.names() | self.right.names()

    def substitute(self, sizes: Mapping[str, Size]) -> Requirement:
        """The clause in a caller's terms; `text` is spelled anew."""
        left, right = self.left.substitute(sizes), self.right.substitute(sizes)
        if (left, right) == (self.left, self.right):
            return self
        text = f"{_clause_side(left)} {self.relation.value} {_clause_side(right)}"
        return replace(self, left=left, right=right, text=text)


def _clause_side(size: Size) -> str:
    division = _remainder(size)
    return str(division) if division is not None else str(size)


def _remainder(size: Size) -> Quotient | None:
    """The `a % b` that the size consists of, if it does."""
    atoms = size.atoms()
    if len(atoms) == 1 and isinstance(atoms[0], Quotient) and size == Size.atom(atoms[0]):
        return atoms[0] if atoms[0].operator is Division.REMAINDER else None
    return None


def assume(facts: Facts, requirements: Iterable[Requirement]) -> Facts:
    """Facts extended by clauses. What the algebra cannot use is dropped."""
    one = Size.of(1)
    for clause in requirements:
        left, right = clause.left, clause.right
        match clause.relation:
            case Relation.EQUAL:
                division = _remainder(left)
                if division is not None and right.constant == 0:
                    facts = facts.assume_divides(division.denominator, division.numerator)
                else:
                    facts = facts.assume_equal(left, right)
            case Relation.AT_MOST:
                facts = facts.assume_at_most(left, right)
            case Relation.LESS:
                facts = facts.assume_at_most(left + one, right)
            case Relation.AT_LEAST:
                facts = facts.assume_at_most(right, left)
            case Relation.MORE:
                facts = facts.assume_at_most(right + one, left)
            case Relation.NOT_EQUAL:
                pass
    return facts


def prove(facts: Facts, clause: Requirement) -> Answer:
    """Whether a clause, in the terms of `facts`, always holds."""
    left, right, one = clause.left, clause.right, Size.of(1)
    match clause.relation:
        case Relation.EQUAL:
            division = _remainder(left)
            if division is not None and right.constant == 0:
                return facts.divides(division.denominator, division.numerator)
            return facts.equal(left, right)
        case Relation.AT_MOST:
            return facts.at_most(left, right)
        case Relation.LESS:
            return facts.at_most(left + one, right)
        case Relation.AT_LEAST:
            return facts.at_most(right, left)
        case Relation.MORE:
            return facts.at_most(right + one, left)
        case Relation.NOT_EQUAL:
            difference = facts.normal(left - right).constant
            return Answer(Verdict.PROVED if difference else Verdict.UNKNOWN)
