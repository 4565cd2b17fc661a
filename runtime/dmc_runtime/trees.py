"""Trees of leaves: how records, tuples, lists and dicts are taken apart and put together.

Such a tree is what JAX calls a pytree. `tree_flatten` gives its leaves in order of declaration
together with a hashable `TreeDef` that puts them back. `None` is a tree without leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from dmc_runtime.errors import ArgumentError

Array: TypeAlias = NDArray[Any]
Leaf: TypeAlias = "Array | np.generic[Any] | float"
Tree: TypeAlias = "Leaf | Node | Sequence[Tree] | Mapping[str, Tree] | None"
Constant: TypeAlias = bool | int | float
N = TypeVar("N", bound="Node")
T = TypeVar("T", bound=Tree)


class Role(Enum):
    """What a field is to its record; only `DATA` and `PARAM` take part in differentiation."""

    DATA = "data"
    PARAM = "param"
    STATE = "state"
    FROZEN = "frozen"


@dataclass(frozen=True)
class Field:
    """One declared field.

    `type` is the source text of its type, `doc` its doc comment, and `record` the class of the
    record (or of the stack of records) that it holds, from which a checkpoint can be restored.
    """

    name: str
    role: Role = Role.DATA
    type: str = ""
    doc: str = ""
    record: type[Node] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class RecordSpec:
    """The declaration behind a record class.

    `constants` names what a value carries beside its fields: sizes (`net.D`) and hyperparameters.
    """

    name: str
    fields: tuple[Field, ...]
    constants: tuple[str, ...] = ()
    module: str = ""
    doc: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)


class Node:
    """The storage of a record: what trees need to know of it. `Record` gives it its behaviour.

    `_values` are the fields in order of declaration, `_constants` its sizes and hyperparameters,
    `_stack` the lengths of the leading axes that a stack of records has.
    """

    __slots__ = ("_constants", "_stack", "_values")

    # Double underscores, because any other name may be that of a field.
    __record__: ClassVar[RecordSpec] = RecordSpec("Record", ())

    _values: tuple[Tree, ...]
    _constants: dict[str, Constant]
    _stack: tuple[int, ...]


def build(
    cls: type[N],
    values: Sequence[Tree],
    constants: Mapping[str, Constant] | None = None,
    stack: tuple[int, ...] = (),
) -> N:
    """A record from field values as declared, unchecked; `stack` holds its leading axes."""
    record = cls.__new__(cls)
    fill(record, tuple(values), dict(constants or {}), stack)
    return record


def spec_of(record: Node | type[Node]) -> RecordSpec:
    """The declaration of a record or of a record class."""
    return record.__record__


def values_of(record: Node) -> tuple[Tree, ...]:
    """Field values in order of declaration; safe for any field name."""
    return record._values  # pyright: ignore[reportPrivateUsage]


def constants_of(record: Node) -> dict[str, Constant]:
    """Sizes and hyperparameters that a record carries."""
    return dict(record._constants)  # pyright: ignore[reportPrivateUsage]


def stack_of(record: Node) -> tuple[int, ...]:
    """Lengths of the leading axes that a stack of records has; `()` for a single record."""
    return record._stack  # pyright: ignore[reportPrivateUsage]


def fill(
    record: Node,
    values: tuple[Tree, ...],
    constants: dict[str, Constant],
    stack: tuple[int, ...],
) -> None:
    """Sets the storage of a record that is being made."""
    object.__setattr__(record, "_values", values)
    object.__setattr__(record, "_constants", constants)
    object.__setattr__(record, "_stack", stack)


class Kind(Enum):
    """What a node of a tree is."""

    LEAF = "leaf"
    NONE = "none"
    TUPLE = "tuple"
    LIST = "list"
    DICT = "dict"
    RECORD = "record"


@dataclass(frozen=True, eq=False)
class TreeDef:
    """The structure of a tree without its leaves: hashable, compared by value.

    `label` holds a dict's keys, or a record's spec, constants and stack.
    """

    kind: Kind
    children: tuple[TreeDef, ...]
    label: tuple[object, ...]
    count: int
    record: type[Node] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeDef) and (
            self.kind is other.kind
            and self.label == other.label
            and self.children == other.children
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.label, self.children))


_LEAF_DEF = TreeDef(Kind.LEAF, (), (), 1)
_NONE_DEF = TreeDef(Kind.NONE, (), (), 0)


def tree_flatten(tree: Tree) -> tuple[list[Leaf], TreeDef]:
    """Leaves in order (fields as declared, dicts by sorted key), and the structure without them."""
    leaves: list[Leaf] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Tree, leaves: list[Leaf]) -> TreeDef:
    kind = kind_of(tree)
    if kind is Kind.LEAF:
        leaves.append(cast("Leaf", tree))
        return _LEAF_DEF
    if kind is Kind.NONE:
        return _NONE_DEF
    children = tuple(_flatten(child, leaves) for _, child in children_of(tree))
    count = sum(child.count for child in children)
    if isinstance(tree, Node):
        label = (spec_of(tree), tuple(sorted(constants_of(tree).items())), stack_of(tree))
        return TreeDef(kind, children, label, count, type(tree))
    keys = tuple(_keys(cast("Mapping[str, Tree]", tree))) if kind is Kind.DICT else ()
    return TreeDef(kind, children, keys, count)


def tree_unflatten(treedef: TreeDef, leaves: Iterable[Leaf | None]) -> Tree:
    """Puts leaves back; `ValueError` when their number differs from `treedef.count`."""
    listed = list(leaves)
    if len(listed) != treedef.count:
        raise ValueError(f"{len(listed)} leaves given for a tree of {treedef.count}")
    return _unflatten(treedef, iter(listed))


def _unflatten(treedef: TreeDef, leaves: Iterator[Leaf | None]) -> Tree:
    if treedef.kind is Kind.LEAF:
        return next(leaves)
    if treedef.kind is Kind.NONE:
        return None
    children = [_unflatten(child, leaves) for child in treedef.children]
    if treedef.kind is Kind.TUPLE:
        return tuple(children)
    if treedef.kind is Kind.LIST:
        return children
    if treedef.kind is Kind.DICT:
        return dict(zip(cast("tuple[str, ...]", treedef.label), children, strict=True))
    _, constants, stack = treedef.label
    return build(
        cast("type[Node]", treedef.record),
        children,
        dict(cast("tuple[tuple[str, Constant], ...]", constants)),
        cast("tuple[int, ...]", stack),
    )


def tree_map(function: Callable[..., Any], tree: T, *others: Tree) -> T:
    """Applies `function` to matching leaves; `ArgumentError` when the trees differ in structure."""
    leaves, treedef = tree_flatten(tree)
    columns = [leaves]
    for other in others:
        more, other_def = tree_flatten(other)
        if other_def != treedef:
            raise ArgumentError("trees differ in structure")
        columns.append(more)
    results = [function(*row) for row in zip(*columns, strict=True)]
    return cast("T", tree_unflatten(treedef, results))


def tree_leaves(tree: Tree) -> list[Leaf]:
    """The leaves of a tree in order."""
    return tree_flatten(tree)[0]


def tree_paths(tree: Tree) -> list[str]:
    """The path of each leaf, in `tree_flatten`'s order: `l1.w`, `[0].w`; a bare leaf has `""`."""
    return [path for path, _ in walk(tree, "")]


