"""Maps become operations on whole tensors."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import control, tensor
from dmc.ir import Batched, Builder, DType, Module, RuleMissing, TensorType
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.batch import Batcher, Unbatchable, erase_between


@dataclass(frozen=True)
class BatchMaps(Pass):
    """Rewrite each `control.map`, inner before outer, by batching its body.

    A map stays when its body holds loops that run differently from point to point, or values that
    would take more than `most_mebibytes` for all points together. Without `small_loops` it also
    stays when it holds a loop over a few elements, whose values all points together would send
    through memory at each iteration (a derivative of a map needs more memory than that).
    """

    name = "batch-maps"
    most_mebibytes: int = 256
    small_loops: bool = True

    def run(self, module: Module) -> None:
        for op in reversed(list(module.walk())):
            if isinstance(op, control.Map):
                batch_map(op, self.most_mebibytes << 20, self.small_loops)


def batch_map(op: control.Map, most_bytes: int, small_loops: bool = True) -> bool:
    """Replace `op` by whole-tensor operations; False when it must stay as it is."""
    assert op.parent is not None
    builder = Builder.ahead_of(op)
    builder.location = op.location.by(BatchMaps.name)
    start = op.previous
    batcher = Batcher(op.sizes, most_bytes=most_bytes, small_loops=small_loops)
    try:
        for axis, (arg, size) in enumerate(zip(op.body.args, op.sizes, strict=True)):
            index = tensor.iota(builder, TensorType((size,), DType.I64))
            index.name = arg.name
            batcher.values[arg] = Batched(index, (axis,))
        elements = batcher.run(op.body, builder, None)
    except (Unbatchable, RuleMissing):
        batcher.abandon()
        erase_between(op.parent, start, op)
        return False
    axes = range(len(op.sizes))
    replace_op(op, [batcher.align(builder, item, tuple(axes)) for item in elements])
    return True
