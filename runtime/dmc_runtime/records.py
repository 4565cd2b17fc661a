"""Records: the structs and models of a program, as values in Python.

A record is an immutable, ordered collection of named fields, each an array, a number, another
record, or a tuple, list or dict of those. It is a value: what it is made from is copied, and its
fields give arrays that cannot be written to.

Record classes are made while a program is loaded (`make_record`); there is no registry, and two
classes made from the same declaration are interchangeable. A missing leaf is `None`, which has no
leaves: so a gradient is a record of the model's own class whose integer, frozen and state fields
are `None`.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn, TypeAlias, TypeVar, cast

import numpy as np

from dmc_runtime import shows
from dmc_runtime.arguments import integer, shallow, shown
from dmc_runtime.errors import ArgumentError, StackIndexError
from dmc_runtime.leafwise import (
    Operation,
    arithmetic,
    dtype_of,
    is_float,
    lift,
    params,
    same_leaf,
)
from dmc_runtime.trees import (
    Array,
    Constant,
    Field,
    Kind,
    Leaf,
    Node,
    RecordSpec,
    Role,
    Tree,
    TreeDef,
    build,
    children_of,
    constants_of,
    fill,
    kind_of,
    restack,
    spec_of,
    stack,
    stack_of,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_paths,
    tree_unflatten,
    values_of,
    walk,
    with_children,
)

__all__ = [
    "Array",
    "Check",
    "Constant",
    "Field",
    "Kind",
    "Leaf",
    "Record",
    "RecordSpec",
    "Role",
    "Tree",
    "TreeDef",
    "build",
    "constants_of",
    "dtype_of",
    "is_float",
    "kind_of",
    "make_record",
    "spec_of",
    "stack",
    "stack_of",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_paths",
    "tree_unflatten",
    "values_of",
]

Check: TypeAlias = (
    "Callable[[dict[str, Tree], dict[str, Constant]], tuple[dict[str, Tree], dict[str, Constant]]]"
)
R = TypeVar("R", bound="Record")


class _Access:
    """Gives a field of a record; on the class, so that a field wins over a method of its name."""

    def __init__(self, index: int, field: Field) -> None:
        self.index = index
        self.__doc__ = field.doc or field.type

    def __get__(self, record: Record | None, owner: type[Record] | None = None) -> Any:
        return self if record is None else _shown(values_of(record)[self.index])

    def __set__(self, record: Record, value: object) -> NoReturn:
        _refuse_assignment(record)


def _shown(value: Tree) -> Tree:
    """A field as users see it: views that are read-only, since records share their arrays."""
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    return tuple(map(_shown, value)) if isinstance(value, tuple) else value


def _complete(record: Record, given: Mapping[str, Any], foreign: Container[str]) -> None:
    """Check and set the fields of a new record; those that are `foreign` belong to others."""
    spec = spec_of(record)
    constants = {name: given[name] for name in spec.constants if name in given}
    values: dict[str, Tree] = {n: value for n, value in given.items() if n not in constants}
    unknown = [name for name in values if name not in spec.names]
    if unknown:
        raise ArgumentError(f"{spec.name} has no field `{unknown[0]}`; it has {_listed(spec)}")
    check = type(record).__check__
    if check is not None:
        with shallow(f"{spec.name}: a field"):
            values, constants = check(values, constants)
    missing = [name for name in spec.names if name not in values]
    if missing:
        raise ArgumentError(f"{spec.name} needs a value for field `{missing[0]}`")
    fields = [_owned(values[n]) if n in foreign else values[n] for n in spec.names]
    fill(record, tuple(fields), constants, ())


def _owned(value: Tree) -> Tree:
    """A value that nothing outside can change; records are such values already."""
    if isinstance(value, np.ndarray):
        return np.array(value, order="C")
    if isinstance(value, Node) or kind_of(value) in (Kind.LEAF, Kind.NONE):
        return value
    return with_children(value, [_owned(child) for _, child in children_of(value)])


def _refuse_assignment(record: Record) -> NoReturn:
    name = spec_of(record).name
    raise AttributeError(f"{name} is immutable: use `.replace(field=value)` for a changed copy")


class Record(Node):
    """Base of every record class. Build one by keywords; see the module docstring.

    `__check__` completes and converts what a *user* passes to the constructor: fields and constants
    in, the same out; it raises for what does not fit. Trees are rebuilt without it.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # leaves are mutable arrays
    __array_ufunc__ = None  # so that `array * record` reaches `__rmul__`

    __check__: ClassVar[Check | None] = None

    def __init__(self, /, **given: Any) -> None:
        _complete(self, given, given)

    def __getattr__(self, name: str) -> Any:
        # Reached only for names that are neither fields nor methods.
        if not name.startswith("_") and name in self._constants:
            return self._constants[name]
        spec = spec_of(self)
        raise AttributeError(f"{spec.name} has no field `{name}`; it has {_listed(spec)}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        _refuse_assignment(self)

    def __delattr__(self, name: str) -> NoReturn:
        _refuse_assignment(self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *spec_of(self).names, *self._constants})

    def replace(self: R, /, **changes: Any) -> R:
        """A record with fields or constants changed; `ArgumentError` for a name that is neither."""
        spec = spec_of(self)
        unknown = [n for n in changes if n not in spec.names and n not in spec.constants]
        if unknown:
            raise ArgumentError(f"{spec.name} has no field `{unknown[0]}`; it has {_listed(spec)}")
        given = dict(zip(spec.names, values_of(self), strict=True)) | self._constants | changes
        if self._stack or any(value is None for value in given.values()):
            values = tuple(_owned(given[n]) if n in changes else given[n] for n in spec.names)
            constants = {name: given[name] for name in spec.constants if name in given}
            return build(type(self), values, cast("dict[str, Constant]", constants), self._stack)
        record = type(self).__new__(type(self))
        _complete(record, given, changes)
        return record

    @property
    def params(self: R) -> R:
        """The float leaves outside `state` and `frozen` fields; `None` for the rest."""
        return cast("R", params(self))

    def items(self) -> Iterator[tuple[str, Leaf]]:
        """Every leaf with its dotted path, in order of declaration."""
        return ((path, cast("Leaf", _shown(leaf))) for path, leaf in walk(self, ""))

    def __iter__(self) -> Iterator[tuple[str, Leaf]]:
        return self.items()

    def __getitem__(self: R, index: int | slice) -> R:
        """Element (or part) of a stack: indexes the leading axis of every leaf."""
        if not self._stack:
            raise ArgumentError(f"this {spec_of(self).name} is not a stack; name a field instead")
        length = self._stack[0]
        if not isinstance(index, slice):
            index = integer(index, f"the index of a stack of {length}")
            if not -length <= index < length:
                raise StackIndexError(f"index {shown(index)} of a stack of {length}")
        kept = (len(range(length)[index]),) if isinstance(index, slice) else ()
        indexed = restack(self, lambda leaf: leaf[index], lambda stack: (*kept, *stack[1:]))
        return cast("R", indexed)

    def __repr__(self) -> str:
        return shows.text(self)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return shows.table(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        leaves, treedef = tree_flatten(self)
        others, other_def = tree_flatten(other)
        return treedef == other_def and all(map(same_leaf, leaves, others))

    def __copy__(self: R) -> R:
        return self

    def __deepcopy__(self: R, memo: dict[int, Any]) -> R:
        return tree_map(copy.deepcopy, self)

    def __reduce__(self) -> NoReturn:
        raise ArgumentError("records of no program are not pickled; save them with `dmc.save`")

    def __add__(self: R, other: Any) -> R:
        return cast("R", arithmetic(Operation.ADD, self, other))

    def __radd__(self: R, other: Any) -> R:
        return cast("R", arithmetic(Operation.ADD, other, self))

    def __sub__(self: R, other: Any) -> R:
        return cast("R", arithmetic(Operation.SUBTRACT, self, other))

    def __rsub__(self: R, other: Any) -> R:
        return cast("R", arithmetic(Operation.SUBTRACT, other, self))

    def __mul__(self: R, other: Any) -> R:
        return cast("R", arithmetic(Operation.MULTIPLY, self, other))

    def __rmul__(self: R, other: Any) -> R:
        return cast("R", arithmetic(Operation.MULTIPLY, other, self))

    def __truediv__(self: R, other: Any) -> R:
        return cast("R", arithmetic(Operation.DIVIDE, self, other))

    def __rtruediv__(self: R, other: Any) -> R:
        return cast("R", arithmetic(Operation.DIVIDE, other, self))

    def __pow__(self: R, other: Any) -> R:
        return cast("R", arithmetic(Operation.POWER, self, other))

    def __rpow__(self: R, other: Any) -> R:
        return cast("R", arithmetic(Operation.POWER, other, self))

    def __neg__(self: R) -> R:
        return cast("R", lift(operator.neg, self))

    def __abs__(self: R) -> R:
        return cast("R", lift(operator.abs, self))


def make_record(
    name: str,
    fields: Iterable[Field | str],
    *,
    sizes: Iterable[str] = (),
    hyper: Iterable[str] = (),
    module: str = "",
    doc: str = "",
    check: Check | None = None,
    namespace: Mapping[str, object] | None = None,
) -> type[Record]:
    """Makes a record class.

    Args:
        fields: in order of declaration; a bare name is a `DATA` field.
        sizes, hyper: names of the constants that its values may carry (`net.D`, `net.rate`).
        module: where it was declared, shown as the class's module.
        check: see `Record`.
        namespace: further class attributes: `init`, `__call__`, …
    """
    listed = tuple(Field(field) if isinstance(field, str) else field for field in fields)
    spec = RecordSpec(name, listed, (*sizes, *hyper), module, doc)
    names = (*spec.names, *spec.constants)
    if len(set(names)) != len(names):
        repeated = next(n for n in names if names.count(n) > 1)
        raise ValueError(f"{name} declares `{repeated}` twice")
    body: dict[str, object] = dict(namespace or {})
    body |= {field.name: _Access(index, field) for index, field in enumerate(listed)}
    body |= {
        "__slots__": (),
        "__module__": module or __name__,
        "__qualname__": name,
        "__doc__": doc or None,
        "__match_args__": spec.names,
        "__record__": spec,
        "__check__": None if check is None else staticmethod(check),
    }
    return cast("type[Record]", type(name, (Record,), body))


def _listed(spec: RecordSpec) -> str:
    return ", ".join(f"`{name}`" for name in spec.names) or "no fields"
