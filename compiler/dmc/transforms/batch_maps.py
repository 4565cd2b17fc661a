"""Maps become operations on whole tensors."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import control
from dmc.ir import Builder, Module, RuleMissing
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.batch import Batcher, Unbatchable, erase_between


@dataclass(frozen=True)
class BatchMaps(Pass):
    """Rewrite each `control.map`, with those inside it, by batching its body.

    Subscripts of a nest of maps are then seen over all of its indexes at once. A map stays when
    its body holds loops that run differently from point to point. Without `small_loops` it also
    stays when it holds a loop over a few elements, whose values all points together would send
    through memory at each iteration (a derivative of a map needs more memory than that).
    """

    name = "batch-maps"
    small_loops: bool = True

    def run(self, module: Module) -> None:
        kept: set[control.Map] = set()
        changed = True
        while changed:
            changed = False
            for op in list(module.walk()):
                if isinstance(op, control.Map) and op.parent is not None and op not in kept:
                    if batch_map(op, self.small_loops):
                        changed = True
                    else:
                        kept.add(op)


def batch_map(op: control.Map, small_loops: bool = True) -> bool:
    """Replace `op` by whole-tensor operations; False when it must stay as it is."""
    assert op.parent is not None
    builder = Builder.ahead_of(op)
    builder.location = op.location.by(BatchMaps.name)
    start = op.previous
    batcher = Batcher([], small_loops=small_loops)
    try:
        axes = batcher.bind(op, builder)
        yielded = batcher.run(op.body, builder, None)
    except (Unbatchable, RuleMissing):
        batcher.abandon()
        erase_between(op.parent, start, op)
        return False
    count = len(op.inits)
    totals = [item.value for item in yielded[:count]]
    replace_op(op, [*totals, *(batcher.align(builder, item, axes) for item in yielded[count:])])
    return True
