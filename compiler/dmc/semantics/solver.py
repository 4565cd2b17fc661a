"""Solving generic parameters from the shapes and dtypes of an actual call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import Error, error
from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics.signature import (
    Given,
    GivenArray,
    GivenFunction,
    GivenNumber,
    GivenRecord,
    GivenTuple,
    NumberClass,
    Signature,
)
from dmc.semantics.sizes import Size, SizeError, solve
from dmc.semantics.types import (
    Element,
    ElementName,
    GenericKind,
    GenericValue,
    KeyType,
    Pack,
    PackValue,
    RecordDeclaration,
    RecordName,
    RecordType,
    Role,
    Shape,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    element_text,
    gradient_type,
    resolved,
    stack,
)

__all__ = ["Solver", "record_of"]

Sizes = tuple[tuple[str, int], ...]

_NUMBER_DTYPES = {
    NumberClass.BOOL: DType.BOOL,
    NumberClass.INT: DType.I64,
    NumberClass.FLOAT: DType.F64,
}


@dataclass(slots=True)
class _Equation:
    """One axis: `size` must be `value`, because of the argument `where`."""

    size: Size
    value: int
    where: str
    span: Span


@dataclass(slots=True)
class Solver:
    """Collects what the arguments say about generic parameters; `name` starts every message."""

    name: str
    span: Span
    integers: dict[str, int] = field(default_factory=dict[str, int])
    origins: dict[str, str] = field(default_factory=dict[str, str])
    packs: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    elements: dict[str, DType] = field(default_factory=dict[str, DType])
    records: dict[str, Type] = field(default_factory=dict[str, Type])
    equations: list[_Equation] = field(default_factory=list[_Equation])
    numbers: list[tuple[str, NumberClass]] = field(default_factory=list[tuple[str, NumberClass]])

    def fail(
        self, code: str, message: str, span: Span | None = None, help_: tuple[str, ...] = ()
    ) -> Error:
        """The error for a call that does not fit; `span` is the declaration that was not met."""
        label = Label(span or self.span)
        title = f"{self.name}: {message}"
        return error(Diagnostic(code, title, label, help=help_, at_call=True))

    # -- generic arguments given explicitly

    def give(
        self, signature: Signature, brackets: Sequence[int | DType], sizes: Mapping[str, int]
    ) -> None:
        if len(brackets) > len(signature.generics):
            raise self.fail(
                "call.argument",
                f"{len(brackets)} generic arguments for {len(signature.generics)} parameters",
                signature.span,
            )
        for generic, value in zip(signature.generics, brackets, strict=False):
            if generic.kind is GenericKind.SIZE and isinstance(value, int):
                self.set_size(generic.name, value, "the brackets")
            elif generic.kind is GenericKind.ELEMENT and isinstance(value, DType):
                self.elements[generic.name] = value
            else:
                raise self.fail(
                    "call.argument", f"`{generic.name}` cannot be given in brackets", generic.span
                )
        known = {g.name for g in signature.generics if g.kind is GenericKind.SIZE}
        for name, value in sizes.items():
            if name not in known:
                raise self.fail("call.argument", f"there is no size `{name}`", signature.span)
            self.set_size(name, value, "the call")

    def set_size(self, name: str, value: int, origin: str) -> None:
        if value < 0:
            raise self.fail("shape.argument", f"{name} = {value} is negative", self.span)
        self.integers[name] = value
        self.origins[name] = origin

    def require_value(self, name: str, kind: GenericKind, default: DType | None) -> None:
        if name in self.values():
            return
        if kind is GenericKind.ELEMENT and default is not None:
            self.elements[name] = default
            return
        where = {
            GenericKind.SIZE: "give it in brackets or by name",
            GenericKind.PACK: "no argument fixes it",
            GenericKind.ELEMENT: "give it in brackets",
            GenericKind.RECORD: "no argument fixes it",
        }[kind]
        raise self.fail(
            "call.argument", f"{name} is not known from the arguments: {where}", self.span
        )

    def values(self) -> dict[str, GenericValue]:
        result: dict[str, GenericValue] = {n: Size.of(v) for n, v in self.integers.items()}
        result |= {n: PackValue(tuple(map(Size.of, v))) for n, v in self.packs.items()}
        result |= self.elements
        result |= self.records
        return result

    # -- matching declared types with what is given

    def match(self, declared: Type, given: Given, where: str) -> None:
        match declared, given:
            case TensorType(), GivenArray():
                self._match_element(declared, given.dtype, where)
                self._match_shape(declared, given.shape, where)
            case TensorType(), GivenNumber():
                self._match_number(declared, given.number, where)
            case KeyType(), GivenArray(DType.I64, ()):
                pass
            case TupleType(items), GivenTuple(values):
                if len(items) != len(values):
                    raise self._mismatch(declared, f"a tuple of {len(values)}", where)
                for index, (item, value) in enumerate(zip(items, values, strict=True)):
                    self.match(item, value, f"{where}[{index}]")
            case RecordType() | StackType(), GivenRecord():
                self._match_record(declared, given, where)
            case RecordName(name, is_grad), GivenRecord() | GivenTuple() | GivenArray():
                self._match_record_name(name, is_grad, given, where)
            case _:
                raise self._mismatch(declared, _describe(given), where)

    def _mismatch(self, declared: Type, given: str, where: str) -> Error:
        return self.fail(
            "call.argument", f"{where} must be {declared}, and {given} was given", self.span
        )

    def _match_element(self, declared: TensorType, dtype: DType, where: str) -> None:
        element = resolved(declared.element)
        if isinstance(element, ElementName):
            known = self.elements.setdefault(element.name, dtype)
            if not dtype.is_float:
                raise self.fail(
                    "type.argument",
                    f"{where} is {_dtype_text(dtype)} but {element.name} is a float type",
                    self.span,
                )
            element = known
        if element is not dtype:
            raise self.fail(
                "type.argument",
                f"{where} is {_dtype_text(dtype)} but must be {element_text(element)}",
                self.span,
                _conversion(where, element),
            )

    def _match_number(self, declared: TensorType, number: NumberClass, where: str) -> None:
        if declared.shape and not all(isinstance(axis, Pack) for axis in declared.shape):
            raise self._mismatch(declared, f"a Python {number.value}", where)
        for axis in declared.shape:
            if isinstance(axis, Pack):
                self._set_pack(axis.name, (), where)
        element = resolved(declared.element)
        if isinstance(element, ElementName):
            self.numbers.append((element.name, number))
            return
        if not _adapts(number, element):
            raise self.fail(
                "type.argument",
                f"{where} is a Python {number.value} but must be {element_text(element)}",
                self.span,
            )

    def _match_shape(self, declared: TensorType, shape: tuple[int, ...], where: str) -> None:
        axes = declared.shape
        packs = [i for i, axis in enumerate(axes) if isinstance(axis, Pack)]
        fixed = len(axes) - len(packs)
        if (not packs and len(shape) != fixed) or len(shape) < fixed:
            plural = "axis" if len(shape) == 1 else "axes"
            message = f"{where} has {len(shape)} {plural} but must be {declared}"
            raise self.fail("shape.argument", message, self.span)
        head = packs[0] if packs else len(axes)
        tail = len(axes) - head - 1 if packs else 0
        for axis, value in zip(axes[:head], shape[:head], strict=True):
            self._add_equation(axis, value, where)
        if packs:
            axis = axes[head]
            if isinstance(axis, Pack):
                self._set_pack(axis.name, shape[head : len(shape) - tail], where)
            for axis, value in zip(axes[head + 1 :], shape[len(shape) - tail :], strict=True):
                self._add_equation(axis, value, where)

    def _set_pack(self, name: str, shape: tuple[int, ...], where: str) -> None:
        known = self.packs.setdefault(name, shape)
        self.origins.setdefault(f"*{name}", where)
        if known != shape:
            first = self.origins[f"*{name}"]
            message = f"{where} has *{name} = {list(shape)} but {first} has *{name} = {list(known)}"
            raise self.fail("shape.argument", message, self.span)

    def _add_equation(self, axis: object, value: int, where: str) -> None:
        if isinstance(axis, Size):
            self.equations.append(_Equation(axis, value, where, self.span))

    def _match_record(
        self, declared: RecordType | StackType, given: GivenRecord, where: str
    ) -> None:
        item: Type = declared
        while isinstance(item, StackType):
            item = item.item
        if not isinstance(item, RecordType):
            if isinstance(item, RecordName):
                raise self._mismatch(declared, "a stack of an unknown record", where)
            raise self._mismatch(declared, _describe(given), where)
        # A struct in which everything is trained is its own gradient.
        fits = gradient_type(item) == item if given.is_grad else not item.is_grad
        if item.declaration is not given.declaration or not fits:
            raise self._mismatch(declared, _describe(given), where)
        parts = {name: part for name, part, _ in children(declared)}
        optional = {name for name, _, role in children(declared) if role is Role.HYPER}
        values = dict(given.fields)
        if not parts.keys() - optional <= values.keys() <= parts.keys():
            wrong = ", ".join(sorted((parts.keys() ^ values.keys()) - optional))
            message = f"{where} does not have the fields of {declared}: {wrong}"
            raise self.fail("call.argument", message)
        for name in values:
            part = parts[name]
            self.match(part, values[name], f"{where}.{name}" if where else name)
        known = dict(given.sizes)
        for generic, value in zip(item.declaration.generics, item.arguments, strict=True):
            if isinstance(value, Size) and generic.name in known:
                self._add_equation(value, known[generic.name], where or "the call")

    def _match_record_name(self, name: str, is_grad: bool, given: Given, where: str) -> None:
        actual = self._type_of(given, where)
        known = self.records.get(name)
        if known is None:
            if is_grad and isinstance(actual, RecordType):
                # `Grad[M]` alone does not fix what `M` carries besides its gradient.
                known = replace(actual, is_grad=False)
            else:
                known = actual
            self.records[name] = known
        expected = gradient_type(known) if is_grad else known
        if str(expected) != str(actual):
            raise self._mismatch(expected, f"{actual}", where)

    def _type_of(self, given: Given, where: str) -> Type:
        match given:
            case GivenArray(dtype, shape):
                return TensorType(dtype, tuple(map(Size.of, shape)))
            case GivenNumber(number):
                return TensorType(_NUMBER_DTYPES[number])
            case GivenTuple(items):
                return TupleType(tuple(self._type_of(item, where) for item in items))
            case GivenRecord(declaration, fields, is_grad, sizes):
                return self._record_type(declaration, dict(fields), is_grad, sizes)
            case GivenFunction():
                raise self.fail("call.argument", f"{where} is a function, not a record", self.span)

    def _record_type(
        self,
        declaration: RecordDeclaration,
        fields: Mapping[str, Given],
        is_grad: bool,
        sizes: Sizes,
    ) -> Type:
        count = _stack_count(declaration, fields, is_grad)
        if count is None:
            return record_of(declaration, fields, is_grad, sizes)
        inner = {name: _without_leading(value) for name, value in fields.items()}
        return stack(Size.of(count), self._record_type(declaration, inner, is_grad, sizes))

    # -- solving

    def finish(self) -> None:
        """Solve every equation, those with one unknown first."""
        pending = self.equations
        while pending:
            rest: list[_Equation] = []
            for equation in pending:
                unknown = sorted(equation.size.names() - self.integers.keys())
                if not unknown:
                    self._check(equation)
                elif len(unknown) == 1:
                    if not self._solve(equation, unknown[0]):
                        rest.append(equation)
                else:
                    rest.append(equation)
            if len(rest) == len(pending):
                return
            pending = rest

    def _check(self, equation: _Equation) -> None:
        try:
            expected = equation.size.evaluate(self.integers)
        except SizeError as error:
            raise self.fail(
                "shape.argument", f"{equation.where} has no valid shape: {error}", equation.span
            ) from None
        if expected == equation.value:
            return
        names = sorted(equation.size.names())
        if not names:
            message = (
                f"{equation.where} has an axis of {equation.value} where {expected} is declared"
            )
        elif str(equation.size) in self.origins:
            name = names[0]
            message = (
                f"{equation.where} has {name} = {equation.value} "
                f"but {self._origin(name)} has {name} = {expected}"
            )
        else:
            values = ", ".join(f"{n} = {self.integers[n]} from {self._origin(n)}" for n in names)
            message = (
                f"{equation.where} has {equation.size} = {equation.value} "
                f"but must have {expected}, with {values}"
            )
        raise self.fail("shape.argument", message, equation.span)

    def _origin(self, name: str) -> str:
        return self.origins.get(name, "another argument")

    def _solve(self, equation: _Equation, name: str) -> bool:
        known = {n: Size.of(v) for n, v in self.integers.items()}
        solution = solve(equation.size.substitute(known), Size.of(equation.value), name)
        if solution is None:
            return False
        value = solution.constant
        if value is None or value < 0:
            message = (
                f"{equation.where} has an axis of {equation.value}, which is not {equation.size}"
            )
            raise self.fail("shape.argument", message, equation.span)
        self.set_size(name, value, equation.where)
        return True

    def adapt_numbers(self) -> None:
        """Element types that only Python numbers touch are f64."""
        for name, number in self.numbers:
            element = self.elements.setdefault(name, DType.F64)
            if not _adapts(number, element):
                raise self.fail(
                    "type.argument",
                    f"a Python {number.value} does not adapt to {element_text(element)}",
                    self.span,
                )


def _adapts(number: NumberClass, element: Element) -> bool:
    if not isinstance(element, DType):
        return False
    match number:
        case NumberClass.BOOL:
            return element is DType.BOOL
        case NumberClass.INT:
            return element is not DType.BOOL
        case NumberClass.FLOAT:
            return element.is_float


def _conversion(where: str, element: Element) -> tuple[str, ...]:
    if not isinstance(element, DType) or element is DType.BF16:
        return ()
    return (f"convert it: `{where}.astype(np.{element.numpy.name})`",)


def _dtype_text(dtype: DType) -> str:
    return element_text(dtype)


def _describe(given: Given) -> str:
    match given:
        case GivenArray(dtype, shape):
            return str(TensorType(dtype, tuple(map(Size.of, shape))))
        case GivenNumber(number):
            return f"a Python {number.value}"
        case GivenTuple(items):
            return f"a tuple of {len(items)}"
        case GivenRecord(declaration, _, is_grad):
            return f"Grad[{declaration.name}]" if is_grad else f"a {declaration.name}"
        case GivenFunction(declaration):
            return f"the function {declaration.full_name}"


def _stack_count(
    declaration: RecordDeclaration, fields: Mapping[str, Given], is_grad: bool
) -> int | None:
    """The leading axis when the record is a stack: a leaf has more axes than declared."""
    itself = replace(declaration.itself(), is_grad=is_grad)
    found = _first_leaf(itself, GivenRecord(declaration, tuple(fields.items()), is_grad))
    if found is None:
        return None
    declared, shape = found
    return shape[0] if len(shape) > declared else None


def _first_leaf(declared: Type, given: Given) -> tuple[int, tuple[int, ...]] | None:
    """Declared axes and given shape of the first leaf that has both, unless a pack hides it."""
    match declared, given:
        case TensorType(_, shape), GivenArray():
            return None if _has_pack(shape) else (len(shape), given.shape)
        case KeyType(), GivenArray():
            return 0, given.shape
        case _, GivenRecord(fields=entries):
            values = dict(entries)
            parts = ((part, values[name]) for name, part, _ in children(declared) if name in values)
            return next((leaf for pair in parts if (leaf := _first_leaf(*pair)) is not None), None)
        case _:
            return None


def _has_pack(shape: Shape) -> bool:
    return any(isinstance(axis, Pack) for axis in shape)


def _without_leading(given: Given) -> Given:
    match given:
        case GivenArray(dtype, shape):
            return GivenArray(dtype, shape[1:])
        case GivenTuple(items):
            return GivenTuple(tuple(map(_without_leading, items)))
        case GivenRecord(declaration, fields, is_grad, sizes):
            inner = tuple((n, _without_leading(v)) for n, v in fields)
            return GivenRecord(declaration, inner, is_grad, sizes)
        case GivenNumber() | GivenFunction():
            return given


def record_of(
    declaration: RecordDeclaration,
    fields: Mapping[str, Given],
    is_grad: bool = False,
    sizes: Sizes = (),
) -> RecordType:
    """The concrete type of a record built outside the language from its fields.

    `sizes` are those that are known besides.

    Raises:
        dmc.diagnostics.errors.Error: the fields do not fit together.
    """
    solver = Solver(declaration.name, declaration.span)
    itself = replace(declaration.itself(), is_grad=is_grad)
    entries = tuple(fields.items())
    solver.match(itself, GivenRecord(declaration, entries, is_grad, sizes), "")
    solver.finish()
    solver.adapt_numbers()
    values: list[GenericValue] = []
    for generic in declaration.generics:
        solver.require_value(generic.name, generic.kind, generic.default)
        values.append(solver.values()[generic.name])
    return RecordType(declaration, tuple(values), is_grad)
