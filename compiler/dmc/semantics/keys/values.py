"""What a variable holds, as far as keys go: tokens, in tuples and records, and functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dmc.ir.types import DType
from dmc.semantics.keys.tokens import Root, Token, Tokens
from dmc.semantics.typed import Callee, Symbol
from dmc.semantics.types import (
    KeyType,
    Number,
    NumberKind,
    StackType,
    TensorType,
    Type,
    children,
    leaves,
    pruned,
    resolved,
)

__all__ = [
    "Closure", "Held", "Key", "Names", "Parts", "Whole", "align", "fresh", "holds_keys", "is_whole",
    "items_of", "join", "keys_in", "mapped", "tokens_in",
]  # fmt: skip


@dataclass(eq=False, slots=True)
class Key:
    """A key; of an array of records, what the keys of its elements are told from."""

    token: Token


@dataclass(eq=False, slots=True)
class Whole:
    """A whole number, which a key may be folded with."""

    token: Token


@dataclass(eq=False, slots=True)
class Parts:
    """A tuple or record: those of its items, by position or name, that hold something."""

    items: Mapping[str, Held]


@dataclass(eq=False, slots=True)
class Closure:
    """A function and what the names in it held when it was made."""

    callee: Callee
    names: Names


Held = Key | Whole | Parts | Closure | None
Names = Mapping[Symbol, Held]


def is_whole(type_: Type) -> bool:
    """One whole number."""
    type_ = pruned(type_)
    if not isinstance(type_, TensorType) or type_.shape:
        return False
    element = resolved(type_.element)
    if isinstance(element, Number):
        return element.kind is not NumberKind.FLOAT
    return isinstance(element, DType) and element.is_integer


def holds_keys(type_: Type) -> bool:
    """Whether values of a type hold keys."""
    return any(isinstance(leaf.type, KeyType) for leaf in leaves(type_))


def fresh(tokens: Tokens, type_: Type) -> Held:
    """A value of a type of which nothing is known."""
    type_ = pruned(type_)
    while isinstance(type_, StackType) and isinstance(type_.item, KeyType):
        type_ = type_.item
    if isinstance(type_, KeyType):
        return Key(tokens.root())
    if is_whole(type_):
        return Whole(tokens.root())
    items = {name: fresh(tokens, part) for name, part, _ in children(type_)}
    items = {name: item for name, item in items.items() if item is not None}
    return Parts(items) if items else None


def mapped(value: Held, change: Callable[[Token], Token]) -> Held:
    """The value with every token changed."""
    match value:
        case Key(token):
            return Key(change(token))
        case Whole(token):
            return Whole(change(token))
        case Parts(items):
            return Parts({name: mapped(item, change) for name, item in items.items()})
        case Closure(callee, names):
            return Closure(callee, {s: mapped(held, change) for s, held in names.items()})
        case None:
            return None


def tokens_in(value: Held) -> Iterator[Token]:
    """Every token of a value, those of numbers and of functions' names too."""
    match value:
        case Key(token) | Whole(token):
            yield token
        case Parts(items):
            for item in items.values():
                yield from tokens_in(item)
        case Closure(_, names):
            for held in names.values():
                yield from tokens_in(held)
        case None:
            return


def items_of(value: Held) -> Mapping[str, Held]:
    """The parts of a tuple or record."""
    return value.items if isinstance(value, Parts) else {}


def keys_in(value: Held, path: str = "") -> Iterator[tuple[Token, str]]:
    """The keys of a value, with their paths; those of a function are its own till it is called."""
    match value:
        case Key(token):
            yield token, path
        case Parts(items):
            for name, item in items.items():
                yield from keys_in(item, f"{path}.{name}")
        case _:
            return


def align(inner: Held, outer: Held, names: dict[Token, Token]) -> None:
    """Note which tokens of a parameter stand for which of an argument."""
    match inner, outer:
        case (Key(Root() as token), Key(actual)) | (Whole(Root() as token), Whole(actual)):
            names[token] = actual
        case Parts(items), Parts(others):
            for name, item in items.items():
                align(item, others.get(name), names)
        case _:
            return


def join(tokens: Tokens, meeting: int, left: Held, right: Held) -> Held:
    """What a variable holds where two ways meet."""
    if left is right:
        return left
    match left, right:
        case Key(a), Key(b):
            return Key(tokens.either(meeting, a, b))
        case Whole(a), Whole(b):
            return Whole(tokens.either(meeting, a, b))
        case Parts(a), Parts(b):
            both = {name: join(tokens, meeting, a[name], b[name]) for name in a if name in b}
            return Parts(both)
        case Closure(callee, a), Closure(_, b):
            return Closure(callee, {s: join(tokens, meeting, a[s], b[s]) for s in a if s in b})
        case _:
            return None
