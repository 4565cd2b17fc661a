"""Indexing by axes with names: how reads and writes at computed positions become plain movement.

Axes of all values involved carry labels (integers); equal labels run together. Reading `x` at
affine positions is then slicing and renaming axes, writing is padding, and only what is left needs
a gather or a scatter. Batch rules and canonicalization both come here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from dmc.dialects import arith
from dmc.dialects.elementwise import FOLD_LIMIT
from dmc.dialects.tensor.access import affine, known
from dmc.dialects.tensor.base import sum_over, type_of
from dmc.dialects.tensor.movement import (
    concatenate,
    index_axis,
    pad,
    reverse,
    slice_axis,
)
from dmc.dialects.tensor.shape import broadcast_in_dim, reshape, transpose
from dmc.ir import Attribute, Builder, Operation, TensorType, Value, shape_of


@dataclass(frozen=True)
class Labelled:
    """A tensor whose axes carry distinct labels."""

    value: Value
    labels: tuple[int, ...]

    def sizes(self) -> dict[int, int]:
        return dict(zip(self.labels, shape_of(self.value.type), strict=True))

    def spread(self, builder: Builder, wanted: Sequence[int], shape: Sequence[int]) -> Value:
        """The value with its axes in the order `wanted`, repeated along those it lacks."""
        if len(wanted) == len(self.labels):
            return transpose(builder, self.value, [self.labels.index(w) for w in wanted])
        places = [list(wanted).index(label) for label in self.labels]
        return broadcast_in_dim(builder, self.value, shape, places)


@dataclass(frozen=True)
class Subscript:
    """An index affine in labelled positions: `Σ coefficients[l] * l + constant`."""

    coefficients: dict[int, int]
    constant: int
    sizes: dict[int, int]

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels that the index depends on, the one with the largest step first."""
        steps = self.coefficients
        return tuple(sorted(steps, key=lambda label: (-abs(steps[label]), label)))

    @property
    def low(self) -> int:
        """The least value."""
        ends = (c * (self.sizes[label] - 1) for label, c in self.coefficients.items())
        return self.constant + sum(min(end, 0) for end in ends)

    @property
    def high(self) -> int:
        """The greatest value."""
        ends = (c * (self.sizes[label] - 1) for label, c in self.coefficients.items())
        return self.constant + sum(max(end, 0) for end in ends)

    @property
    def stride(self) -> int | None:
        """The step between the values taken, if they are evenly spaced and none repeats.

        Then the labels are the digits, largest first, of a mixed-radix count from `low`.
        """
        labels = self.labels
        if not labels:
            return 1
        steps = [abs(self.coefficients[label]) for label in labels]
        for outer, inner, label in zip(steps, steps[1:], labels[1:], strict=False):
            if outer != inner * self.sizes[label]:
                return None
        return steps[-1]


def subscript(index: Labelled) -> Subscript | None:
    """The affine form of an index tensor, or None."""
    sizes = index.sizes()
    expr = affine(index.value) if 0 not in sizes.values() else None
    if expr is None:
        return None
    pairs = zip(index.labels, expr.coefficients, strict=True)
    return Subscript({label: c for label, c in pairs if c}, expr.constant, sizes)


def take_by_label(builder: Builder, x: Labelled, at: Mapping[int, Labelled]) -> Labelled:
    """Read `x`, along each axis labelled by a key of `at`, at that index (clamped into range).

    The indices' labels replace the axes read; labels shared with `x` run together. The result may
    lack labels along which nothing varies.
    """
    plans, scalars = _plan(x, at)
    x = _take_scalars(builder, x, {label: at[label].value for label in scalars})
    for label, form in plans.items():
        x = _take_affine(builder, x, label, form)
    left = {label: at[label] for label in at if label not in plans and label not in scalars}
    return _gather(builder, x, left) if left else x


def needs_less_than_gather(x: Labelled, at: Mapping[int, Labelled]) -> bool:
    """Whether `take_by_label` would read along some axis without a gather."""
    return any(_plan(x, at))


def _plan(x: Labelled, at: Mapping[int, Labelled]) -> tuple[dict[int, Subscript], list[int]]:
    """Axes to slice, with their subscripts, and axes read at one computed position."""
    plans: dict[int, Subscript] = {}
    scalars: list[int] = []
    present = set(x.labels) - set(at)
    sizes = x.sizes()
    for label, index in at.items():
        form = subscript(index)
        if form is None or not sizes[label]:
            if not index.labels and sizes[label]:
                scalars.append(label)
            continue
        if form.stride is None or present & set(form.labels):
            continue
        if len(form.labels) > 1 and not _fits(form, sizes[label]):
            continue
        plans[label] = form
        present |= set(form.labels)
    return plans, scalars


def _fits(form: Subscript, n: int) -> bool:
    return form.low >= 0 and form.high < n


def _take_scalars(builder: Builder, x: Labelled, starts: Mapping[int, Value]) -> Labelled:
    """Read at indices that are the same everywhere."""
    if not starts:
        return x
    zero = arith.index(builder, 0)
    sizes = [1 if label in starts else n for label, n in x.sizes().items()]
    at = [starts.get(label, zero) for label in x.labels]
    attributes: dict[str, Attribute] = {"slice_sizes": tuple(sizes)}
    cls = Operation.registry["tensor.dynamic_slice"]
    part = builder.insert(cls([x.value, *at], attributes)).results[0]
    kept = tuple(label for label in x.labels if label not in starts)
    shape = [n for label, n in x.sizes().items() if label not in starts]
    return Labelled(reshape(builder, part, shape), kept)


