"""Sparse Jacobians and Hessians: patterns, colours, and passes along the directions of a colour."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dmc.api.conversion import PythonValue
from dmc.api.entry import find_target, tensor_type
from dmc.api.operators import Gradient, Sweep, Wrt
from dmc.diagnostics.warn import warn
from dmc.ir.types import Array
from dmc.process import compiling, native
from dmc.semantics.types import Leaf, TensorType, leaves
from dmc_runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from dmc.api.compiled import Compiled
    from dmc.api.function import Function
    from dmc.sparsity.sets import Ids


@dataclass(frozen=True)
class Passes:
    """What is computed at once: directions, those of one colour summed."""

    count: int
    in_reverse: bool
    directions: tuple[Array, ...]


@dataclass(frozen=True)
class Plan:
    """What is known of a matrix before it is computed.

    In CSR form, entry e is in column `columns[e]`, and at `places[e]` of the results of all passes.
    """

    shape: tuple[int, int]
    starts: Array
    columns: Array
    places: Array
    passes: tuple[Passes, ...]


class SparseJacobian:
    """The Jacobian of a function as a SciPy matrix in CSR form.

    Rows are the elements of the result, columns those of what is differentiated in, leaf by leaf.
    Where it is zero follows from the program, and from the integers that it is given; both that and
    the directions of the passes are found once for each set of sizes and of such integers.
    """

    def __init__(self, f: Function, wrt: Wrt, is_symmetric: bool = False) -> None:
        self._wrt = wrt
        self._is_symmetric = is_symmetric
        self._differentiated = f.derived(Gradient(wrt)) if is_symmetric else f
        self.__name__ = f.__name__
        self.__doc__ = f.__doc__

    def __call__(self, /, *arguments: PythonValue, **named: PythonValue) -> Any:
        """The matrix, a `scipy.sparse.csr_matrix`, at a point. Raises as the function does."""
        sparse = _scipy_sparse()
        plan = self.plan(*arguments, **named)
        found: list[Array] = []
        for passes in plan.passes:
            sweep = Sweep(passes.count, self._wrt, passes.in_reverse)
            sweeping = self._differentiated.derived(sweep).with_extras(passes.directions)
            found.append(_table(sweeping(*arguments, **named), passes.count))
        flat = _joined([table.reshape(-1) for table in found])
        return sparse.csr_matrix((flat[plan.places], plan.columns, plan.starts), shape=plan.shape)

    def plan(self, /, *arguments: PythonValue, **named: PythonValue) -> Plan:
        """Where the matrix may differ from zero, and what is computed at once."""
        compiled, values = self._differentiated.prepared(arguments, named)
        leaves_of = compiled.entry.arguments
        arrays = zip(leaves_of, compiled.arrays(values), strict=True)
        whole = {i: a for i, (leaf, a) in enumerate(arrays) if _is_known(leaf, a)}
        content = hashlib.sha256()
        for array in whole.values():
            content.update(np.ascontiguousarray(array).tobytes())
        key = self._wrt, self._is_symmetric, content.digest()
        known = compiled.patterns.get(key)
        if known is None:
            with compiling:
                known = compiled.patterns[key] = self._find(compiled, whole)
        assert isinstance(known, Plan)
        return known

    def _find(self, compiled: Compiled, whole: dict[int, Array]) -> Plan:
        # What analyses programs is loaded with the first pattern.
        with native:
            from dmc.sparsity.colours import compress, star
            from dmc.sparsity.density import saves_nothing
            from dmc.sparsity.dependence import dependences

        entry = compiled.entry
        target = find_target(entry, self._wrt).indexes
        results = list(leaves(entry.primary))
        of = [i for i, leaf in enumerate(results) if leaf.is_trained]
        if not of:
            raise entry.refuse("grad.integer", f"{entry.primary} carries no derivative")
        module, name = entry.lowered.module.copy(), entry.lowered.function.sym_name
        pattern = dependences(module, name, target, of, whole)
        warning = saves_nothing(pattern)
        if warning is not None:
            warn(warning)
        compression = (star if self._is_symmetric else compress)(pattern)
        sides = (
            (
                compression.forward,
                False,
                compression.column_colours,
                [*map(entry.arguments.__getitem__, target)],
            ),
            (compression.reverse, True, compression.row_colours, [*map(results.__getitem__, of)]),
        )
        passes = tuple(
            Passes(count, in_reverse, _directions(colours, count, moved))
            for count, in_reverse, colours, moved in sides
            if count
        )
        index = np.int32 if max(len(pattern.columns), *pattern.shape) < 2**31 else np.int64
        starts, columns = pattern.starts.astype(index), pattern.columns.astype(index)
        return Plan(pattern.shape, starts, columns, compression.places, passes)


def _is_known(leaf: Leaf, array: Array) -> bool:
    """Whether the pattern may depend on what is given here."""
    return isinstance(leaf.type, TensorType) and array.dtype.kind in "ib"


def _directions(colours: Ids, count: int, moved: Sequence[Leaf]) -> tuple[Array, ...]:
    """For each leaf that is moved, `count` directions: ones at what has the colour."""
    found: list[Array] = []
    start = 0
    for type_ in map(tensor_type, moved):
        shape, size = type_.shape, type_.size
        here = colours[start : start + size]
        stacked = np.zeros((count, size), type_.dtype.numpy)
        coloured = np.flatnonzero(here >= 0)
        stacked[here[coloured], coloured] = 1
        found.append(stacked.reshape(count, *shape))
        start += size
    return tuple(found)


def _table(found: tuple[Array, ...], count: int) -> Array:
    """A row for each pass."""
    return _joined([part.reshape(count, -1) for part in found])


def _joined(parts: Sequence[Array]) -> Array:
    """Arrays along their last axis."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, axis=-1) if parts else np.zeros(0)


def _scipy_sparse() -> Any:
    """SciPy's sparse matrices. Raises MissingExtraError where it is not installed."""
    try:
        return importlib.import_module("scipy.sparse")
    except ImportError as error:
        purpose = "a sparse Jacobian or Hessian"
        raise MissingExtraError("scipy", "scipy", purpose) from error
