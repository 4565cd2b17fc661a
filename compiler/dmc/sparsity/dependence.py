"""Where a function's Jacobian may differ from zero, read off its tensor-level IR."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dmc.dialects import func
from dmc.ir import Array, Module, shape_of
from dmc.sparsity.operations import RULES
from dmc.sparsity.pattern import Pattern
from dmc.sparsity.reader import Reader
from dmc.sparsity.sets import Sets
from dmc.transforms.batch_maps import BatchMaps
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.cse import Cse
from dmc.transforms.dce import Dce
from dmc.transforms.expand_autodiff import ExpandAutodiff
from dmc.transforms.hoist import Hoist
from dmc.transforms.inline import Inline
from dmc.transforms.propagate_integers import PropagateIntegers


def dependences(
    module: Module,
    name: str,
    target: Sequence[int],
    of: Sequence[int],
    given: Mapping[int, Array],
) -> Pattern:
    """Of a function: rows for the elements of the results `of`, columns for the arguments `target`.

    `given` are integer arguments that are known, by position. The module is changed.
    """
    _prepare(module)
    function = func.lookup(module, name)
    shapes = [shape_of(function.body.args[i].type) for i in target]
    sizes = list(map(math.prod, shapes))
    sets = Sets(sum(sizes))
    singles = np.split(sets.singletons(), np.cumsum(sizes)[:-1])
    reader = Reader(module, sets, RULES)
    for position, ids in zip(target, singles, strict=True):
        argument = function.body.args[position]
        reader.ids[argument] = ids.reshape(shape_of(argument.type))
    for position, array in given.items():
        reader.known[function.body.args[position]] = array
    reader.block(function.body)
    results = [function.body.terminator.operands[i] for i in of]
    ids = np.concatenate([reader.filled(value).reshape(-1) for value in results])
    columns, starts = sets.rows(ids)
    alike = len({*shapes}) == 1
    axes = [n for n in (len(shapes), *shapes[0]) if n != 1] if alike else []
    grid = tuple(axes) or (sets.count,)
    return Pattern((len(ids), sets.count), starts, columns, grid, reader.cause)


def _prepare(module: Module) -> None:
    """Derivatives expanded, calls inlined, maps batched: whole tensors, as far as there are any."""
    clean = (Canonicalize(), Cse(), Dce())
    passes = (ExpandAutodiff(), Inline(), Dce(), PropagateIntegers(), *clean, Hoist(), BatchMaps())
    for step in (*passes, *clean):
        step.run(module)
