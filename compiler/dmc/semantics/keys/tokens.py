"""Which keys are the same key: names for values.

A token names the value of one key, or of one whole number that a key is folded with. Tokens are
interned, so equal tokens are one object. Where two ways through a program meet, what a variable
holds is `Either` of two tokens; the number of the meeting tells which of them go together.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from dmc.semantics.sizes import Size

__all__ = ["Derived", "Either", "Root", "Split", "Token", "Tokens", "roots", "within"]


@dataclass(eq=False, slots=True)
class Token:
    """One value.

    `meeting` is the latest meeting of ways that it depends on, 0 for none. `heads` are the
    functions that may have given it, a root for itself: without one in common, tokens differ.
    """

    meeting: int
    heads: frozenset[Hashable]


@dataclass(eq=False, slots=True)
class Root(Token):
    """A value of which nothing more is known: a parameter, a loop's index."""


@dataclass(eq=False, slots=True)
class Derived(Token):
    """A function of other tokens: a fold, one key of a split, arithmetic; constants have none."""

    function: Hashable
    operands: tuple[Token, ...]


@dataclass(eq=False, slots=True)
class Either(Token):
    """`left` if the way through the left was taken, else `right`."""

    left: Token
    right: Token


@dataclass(frozen=True, slots=True)
class Split:
    """The function that gives one key of a split."""

    place: int


class Tokens:
    """Makes tokens and compares them."""

    def __init__(self) -> None:
        self._derived: dict[tuple[Hashable, tuple[Token, ...]], Derived] = {}
        self._either: dict[tuple[int, Token, Token], Either] = {}
        self.meetings = 0

    # -- making

    def root(self) -> Root:
        """A value equal to no other."""
        root = Root(0, frozenset())
        root.heads = frozenset({root})
        return root

    def derive(self, function: Hashable, *operands: Token) -> Token:
        """The value of a function: the same for the same operands."""
        key = (function, operands)
        if key not in self._derived:
            meeting = max((o.meeting for o in operands), default=0)
            self._derived[key] = Derived(meeting, frozenset({function}), function, operands)
        return self._derived[key]

    def size(self, size: Size) -> Token:
        """A size, or the number that it is."""
        constant = size.constant
        return self.derive(size if constant is None else constant)

    def either(self, meeting: int, left: Token, right: Token) -> Token:
        """What holds `left` or `right`."""
        if left is right:
            return left
        key = (meeting, left, right)
        if key not in self._either:
            self._either[key] = Either(meeting, left.heads | right.heads, left, right)
        return self._either[key]

    def meet(self) -> int:
        """A new meeting."""
        self.meetings += 1
        return self.meetings

    def reserve(self, count: int) -> int:
        """The first of as many new meetings as a called function has."""
        first = self.meetings
        self.meetings += count
        return first

    def rebuild(
        self,
        token: Token,
        change: Callable[[Token], Token | None],
        done: dict[Token, Token] | None = None,
        shift: int = 0,
    ) -> Token:
        """`token` with the parts replaced for which `change` gives another; each once.

        Meetings of what is not replaced move by `shift`.
        """
        done = {} if done is None else done
        pending = [token]
        while pending:
            part = pending[-1]
            changed = done.get(part) or change(part)
            if changed is None:
                inner = _parts(part)
                missing = [p for p in inner if p not in done]
                if missing:
                    pending += missing
                    continue
                changed = self._with_parts(part, [done[p] for p in inner], shift)
            done[part] = changed
            pending.pop()
        return done[token]

    def _with_parts(self, token: Token, parts: Sequence[Token], shift: int) -> Token:
        match token:
            case Derived(function=function):
                return self.derive(function, *parts)
            case Either(meeting=meeting):
                left, right = parts
                return self.either(meeting + shift, left, right)
            case _:
                return token

    def side(self, token: Token, meeting: int, is_left: bool) -> Token:
        """What a token is on one of the ways that met."""

        def change(part: Token) -> Token | None:
            if part.meeting < meeting:
                return part
            if isinstance(part, Either) and part.meeting == meeting:
                return part.left if is_left else part.right
            return None

        return self.rebuild(token, change)

    # -- comparing

    def may_equal(self, a: Token, b: Token) -> bool:
        """Whether two tokens are one value on some way through the program."""
        pending, seen = [(a, b)], {(a, b)}
        while pending:
            a, b = pending.pop()
            if a is b:
                return True
            meeting = max(a.meeting, b.meeting)
            if meeting == 0 or a.heads.isdisjoint(b.heads):
                continue
            for is_left in (True, False):
                pair = self.side(a, meeting, is_left), self.side(b, meeting, is_left)
                if pair not in seen:
                    seen.add(pair)
                    pending.append(pair)
        return False


def _parts(token: Token) -> tuple[Token, ...]:
    match token:
        case Derived(operands=operands):
            return operands
        case Either(left=left, right=right):
            return (left, right)
        case _:
            return ()


def within(token: Token) -> Iterator[Token]:
    """A token and all it depends on, each once."""
    pending, seen = [token], {token}
    while pending:
        part = pending.pop()
        yield part
        inner = [p for p in _parts(part) if p not in seen]
        pending += inner
        seen.update(inner)


def roots(token: Token) -> Iterator[Root]:
    """The unknown values that a token depends on."""
    return (part for part in within(token) if isinstance(part, Root))
