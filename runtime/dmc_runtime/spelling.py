"""What someone who wrote an unknown name may have meant: the one place that judges likeness."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

__all__ = ["closest", "did_you_mean", "one_of", "similar"]

_CUTOFF = 0.75


def similar(name: str, known: Iterable[str], limit: int) -> list[str]:
    """At most `limit` names of `known`, the likeliest first: other case, then few other letters."""
    candidates = list(dict.fromkeys(known))
    same = [other for other in candidates if other.casefold() == name.casefold()]
    close = difflib.get_close_matches(name, candidates, n=limit, cutoff=_CUTOFF)
    return list(dict.fromkeys([*same, *close]))[:limit]


def closest(name: str, known: Iterable[str]) -> str | None:
    """The name that was likely meant, if there is one."""
    found = similar(name, known, 1)
    return found[0] if found else None


MOST_LISTED = 12
"""More names than that are no help."""


def one_of(name: str, known: Collection[str]) -> tuple[str, ...]:
    """The help for a name that is none of the `known`: the closest one, or else all of a few."""
    found = did_you_mean(name, known)
    if found or not 0 < len(known) <= MOST_LISTED:
        return found
    return (f"there {'is' if len(known) == 1 else 'are'} {', '.join(f'`{k}`' for k in known)}",)


def did_you_mean(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The help that suggests the closest name: one line or none."""
    found = closest(name, known)
    return (f"did you mean `{found}`?",) if found is not None else ()
