"""How a program is compiled, the same for all of its functions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What is said where a program is loaded.

    `checks`: indexes that it computes are checked when it runs. `strict`: its sums are taken as
    they are written.
    """

    checks: bool = True
    strict: bool = False
