"""Requests for derivatives become ordinary functions and calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dmc.autodiff import differentiate
from dmc.autodiff.rules import guard_rules
from dmc.dialects import autodiff, func
from dmc.ir import Builder, Module, Operation
from dmc.ir.passes import Compound, Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.batch_maps import BatchMaps
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.cse import Cse
from dmc.transforms.dce import Dce
from dmc.transforms.hoist import Hoist
from dmc.transforms.inline import Inline
from dmc.transforms.propagate_integers import PropagateIntegers
from dmc.transforms.recognize_contractions import RecognizeContractions
from dmc.transforms.relax_guards import RelaxGuards
from dmc.transforms.settle_weights import SettleWeights, has_weights
from dmc.transforms.split_checkpoints import CheckpointBranches, SplitCheckpoints


@dataclass(frozen=True)
class ExpandAutodiff(Compound):
    """Differentiate innermost requests first, until none is left.

    Functions are inlined and simplified before they are differentiated: derivatives of simple
    programs are simple. When all are there, products are left guarded where zeros of what is not
    selected may come. `contractions`: sums of products are recognized before they are
    differentiated. `bounded`: under a budget, branches with loops without a bound are repeated.
    `selecting`: a zero in a direction that the caller of the program gives is meant, and absorbs.
    """

    name = "expand-autodiff"
    contractions: bool = True
    bounded: bool = False
    selecting: bool = True

    def steps(self, module: Module) -> Iterator[Pass]:
        if not any(_requests(module)) and not has_weights(module):
            return
        guard_rules(module)
        yield from (Inline(), SettleWeights())
        while any(_requests(module)):
            yield from _prepare(self.contractions, self.bounded)
            yield ExpandInnermost(self.selecting)
        yield from (Inline(), RelaxGuards())


def _prepare(contractions: bool, bounded: bool) -> list[Pass]:
    """Simple programs have simple derivatives; whole tensors simpler ones than maps."""
    clean = [Canonicalize(), Cse(), Dce()]
    whole = [Hoist(), BatchMaps(), *clean]
    whole += [RecognizeContractions(), *clean] if contractions else []
    cut = [CheckpointBranches(), SplitCheckpoints()] if bounded else [SplitCheckpoints()]
    return [Inline(), Dce(), PropagateIntegers(), *clean, *whole, *cut]


def _requests(root: Operation) -> Iterator[autodiff.Jvp | autodiff.Vjp]:
    for op in root.walk():
        if isinstance(op, autodiff.Jvp | autodiff.Vjp):
            yield op


@dataclass(frozen=True)
class ExpandInnermost(Pass):
    """Replace the requests whose callee has none of its own by functions and calls.

    A derivative that is asked for twice is emitted once.
    """

    name = "expand-innermost"
    selecting: bool = True

    def run(self, module: Module) -> None:
        _expand_innermost(module, self.selecting)


def _expand_innermost(module: Module, selecting: bool) -> None:
    known: dict[tuple[str, str, tuple[int, ...], tuple[int, ...]], func.Func] = {}
    pairs = [(op, func.lookup(module, op.callee)) for op in _requests(module)]
    # Decided beforehand: a callee that becomes ready here still has calls to inline.
    for op, callee in [(op, callee) for op, callee in pairs if not any(_requests(callee))]:
        key = (op.name, callee.sym_name, op.wrt, op.of)
        if key not in known:
            emit = differentiate.tangent if isinstance(op, autodiff.Jvp) else differentiate.adjoint
            known[key] = emit(module, callee, op.wrt, op.of)
        builder = Builder.ahead_of(op)
        vectors = op.vectors
        if selecting:
            vectors = [autodiff.given(builder, vector) for vector in vectors]
        replace_op(op, func.call(builder, known[key], [*op.arguments, *vectors]))
