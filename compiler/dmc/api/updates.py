"""The update of a training step, compiled unit by unit: see `dmc_runtime.step_halves`.

It is cut into units that share nothing but numbers, so that each may be made where its part of the
optimizer's state is. How follows from the program and its sizes alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from dmc.api.compiled import Compiled
from dmc.api.conversion import PythonValue, refuse
from dmc.api.cutting import Cutter
from dmc.api.function import Function
from dmc.ir.types import Array
from dmc.process import compiling, native
from dmc.semantics.types import Role, TupleType, gradient_type, leaves
from dmc_runtime.leafwise import params
from dmc_runtime.step_halves import Changed, Common, Unit, UpdateLeaves, UpdatePlan
from dmc_runtime.trees import Leaf, Tree

if TYPE_CHECKING:
    from dmc.ir import TensorType, Value


class Update:
    """A function of model, gradient, state and more that gives `(model, state)`."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def plan(self, net: Tree, opt: Tree, /, **given: PythonValue) -> UpdatePlan:
        """The update in units; see `UpdateHalf`."""
        names = [parameter.name for parameter in self.function.checked.parameters]
        if len(names) < 3:
            message = f"{self.function.__name__}: takes no model, gradient and state"
            raise refuse("call.value", message, self.function.checked.span)
        values = {names[0]: net, names[1]: params(net), names[2]: opt}
        named = {name: given[name] for name in names[3:] if name in given}
        compiled, taken = self.function.prepared((), {**values, **named})
        with compiling:
            return _Plan(compiled, compiled.arrays(taken))


@dataclass
class _Group:
    """Arrays that are updated together: positions of results, of state and of gradient leaves."""

    results: list[int]
    own: set[Value]
    numbers: set[Value]


class _Plan:
    """How an update is made unit by unit; see `UpdatePlan`."""

    def __init__(self, compiled: Compiled, arrays: Sequence[Array]) -> None:
        """`arrays` are the leaves of arguments, of which only hyperparameters are kept."""
        cutter = Cutter(compiled)
        self._places = places = _Places(compiled, cutter, arrays)
        partition = _Partition(cutter, places)
        groups = partition.groups
        self.shared = frozenset(
            i for i, v in enumerate(places.gradient) if v in partition.common_arguments
        )
        self.everywhere = frozenset(
            i for i, v in enumerate(places.opt) if v in partition.common_arguments
        )
        own = [frozenset(g.own) for g in groups]
        self.units: Sequence[Unit] = [
            Unit(
                tuple(i for i, p in enumerate(places.net_results) if p in g.results),
                tuple(i for i, p in enumerate(places.opt_results) if p in g.results),
                tuple(
                    i for i, v in enumerate(places.gradient) if v in mine and i not in self.shared
                ),
            )
            for g, mine in zip(groups, own, strict=True)
        ]
        reading = partition.reading
        self._finds = [cutter.part((), [v for v in reading if reading[v] is g]) for g in groups]
        results = cutter.results
        scalars = [results[i] for i in partition.scalars]
        numbers = [*partition.shared_numbers]
        asked = [v for v in dict.fromkeys([*numbers, *scalars]) if v.defining_op is not None]
        self._common = cutter.part([*reading], [v for v in asked if v not in reading])
        self._numbers = cutter.places(numbers)
        self._scalar_places = cutter.places(scalars)
        self._scalars = partition.scalars
        changed = [[*dict.fromkeys(results[i] for i in g.results)] for g in groups]
        self._changes = [
            cutter.part(numbers, [v for v in values if v.defining_op is not None])
            for values in changed
        ]
        self._result_places = cutter.places(results)

    def find(self, unit: int, leaves: UpdateLeaves) -> list[Leaf]:
        """The numbers that a unit finds."""
        part = self._finds[unit]
        values = self._places.values(part.taken, leaves)
        part.run(values)
        return [values[place] for place in part.given]

    def common(self, found: Sequence[Sequence[Leaf]], leaves: UpdateLeaves) -> Common:
        """What all units need, from what every one of them found."""
        known: dict[int, Array] = {}
        for part, numbers in zip(self._finds, found, strict=True):
            known.update(zip(part.given, map(np.asarray, numbers), strict=True))
        values = self._places.values(self._common.taken, leaves, known)
        self._common.run(values)
        scalars = self._places.values(self._scalar_places, leaves, values)
        changed = self._changed(self._scalars, self._scalar_places, scalars)
        return Common([values[place] for place in self._numbers], changed)

    def change(self, unit: int, common: Common, leaves: UpdateLeaves) -> Changed:
        """The new leaves of a unit."""
        part = self._changes[unit]
        known = dict(zip(self._numbers, map(np.asarray, common.numbers), strict=True))
        values = self._places.values(part.taken, leaves, known)
        part.run(values)
        results = self.units[unit]
        chosen = [self._places.net_results[i] for i in results.net]
        chosen += [self._places.opt_results[i] for i in results.opt]
        places = [self._result_places[i] for i in chosen]
        return self._changed(chosen, places, self._places.values(places, leaves, values))

    def _changed(
        self, results: Sequence[int], places: Sequence[int], values: Mapping[int, Array]
    ) -> Changed:
        net, opt = self._places.net_results, self._places.opt_results
        told = {i: values[place] for i, place in zip(results, places, strict=True)}
        return Changed(
            {k: told[i] for k, i in enumerate(net) if i in told},
            {k: told[i] for k, i in enumerate(opt) if i in told},
        )


