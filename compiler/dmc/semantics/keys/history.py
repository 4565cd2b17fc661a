"""Which keys are spent, by every way that leads to a point of a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dmc.ir.location import Span
from dmc.semantics.keys.tokens import Derived, Split, Token, Tokens

__all__ = ["Frame", "History", "Joined", "Spent", "find", "in_order", "made_since_split"]


@dataclass(eq=False, slots=True)
class Frame:
    """One iteration of a loop (with the name of its index), or one call of a function value."""

    is_loop: bool
    index: str | None = None


@dataclass(eq=False, slots=True)
class Spent:
    """A key is spent, after `before`, inside of `frames`; `binding` is what its draw is called.

    It is what is at `span`, or in that at `path`, such as `.noise.key`.
    """

    before: History
    token: Token
    span: Span
    path: str
    binding: str | None
    frames: tuple[Frame, ...]


@dataclass(eq=False, slots=True)
class Joined:
    """Two ways meet."""

    left: History
    right: History
    meeting: int


History = Spent | Joined | None


def find(tokens: Tokens, history: History, token: Token) -> Spent | None:
    """Where a key may have been spent."""
    pending: list[tuple[History, Token]] = [(history, token)]
    seen: set[tuple[Joined, Token]] = set()
    while pending:
        at, wanted = pending.pop()
        made = made_since_split(wanted)
        parent = made[-1].operands[0] if made else None  # before its split none was spent
        while isinstance(at, Spent) and at.token is not parent:
            if tokens.may_equal(at.token, wanted):
                return at
            at = at.before
        if isinstance(at, Joined) and (at, wanted) not in seen:
            seen.add((at, wanted))
            for way, is_left in ((at.right, False), (at.left, True)):
                pending.append((way, tokens.side(wanted, at.meeting, is_left)))
    return None


def made_since_split(token: Token) -> list[Derived]:
    """How a key was made from one of a split, that one last; nothing if it was not."""
    made: list[Derived] = []
    while isinstance(token, Derived) and token.operands:
        made.append(token)
        if isinstance(token.function, Split):
            return made
        token = token.operands[0]
    return []


def in_order(history: History) -> Iterator[Spent | Joined]:
    """Every event that leads to a point, after those that it follows."""
    pending: list[History] = [history]
    done: set[Spent | Joined] = set()
    while pending:
        at = pending[-1]
        if at is None or at in done:
            pending.pop()
            continue
        before = (at.before,) if isinstance(at, Spent) else (at.right, at.left)
        missing = [b for b in before if b is not None and b not in done]
        if missing:
            pending += missing
            continue
        done.add(at)
        pending.pop()
        yield at
