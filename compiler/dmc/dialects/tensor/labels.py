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
from dmc.dialects.tensor.creation import iota
from dmc.dialects.tensor.movement import (
    concatenate,
    index_axis,
    pad,
    reverse,
    slice_axis,
)
from dmc.dialects.tensor.shape import broadcast_in_dim, reshape, transpose
from dmc.ir import Array, Attribute, Builder, DType, Operation, TensorType, Value, shape_of


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


def _table(index: Labelled) -> tuple[Array, tuple[int, ...]] | None:
    """The values of an index known while compiling, and the labels along which they vary."""
    small = 0 < type_of(index.value).size <= FOLD_LIMIT
    table = known(index.value) if small else None
    if table is None:
        return None
    labels = list(index.labels)
    for axis in reversed(range(table.ndim)):
        first = table.take([0], axis)
        if bool((table == first).all()):
            table = first.squeeze(axis)
            del labels[axis]
    return table, tuple(labels)


def _varying(index: Labelled) -> tuple[int, ...]:
    """The labels along which an index is not seen to be constant."""
    form = subscript(index)
    if form is not None:
        return form.labels
    table = _table(index)
    return index.labels if table is None else table[1]


def _minimal(builder: Builder, index: Labelled) -> Labelled:
    """An index without the axes along which it does not vary; a table becomes a constant."""
    type_ = type_of(index.value)
    form = subscript(index)
    if form is not None:
        same = len(form.labels) == len(index.labels)
        return index if same else _positions(builder, form, type_.dtype)
    found = _table(index)
    if found is None:
        return index
    table, labels = found
    constant = arith.constant(builder, table, TensorType(table.shape, type_.dtype))
    return Labelled(constant, labels)


def _positions(builder: Builder, form: Subscript, dtype: DType) -> Labelled:
    """The tensor of the values of an affine subscript."""
    shape = tuple(form.sizes[label] for label in form.labels)
    type_ = TensorType(shape, dtype)
    total = arith.constant(builder, form.constant, type_)
    for axis, label in enumerate(form.labels):
        step = arith.constant(builder, form.coefficients[label], type_)
        line = arith.multiply(builder, iota(builder, type_, axis), step)
        total = arith.add(builder, total, line)
    return Labelled(total, form.labels)


def scatter_by_label(
    builder: Builder,
    base: Labelled,
    updates: Labelled,
    at: Mapping[int, Labelled],
    combiner: str,
    sizes: Mapping[int, int],
) -> Value:
    """`updates` scattered into `base` along the axes labelled by the keys of `at`.

    Labels of both updates and base run together; those that only the updates have become axes of
    the indices. `sizes` knows the labels that neither has.
    """
    sizes = {**sizes, **base.sizes(), **updates.sizes()}
    for index in at.values():
        sizes |= index.sizes()
    plain = [label for label in base.labels if label not in at]
    found = {label for index in at.values() for label in index.labels}
    found |= {label for label in updates.labels if label not in plain}
    run = tuple(sorted(found))
    shape = [sizes[label] for label in run]
    indices = [index.spread(builder, run, shape) for index in at.values()]
    batching = [label for label in run if label in plain]
    wanted = (*run, *(label for label in plain if label not in batching))
    data = updates.spread(builder, wanted, [sizes[label] for label in wanted])
    attributes: dict[str, Attribute] = {
        "start_index_map": tuple(base.labels.index(label) for label in at),
        "operand_batching_dims": tuple(base.labels.index(label) for label in batching),
        "start_indices_batching_dims": tuple(run.index(label) for label in batching),
        "combiner": combiner,
    }
    cls = Operation.registry["tensor.scatter"]
    return builder.insert(cls([base.value, data, *indices], attributes)).results[0]


def add_to_zeros(
    builder: Builder, base: Labelled, updates: Labelled, at: Mapping[int, Labelled]
) -> Value | None:
    """`updates` added to zeros shaped as `base`, simpler than by one scatter; None if it is not.

    The transpose of `take_by_label`: affine subscripts are padding, labels that only the updates
    have and nothing depends on are summed over, and a scatter serves what is left.
    """
    plans = _plan_padding(base, at)
    left = {label: index for label, index in at.items() if label not in plans}
    varying = {label: _varying(index) for label, index in left.items()}
    plain = [label for label in base.labels if label not in at]
    needed = {*plain, *(d for form in plans.values() for d in form.labels)}
    needed |= {d for labels in varying.values() for d in labels}
    extra = [axis for axis, label in enumerate(updates.labels) if label not in needed]
    if not plans and not extra:
        return None
    sizes = {**base.sizes(), **updates.sizes()}
    for form in plans.values():
        sizes |= form.sizes
    value = sum_over(builder, updates.value, extra)
    summed = Labelled(value, tuple(label for label in updates.labels if label in needed))
    run = [d for axis in base.labels for d in (plans[axis].labels if axis in plans else (axis,))]
    shape = [sizes[label] for label in run]
    if left:
        zeros = arith.zeros(builder, TensorType(tuple(shape), type_of(value).dtype))
        index = {label: _minimal(builder, index) for label, index in left.items()}
        inner = Labelled(zeros, tuple(run))
        value = scatter_by_label(builder, inner, summed, index, "add", sizes)
    else:
        value = summed.spread(builder, run, shape)
    return _pad_out(builder, value, plans, base)


def _plan_padding(base: Labelled, at: Mapping[int, Labelled]) -> dict[int, Subscript]:
    """The axes whose subscripts padding can serve: evenly spaced, and no label used twice."""
    sizes = base.sizes()
    plain = {label for label in base.labels if label not in at}
    plans: dict[int, Subscript] = {}
    used = set(plain)
    blocked: set[int] = set()
    for label, index in at.items():
        form = subscript(index)
        fits = form is not None and form.stride is not None and _fits(form, sizes[label])
        if form is not None and fits and not used & set(form.labels):
            plans[label] = form
            used |= set(form.labels)
        else:
            blocked |= set(_varying(index))
    # A label of an index that stays must stay an axis of the indices.
    changed = True
    while changed:
        lost = [label for label, form in plans.items() if blocked & set(form.labels)]
        for label in lost:
            blocked |= set(plans.pop(label).labels)
        changed = bool(lost)
    return plans


def _pad_out(
    builder: Builder, value: Value, plans: Mapping[int, Subscript], base: Labelled
) -> Value:
    """Merge the labels of each subscript into one axis and pad it to the size of that axis."""
    turned: list[int] = []
    merged: list[int] = []
    low, high, interior = [0] * len(base.labels), [0] * len(base.labels), [0] * len(base.labels)
    axis = 0
    for place, (label, n) in enumerate(base.sizes().items()):
        form = plans.get(label)
        if form is None:
            merged.append(n)
            axis += 1
            continue
        turned += [axis + i for i, d in enumerate(form.labels) if form.coefficients[d] < 0]
        axis += len(form.labels)
        merged.append(prod(form.sizes[d] for d in form.labels))
        low[place], high[place] = form.low, n - 1 - form.high
        interior[place] = (form.stride or 1) - 1
    value = reshape(builder, reverse(builder, value, turned), merged)
    zero = arith.scalar(builder, 0, type_of(value).dtype)
    return pad(builder, value, zero, low, high, interior)