def stack(trees: Sequence[N]) -> N:
    """Stacks records of one structure along a new leading axis; `record[i]` takes one out again."""
    if not isinstance(trees, list | tuple) or not all(
        isinstance(tree, Node) for tree in cast("Sequence[object]", trees)
    ):
        raise ArgumentError("`dmc.stack` takes a list of records")
    if not trees:
        raise ArgumentError("cannot stack no records")
    stacked = tree_map(lambda *leaves: np.stack(leaves), *trees)
    return cast("N", restack(stacked, lambda leaf: leaf, lambda axes: (len(trees), *axes)))


def kind_of(tree: Tree) -> Kind:
    """What `tree` is at its root; anything that is no container is a leaf."""
    if isinstance(tree, Node):
        return Kind.RECORD
    if isinstance(tree, np.ndarray | np.generic):
        return Kind.LEAF
    if tree is None:
        return Kind.NONE
    if isinstance(tree, tuple):
        return Kind.TUPLE
    if isinstance(tree, list):
        return Kind.LIST
    if isinstance(tree, dict):
        return Kind.DICT
    return Kind.LEAF


def children_of(tree: Tree) -> list[tuple[str, Tree]]:
    """Children with the text that each adds to a path."""
    if isinstance(tree, Node):
        return [(f".{n}", v) for n, v in zip(spec_of(tree).names, values_of(tree), strict=True)]
    if isinstance(tree, dict):
        steps = [f".{key}" if key.isidentifier() else f"[{key!r}]" for key in _keys(tree)]
        return list(zip(steps, (tree[key] for key in _keys(tree)), strict=True))
    return [(f"[{i}]", child) for i, child in enumerate(cast("Sequence[Tree]", tree))]


def _keys(tree: Mapping[str, Tree]) -> list[str]:
    if not all(isinstance(key, str) for key in cast("Mapping[object, Tree]", tree)):
        raise ArgumentError("the keys of a dict of arrays are strings")
    return sorted(tree)


def walk(tree: Tree, path: str) -> Iterator[tuple[str, Leaf]]:
    """Every leaf below `tree` with its path, which starts with `path`."""
    kind = kind_of(tree)
    if kind is Kind.LEAF:
        yield path.removeprefix("."), cast("Leaf", tree)
    elif kind is not Kind.NONE:
        for step, child in children_of(tree):
            yield from walk(child, path + step)


def with_children(tree: Tree, children: list[Tree]) -> Tree:
    """A container like `tree` with other children, given in the order of `children_of`."""
    if isinstance(tree, Node):
        return build(type(tree), children, constants_of(tree), stack_of(tree))
    if isinstance(tree, dict):
        return dict(zip(_keys(tree), children, strict=True))
    return tuple(children) if isinstance(tree, tuple) else children


def restack(
    tree: Tree,
    function: Callable[[Any], Any],
    leading: Callable[[tuple[int, ...]], tuple[int, ...]],
) -> Tree:
    """Maps the leaves, and the stack axes of the record and of every record inside it."""
    kind = kind_of(tree)
    if kind is Kind.LEAF:
        return function(tree)
    if kind is Kind.NONE:
        return None
    children = [restack(child, function, leading) for _, child in children_of(tree)]
    if isinstance(tree, Node):
        return build(type(tree), children, constants_of(tree), leading(stack_of(tree)))
    return with_children(tree, children)
