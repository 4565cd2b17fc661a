"""Sparse derivatives as programs compute them: entries, and the passes that they are read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.warn import warn
from dmc.dialects import func
from dmc.dialects.derivatives import Compressed
from dmc.ir import Module
from dmc.sparsity.colours import compress, star
from dmc.sparsity.density import saves_nothing
from dmc.sparsity.dependence import dependences


def compressed(
    module: Module,
    name: str,
    target: Sequence[int],
    of: Sequence[int],
    is_symmetric: bool,
    tell: Callable[[Diagnostic], None] = warn,
) -> Compressed:
    """The matrix of a function: rows for the results `of`, columns for the arguments `target`.

    What may differ from zero follows from the program alone, whatever its arguments are. The module
    is changed. `tell` is given a warning where nothing is known to be zero.
    """
    func.lookup(module, name).attributes.pop("visibility", None)  # what is read is used
    pattern = dependences(module, name, target, of, {})
    warning = saves_nothing(pattern)
    if warning is not None:
        tell(warning)
    found = (star if is_symmetric else compress)(pattern)
    columns, rows = found.column_colours, found.row_colours
    return Compressed(pattern.rows, pattern.columns, found.places, columns, rows)
