"""What calls of a function do to keys, found once and told in the terms of each caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmc.ir.location import Span
from dmc.semantics.keys.history import History, Joined, Spent, in_order, made_since_split
from dmc.semantics.keys.tokens import Derived, Root, Token, Tokens, roots, within
from dmc.semantics.keys.values import Held, align, keys_in, mapped, tokens_in
from dmc.semantics.sizes import Size

__all__ = ["Summary", "Told", "relevant"]


@dataclass(frozen=True, slots=True)
class Told:
    """A summary in a caller's terms: what happened before is the caller's."""

    tokens: Tokens
    names: dict[Token, Token]
    origins: Mapping[Token, tuple[Span, str]]
    sizes: Mapping[str, Size]
    shift: int
    done: dict[Token, Token]

    def token(self, token: Token) -> Token:
        """A value that the function made is another one in each call; it joins the names."""

        def change(part: Token) -> Token | None:
            match part:
                case Root():
                    return self.names.setdefault(part, self.tokens.root())
                case Derived(function=Size() as size):
                    return self.tokens.size(size.substitute(self.sizes))
                case _:
                    return None

        return self.tokens.rebuild(token, change, self.done, self.shift)

    def value(self, value: Held) -> Held:
        return mapped(value, self.token)

    def origin(self, token: Token) -> tuple[Span, str] | None:
        """The argument that a key comes from, and where in it the key is."""
        return next((self.origins[root] for root in roots(token) if root in self.origins), None)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a call does. `first` and `count` are the meetings of ways in the function."""

    parameters: tuple[Held, ...]
    history: History
    result: Held
    updated: Held
    first: int
    count: int

    def told(
        self,
        tokens: Tokens,
        arguments: Sequence[Held],
        spans: Sequence[Span],
        sizes: Mapping[str, Size],
    ) -> Told:
        """In terms of a call with these arguments, which stand at `spans`."""
        names: dict[Token, Token] = {}
        origins: dict[Token, tuple[Span, str]] = {}
        for inner, outer, span in zip(self.parameters, arguments, spans, strict=True):
            align(inner, outer, names)
            origins.update((token, (span, path)) for token, path in keys_in(inner))
        shift = tokens.reserve(self.count) - self.first
        return Told(tokens, names, origins, sizes, shift, {})


def relevant(history: History, results: Sequence[Held]) -> History:
    """The part of a function's history that a caller can come upon again.

    Keys that the function made by a split, and keeps, are nobody else's.
    """
    given = {part for held in results for token in tokens_in(held) for part in within(token)}
    kept: dict[History, History] = {None: None}
    for event in in_order(history):
        match event:
            case Spent(before, token, span, path, binding, frames):
                made = made_since_split(token)
                is_own = bool(made) and given.isdisjoint(made)
                before = kept[before]
                kept[event] = (
                    before if is_own else Spent(before, token, span, path, binding, frames)
                )
            case Joined(left, right, meeting):
                left, right = kept[left], kept[right]
                kept[event] = left if left is right else Joined(left, right, meeting)
    return kept[history]
