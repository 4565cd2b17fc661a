"""Who of a team updates what, and how its members exchange gradients and models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeAlias, cast

import numpy as np

from dmc_runtime.exchange import Flat, absent, by_dtype, owners_of
from dmc_runtime.leafwise import params, states
from dmc_runtime.records import Record
from dmc_runtime.runs import Scores, State
from dmc_runtime.step_halves import Changed, UpdateLeaves, UpdatePlan
from dmc_runtime.team import Team
from dmc_runtime.trees import Array, Leaf, Tree, tree_flatten, tree_leaves, tree_unflatten

Row: TypeAlias = tuple[float, Scores]
"""The share of a shard, and what it reports."""


class Division:
    """The units of an update, each with an owner, and the arrays that a team exchanges."""

    def __init__(self, team: Team, plan: UpdatePlan, state: State) -> None:
        self._team = team
        self._plan = plan
        self._net, self._treedef = tree_flatten(state.net)
        opt = tree_leaves(state.opt)
        loads = [
            sum(_bytes(self._net[i]) for i in unit.net) + sum(_bytes(opt[i]) for i in unit.opt)
            for unit in plan.units
        ]
        owners = owners_of(loads, team.size)
        units = list(zip(plan.units, owners, strict=True))
        local = [plan.everywhere.isdisjoint(unit.opt) for unit in plan.units]
        self._here = [
            number for number, owner in enumerate(owners) if owner == team.rank or not local[number]
        ]
        self._away: list[tuple[int, int]] = []
        self._gradient_owners: dict[int, int] = {}
        count = len(tree_leaves(params(state.net)))
        places = (place for place, is_state in enumerate(states(state.net)) if is_state)
        self._states = dict(enumerate(places, count))
        self._shared = {*plan.shared, *self._states}
        for (unit, owner), is_local in zip(units, local, strict=True):
            self._gradient_owners |= dict.fromkeys(unit.gradients, owner)
            if is_local:
                self._away += [(index, owner) for index in unit.opt]
            else:
                self._shared |= {*unit.gradients}
        self._buckets: dict[tuple[int, ...], _Bucket] = {}
        self._flats = self._in_flats({i: owner for unit, owner in units for i in unit.net})
        self._last: Record | None = None

    def _in_flats(self, owners: Mapping[int, int]) -> list[Flat]:
        """Puts the arrays of the model where they can be gathered."""
        arrays = {index: np.asarray(self._net[index]) for index in owners}
        flats = [Flat(self._team, part, owners) for part in by_dtype(arrays)]
        for flat in flats:
            for index, view in flat.views.items():
                view[...] = arrays[index]
                self._net[index] = view
        return flats

    @property
    def net(self) -> Record:
        """The model as it is now, in arrays that steps write over."""
        self._last = cast("Record", tree_unflatten(self._treedef, self._net))
        return self._last

    def taken(self, net: Record) -> Record:
        """A model, in these arrays."""
        if net is self._last:
            return net
        for index, leaf in enumerate(tree_leaves(net)):
            self._set(index, leaf)
        return self.net

    def _set(self, index: int, leaf: Leaf) -> None:
        held = self._net[index]
        if isinstance(held, np.ndarray):
            held[...] = leaf
        else:
            self._net[index] = leaf

    def exchange(self) -> Exchange:
        """What exchanges the gradient of one step."""
        return Exchange(self._team, self._bucket)

    def _bucket(self, leaves: Mapping[int, Array]) -> _Bucket:
        """Where leaves lie that are known together."""
        key = tuple(leaves)
        if key not in self._buckets:
            owners = {index: self._gradient_owners.get(index, 0) for index in leaves}
            shared = {i: leaf for i, leaf in leaves.items() if i in self._shared}
            private = {i: leaf for i, leaf in leaves.items() if i not in self._shared}
            flats = [
                [Flat(self._team, part, owners) for part in by_dtype(chosen)]
                for chosen in (private, shared)
            ]
            self._buckets[key] = _Bucket(*flats)
        return self._buckets[key]

    def update(
        self,
        opt: Tree,
        gradient: Mapping[int, Leaf],
        given: Mapping[str, Any],
        rows: Sequence[Row],
    ) -> tuple[Tree, list[Row]]:
        """Makes the update; gives the new state and the rows of all processes."""
        state, treedef = tree_flatten(opt)
        plan, team = self._plan, self._team
        for index in self._states.keys() & gradient.keys():
            self._set(self._states[index], gradient[index])
        leaves = UpdateLeaves(self._net, gradient, state, given)
        found = {number: plan.find(number, leaves) for number in self._here}
        told = team.share((found, rows))
        all_found = {number: numbers for part, _ in told for number, numbers in part.items()}
        listed = [all_found[number] for number in range(len(plan.units))]
        common = plan.common(listed, leaves)
        # Numbers of model and state change last: units still read the old ones.
        changes = [plan.change(number, common, leaves) for number in self._here]
        for changed in (*changes, common.changed):
            self._keep(changed, state)
        for index, owner in self._away:
            if owner != team.rank:
                state[index] = absent(state[index])
        for flat in self._flats:
            flat.gather()
        return tree_unflatten(treedef, state), [row for _, part in told for row in part]

    def _keep(self, changed: Changed, state: list[Leaf]) -> None:
        for index, leaf in changed.net.items():
            self._set(index, leaf)
        for index, leaf in changed.opt.items():
            state[index] = leaf

    def whole(self, state: State) -> State:
        """The state with all that other processes hold, which the leader gets."""
        leaves, treedef = tree_flatten(state.opt)
        for index, owner in self._away:
            if owner == 0:
                continue
            if self._team.rank == owner:
                self._team.send(np.ascontiguousarray(leaves[index]), 0)
            elif self._team.rank == 0:
                held = np.asarray(leaves[index])
                leaves[index] = taken = np.empty(held.shape, held.dtype)
                self._team.receive(taken, owner)
        return replace(state, opt=tree_unflatten(treedef, leaves))


def _bytes(leaf: Leaf) -> int:
    return np.asarray(leaf).nbytes


class _Bucket:
    """Leaves of a gradient that are exchanged together; all processes get the `shared` ones."""

    def __init__(self, private: Sequence[Flat], shared: Sequence[Flat]) -> None:
        self._private = private
        self._shared = shared
        self.views = {i: v for flat in (*private, *shared) for i, v in flat.views.items()}

    def load(self, leaves: Mapping[int, Array]) -> None:
        for index, leaf in leaves.items():
            self.views[index][...] = leaf

    def reduce(self) -> None:
        """Sum over all processes."""
        for flat in (*self._private, *self._shared):
            flat.reduce()
        for flat in self._shared:
            flat.gather()


class Exchange:
    """Sums of the gradient of a step, made by a thread while others are still computed."""

    def __init__(self, team: Team, bucket: Callable[[Mapping[int, Array]], _Bucket]) -> None:
        self._team = team
        self._bucket = bucket
        self._gradient: dict[int, Leaf] = {}
        self._thread = ThreadPoolExecutor(1, "dmc-exchange") if team.size > 1 else None
        self._running: list[Future[None]] = []

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=failure[0] is None, cancel_futures=True)

    def start(self, leaves: Mapping[int, Array]) -> None:
        """Begin with leaves that are known."""
        bucket = self._bucket(leaves)
        bucket.load(leaves)
        self._gradient |= bucket.views
        if self._thread is None:
            bucket.reduce()
        else:
            self._running.append(self._thread.submit(bucket.reduce))

    def finish(self) -> Mapping[int, Leaf]:
        """The mean gradient, as much of it as this process needs."""
        for running in self._running:
            running.result()
        return self._gradient
