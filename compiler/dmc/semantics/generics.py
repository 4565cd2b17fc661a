"""Generic arguments of a call, solved from the types of its arguments."""

from __future__ import annotations

from dataclasses import dataclass, field

from dmc.ir.location import Span
from dmc.semantics.context import Context
from dmc.semantics.handles import UserHandle
from dmc.semantics.inference import join
from dmc.semantics.program import FunctionDeclaration
from dmc.semantics.resolver import argument_value
from dmc.semantics.sizes import Size, is_whole, solve
from dmc.semantics.types import (
    DType,
    Element,
    ElementName,
    FunctionType,
    GenericKind,
    GenericValue,
    Hole,
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
)

__all__ = [
    "Matcher", "default_elements", "explicit_generics", "free_sizes", "require_values",
]  # fmt: skip


@dataclass(slots=True)
class Matcher:
    """Binds the names of a declaration by matching its types with those of a caller.

    Declared types use the callee's names, actual ones the caller's; what does not fit is left for
    the comparison after substitution, which can say it better.
    """

    context: Context
    values: dict[str, GenericValue] = field(default_factory=dict[str, GenericValue])
    equations: list[tuple[Size, Size, Span]] = field(default_factory=list[tuple[Size, Size, Span]])

    def substitution(self) -> Substitution:
        result = Substitution()
        for name, value in self.values.items():
            result = result.extended(name, value)
        return result

    def match(self, declared: Type, actual: Type, span: Span) -> None:
        declared, actual = pruned(declared), pruned(actual)
        match declared, actual:
            case TensorType(), TensorType():
                self._match_element(declared.element, actual.element)
                self._match_shape(declared.shape, actual.shape, span)
            case TensorType(element), Hole():
                self._match_element(element, actual.element)
            case TupleType(a), TupleType(b) if len(a) == len(b):
                for one, other in zip(a, b, strict=True):
                    self.match(one, other, span)
            case RecordType(), RecordType() if declared.declaration is actual.declaration:
                for one, other in zip(declared.arguments, actual.arguments, strict=True):
                    self._match_value(one, other, span)
            case RecordName(name, is_grad), RecordType() | StackType() | RecordName() | TupleType():
                self._bind_record(name, is_grad, actual)
            case StackType(), StackType():
                self.equations.append((declared.count, actual.count, span))
                self.match(declared.item, actual.item, span)
            case FunctionType(), FunctionType():
                for one, other in zip(declared.parameters, actual.parameters, strict=False):
                    self.match(one, other, span)
                self.match(declared.result, actual.result, span)
            case _:
                pass
        self.solve()

    def _match_value(self, declared: GenericValue, actual: GenericValue, span: Span) -> None:
        match declared, actual:
            case Size(), Size():
                self.equations.append((declared, actual, span))
            case PackValue(a), PackValue(b):
                self._match_shape(a, b, span)
            case ((DType() | ElementName() | Number()), (DType() | ElementName() | Number())):
                self._match_element(declared, actual)
            case ((Size() | PackValue() | DType() | ElementName() | Number()), _):
                pass
            case _, (Size() | PackValue() | DType() | ElementName() | Number()):
                pass
            case _:
                self.match(declared, actual, span)

    def _match_element(self, declared: Element, actual: Element) -> None:
        declared = resolved(declared)
        if not isinstance(declared, ElementName):
            return
        known = self.values.get(declared.name)
        if known is None:
            self.values[declared.name] = resolved(actual)
        elif isinstance(known, DType | ElementName | Number):
            joined = join(known, actual)
            if joined is not None:
                self.values[declared.name] = joined

    def _match_shape(self, declared: Shape, actual: Shape, span: Span) -> None:
        packs = [i for i, axis in enumerate(declared) if isinstance(axis, Pack)]
        if not packs:
            if len(declared) == len(actual):
                self._match_axes(declared, actual, span)
            return
        head, tail = packs[0], len(declared) - packs[0] - 1
        if len(actual) < head + tail:
            return
        self._match_axes(declared[:head], actual[:head], span)
        middle = actual[head : len(actual) - tail]
        pack = declared[head]
        if isinstance(pack, Pack) and pack.name not in self.values:
            self.values[pack.name] = PackValue(middle)
        self._match_axes(declared[head + 1 :], actual[len(actual) - tail :], span)

    def _match_axes(self, declared: Shape, actual: Shape, span: Span) -> None:
        for one, other in zip(declared, actual, strict=True):
            if isinstance(one, Size) and isinstance(other, Size):
                self.equations.append((one, other, span))

    def _bind_record(self, name: str, is_grad: bool, actual: Type) -> None:
        if name in self.values:
            return
        if is_grad:
            # `Grad[M]` of a record that is itself a gradient: the record is what carries it.
            match actual:
                case RecordType(declaration, arguments, True):
                    self.values[name] = RecordType(declaration, arguments)
                case RecordName(inner, True):
                    self.values[name] = RecordName(inner)
                case _ if gradient_type(actual) == actual:
                    self.values[name] = actual
                case _:
                    pass
            return
        self.values[name] = actual

    def solve(self) -> None:
        """Bind every size that an equation determines."""
        pending = self.equations
        while pending:
            rest: list[tuple[Size, Size, Span]] = []
            for declared, actual, span in pending:
                unknown = sorted(declared.names() - self.values.keys())
                if len(unknown) == 1:
                    if not self._solve(declared, actual, unknown[0]):
                        rest.append((declared, actual, span))
                elif unknown:
                    rest.append((declared, actual, span))
            if len(rest) == len(pending):
                break
            pending = rest
        self.equations = pending

    def _solve(self, declared: Size, actual: Size, name: str) -> bool:
        known = {n: v for n, v in self.values.items() if isinstance(v, Size)}
        # The unknown of the callee must not be mistaken for a size of the caller.
        unknown = f"?{name}"
        expression = declared.substitute({**known, name: Size.named(unknown)})
        solution = solve(expression, actual, unknown)
        if solution is None:
            return False
        facts = self.context.facts
        if any("?" in found for found in solution.names()):
            return False
        if not is_whole(facts.normal(solution)):
            return False
        if not facts.equal(expression.substitute({unknown: solution}), actual):
            return False
        if declared == Size.named(name):
            solution = actual
        self.values[name] = solution
        return True


