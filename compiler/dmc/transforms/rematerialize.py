"""Holding programs to a budget: what is computed again, so that the peak of memory is lower."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.dialects import func
from dmc.ir import USUAL, Block, Module, Rates, TapeType, Value
from dmc.ir.passes import Pass
from dmc.transforms.common import code
from dmc.transforms.dce import Dce
from dmc.transforms.memory.shortage import budget_shortage
from dmc.transforms.predict import Clock
from dmc.transforms.remat import again, fewer, online, restart, segments, tape
from dmc.transforms.remat.measure import Measure, measure
from dmc.transforms.remat.move import Move
from dmc.transforms.remat.prune import prune_results
from dmc.transforms.remat.twins import twins
from dmc_runtime.budget import Keep

MOST_TRIES = 8
"""How many moves are tried, the best first, before no more is hoped for."""

MATTERS, MOST_MOVES = 0.05, 4
"""What takes so much of the time is worth some other moves, so many at most."""


class BudgetTooSmall(Exception):
    """No way was found to do with so little. `diagnostic` tells users how much is enough."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.title)
        self.diagnostic = diagnostic


@dataclass(frozen=True)
class Rematerialize(Pass):
    """Compute values again rather than keep them, until the arena takes at most `budget` bytes.

    The moves are made in an order that does not depend on the budget, each time the one that frees
    the most bytes at the peak, for the longest, in the least time (`predict`), if it helps: a value
    is computed again behind the peak (`remat.again`), in each iteration of a reverse loop
    (`remat.tape`), segment by segment (`remat.segments`), or in short loops from the beginning
    (`remat.restart`). So whatever is enough for a budget is
    enough for a larger one, and the smallest that is reported works. What then need not run again
    is kept after all. What runs again are the same kernels: no bit of a result changes. It must run
    behind all passes that merge equal operations.

    If the user asks to `keep` what waits in fewer bits, that is a move like the others
    (`remat.fewer`), and the only one that changes results. Where it leads nowhere, it is not made.

    0 is no bound; `rates` are those of the machine (`dmc.ir.Rates`). Raises BudgetTooSmall.
    """

    budget: int = 0
    keep: str = Keep.WHOLE.value
    rates: str = USUAL.text

    name = "rematerialize"

    def run(self, module: Module) -> None:
        if self.budget:
            for function in func.functions(module):
                self._hold(module, function)

    def _hold(self, module: Module, function: func.Func) -> None:
        allowed = Keep(self.keep)
        keeps = dict.fromkeys((allowed, Keep.WHOLE))
        clock = Clock(Rates.of(self.rates))
        failed: list[_Search] = []
        plans = online.plans(function, self.budget, allowed)
        for plan, keep in itertools.product(plans, keeps):
            untouched = function.clone({})
            assert isinstance(untouched, func.Func)
            search = _Search(module, function, self.budget, keep, plan, clock)
            if search.run():
                return
            search.function.erase()
            module.append(untouched)
            function = untouched
            failed.append(search)
        best = min(failed, key=lambda search: search.needed)
        name = function.sym_name
        raise BudgetTooSmall(budget_shortage(name, self.budget, best.needed, best.live))


@dataclass
class _Search:
    module: Module
    function: func.Func
    budget: int
    keep: Keep
    plan: online.Plan
    clock: Clock
    copies: tape.Copies = field(default_factory=dict[tuple[Block, Value], Value])
    kept: set[Value] = field(default_factory=set[Value])
    """What is not to be computed again."""
    needed: int = 1 << 62
    live: dict[Value, int] = field(default_factory=dict[Value, int])

    def run(self) -> bool:
        """Whether it could be done."""
        online.without_tapes(self.module, self.function, self.plan)
        now: Measure | None = measure(self.function, self.clock)
        unit = max(now.least, 1)
        while now is not None and now.arena > self.budget:
            if now.arena < self.needed:
                self.needed, self.live = now.arena, now.live
            now = self._improved(now, unit)
        if now is None:
            return False
        now = self._save_time(now)
        if any(isinstance(v.type, TapeType) for op in code(self.function) for v in op.results):
            self.function.attributes["tape_bytes"] = self.budget - now.arena
        return True

    def _improved(self, now: Measure, unit: int) -> Measure | None:
        """Make the first move, in the order of their worth, that helps; None if none does."""
        moves = self._moves(now)
        for number in range(min(MOST_TRIES, len(moves))):
            held = self._copy()
            moves[number].apply()
            fewer.drop_needless(self.function)
            prune_results(self.function)
            Dce().run(self.module)
            after = measure(self.function, self.clock)
            if after.weight(unit) < now.weight(unit):
                return after
            self._restore(*held)
            now = measure(self.function, self.clock)
            moves = self._moves(now)
        return None

    def _save_time(self, now: Measure) -> Measure:
        """Keep after all what need not run again, or what something else may run again for."""
        number, pairs = 0, twins(self.function, now)
        time = now.time_of(self.function)
        while number < min(MOST_TRIES, len(pairs)):
            held = self._copy()
            matters = now.time_of(pairs[number].later) >= MATTERS * time
            self.kept.update(pairs[number].earlier.results)
            pairs[number].join()
            Dce().run(self.module)
            better = self._within(measure(self.function, self.clock), MOST_MOVES * matters)
            if better is not None and better.time_of(self.function) < time:
                now, time = better, better.time_of(self.function)
            else:
                self._restore(*held)
                now = measure(self.function, self.clock)
                number += 1
            self.kept.clear()
            pairs = twins(self.function, now)
        return now

    def _within(self, now: Measure, most: int) -> Measure | None:
        """Make moves, `most` of them, until the budget is met; None if that cannot be done."""
        unit = max(now.least, 1)
        after: Measure | None = now
        for _ in range(most):
            if after is not None and after.arena > self.budget:
                after = self._improved(after, unit)
        return after if after is not None and after.arena <= self.budget else None

    def _copy(self) -> tuple[func.Func, tape.Copies, set[Value]]:
        mapping: dict[Value, Value] = {}
        copy = self.function.clone(mapping)
        assert isinstance(copy, func.Func)
        copies: tape.Copies = {}
        for (block, value), made in self.copies.items():
            new = mapping.get(block.args[0])
            if new is not None and value in mapping and made in mapping:
                assert isinstance(new.owner, Block)
                copies[new.owner, mapping[value]] = mapping[made]
        return copy, copies, {mapping[value] for value in self.kept if value in mapping}

    def _restore(self, function: func.Func, copies: tape.Copies, kept: set[Value]) -> None:
        self.function.erase()
        self.module.append(function)
        self.function, self.copies, self.kept = function, copies, kept

    def _moves(self, now: Measure) -> list[Move]:
        """All moves, the best first."""
        repeated = (move for move in again.moves(now) if move.value not in self.kept)
        found: list[Move] = [*repeated, *tape.moves(now, self.copies)]
        found += [*segments.moves(now), *restart.moves(now), *fewer.moves(now, self.keep)]
        return sorted(found, key=lambda move: -move.worth)
