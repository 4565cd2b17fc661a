"""The default pipelines, which the driver runs one after the other.

`without` names passes to leave out; the program computes the same without any that is optional.
"""

from __future__ import annotations

from collections.abc import Iterable

from dmc.ir import USUAL, Rates
from dmc.ir.passes import Pass
from dmc.transforms.alternate_buffers import AlternateBuffers
from dmc.transforms.batch_maps import BatchMaps
from dmc.transforms.bound_spaces import BoundSpaces
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.columns.write_out import WriteOut
from dmc.transforms.cse import Cse
from dmc.transforms.dce import Dce
from dmc.transforms.derive_results import DeriveResults
from dmc.transforms.expand_autodiff import ExpandAutodiff
from dmc.transforms.expand_linalg import ExpandLinalg
from dmc.transforms.expand_random import ExpandDraws, ExpandPhilox
from dmc.transforms.fuse import Fuse
from dmc.transforms.gather_accumulations import GatherAccumulations
from dmc.transforms.hoist import Hoist
from dmc.transforms.inline import Inline
from dmc.transforms.join_reductions import JoinReductions
from dmc.transforms.kernelize import Kernelize
from dmc.transforms.orient import Orient
from dmc.transforms.plan_memory import PlanMemory
from dmc.transforms.propagate_integers import PropagateIntegers
from dmc.transforms.prove_bounds import ProveBounds
from dmc.transforms.recognize_contractions import RecognizeContractions
from dmc.transforms.recognize_windows import RecognizeWindows
from dmc.transforms.rematerialize import Rematerialize
from dmc.transforms.scalarize import Scalarize
from dmc.transforms.scatter_selections import ScatterSelections
from dmc.transforms.settle_subscripts import SettleSubscripts
from dmc.transforms.stack_columns import StackColumns
from dmc.transforms.stream_rows import StreamRows
from dmc.transforms.tile_maps import TileMaps
from dmc.transforms.turn_invariants import TurnInvariants
from dmc.transforms.widen import WidenSums
from dmc_runtime.budget import NO_BUDGET, Budget

REQUIRED = frozenset(
    {
        ExpandAutodiff.name,
        Inline.name,
        ExpandLinalg.name,
        ExpandDraws.name,
        ExpandPhilox.name,
        GatherAccumulations.name,
        Kernelize.name,
        SettleSubscripts.name,
        TileMaps.name,
        WidenSums.name,
    }
)
"""Passes that later stages cannot do without."""

ROUNDING = frozenset(
    {
        RecognizeContractions.name,
        Orient.name,
        StreamRows.name,
        Scalarize.name,
        WriteOut.name,
    },
)
"""Passes that change the order of sums. A program that is compiled strictly goes without."""


def clean() -> list[Pass]:
    """Simplify and remove what is not needed."""
    return [Canonicalize(), Cse(), Dce()]


def inlined() -> list[Pass]:
    """Whole functions, of which it is asked what their indexes can be.

    Nothing is folded yet: every element of a constant is the same, but not every index has one.
    """
    return [Inline(), Dce(), PropagateIntegers(), Cse()]


def derivatives(
    without: Iterable[str] = (), budget: Budget = NO_BUDGET, selecting: bool = True
) -> list[Pass]:
    """Expand derivatives; calls are inlined, those of functions with rules last.

    Under a budget, loops without a bound keep less. `selecting` as of `expand-autodiff`.
    """
    skipped = frozenset(without)
    contractions = RecognizeContractions.name not in skipped
    expand = ExpandAutodiff(contractions, budget.bytes > 0, selecting)
    return _chosen([expand, Inline(rules=True), *clean()], skipped)


def optimize(without: Iterable[str] = ()) -> list[Pass]:
    """Tensor level."""
    batched = [Hoist(), BatchMaps(small_loops=False), *clean(), RecognizeWindows()]
    contracted = [RecognizeContractions(), Cse(), Dce()]
    small = [WriteOut(), *clean(), Scalarize(), *clean(), TileMaps(), *clean(), Hoist()]
    return _chosen([*batched, *contracted, *small], without)


def to_kernels(
    without: Iterable[str] = (), budget: Budget = NO_BUDGET, rates: Rates = USUAL
) -> list[Pass]:
    """From tensor to kernel level, and where everything lies, in an arena that keeps the budget.

    What is computed again for that is chosen by the `rates` of the machine.
    """
    gathered = [WidenSums(), ExpandLinalg(), GatherAccumulations(), Cse(), Dce(), ExpandDraws()]
    streamed = StreamRows(tasks=not budget.bytes)  # a budget is for the memory of one thread
    grouped = [Kernelize(), Fuse(), ScatterSelections(), Orient(), streamed]
    derived = [TurnInvariants(), DeriveResults(), Dce()]
    settled = [SettleSubscripts(), ExpandPhilox(), *clean(), ProveBounds(), BoundSpaces()]
    placed = [StackColumns(), JoinReductions(), AlternateBuffers()]
    planned = [Rematerialize(budget.bytes, budget.keep.value, rates.text), PlanMemory()]
    return _chosen([*gathered, *grouped, *derived, *settled, *placed, *planned], without)


def _chosen(passes: list[Pass], without: Iterable[str]) -> list[Pass]:
    """Raises ValueError for a pass that cannot be left out."""
    skipped = frozenset(without)
    if skipped & REQUIRED:
        raise ValueError(f"{', '.join(sorted(skipped & REQUIRED))} cannot be left out")
    return [item for item in passes if item.name not in skipped]