def free_sizes(type_: Type) -> frozenset[str]:
    """Size names that occur in a type."""
    match pruned(type_):
        case TensorType(_, shape):
            names = [axis.names() for axis in shape if isinstance(axis, Size)]
            return frozenset[str]().union(*names)
        case TupleType(items):
            return frozenset[str]().union(*(free_sizes(item) for item in items))
        case RecordType(_, arguments):
            found: frozenset[str] = frozenset()
            for value in arguments:
                if isinstance(value, Size):
                    found |= value.names()
            return found
        case StackType(count, item):
            return count.names() | free_sizes(item)
        case FunctionType(parameters, result):
            return free_sizes(result).union(*(free_sizes(p) for p in parameters))
        case _:
            return frozenset()


# ---- arguments as written ---------------------------------------------------------------------


def explicit_generics(context: Context, handle: UserHandle) -> dict[str, GenericValue]:
    """The generic arguments that brackets give, from the first."""
    values: dict[str, GenericValue] = {}
    if handle.bracket is None:
        return values
    generics = handle.declaration.generics
    items = handle.bracket.items
    if len(items) > len(generics):
        wanted = ", ".join(g.name for g in generics)
        raise context.fail(
            "type.arguments",
            f"`{handle.declaration.name}` takes [{wanted}], and {len(items)} were given",
            handle.bracket.span,
        )
    for generic, item in zip(generics, items, strict=False):
        values[generic.name] = argument_value(context, generic, item)
    return values


def default_elements(context: Context, declaration: FunctionDeclaration, matcher: Matcher) -> None:
    """Element types that nothing fixed take their default."""
    for generic in declaration.generics:
        if generic.name not in matcher.values and generic.default is not None:
            matcher.values[generic.name] = generic.default


def require_values(
    context: Context, declaration: FunctionDeclaration, matcher: Matcher, span: Span
) -> None:
    """Report a generic parameter that neither brackets nor arguments fix."""
    for generic in declaration.generics:
        if generic.name in matcher.values:
            continue
        names = ", ".join(g.name for g in declaration.generics)
        what = f"*{generic.name}" if generic.kind is GenericKind.PACK else generic.name
        raise context.fail(
            "call.generic",
            f"{what} of `{declaration.name}` is not known from the arguments",
            span,
            "",
            [(generic.span, "declared here")],
            [f"give it in brackets: `{declaration.name}[{names}](…)`"],
        )
