"""Refusals of differentiation that are the user's to resolve."""

from __future__ import annotations

from dmc.ir import Location


class NotDifferentiable(Exception):
    """A derivative was asked for that does not exist.

    `code` names the diagnostic, `location` the operation in the source, `help` a way out.
    """

    def __init__(self, code: str, title: str, location: Location, help_: str) -> None:
        super().__init__(title)
        self.code = code
        self.title = title
        self.location = location
        self.help = help_
