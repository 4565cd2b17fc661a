"""The gradient of a training step, compiled in pieces: see `dmc_runtime.step_halves`.

It is cut where parts of it become known, so that others may read them while the rest is computed.
How follows from the program and its sizes alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmc.api.blame import blame
from dmc.api.compiled import Compiled
from dmc.api.conversion import PythonValue, refuse
from dmc.api.cutting import Cutter, Part
from dmc.api.function import Function
from dmc.process import compiling
from dmc.semantics.types import Role, TupleType, gradient_type, leaves
from dmc_runtime.leafwise import states
from dmc_runtime.runs import numbers_of
from dmc_runtime.step_halves import Ready

if TYPE_CHECKING:
    from dmc.ir import Value

BUCKETS = 4
"""In about so many parts a gradient becomes known."""


@dataclass(frozen=True)
class _Step:
    """A part of a gradient, which leaves are known behind it, and what is not read any more."""

    part: Part
    leaves: tuple[tuple[int, int], ...]
    dropped: tuple[int, ...]


class Gradient:
    """A function that gives loss, gradient and perhaps the model with new state, and metrics."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self._cut: dict[Compiled, tuple[list[_Step], tuple[int, ...]]] = {}

    def __call__(self, ready: Ready, net: PythonValue, /, **given: PythonValue) -> dict[str, float]:
        """The loss and metrics; see `GradientHalf`."""
        compiled, taken = self._prepared(net, given)
        arrays = compiled.arrays(taken)
        compiled.check_indexes(arrays)
        known = self._cut.get(compiled)
        if known is None:
            with compiling:
                known = self._cut[compiled] = _cut_gradient(compiled, states(net))
        steps, results = known
        values = dict(enumerate(arrays))
        for step in steps:
            step.part.run(values)
            if step.leaves:
                ready({leaf: values[place] for leaf, place in step.leaves})
            for place in step.dropped:
                del values[place]
        loss, _, *rest = compiled.put_together([values[place] for place in results])
        metrics = rest[_gives_model(compiled) :]
        return {"loss": float(loss), **(numbers_of(metrics[0]) if metrics else {})}

    def blame(self, net: PythonValue, /, **given: PythonValue) -> str:
        """Where the function first makes NaN or infinity, in words."""
        compiled, taken = self._prepared(net, given)
        return blame(self.function, dict(zip(compiled.parameters, taken, strict=True)))

    def _prepared(
        self, net: PythonValue, given: Mapping[str, PythonValue]
    ) -> tuple[Compiled, tuple[PythonValue, ...]]:
        first, *rest = (parameter.name for parameter in self.function.checked.parameters)
        named = {name: given[name] for name in rest if name in given}
        return self.function.prepared((), {first: net, **named})


def _cut_gradient(
    compiled: Compiled, is_state: Sequence[bool]
) -> tuple[list[_Step], tuple[int, ...]]:
    from dmc.transforms.pieces import stages

    told = _told_leaves(compiled, is_state)
    cutter = Cutter(compiled)
    # What one piece hands to the next lies outside of the arena, and so of a budget.
    buckets = 1 if cutter.whole.budget.bytes else BUCKETS
    listed = stages(cutter.function, told, buckets)
    results = cutter.places(cutter.results)
    parts: list[tuple[Part, tuple[int, ...]]] = []
    known: set[Value] = set()
    for stage in listed:
        values = dict.fromkeys([*stage.crossing, *(cutter.results[i] for i in stage.results)])
        fresh = [v for v in values if v not in known and v.defining_op is not None]
        parts.append((cutter.part(known, fresh), stage.results))
        known |= {*fresh}
    last = {place: i for i, (part, _) in enumerate(parts) for place in part.taken}
    steps: list[_Step] = []
    for i, (part, ended) in enumerate(parts):
        here = tuple((told.index(index), results[index]) for index in ended if index in told)
        given = {*part.given, *part.taken}
        dropped = tuple(p for p in given if last.get(p, i) <= i and p not in results)
        steps.append(_Step(part, here, dropped))
    return steps, results


def _told_leaves(compiled: Compiled, is_state: Sequence[bool]) -> list[int]:
    """The results that are leaves of the gradient, then those that are the model's new state."""
    entry, result = compiled.entry, compiled.entry.result
    if entry.parameters and isinstance(result, TupleType):
        model, gives_model = entry.parameters[0][1], _gives_model(compiled)
        if result.items[1:2] == (gradient_type(model),) and len(result.items) <= 3 + gives_model:
            count = 1 + len(list(leaves(result.items[1])))
            kept = [i for i, leaf in enumerate(leaves(model)) if leaf.role is not Role.HYPER]
            news = [count + i for i, new in zip(kept, is_state, strict=True) if new]
            return [*range(1, count), *(news if gives_model else ())]
    wanted = "(loss, gradient) of the model, and perhaps the model and metrics"
    raise refuse("call.value", f"{compiled.name}: gives {result}, not {wanted}", entry.span)


def _gives_model(compiled: Compiled) -> bool:
    """Whether the model, with new state, comes behind the gradient."""
    result = compiled.entry.result
    model = compiled.entry.parameters[0][1]
    return isinstance(result, TupleType) and result.items[2:3] == (model,)
