"""Solving generic parameters from the shapes and dtypes of a call from outside the language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import Error, error
from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics.inference import is_float_like, join, unify
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
from dmc.semantics.sizes import Facts, Size, SizeError
from dmc.semantics.solver import Equation, Solver
from dmc.semantics.types import (
    Element,
    ElementName,
    Generic,
    GenericKind,
    KeyType,
    Number,
    NumberKind,
    Pack,
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
    formed,
    gradient_type,
    resolved,
    stack,
)

__all__ = ["CallSolver", "record_of"]

Sizes = tuple[tuple[str, int], ...]

_NUMBER_DTYPES = {
    NumberClass.BOOL: DType.BOOL,
    NumberClass.INT: DType.I64,
    NumberClass.FLOAT: DType.F64,
}
_MISSING = {
    GenericKind.SIZE: "give it in brackets or by name",
    GenericKind.PACK: "no argument fixes it",
    GenericKind.ELEMENT: "give it in brackets",
    GenericKind.RECORD: "no argument fixes it",
}


class CallSolver(Solver):
    """What the arguments of a call say; raises what does not fit, `name` before every message.

    All actual sizes are numbers. `span` is the declaration that is being met, `library` that of the
    array that meets it.
    """

    def __init__(self, name: str, span: Span) -> None:
        super().__init__(Facts())
        self.name = name
        self.span = span
        self.library = "numpy"

    def fail(
        self, code: str, message: str, span: Span | None = None, help_: tuple[str, ...] = ()
    ) -> Error:
        """The error for a call that does not fit; `span` is the declaration that was not met."""
        label = Label(span or self.span)
        title = f"{self.name}: {message}"
        return error(Diagnostic(code, title, label, help=help_, at_call=True))

    @property
    def integers(self) -> dict[str, int]:
        """The sizes that are known."""
        sizes = ((n, v.constant) for n, v in self.values.items() if isinstance(v, Size))
        return {name: value for name, value in sizes if value is not None}

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
        where = f"`{self.name}[{', '.join(map(str, brackets))}]`"
        for generic, value in zip(signature.generics, brackets, strict=False):
            if generic.kind is GenericKind.SIZE and isinstance(value, int):
                self.set_size(generic.name, value, where)
            elif generic.kind is GenericKind.ELEMENT and isinstance(value, DType):
                self.values[generic.name] = value
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
        self.values[name] = Size.of(value)
        self.origins[name] = origin

    # -- matching declared types with what is given

    def match_given(self, declared: Type, given: Given, where: str) -> None:
        match declared, given:
            case TensorType(), GivenArray():
                self.library = given.library
                self.match(declared, self._type_of(given, where), self.span, where)
                self._require_float(declared.element, given.dtype, where)
            case TensorType(), GivenNumber():
                self._match_number(declared, given.number, where)
            case KeyType(), GivenArray(DType.I64, ()):
                pass
            case TupleType(items), GivenTuple(values):
                if len(items) != len(values):
                    raise self._mismatch(declared, f"a tuple of {len(values)}", where)
                for index, (item, value) in enumerate(zip(items, values, strict=True)):
                    self.match_given(item, value, f"{where}[{index}]")
            case RecordType() | StackType(), GivenRecord():
                self._match_record(declared, given, where)
            case RecordName(), GivenRecord() | GivenTuple() | GivenArray():
                self._match_record_name(declared, given, where)
            case _:
                raise self._mismatch(declared, _describe(given), where)

    def _mismatch(self, declared: Type, given: str, where: str) -> Error:
        return self.fail(
            "call.argument", f"{where} must be {declared}, and {given} was given", self.span
        )

    def _require_float(self, declared: Element, dtype: DType, where: str) -> None:
        declared = resolved(declared)
        if isinstance(declared, ElementName) and not dtype.is_float:
            raise self.fail(
                "type.argument",
                f"{where} is {element_text(dtype)} but {declared.name} is a float type",
                self.span,
            )

    def _match_number(self, declared: TensorType, number: NumberClass, where: str) -> None:
        """A Python number is a scalar whose element type is still open."""
        if not all(isinstance(axis, Pack) for axis in declared.shape):
            raise self._mismatch(declared, f"a Python {number.value}", where)
        match number:
            case NumberClass.BOOL:
                element: Element = DType.BOOL
            case NumberClass.INT:
                element = Number(NumberKind.NUMBER)
            case NumberClass.FLOAT:
                element = Number(NumberKind.FLOAT)
        wanted = resolved(declared.element)
        if isinstance(wanted, ElementName):
            fits = is_float_like(element)
        else:
            fits = join(wanted, element) is not None
        if not fits:
            raise self.fail(
                "type.argument",
                f"{where} is a Python {number.value} but must be {element_text(wanted)}",
                self.span,
            )
        self.match(declared, TensorType(element), self.span, where)

    def _match_record(
        self, declared: RecordType | StackType, given: GivenRecord, where: str
    ) -> None:
        item: Type = declared
        stacked = 0
        while isinstance(item, StackType):
            item, stacked = item.item, stacked + 1
        if not isinstance(item, RecordType):
            if isinstance(item, RecordName):
                raise self._mismatch(declared, "a stack of an unknown record", where)
            raise self._mismatch(declared, _describe(given), where)
        # A struct in which everything is trained is its own gradient.
        fits = gradient_type(item) == item if given.is_grad else not item.is_grad
        fits &= item.forms == given.forms
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
            if isinstance(part, TensorType) and isinstance(values[name], GivenNumber):
                # Hyperparameters of a stack are those of each of its records.
                part = TensorType(part.element, part.shape[stacked:])
            self.match_given(part, values[name], f"{where}.{name}" if where else name)
        known = dict(given.sizes)
        for generic, value in zip(item.declaration.generics, item.arguments, strict=True):
            if isinstance(value, Size) and generic.name in known:
                extent = Size.of(known[generic.name])
                self.equations.append(Equation(value, extent, where or "the call", self.span))

    def _match_record_name(self, declared: RecordName, given: Given, where: str) -> None:
        actual = self._type_of(given, where)
        self.match(declared, actual, self.span, where)
        known = self.values.setdefault(declared.name, actual)
        assert isinstance(known, RecordType | StackType | RecordName | TupleType | TensorType)
        expected = gradient_type(known) if declared.is_grad else known
        for form in declared.forms:
            expected = formed(form, expected)
        if not unify(self.facts, expected, actual):
            raise self._mismatch(expected, f"{actual}", where)

    def _type_of(self, given: Given, where: str) -> Type:
        match given:
            case GivenArray(dtype, shape):
                return TensorType(dtype, tuple(map(Size.of, shape)))
            case GivenNumber(number):
                return TensorType(_NUMBER_DTYPES[number])
            case GivenTuple(items):
                return TupleType(tuple(self._type_of(item, where) for item in items))
            case GivenRecord():
                return self._record_type(given)
            case GivenFunction():
                raise self.fail("call.argument", f"{where} is a function, not a record", self.span)

    def _record_type(self, given: GivenRecord) -> Type:
        count = _stack_count(given)
        if count is None:
            return record_of(given)
        inner = _without_leading(given)
        assert isinstance(inner, GivenRecord)
        return stack(Size.of(count), self._record_type(inner))

    def finish(self, generics: Sequence[Generic]) -> None:
        """Settle what is still open. Raises when a parameter has no value."""
        self.solve()
        for name, value in self.values.items():
            if isinstance(value, Number):
                element = resolved(value)
                self.values[name] = DType.F64 if isinstance(element, Number) else element
        for generic in generics:
            if generic.name in self.values:
                continue
            if generic.default is None:
                message = f"{generic.name} is not known from the arguments"
                raise self.fail("call.argument", f"{message}: {_MISSING[generic.kind]}", self.span)
            self.values[generic.name] = generic.default

    # -- what does not fit

    def type_differs(self, declared: Type, actual: Type, span: Span, where: str) -> None:
        if not isinstance(declared, RecordName):
            raise self._mismatch(declared, str(actual), where)

    def element_differs(self, known: Element, actual: Element, span: Span, where: str) -> None:
        message = f"{where} is {element_text(actual)} but must be {element_text(known)}"
        raise self.fail("type.argument", message, span, self._conversion(where, resolved(known)))

    def _conversion(self, where: str, element: Element) -> tuple[str, ...]:
        """How an array is converted, in the terms of its library."""
        if not isinstance(element, DType):
            return ()
        name = element.numpy.name
        if self.library == "torch":
            return (f"convert it: `{where}.to(torch.{name})`",)
        package = "ml_dtypes" if element is DType.BF16 else "np"
        return (f"convert it: `{where}.astype({package}.{name})`",)

    def rank_differs(self, declared: TensorType, actual: Shape, span: Span, where: str) -> None:
        plural = "axis" if len(actual) == 1 else "axes"
        message = f"{where} has {len(actual)} {plural} but must be {declared}"
        raise self.fail("shape.argument", message, span)

    def pack_differs(self, pack: Pack, known: Shape, actual: Shape, span: Span, where: str) -> None:
        one, other = (f"[{', '.join(map(str, shape))}]" for shape in (actual, known))
        first = self.origins[str(pack)]
        message = f"{where} has {pack} = {one} but {first} has {pack} = {other}"
        raise self.fail("shape.argument", message, span)

    def known(self, equation: Equation) -> None:
        """Raise when the equation does not hold."""
        where, size, integers = equation.where, equation.declared, self.integers
        try:
            expected = size.evaluate(integers)
        except SizeError as wrong:
            message = f"{where} has no valid shape: {wrong}"
            raise self.fail("shape.argument", message, equation.span) from None
        if Size.of(expected) == equation.actual:
            return
        names = sorted(size.names())
        if not names:
            message = f"{where} has an axis of {equation.actual} where {expected} is declared"
        elif str(size) in self.origins:
            other = f"{self._origin(names[0])} has {size} = {expected}"
            message = f"{where} has {size} = {equation.actual} but {other}"
        else:
            values = ", ".join(f"{n} = {integers[n]} from {self._origin(n)}" for n in names)
            must = f"must have {expected}, with {values}"
            message = f"{where} has {size} = {equation.actual} but {must}"
        raise self.fail("shape.argument", message, equation.span)

    def determine(self, equation: Equation, name: str) -> bool:
        """Sizes of arrays are never negative."""
        if not super().determine(equation, name):
            return False
        value = self.integers.get(name)
        if value is None or value < 0:
            self.impossible(equation)
        return True

    def _origin(self, name: str) -> str:
        return self.origins.get(name, "another argument")

    def impossible(self, equation: Equation) -> None:
        """Raise: the axis is not of the declared form."""
        axis = f"an axis of {equation.actual}, which is not {equation.declared}"
        raise self.fail("shape.argument", f"{equation.where} has {axis}", equation.span)


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
        case GivenFunction():
            return f"the function {given}"


def _itself(given: GivenRecord) -> RecordType:
    """The record with its own parameters, and leaves as given."""
    own = given.declaration.itself()
    return RecordType(own.declaration, own.arguments, given.is_grad, given.forms)


def _stack_count(given: GivenRecord) -> int | None:
    """The leading axis when the record is a stack: a leaf has more axes than declared."""
    found = _first_leaf(_itself(given), given)
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
        case GivenRecord(fields=fields):
            return replace(given, fields=tuple((n, _without_leading(v)) for n, v in fields))
        case GivenNumber() | GivenFunction():
            return given


def record_of(given: GivenRecord) -> RecordType:
    """The concrete type of a record built outside the language.

    Raises:
        dmc.diagnostics.errors.Error: the fields do not fit together.
    """
    declaration = given.declaration
    solver = CallSolver(declaration.name, declaration.span)
    solver.match_given(_itself(given), given, "")
    solver.finish(declaration.generics)
    values = [solver.values[generic.name] for generic in declaration.generics]
    return RecordType(declaration, tuple(values), given.is_grad, given.forms)
