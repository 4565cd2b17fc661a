"""Indexing by axes with names: how reads and writes at computed positions become plain movement.

Axes of all values involved carry labels (integers); equal labels run together. Reading `x` at
quasi-affine positions is then one `tensor.read`, and only positions from data need a gather or a
scatter. Batch rules and canonicalization both come here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmc.dialects import arith
from dmc.dialects.tensor.access import read
from dmc.dialects.tensor.shape import broadcast_in_dim, reshape, transpose
from dmc.dialects.tensor.subscripts import subscript_of
from dmc.ir import AffineExpr, Attribute, Builder, Operation, Value, shape_of


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


def subscript(index: Labelled) -> AffineExpr | None:
    """An index as a quasi-affine function of the positions along its labels, or None."""
    return subscript_of(index.value)


def take_by_label(builder: Builder, x: Labelled, at: Mapping[int, Labelled]) -> Labelled:
    """Read `x`, along each axis labelled by a key of `at`, at that index (clamped into range).

    The indices' labels replace the axes read; labels shared with `x` run together. The result may
    lack labels along which nothing varies.
    """
    forms, scalars = _plan(x, at)
    x = _take_scalars(builder, x, {label: at[label].value for label in scalars})
    data = {label: at[label] for label in at if label not in forms and label not in scalars}
    if data:
        # What narrows goes ahead of a gather, windows behind it.
        narrow = {label: form for label, form in forms.items() if len(form.expr.dims()) < 2}
        narrow = _without_clashes(x, at, narrow)
        x = _gather(builder, _read(builder, x, narrow), data)
        forms = {label: form for label, form in forms.items() if label not in narrow}
    return _read(builder, x, forms)


def needs_less_than_gather(x: Labelled, at: Mapping[int, Labelled]) -> bool:
    """Whether `take_by_label` would read along some axis without a gather."""
    return any(_plan(x, at))


@dataclass(frozen=True, slots=True)
class _Form:
    """A subscript over axes with labels and sizes."""

    expr: AffineExpr
    labels: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def used(self) -> tuple[int, ...]:
        """The labels that it depends on."""
        return tuple(self.labels[d] for d in sorted(self.expr.dims()))


def _plan(x: Labelled, at: Mapping[int, Labelled]) -> tuple[dict[int, _Form], list[int]]:
    """Axes with their subscripts, clamped, and axes read at one computed position."""
    forms: dict[int, _Form] = {}
    scalars: list[int] = []
    sizes = x.sizes()
    for label, index in at.items():
        expr = subscript(index) if sizes[label] else None
        if expr is not None:
            shape = shape_of(index.value.type)
            form = expr.clamp(0, sizes[label] - 1, shape)
            forms[label] = _Form(form, index.labels, shape)
        elif not index.labels and sizes[label]:
            scalars.append(label)
    return forms, scalars


def _without_clashes(
    x: Labelled, at: Mapping[int, Labelled], forms: dict[int, _Form]
) -> dict[int, _Form]:
    """Those that give the axes of `x` labels of their own."""
    taken = set(x.labels) - set(at)
    out: dict[int, _Form] = {}
    for label, form in forms.items():
        if taken.isdisjoint(form.used):
            out[label] = form
            taken |= set(form.used)
    return out


def _read(builder: Builder, x: Labelled, forms: Mapping[int, _Form]) -> Labelled:
    """Read along the axes of `forms`, all others running as they are."""
    if not forms:
        return x
    sizes: dict[int, int] = {}
    for label, n in x.sizes().items():
        form = forms.get(label)
        if form is None:
            sizes[label] = n
            continue
        lengths = dict(zip(form.labels, form.sizes, strict=True))
        sizes |= {each: lengths[each] for each in form.used}
    labels = tuple(sizes)
    rank = len(labels)
    shape = tuple(sizes.values())
    exprs: list[AffineExpr] = []
    for label in x.labels:
        form = forms.get(label)
        if form is None:
            exprs.append(AffineExpr.dim(rank, labels.index(label)))
            continue
        zero = AffineExpr.number(rank, 0)
        by = [
            AffineExpr.dim(rank, labels.index(each)) if each in sizes else zero
            for each in form.labels
        ]
        exprs.append(form.expr.substitute(by, rank, shape))
    return Labelled(read(builder, x.value, shape, exprs), labels)


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


def _gather(builder: Builder, x: Labelled, at: Mapping[int, Labelled]) -> Labelled:
    """Read at any positions; labels that `x` has too become batching axes."""
    sizes: dict[int, int] = {}
    for index in at.values():
        sizes |= index.sizes()
    run = tuple(sorted(sizes, key=lambda label: (label < 0, label)))
    shape = [sizes[label] for label in run]
    batching = [label for label in run if label in x.labels]
    attributes: dict[str, Attribute] = {
        "start_index_map": tuple(x.labels.index(label) for label in at),
        "operand_batching_dims": tuple(x.labels.index(label) for label in batching),
        "start_indices_batching_dims": tuple(run.index(label) for label in batching),
    }
    indices = [index.spread(builder, run, shape) for index in at.values()]
    cls = Operation.registry["tensor.gather"]
    value = builder.insert(cls([x.value, *indices], attributes)).results[0]
    rest = [label for label in x.labels if label not in at and label not in batching]
    return Labelled(value, (*run, *rest))


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
