"""Solving generic parameters: declared types matched with actual ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics.inference import join, same_shape
from dmc.semantics.sizes import Facts, Size, is_whole, solve
from dmc.semantics.types import (
    Element,
    ElementName,
    FunctionType,
    GenericValue,
    Hole,
    KeyType,
    Number,
    Pack,
    PackValue,
    RecordName,
    RecordType,
    Shape,
    StackType,
    Substitution,
    TensorType,
    TupleType,
    Type,
    gradient_type,
    pruned,
    resolved,
    unformed,
)

__all__ = ["Equation", "Solver"]


@dataclass(frozen=True, slots=True)
class Equation:
    """The size `declared`, in names of the callee, is `actual`, because of what `where` names."""

    declared: Size
    actual: Size
    where: str
    span: Span


@dataclass(slots=True)
class Solver:
    """Binds the names of a declaration by matching its types with those of a caller.

    Declared types use the callee's names, actual ones the caller's. What does not fit is left to
    the methods at the end, which here do nothing: a call within the language is compared after
    substitution, which can say it better.
    """

    facts: Facts
    values: dict[str, GenericValue] = field(default_factory=dict[str, GenericValue])
    origins: dict[str, str] = field(default_factory=dict[str, str])
    equations: list[Equation] = field(default_factory=list[Equation])

    def substitution(self) -> Substitution:
        result = Substitution()
        for name, value in self.values.items():
            result = result.extended(name, value)
        return result

    # -- matching

    def match(self, declared: Type, actual: Type, span: Span, where: str = "") -> None:
        """Learn what a value of type `actual` says; `where` names the value."""
        declared, actual = pruned(declared), pruned(actual)
        match declared, actual:
            case TensorType(), TensorType():
                self._match_element(declared.element, actual.element, span, where)
                self._match_shape(declared, actual.shape, span, where)
            case TensorType(element), Hole():
                self._match_element(element, actual.element, span, where)
            case TupleType(a), TupleType(b) if len(a) == len(b):
                for index, (one, other) in enumerate(zip(a, b, strict=True)):
                    self.match(one, other, span, f"{where}[{index}]")
            case RecordType(), RecordType() if declared.declaration is actual.declaration:
                for one, other in zip(declared.arguments, actual.arguments, strict=True):
                    self._match_value(one, other, span, where)
            case RecordName(name, is_grad), RecordType() | StackType() | RecordName() | TupleType():
                self._bind_record(name, is_grad, unformed(actual)[0] if declared.forms else actual)
            case StackType(), StackType():
                self.equations.append(Equation(declared.count, actual.count, where, span))
                self.match(declared.item, actual.item, span, where)
            case FunctionType(), FunctionType():
                for one, other in zip(declared.parameters, actual.parameters, strict=False):
                    self.match(one, other, span, where)
                self.match(declared.result, actual.result, span, where)
            case KeyType(), KeyType():
                pass
            case _:
                self.type_differs(declared, actual, span, where)
        self.solve()

    def _match_value(
        self, declared: GenericValue, actual: GenericValue, span: Span, where: str
    ) -> None:
        match declared, actual:
            case Size(), Size():
                self.equations.append(Equation(declared, actual, where, span))
            case PackValue(axes), PackValue(shape):
                self._match_shape(TensorType(DType.F64, axes), shape, span, where)
            case ((DType() | ElementName() | Number()), (DType() | ElementName() | Number())):
                self._match_element(declared, actual, span, where)
            case ((Size() | PackValue() | DType() | ElementName() | Number()), _):
                pass
            case _, (Size() | PackValue() | DType() | ElementName() | Number()):
                pass
            case _:
                self.match(declared, actual, span, where)

    def _match_element(self, declared: Element, actual: Element, span: Span, where: str) -> None:
        declared = resolved(declared)
        known: object = declared
        if isinstance(declared, ElementName):
            known = self.values.setdefault(declared.name, resolved(actual))
        if not isinstance(known, DType | ElementName | Number):
            return
        joined = join(known, actual)
        if joined is None:
            self.element_differs(known, actual, span, where)
        elif isinstance(declared, ElementName):
            self.values[declared.name] = joined

    def _match_shape(self, declared: TensorType, actual: Shape, span: Span, where: str) -> None:
        axes = declared.shape
        packs = [i for i, axis in enumerate(axes) if isinstance(axis, Pack)]
        fixed = len(axes) - len(packs)
        if len(actual) < fixed or (not packs and len(actual) > fixed):
            self.rank_differs(declared, actual, span, where)
            return
        head = packs[0] if packs else len(axes)
        end = len(actual) - (len(axes) - head - 1) if packs else len(actual)
        self._match_axes(axes[:head], actual[:head], span, where)
        self._match_axes(axes[head + 1 :], actual[end:], span, where)
        pack = axes[head] if packs else None
        if isinstance(pack, Pack):
            known = self.values.setdefault(pack.name, PackValue(actual[head:end]))
            self.origins.setdefault(str(pack), where)
            if isinstance(known, PackValue) and not same_shape(
                self.facts, known.axes, actual[head:end]
            ):
                self.pack_differs(pack, known.axes, actual[head:end], span, where)

    def _match_axes(self, declared: Shape, actual: Shape, span: Span, where: str) -> None:
        for one, other in zip(declared, actual, strict=True):
            if isinstance(one, Size) and isinstance(other, Size):
                self.equations.append(Equation(one, other, where, span))

    def _bind_record(self, name: str, is_grad: bool, actual: Type) -> None:
        if name in self.values:
            return
        if not is_grad:
            self.values[name] = actual
            return
        # `Grad[M]` of a record that is itself a gradient: the record is what carries it.
        match actual:
            case RecordType(declaration, arguments, True, ()):
                self.values[name] = RecordType(declaration, arguments)
            case RecordName(inner, True, ()):
                self.values[name] = RecordName(inner)
            case _ if gradient_type(actual) == actual:
                self.values[name] = actual
            case _:
                pass

    # -- sizes

    def solve(self) -> None:
        """Bind every size that an equation determines."""
        pending = self.equations
        while pending:
            rest: list[Equation] = []
            for equation in pending:
                unknown = sorted(equation.declared.names() - self.values.keys())
                if not unknown:
                    self.known(equation)
                elif len(unknown) > 1 or not self.determine(equation, unknown[0]):
                    rest.append(equation)
            if len(rest) == len(pending):
                break
            pending = rest
        self.equations = pending

    def determine(self, equation: Equation, name: str) -> bool:
        """Bind the one unknown of an equation; False when it does not follow."""
        known = {n: v for n, v in self.values.items() if isinstance(v, Size)}
        # The unknown of the callee must not be mistaken for a size of the caller.
        unknown = f"?{name}"
        expression = equation.declared.substitute({**known, name: Size.named(unknown)})
        solution = solve(expression, equation.actual, unknown)
        if solution is None or any("?" in found for found in solution.names()):
            return False
        agrees = is_whole(self.facts.normal(solution)) and self.facts.equal(
            expression.substitute({unknown: solution}), equation.actual
        )
        if not agrees:
            self.impossible(equation)
            return False
        self.values[name] = equation.actual if equation.declared == Size.named(name) else solution
        self.origins[name] = equation.where
        return True

    # -- what does not fit

    def type_differs(self, declared: Type, actual: Type, span: Span, where: str) -> None:
        """Types of different kinds."""

    def element_differs(self, known: Element, actual: Element, span: Span, where: str) -> None:
        """Elements that do not mix."""

    def rank_differs(self, declared: TensorType, actual: Shape, span: Span, where: str) -> None:
        """Another number of axes than declared."""

    def pack_differs(self, pack: Pack, known: Shape, actual: Shape, span: Span, where: str) -> None:
        """A pack that stands for other axes already."""

    def known(self, equation: Equation) -> None:
        """An equation without unknowns, which may or may not hold."""

    def impossible(self, equation: Equation) -> None:
        """An equation that no size solves."""