class _Places:
    """Where the leaves of model, gradient, state and the rest are among arguments and results.

    Hyperparameters are no leaves: they stay what they are.
    """

    def __init__(self, compiled: Compiled, cutter: Cutter, arrays: Sequence[Array]) -> None:
        entry = compiled.entry
        (_, net), (_, gradient), (_, opt), *_ = entry.parameters
        if entry.result != TupleType((net, opt)) or gradient != gradient_type(net):
            wanted = "a model, its gradient and a state, and give the new model and state"
            message = f"{compiled.name}: must take {wanted}"
            raise refuse("call.value", message, entry.span)
        self._compiled = compiled
        listed = [list(leaves(type_)) for type_ in (net, gradient, opt)]
        starts = [0, len(listed[0]), len(listed[0]) + len(listed[1])]
        kept = [
            [i for i, leaf in enumerate(part) if leaf.role is not Role.HYPER] for part in listed
        ]
        arguments = [[start + i for i in part] for start, part in zip(starts, kept, strict=True)]
        self.net, self.gradient, self.opt = (
            [cutter.arguments[i] for i in part] for part in arguments
        )
        self.net_results = kept[0]
        self.opt_results = [len(listed[0]) + i for i in kept[2]]
        self._sources = dict[int, tuple[int, int]]()
        for which, part in enumerate(arguments):
            self._sources |= {i: (which, k) for k, i in enumerate(part)}
        self._trees = sum(map(len, listed))
        self._fixed = {i: arrays[i] for i in range(self._trees) if i not in self._sources}

    def values(
        self, places: Sequence[int], given: UpdateLeaves, known: Mapping[int, Array] | None = None
    ) -> dict[int, Array]:
        """Arrays at some places: arguments, and what is known."""
        found = {**self._fixed, **(known or {})}
        rest: dict[int, Array] | None = None
        trees = (given.net, given.gradient, given.opt)
        for place in places:
            if place in found:
                continue
            if place in self._sources:
                which, leaf = self._sources[place]
                found[place] = np.asarray(trees[which][leaf])
            else:
                rest = rest if rest is not None else self._others(given)
                found[place] = rest[place]
        return found

    def _others(self, given: UpdateLeaves) -> dict[int, Array]:
        """What is neither model, gradient nor state."""
        names = self._compiled.parameters
        arrays = [
            array
            for position in range(3, len(names))
            for array in self._compiled.arrays_of(position, given.given[names[position]])
        ]
        return dict(enumerate(arrays, self._trees))


