"""Kernels visit only the points that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import func, kernel
from dmc.ir import (
    AffineExpr,
    AffineMap,
    AffineSet,
    ArrayAttr,
    DenseElements,
    Module,
    TensorType,
    Value,
    dtype_of,
)
from dmc.ir.passes import Pass
from dmc.transforms.half_spaces import Facts, HalfSpace, ScalarFacts, TensorFacts, moved
from dmc.transforms.scalar_subscripts import Space, space_of


@dataclass(frozen=True)
class BoundSpaces(Pass):
    """Give each kernel its domain: the part of its space where what it computes is not known.

    Under `if u <= t` a sum has nothing to add where u is greater, a map stores one constant, and
    what masks the result of a contraction needs no sum. What a kernel knows of its results so is
    known to the kernels that read them.
    """

    name = "bound-spaces"

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            known: dict[Value, TensorFacts] = {}
            for op in function.walk():
                if isinstance(op, kernel.Generic):
                    _bound(op, known)
                elif isinstance(op, kernel.Copy):
                    known[op.output] = known.get(op.source, {})


def _bound(op: kernel.Generic, known: dict[Value, TensorFacts]) -> None:
    """Set the domain of a kernel, and note what is known of its results."""
    halves = [half for operand in op.operands for half in known.get(operand, {})]
    missing = dict.fromkeys(value for half in halves for _, value in half.scalars)
    added = [_take(op, value) for value in missing if value not in op.operands]
    space = space_of(op)
    dims = {value: len(op.space) + i for i, value in enumerate(op.operands)}
    facts = [known.get(value, {}) for value in op.operands]
    pairs = zip(facts, op.operand_maps, strict=True)
    read = [moved(each, map_, space.sizes, dims) for each, map_ in pairs]
    body = ScalarFacts(op.body, space, read[: op.body_count])
    yielded = op.body.terminator.operands
    if op.reduction:
        neutral = [where for where in _mentioned(body, yielded) if _is_neutral(op, body, where)]
        reducing = set(op.reduction)
        empty = [where for where in neutral if where.dims().isdisjoint(reducing)]
        reduced = [_identities(op, i, empty) for i in range(len(yielded))]
        after = ScalarFacts(op.epilogue, space, [*reduced, *read[op.body_count :]])
        results = op.epilogue.terminator.operands
        unused = [where for where in _mentioned(after, results) if _all(after, results, where)]
        _set_domain(op, space, list(dict.fromkeys([*neutral, *unused])))
    else:
        after, results = body, yielded
        groups: dict[tuple[DenseElements, ...], list[AffineExpr]] = {}
        for where in _mentioned(body, yielded):
            constants = _all(body, yielded, where)
            if constants is not None:
                groups.setdefault(constants, []).append(where)
        if groups:
            outside = max(groups, key=lambda constants: len(groups[constants]))
            _set_domain(op, space, groups[outside], outside)
    for value, result, map_ in zip(op.results, results, op.result_maps, strict=True):
        known[value] = _over_axes(op, after[result], map_)
    first = min((op.operands.index(value) for value in added), default=0)
    if added and op.domain.dims().isdisjoint(range(len(op.space) + first, len(space.sizes))):
        for value in reversed(added):
            _leave(op, value)


def _take(op: kernel.Generic, scalar: Value) -> Value:
    """Make a scalar an operand that the code does not read: what matters where it counts."""
    place = len(op.operands) if op.reduction else op.body_count
    maps = list(op.affine_maps)
    maps.insert(place, AffineMap(len(op.space), ()))
    op.insert_operand(place, scalar)
    op.attributes["maps"] = ArrayAttr(tuple(maps))
    (op.epilogue if op.reduction else op.body).add_arg(scalar.type, scalar.name)
    if op.reduction:
        op.attributes["epilogue_operands"] = op.epilogue_operands + 1
    return scalar


def _leave(op: kernel.Generic, scalar: Value) -> None:
    """Undo `_take`."""
    place = op.operands.index(scalar)
    maps = op.affine_maps[:place] + op.affine_maps[place + 1 :]
    op.set_operands([value for i, value in enumerate(op.operands) if i != place])
    op.attributes["maps"] = ArrayAttr(maps)
    block = op.epilogue if op.reduction else op.body
    block.erase_arg(len(block.args) - len(op.operands) + place - 1 if op.reduction else place)
    if op.reduction:
        op.attributes["epilogue_operands"] = op.epilogue_operands - 1


def _mentioned(facts: ScalarFacts, values: Sequence[Value]) -> list[AffineExpr]:
    """Where something may be known of all of `values`."""
    inputs = [v for value in values for v in (value, *_factors(value))]
    return list(dict.fromkeys(where for value in inputs for where in facts[value]))


def _factors(value: Value) -> Sequence[Value]:
    return () if value.defining_op is None else value.defining_op.operands


def _all(
    facts: ScalarFacts, values: Sequence[Value], where: AffineExpr
) -> tuple[DenseElements, ...] | None:
    """The constants that all of `values` are where an expression is negative."""
    constants = [facts.constant(value, where) for value in values]
    found = tuple(constant for constant in constants if constant is not None)
    return found if len(found) == len(constants) else None


def _is_neutral(op: kernel.Generic, body: ScalarFacts, where: AffineExpr) -> bool:
    """Whether points where an expression is negative change none of the reduced values."""
    for i, value in enumerate(op.body.terminator.operands):
        if op.combiner_names[i] == "add" and body.vanishes(value, where):
            continue
        if body.constant(value, where) != _identity(op, i):
            return False
    return True


def _identity(op: kernel.Generic, index: int) -> DenseElements:
    dtype = dtype_of(op.body.terminator.operands[index].type)
    identity = kernel.identity_of(op.combiner_names[index], dtype)
    return DenseElements.splat(identity, TensorType((), dtype))


def _identities(op: kernel.Generic, index: int, where: Sequence[AffineExpr]) -> Facts:
    return dict.fromkeys(where, _identity(op, index))


def _set_domain(
    op: kernel.Generic,
    space: Space,
    constraints: Sequence[AffineExpr],
    outside: Sequence[DenseElements] = (),
) -> None:
    if not constraints:
        return
    used = max((max(expr.dims(), default=-1) for expr in constraints), default=-1)
    rank = len(op.space) if used < len(op.space) else len(space.sizes)
    exprs = map(space.from_zero, constraints)
    cut = tuple(AffineExpr(expr.coefficients[:rank], expr.constant) for expr in exprs)
    op.attributes["domain"] = AffineSet(rank, cut)
    op.attributes["outside"] = ArrayAttr(tuple(outside))


def _over_axes(op: kernel.Generic, facts: Facts, map_: AffineMap) -> TensorFacts:
    """Facts over the space of `op` as facts over the axes of a result."""
    picked, own = map_.picked() or (), len(op.space)
    rank = len(picked)
    by = [AffineExpr.number(rank, 0)] * (own + len(op.operands))
    for axis, d in enumerate(picked):
        by[d] = AffineExpr.dim(rank, axis)
    sizes = [op.space[d] for d in picked]
    found: dict[HalfSpace, DenseElements] = {}
    for where, constant in facts.items():
        others = sorted(d for d in where.dims() if d >= own)
        if where.is_affine:
            scalars = tuple((where.coefficients[d], op.operands[d - own]) for d in others)
            found[HalfSpace(where.substitute(by, rank, sizes), scalars)] = constant
    return found
