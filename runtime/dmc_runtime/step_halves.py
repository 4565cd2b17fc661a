"""The two halves of a step: the gradient on some examples, and the update of the model by it.

A step that is taken by several processes, or for several parts of a batch, is given so. Leaves of
the model, its gradient and the optimizer's state are told by their positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from dmc_runtime.trees import Array, Leaf, Tree

Leaves: TypeAlias = "dict[int, Leaf]"
Ready: TypeAlias = Callable[[Mapping[int, Array]], None]
"""Is told leaves of a gradient as soon as they are known."""


class GradientHalf(Protocol):
    """Loss and gradient on some examples."""

    def __call__(self, ready: Ready, net: Tree, /, **given: Any) -> dict[str, float]:
        """The loss and metrics; every leaf of the gradient is told to `ready`, which may keep it.

        Behind them come the state leaves of the model (`leafwise.states`) where the function gives
        new ones. It is always told of the same leaves together, in the same order; what is told
        must not be written over.
        """
        ...

    def blame(self, net: Tree, /, **given: Any) -> str:
        """Where it first makes NaN or infinity, in words."""
        ...


@dataclass(frozen=True)
class Unit:
    """Leaves that are updated together: of the model and of the optimizer's state.

    `gradients` are those that only this unit reads.
    """

    net: tuple[int, ...]
    opt: tuple[int, ...]
    gradients: tuple[int, ...]


@dataclass(frozen=True)
class Changed:
    """New leaves, by position."""

    net: Leaves
    opt: Leaves


class UpdatePlan(Protocol):
    """An update that can be made unit by unit.

    It has three phases: numbers that single units find, such as norms; numbers that all of them
    share, such as the norm of the whole gradient or the count of steps; new arrays.

    Attributes:
        units: what can be made by itself.
        shared: leaves of the gradient that all need.
        everywhere: leaves of the state that all need.
    """

    units: Sequence[Unit]
    shared: frozenset[int]
    everywhere: frozenset[int]

    def find(self, unit: int, leaves: UpdateLeaves) -> list[Leaf]:
        """The numbers that a unit finds."""
        ...

    def common(self, found: Sequence[Sequence[Leaf]], leaves: UpdateLeaves) -> Common:
        """What all units need, from what every one of them found; and leaves that are numbers."""
        ...

    def change(self, unit: int, common: Common, leaves: UpdateLeaves) -> Changed:
        """The new leaves of a unit."""
        ...


@dataclass(frozen=True)
class UpdateLeaves:
    """What an update reads: all of the model, and as much of the rest as there is here."""

    net: Sequence[Leaf]
    gradient: Mapping[int, Leaf]
    opt: Sequence[Leaf]
    given: Mapping[str, Any]


@dataclass(frozen=True)
class Common:
    """Numbers that all units share, and the leaves that are such numbers."""

    numbers: Sequence[Leaf]
    changed: Changed


class UpdateHalf(Protocol):
    """A model and the optimizer's state, after a step along a gradient."""

    def plan(self, net: Tree, opt: Tree, /, **given: Any) -> UpdatePlan:
        """How to make the update of such a model, state and further arguments."""
        ...


@dataclass(frozen=True)
class Halves:
    """A step as two functions."""

    gradient: GradientHalf
    update: UpdateHalf