class _Partition:
    """Which results are computed together, and which numbers all of them need.

    Arrays belong together that are computed from the same leaves of state or gradient, numbers on
    the way left aside. A number that only one group needs, of its own arrays, is its own. Of the
    others, those that read arrays of one group are found there (`reading`); all the rest is common.

    Attributes:
        groups: the arrays.
        scalars: the results that have no axes.
        shared_numbers: what groups need that they do not compute.
        common_arguments: leaves of gradient and state that every group needs.
    """

    def __init__(self, cutter: Cutter, places: _Places) -> None:
        with native:
            from dmc.transforms.pieces import is_number, reach

        self._reach = reach
        results = cutter.results
        listed = [*places.net_results, *places.opt_results]
        arrays = [i for i in listed if _is_array(results[i])]
        states = dict(zip(places.opt_results, places.opt, strict=True))
        computed = [v for op in cutter.function.body for v in op.results]
        self._order = {value: number for number, value in enumerate(computed)}
        self._numbers = {v for v in computed if is_number(v)}
        self._leaves = {v for v in (*places.gradient, *places.opt) if _is_array(v)}
        self.scalars = [i for i in listed if i not in arrays]
        self.groups = self._grouped(results, arrays, states)
        self._own_numbers(results)
        shared = self._numbers - {v for group in self.groups for v in group.numbers}
        needed: dict[Value, None] = {}
        for group in self.groups:
            stops = reach([results[i] for i in group.results], shared).stops
            needed |= dict.fromkeys(self._ordered(stops))
        self.shared_numbers = [*needed]
        asked = [*needed, *(results[i] for i in self.scalars)]
        self.reading = self._readings(asked, shared)
        inner = reach([v for v in asked if v not in self.reading], self.reading).arguments
        self.common_arguments = inner & {*places.gradient, *places.opt}

    def _grouped(
        self, results: Sequence[Value], arrays: Sequence[int], states: Mapping[int, Value]
    ) -> list[_Group]:
        """Groups of results; a leaf of the state goes with the result that takes its place."""
        found: list[_Group] = []
        for index in arrays:
            own = set(self._reach([results[index]], self._numbers).arguments & self._leaves)
            if index in states:
                own.add(states[index])
            joined = [group for group in found if group.own & own]
            merged = _Group([index], own, set())
            for group in joined:
                merged.results = [*group.results, *merged.results]
                merged.own |= group.own
                found.remove(group)
            found.append(merged)
        for group in found:
            group.results.sort()
        return sorted(found, key=lambda group: group.results)

    def _own_numbers(self, results: Sequence[Value]) -> None:
        """Give every group the numbers that it alone needs, and computes of its own arrays."""
        scalars = self._behind([results[i] for i in self.scalars])
        behind = [self._behind([results[i] for i in group.results]) for group in self.groups]
        counts = Counter(number for numbers in behind for number in numbers)
        for group, numbers in zip(self.groups, behind, strict=True):
            alone = {v for v in numbers - scalars if counts[v] == 1}
            read = {v: self._reach([v], self._numbers).arguments & self._leaves for v in alone}
            group.numbers = {v for v in alone if read[v] <= group.own}

    def _behind(self, values: Sequence[Value]) -> frozenset[Value]:
        """The numbers on all ways to some values."""
        found: set[Value] = set()
        pending = [*values]
        while pending:
            new = self._reach(pending, self._numbers).stops - found
            found |= new
            pending = [*new]
        return frozenset(found)

    def _readings(self, asked: Sequence[Value], shared: Collection[Value]) -> dict[Value, _Group]:
        """Of what is asked for and the numbers behind it, what is found where one group is."""
        found: dict[Value, _Group] = {}
        for number in self._ordered(self._behind(asked) | {v for v in asked if v in shared}):
            here = self._reach([number], shared)
            read = here.arguments & self._leaves
            simple = all(
                not _is_array(v) for v in self._reach(here.stops, ()).arguments if here.stops
            )
            owner = next((group for group in self.groups if read <= group.own), None)
            if number in shared and read and simple and owner is not None:
                found[number] = owner
        return found

    def _ordered(self, values: Iterable[Value]) -> list[Value]:
        """Numbers in the order in which the function computes them."""
        return sorted(values, key=self._order.__getitem__)


def _is_array(value: Value) -> bool:
    return bool(cast("TensorType", value.type).shape)
