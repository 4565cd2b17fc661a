"""What is said of a key that is spent twice."""

from __future__ import annotations

from dmc.diagnostics.report import Diagnostics
from dmc.semantics.keys.history import Frame, Spent
from dmc.semantics.keys.tokens import Derived

__all__ = ["report"]


def report(diagnostics: Diagnostics, first: Spent, second: Spent) -> None:
    """`second` spends what `first` has spent."""
    name = _name(second)
    if first.span == second.span:
        title, text, help_ = _repeated(name, first, second)
        diagnostics.report("key.reused", title, second.span, text, help=[help_])
        return
    title = f"`{name}` is already spent"
    if first.binding is not None and second.binding is not None:
        title += f", so `{second.binding}` would equal `{first.binding}`"
    folded = isinstance(second.token, Derived) and second.token.function == "fold"
    also = "first use"
    if _name(first) != name:
        also += f", as `{_name(first)}`"
    diagnostics.report(
        "key.reused",
        title,
        second.span,
        "second use",
        [(first.span, also)],
        ["fold in other numbers"] if folded else [f"`let (k1, k2) = split({name})`"],
    )


def _repeated(name: str, first: Spent, second: Spent) -> tuple[str, str, str]:
    """One place that spends a key again: what comes round to it decides what to do."""
    frame = _differs(first.frames, second.frames)
    if frame is None:
        return (
            f"this call spends a key of `{name}` twice",
            "one key, given for two",
            "give each its own: `let (k1, k2) = split(key)`",
        )
    if frame.is_loop:
        return (
            f"`{name}` is spent in every iteration",
            "every draw would be the same",
            f"fold the index in: `fold({name}, {frame.index or 'i'})`",
        )
    return (
        f"`{name}` is spent each time the function is called",
        "every call would draw the same",
        "let the function take a key, and give each call one of its own",
    )


def _differs(first: tuple[Frame, ...], second: tuple[Frame, ...]) -> Frame | None:
    """The iteration or call that is another one than the first time."""
    for one, other in zip(first, second, strict=False):
        if one is not other:
            return other
    return second[len(first)] if len(second) > len(first) else None


def _name(spent: Spent) -> str:
    """What the user calls the key."""
    return " ".join(spent.span.file.quote(spent.span).split()) + spent.path
