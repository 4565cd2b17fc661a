"""Where a call first makes a number that is not finite, in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dmc.api.conversion import PythonValue
from dmc.api.function import Function
from dmc.ir.halves import is_float
from dmc_runtime.records import Record


def blame(function: Function, values: Mapping[str, PythonValue]) -> str:
    """The input, or the place in the program, that the first NaN or infinity comes from."""
    for name, value in values.items():
        if isinstance(value, Record):
            continue  # an optimizer's state may well begin with infinity
        array = np.asarray(value)
        if is_float(array) and not np.isfinite(array).all():
            return f"the input `{name}` holds {array[~np.isfinite(array)].flat[0]}"
    compiled = function.specialize(**values)
    found = compiled.not_finite([values[name] for name in compiled.parameters])
    if found is None:
        return ""
    span, value = found
    line = span.file.line(span.start_line).strip()
    return f"the first value that is not finite, {value}, comes from {span}: `{line}`"
