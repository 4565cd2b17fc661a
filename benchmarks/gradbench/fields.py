"""Fields of JSON objects, as what is expected of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.workload import Array, Foreign


class Refused(Exception):
    """A message that cannot be answered, and why."""


@dataclass(frozen=True)
class Fields:
    """A JSON value, read field by field. Raises Refused with the name of what is wrong."""

    given: Foreign
    what: str = "the input"

    def value(self, name: str) -> Foreign:
        if not isinstance(self.given, dict):
            raise Refused(f"{self.what} is no object")
        if name not in self.given:
            raise Refused(f"{self.what} has no `{name}`")
        return self.given[name]

    def within(self, name: str) -> Fields:
        """The fields of a field."""
        return Fields(self.value(name), f"`{name}`")

    def text(self, name: str) -> str:
        value = self.value(name)
        if not isinstance(value, str):
            raise Refused(f"`{name}` is no string")
        return value

    def number(self, name: str) -> float:
        return number(self.value(name), f"`{name}`")

    def whole(self, name: str) -> int:
        value = self.number(name)
        if value != int(value):
            raise Refused(f"`{name}` is no whole number")
        return int(value)

    def array(self, name: str, rank: int = 1) -> Array:
        """Numbers in lists, `rank` deep; an empty list has no elements along all axes."""
        return self._numbers(name, rank, np.dtype("f8"))

    def places(self, name: str, rank: int = 1) -> Array:
        """Indexes in lists, `rank` deep."""
        return self._numbers(name, rank, np.dtype("i4"))

    def _numbers(self, name: str, rank: int, dtype: np.dtype[np.generic]) -> Array:
        try:
            array = np.array(self.value(name), dtype)
        except (TypeError, ValueError) as error:
            raise Refused(f"`{name}` is no array: {error}") from error
        if array.size == 0:
            array = array.reshape((array.shape + (0,) * rank)[:rank])
        if array.ndim != rank:
            raise Refused(f"`{name}` has {array.ndim} axes, not {rank}")
        return array


def number(value: Foreign, what: str = "the input") -> float:
    """A JSON number. Raises Refused."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{what} is no number")
    return float(value)
