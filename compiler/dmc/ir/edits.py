"""Changes of the IR are counted, so that what changed nothing is known."""

from __future__ import annotations

import itertools

from dmc.ir.attributes import Attribute

edit = itertools.count().__next__
"""A number that grows with every change of any IR, and with every look at it.

Two numbers without another between them say that nothing has changed: on whatever thread, since
the step is atomic.
"""


class Attributes(dict[str, Attribute]):
    """The attributes of an operation by name; they are changed one at a time."""

    def __setitem__(self, name: str, value: Attribute) -> None:
        edit()
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        edit()
        super().__delitem__(name)
