"""`kernel.generic`: one pass over memory as an iteration space, affine maps and scalar code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from dmc.dialects import arith
from dmc.dialects.elementwise import in_rows
from dmc.dialects.kernel.scalar import (
    COMBINERS,
    Gate,
    Structured,
    element_type,
    flops_of,
    grid_of,
    identity_of,
    is_scalar_integer,
    read_through,
    run_scalars,
)
from dmc.ir.affine import AffineMap
from dmc.ir.affine_set import AffineSet
from dmc.ir.attributes import ArrayAttr, DenseElements
from dmc.ir.cost import Cost
from dmc.ir.declarations import attribute, int_tuple
from dmc.ir.operation import Block, Value, operands, region
from dmc.ir.types import Array, DType, ShapedType, TensorType, Type, dtype_of

if TYPE_CHECKING:
    from dmc.ir.operation import Interpreter

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Contraction:
    """A kernel recognised as `Σ_k lhs · rhs`, as iteration dimensions in ascending order.

    `lhs` and `rhs` number the two operands of the body, of which `lhs` is multiplied first.
    No dimension occurs in two subscripts of an operand. `gate` numbers the operand that says which
    products count.
    """

    lhs: int
    rhs: int
    batch: tuple[int, ...]
    m: tuple[int, ...]
    n: tuple[int, ...]
    k: tuple[int, ...]
    gate: int | None = None


class Generic(Structured):
    """`kernel.generic`: a map over the parallel dimensions, each point perhaps a reduction.

    `sizes` is the iteration space; its last dimensions, listed in `reduction`, are reduced. The
    body runs at every point on one element of each body operand, and its values are combined over
    the reduction by `combiners` (one for each value), starting from the identity. The epilogue
    runs once at each parallel point on the reduced values and on one element of each of the last
    `epilogue_operands` operands; its values are the elements of the results. Without a reduction
    the epilogue only passes the body's values on. With one, the body may yield further values:
    these are stored at every point, as the last results. A map may give several values at each
    point to one result: `columns` says how many each result takes, along a last axis, or 0 for one
    value and no such axis.

    Points that are not in `domain` do not count, and the body need not run there: what it would
    yield changes nothing (it is the identity of the combiner, or the epilogue does not use it), or
    is, without a reduction, one of the constants `outside`, one for each value. The operands may be
    further dimensions of the domain, behind those of the space: a 0-d integer is its number.

    The order of combination is chosen by the lowering from sizes, `order` and target alone. `order`
    lists the dimensions as the axes of the array that was reduced before anything was fused into
    the kernel; it is empty where the order may be that of the operands as they lie, as in products
    of matrices.

    C1: `reduction` lists the last dimensions, ascending.
    C2: one map for each operand and result, over the iteration dimensions.
    C3: operand maps stay inside the operands; epilogue operands use parallel dimensions only.
    C4: a result map picks every parallel dimension exactly once; every dimension if it is stored.
    C5: the body takes one 0-d value for each body operand; the epilogue takes the reduced values,
        then one for each epilogue operand.
    C6: one combiner for each of the first values of the body with a reduction, none without.
    C7: bodies are scalar code (see `dmc.dialects.kernel`); an epilogue indexes parallel dimensions.
    C8: without a reduction there are no epilogue operands and the epilogue yields its arguments.
    C9: f16 and bf16 are not accumulated in: the body converts.
    C10: results are what the epilogue yields, over the shape the result maps pick.
    C11: the domain is a set of the iteration space, or of it and 0-d integer operands; `outside`
        has the types of the body's values when something is outside and there is no reduction,
        else it is empty. Nothing is outside of what is stored.
    C12: `order` is empty or a permutation of the dimensions.
    C13: `columns` is empty or has a number for each result; then there is no reduction, nothing is
        outside, and the values of a result have one type.
    """

    name = "kernel.generic"
    inputs = operands()
    reduction = int_tuple(())
    combiners = attribute(ArrayAttr, ArrayAttr(()))
    epilogue_operands = attribute(int, 0)
    domain = attribute(AffineSet, AffineSet())
    outside = attribute(ArrayAttr, ArrayAttr(()))
    order = int_tuple(())
    columns = int_tuple(())
    body = region()
    epilogue = region()

    @property
    def parallel(self) -> tuple[int, ...]:
        """The iteration dimensions that are not reduced: the first ones."""
        return tuple(range(len(self.space) - len(self.reduction)))

    @property
    def parallel_sizes(self) -> tuple[int, ...]:
        return self.space[: len(self.parallel)]

    @property
    def body_count(self) -> int:
        """How many operands the body reads; the others feed the epilogue."""
        return len(self.operands) - self.epilogue_operands

    @property
    def body_inputs(self) -> tuple[Value, ...]:
        return self.operands[: self.body_count]

    @property
    def epilogue_inputs(self) -> tuple[Value, ...]:
        return self.operands[self.body_count :]

    @property
    def operand_maps(self) -> tuple[AffineMap, ...]:
        return self.affine_maps[: len(self.operands)]

    @property
    def result_maps(self) -> tuple[AffineMap, ...]:
        return self.affine_maps[len(self.operands) :]

    @property
    def combiner_names(self) -> tuple[str, ...]:
        return tuple(item for item in self.combiners.items if isinstance(item, str))

    @property
    def reduced(self) -> tuple[Value, ...]:
        """What the body yields for the epilogue."""
        yielded = self.body.terminator.operands
        return yielded[: len(self.combiners.items)] if self.reduction else yielded

    @property
    def stored(self) -> tuple[Value, ...]:
        """What the body of a reduction yields to be stored at every point."""
        return self.body.terminator.operands[len(self.reduced) :]

    @property
    def constants_outside(self) -> tuple[DenseElements, ...]:
        """What the body yields outside of the domain, without a reduction."""
        return tuple(item for item in self.outside.items if isinstance(item, DenseElements))

    def of_results(self, values: Sequence[ItemT]) -> list[list[ItemT]]:
        """What the epilogue yields and what is stored, by the results that take it."""
        if not self.columns:
            return [[value] for value in values]
        rest = iter(values)
        return [[next(rest) for _ in range(max(count, 1))] for count in self.columns]

    def infer(self) -> Sequence[Type]:
        yielded = (*self.epilogue.terminator.operands, *self.stored)
        maps, space = self.result_maps, self.space
        columns = self.columns or (0,) * len(maps)
        self.require(13, len(columns) == len(maps), "needs a number of columns for each result")
        count = sum(max(number, 1) for number in columns)
        self.require(2, count == len(yielded), "needs a map for each result")
        types: list[Type] = []
        pairs = zip(self.of_results(yielded), maps, columns, strict=True)
        for values, map_, number in pairs:
            picked = map_.picked()
            self.require(4, picked is not None, "{} is no choice of dimensions", map_)
            same = len({value.type for value in values}) == 1
            self.require(13, same, "columns of one result differ")
            shape = tuple([space[d] for d in picked or ()])
            shape = (*shape, number) if number else shape
            types.append(TensorType(shape, dtype_of(values[0].type)))
        return types

    def verify_(self) -> None:
        first = len(self.space) - len(self.reduction)
        trailing = tuple(range(first, len(self.space)))
        self.require(1, self.reduction == trailing, "reduces other than the last dimensions")
        count = len(self.operands) + len(self.results)
        maps = self.affine_maps
        self.require(2, len(maps) == len(self.maps.items) == count, "needs a map for each value")
        for value, map_ in zip(self.operands, self.operand_maps, strict=True):
            self.verify_map(3, map_, value.type)
        for map_ in self.operand_maps[self.body_count :]:
            self.require(
                3, map_.dims().isdisjoint(self.reduction), "the epilogue reads along a reduction"
            )
        finished = len(self.results) - len(self.stored)
        for i, map_ in enumerate(self.result_maps):
            self.require(2, map_.dimensions == len(self.space), "{} has other dimensions", map_)
            picked = sorted(map_.picked() or ())
            dims = self.parallel if i < finished else range(len(self.space))
            self.require(4, picked == list(dims), "{} is no permutation", map_)
        plain = not self.reduction and self.domain.is_everything
        self.require(13, plain or not self.columns, "has columns")
        ordered = not self.order or sorted(self.order) == list(range(len(self.space)))
        self.require(12, ordered, "{} is no order of the dimensions", self.order)
        reduced = [value.type for value in self.reduced]
        self.verify_args(5, self.body, [element_type(v.type) for v in self.body_inputs])
        extra = [element_type(v.type) for v in self.epilogue_inputs]
        self.verify_args(5, self.epilogue, [*reduced, *extra])
        self._verify_reduction(reduced)
        self._verify_domain(reduced)
        self.verify_scalars(7, self.body)
        self.verify_scalars(7, self.epilogue, dimensions=first)

    def verify_types(self) -> None:
        self.require(10, self.result_types == tuple(self.infer()), "results of another type")

    def _verify_reduction(self, reduced: Sequence[Type]) -> None:
        if self.reduction:
            known = [name for name in self.combiner_names if name in COMBINERS]
            matches = len(known) == len(self.combiners.items) == len(reduced)
            self.require(6, matches, "needs a combiner for each value of the body")
            narrow = [t for t in reduced if dtype_of(t) in (DType.F16, DType.BF16)]
            self.require(9, not narrow, "accumulates in {}", narrow)
        else:
            self.require(6, not self.combiners.items, "combines without a reduction")
            passes_on = self.epilogue.terminator.operands == tuple(self.epilogue.args)
            plain = passes_on and self.epilogue_operands == 0
            self.require(8, plain, "has an epilogue without a reduction")

    def _verify_domain(self, yielded: Sequence[Type]) -> None:
        given = [constant.type for constant in self.constants_outside]
        if self.domain.is_everything:
            self.require(11, not self.outside.items, "nothing is outside")
            return
        rank = len(self.space)
        fits = self.domain.dimensions in (rank, rank + len(self.operands))
        self.require(11, fits, f"{self.domain} has other dimensions")
        for d in self.domain.dims() - set(range(rank)):
            type_ = self.operands[d - rank].type
            self.require(11, is_scalar_integer(type_), f"{type_} is no 0-d integer")
        self.require(11, not self.stored, "stores, but not at all points")
        wanted = [] if self.reduction else list(yielded)
        self.require(11, given == wanted, f"is {given} outside, for {wanted}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        grid = grid_of(self.space)
        pairs = zip(self.operand_maps, operands, strict=True)
        elements = [read_through(map_, array, grid) for map_, array in pairs]
        values = run_scalars(self.body, elements[: self.body_count], grid, interpreter)
        values = [np.broadcast_to(value, self.space) for value in values]
        if not self.domain.is_everything:
            counts = self.domain.holds([*grid, *operands][: self.domain.dimensions])
            pairs = zip(values, self._outside(values), strict=True)
            values = [np.where(counts, value, other) for value, other in pairs]
        if self.reduction:
            count = len(self.reduced)
            stored, combined = values[count:], zip(values, self.combiner_names, strict=False)
            reduced = [_reduce(value, name, self.reduction) for value, name in combined]
            outer = grid_of(self.parallel_sizes)
            extra = [e.reshape(e.shape[: len(outer)]) for e in elements[self.body_count :]]
            values = run_scalars(self.epilogue, [*reduced, *extra], outer, interpreter)
            values = [np.broadcast_to(value, self.parallel_sizes) for value in values]
            values += stored
        results: list[Array] = []
        columns = self.columns or (0,) * len(self.result_maps)
        groups = self.of_results(values)
        for each, map_, number in zip(groups, self.result_maps, columns, strict=True):
            turned = [np.transpose(value, map_.picked()) for value in each]
            results.append(np.stack(turned, axis=-1) if number else turned[0])
        return results

    def _outside(self, values: Sequence[Array]) -> list[Array]:
        """What stands for each value of the body where it need not run."""
        if not self.reduction:
            return [constant.array for constant in self.constants_outside]
        pairs = zip(values, self.combiner_names, strict=True)
        return [
            np.asarray(identity_of(name, DType.of(value.dtype)), value.dtype)
            for value, name in pairs
        ]

    def cost(self) -> Cost:
        within_space = self.domain.dimensions <= len(self.space)
        visited = self.domain.count(self.space) if within_space else self.points
        outer = int(np.prod(self.parallel_sizes, dtype=np.int64))
        flops = visited * (flops_of(self.body) + len(self.combiner_names))
        types = (*self.operand_types, *self.result_types)
        traffic = sum(type_.bytes for type_ in types if isinstance(type_, ShapedType))
        dynamic = sum((op.cost() for op in self.loads()), Cost()) * visited
        return Cost(flops + outer * flops_of(self.epilogue), traffic) + dynamic

    def contraction(self) -> Contraction | None:
        """The roles of the dimensions when the body multiplies two operands to be summed.

        Operands may be read through windows (`x[r + i]`), each dimension in one subscript.
        Conversions of the factors are seen through. None for every other kernel.
        """
        factors = _factors(self.body)
        if self.combiner_names != ("add",) or factors is None:
            return None
        lhs, rhs, gate = factors
        if self.body_count != (2 if gate is None else 3):
            return None
        left, right = self.operand_maps[lhs], self.operand_maps[rhs]
        a, b, k = set(left.dims()), set(right.dims()), set(self.reduction)
        distinct = left.is_separable and right.is_separable
        if not distinct or not k <= (a & b) or a | b != set(range(len(self.space))):
            return None
        groups = (a & b) - k, a - b, b - a, k
        batch, m, n, inner = (tuple(sorted(group)) for group in groups)
        return Contraction(lhs, rhs, batch, m, n, inner, gate)

    def matrix_product(self) -> Contraction | None:
        """`contraction`, if it is summed as a product of matrices: in an order of its own."""
        return None if self.order else self.contraction()


def _reduce(value: Array, combiner: str, axes: tuple[int, ...]) -> Array:
    initial = np.asarray(identity_of(combiner, DType.of(value.dtype)), value.dtype)
    ufunc = COMBINERS[combiner]
    # Booleans would be promoted by `add`; `dtype` keeps every other type as it is.
    rows = in_rows(value, axes)
    return np.asarray(ufunc.reduce(rows, axis=-1, dtype=value.dtype, initial=initial.item()))


def _factors(body: Block) -> tuple[int, int, int | None] | None:
    """The operand numbers of two factors and a gate, when the body is one product of them."""
    values = body.terminator.operands
    product = values[0].defining_op if len(values) == 1 else None
    gate: Value | None = None
    if isinstance(product, Gate):
        gate, product = product.selected, product.value.defining_op
    if not isinstance(product, arith.Product):
        return None
    read = [_through_conversion(value) for value in product.operands]
    read += [] if gate is None else [gate]
    if len({value for value in read if value.owner is body}) < len(read):
        return None
    lhs, rhs, *last = (value.index for value in read)
    return lhs, rhs, last[0] if last else None


def _through_conversion(value: Value) -> Value:
    op = value.defining_op
    return op.operands[0] if op is not None and op.name == "arith.convert" else value