def _take_affine(builder: Builder, x: Labelled, label: int, form: Subscript) -> Labelled:
    """Read along one axis at evenly spaced positions: a slice whose axis is renamed."""
    axis = x.labels.index(label)
    shape = shape_of(x.value.type)
    n = shape[axis]
    before, after = x.labels[:axis], x.labels[axis + 1 :]
    if not form.labels:
        at = min(max(form.constant, 0), n - 1)
        return Labelled(index_axis(builder, x.value, axis, at), (*before, *after))
    step = form.stride or 1
    if _fits(form, n):
        part = slice_axis(builder, x.value, axis, form.low, form.high + 1, step)
    else:
        part = _edges(builder, x.value, axis, range(form.low, form.high + 1, step))
    inner = [form.sizes[d] for d in form.labels]
    part = reshape(builder, part, (*shape[:axis], *inner, *shape[axis + 1 :]))
    turned = [axis + i for i, d in enumerate(form.labels) if form.coefficients[d] < 0]
    return Labelled(reverse(builder, part, turned), (*before, *form.labels, *after))


def _edges(builder: Builder, x: Value, axis: int, positions: range) -> Value:
    """Read along one axis at positions of which some are outside: there, at the nearest."""
    shape = shape_of(x.type)
    n = shape[axis]
    inside = [p for p in positions if 0 <= p < n]
    below = sum(p < 0 for p in positions)
    above = len(positions) - below - len(inside)
    parts: list[Value] = []
    for count, edge in ((below, 0), (0, -1), (above, n - 1)):
        if edge < 0 and inside:
            parts.append(slice_axis(builder, x, axis, inside[0], inside[-1] + 1, positions.step))
        elif count:
            end = slice_axis(builder, x, axis, edge, edge + 1)
            wanted = (*shape[:axis], count, *shape[axis + 1 :])
            parts.append(broadcast_in_dim(builder, end, wanted, range(len(shape))))
    return concatenate(builder, parts, axis)


def _gather(builder: Builder, x: Labelled, at: Mapping[int, Labelled]) -> Labelled:
    """Read at any positions; labels that `x` has too become batching axes."""
    reduced = {label: _minimal(builder, index) for label, index in at.items()}
    sizes: dict[int, int] = {}
    for index in reduced.values():
        sizes |= index.sizes()
    run = tuple(sorted(sizes, key=lambda label: (label < 0, label)))
    shape = [sizes[label] for label in run]
    batching = [label for label in run if label in x.labels]
    attributes: dict[str, Attribute] = {
        "start_index_map": tuple(x.labels.index(label) for label in reduced),
        "operand_batching_dims": tuple(x.labels.index(label) for label in batching),
        "start_indices_batching_dims": tuple(run.index(label) for label in batching),
    }
    indices = [index.spread(builder, run, shape) for index in reduced.values()]
    cls = Operation.registry["tensor.gather"]
    value = builder.insert(cls([x.value, *indices], attributes)).results[0]
    rest = [label for label in x.labels if label not in at and label not in batching]
    return Labelled(value, (*run, *rest))


def _minimal(builder: Builder, index: Labelled) -> Labelled:
    """An index without the axes along which it does not vary; a table becomes a constant."""
    type_ = type_of(index.value)
    table = known(index.value) if 0 < type_.size <= FOLD_LIMIT else None
    if table is None:
        return index
    labels = list(index.labels)
    for axis in reversed(range(table.ndim)):
        first = table.take([0], axis)
        if bool((table == first).all()):
            table = first.squeeze(axis)
            del labels[axis]
    if len(labels) == len(index.labels) and affine(index.value) is not None:
        return index
    return Labelled(
        arith.constant(builder, table, TensorType(table.shape, type_.dtype)), tuple(labels)
    )


def scatter_by_label(
    builder: Builder, base: Labelled, updates: Labelled, at: Mapping[int, Labelled]
) -> Value | None:
    """`updates` added to zeros shaped as `base` at indices, if padding alone can do it.

    The transpose of `take_by_label`. Labels that only the updates have are summed over.
    """
    plans: dict[int, Subscript] = {}
    plain = [label for label in base.labels if label not in at]
    present = set(plain)
    sizes = {**updates.sizes(), **base.sizes()}
    for label, index in at.items():
        form = subscript(index)
        if form is None or form.stride is None or present & set(form.labels):
            return None
        if not _fits(form, sizes[label]):
            return None
        plans[label] = form
        present |= set(form.labels)
        sizes |= form.sizes
    extra = [axis for axis, label in enumerate(updates.labels) if label not in present]
    value = sum_over(builder, updates.value, extra)
    summed = Labelled(value, tuple(label for label in updates.labels if label in present))
    run = [*plain, *(d for form in plans.values() for d in form.labels)]
    value = summed.spread(builder, run, [sizes[label] for label in run])
    return _pad_out(builder, value, plain, plans, base)


def _pad_out(
    builder: Builder,
    value: Value,
    plain: Sequence[int],
    plans: Mapping[int, Subscript],
    base: Labelled,
) -> Value:
    """Merge the labels of each subscript into one axis and pad it to the size of that axis."""
    sizes = base.sizes()
    turned: list[int] = []
    merged = [sizes[label] for label in plain]
    low, high, interior = [[0] * len(plain) for _ in range(3)]
    axis = len(plain)
    for label, form in plans.items():
        for d in form.labels:
            if form.coefficients[d] < 0:
                turned.append(axis)
            axis += 1
        merged.append(prod(form.sizes[d] for d in form.labels))
        low.append(form.low)
        high.append(sizes[label] - 1 - form.high)
        interior.append((form.stride or 1) - 1)
    value = reshape(builder, reverse(builder, value, turned), merged)
    zero = arith.scalar(builder, 0, type_of(value).dtype)
    padded = pad(builder, value, zero, low, high, interior)
    order = [*plain, *plans]
    return transpose(builder, padded, [order.index(label) for label in base.labels])
