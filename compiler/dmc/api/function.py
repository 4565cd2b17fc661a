"""Functions of a loaded program, as Python calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dmc.api.compiled import Compiled
from dmc.api.conversion import PythonValue, give, refuse
from dmc.api.entry import Entry, Operator
from dmc.api.placeholders import placeholders
from dmc.ir.types import DType
from dmc.semantics.signature import Binding, FunctionReference, Given, Signature
from dmc.semantics.types import GenericKind

if TYPE_CHECKING:
    from dmc.semantics.program import Program

Lower = Callable[[Binding], Entry]


class Function:
    """A function of a program or a derivative of one; compiled on first use for each set of sizes.

    Call it with NumPy arrays, numbers and records, by position or name; sizes that no argument
    determines go into brackets, as in the language: `simulate[200](p, y0, 0.05)`.
    """

    def __init__(
        self,
        program: Program,
        signature: Signature,
        lower: Lower,
        operators: tuple[Operator, ...] = (),
        extras: tuple[PythonValue, ...] = (),
        brackets: tuple[int | DType, ...] = (),
    ) -> None:
        self.program = program
        self.checked = signature
        self._lower = lower
        self.operators = operators
        self._extras = extras
        self._brackets = brackets
        self._compiled: dict[object, Compiled] = {}
        self.__name__ = signature.name
        self.__doc__ = f"{signature}\n\n{signature.doc or ''}".rstrip()

    @property
    def signature(self) -> str:
        """The declaration as it is written in the program."""
        return str(self.checked)

    @property
    def reference(self) -> FunctionReference | None:
        """What this is as an argument of another function; None for a derivative."""
        return None if self.operators else self.checked.reference

    def __getitem__(self, brackets: int | DType | tuple[int | DType, ...]) -> Function:
        given = brackets if isinstance(brackets, tuple) else (brackets,)
        return Function(
            self.program, self.checked, self._lower, self.operators, self._extras, given
        )

    def derived(self, operator: Operator, *extras: PythonValue) -> Function:
        """This function under one more differentiation operator and the values it takes."""
        return Function(
            self.program,
            self.checked,
            self._lower,
            (*self.operators, operator),
            (*self._extras, *extras),
            self._brackets,
        )

    def with_extra(self, extra: PythonValue) -> Function:
        """This function with the value that its last operator takes; shares what is compiled."""
        other = Function(
            self.program,
            self.checked,
            self._lower,
            self.operators,
            (*self._extras, extra),
            self._brackets,
        )
        other._compiled = self._compiled
        return other

    def __call__(self, *arguments: PythonValue, **named: PythonValue) -> PythonValue:
        """Run the function. Raises dmc.Error before anything runs when the arguments do not fit."""
        values, sizes = self._named(arguments, named)
        compiled = self._compile(self._given(values), sizes)
        return compiled.run([values[n] for n in compiled.taken] + list(self._extras))

    def compile(self, *arguments: PythonValue, **named: PythonValue) -> Compiled:
        """Compile ahead of time. Arguments may be left out when sizes (`B=8`) determine them."""
        values, sizes = self._named(arguments, named)
        given = self._given(values)
        given = placeholders(self.checked, given, values, sizes)
        generics = {g.name for g in self.checked.generics if g.kind is GenericKind.SIZE}
        return self._compile(given, {n: v for n, v in sizes.items() if n in generics})

    def ir(self, stage: str = "tensor", *arguments: PythonValue, **named: PythonValue) -> str:
        """The IR at a stage (see `Compiled.ir`); arguments and sizes as for `compile`."""
        return self.compile(*arguments, **named).ir(stage)

    def _compile(self, given: Mapping[str, Given], sizes: Mapping[str, int]) -> Compiled:
        binding = self.checked.bind(given, self._brackets, sizes)
        key = binding.instance
        known = self._compiled.get(key)
        if known is None:
            entry = self._lower(binding)
            for operator in self.operators:
                entry = operator.apply(entry)
            taken = tuple(p.name for p in binding.parameters)
            known = self._compiled[key] = Compiled(entry, taken)
        return known

    def _named(
        self, arguments: Sequence[PythonValue], named: Mapping[str, PythonValue]
    ) -> tuple[dict[str, PythonValue], dict[str, int]]:
        """Arguments by parameter name, and sizes given by name."""
        checked = self.checked
        names = [p.name for p in checked.parameters]
        if len(arguments) > len(names):
            message = f"{checked.name} takes {len(names)} arguments, {len(arguments)} given"
            raise refuse("call.argument", message, checked.span, self.signature)
        values = dict(zip(names, arguments, strict=False))
        sizes: dict[str, int] = {}
        for name, value in named.items():
            if name in values:
                message = f"{checked.name} got `{name}` twice"
                raise refuse("call.argument", message, checked.span)
            if name in names:
                values[name] = value
            elif isinstance(value, int):
                sizes[name] = value
            else:
                message = f"{checked.name} has no parameter `{name}`"
                raise refuse("call.argument", message, checked.span, self.signature)
        return values, sizes

    def _given(self, values: Mapping[str, PythonValue]) -> dict[str, Given]:
        return {
            p.name: give(values[p.name], p.type, p.name, p.span)
            for p in self.checked.parameters
            if p.name in values
        }

    def __repr__(self) -> str:
        chain = "".join(f"{type(op).__name__.lower()} of " for op in reversed(self.operators))
        return f"<{chain}{self.signature}>"


class Method:
    """Makes a function whose first parameter is the record available as a method of the record."""

    def __init__(self, function: Callable[[], Function]) -> None:
        self._function = function

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        function = self._function()
        if record is None:
            return function
        return BoundMethod(function, record)


class BoundMethod:
    """`net.forward`: a function with its receiver."""

    def __init__(self, function: Function, receiver: PythonValue) -> None:
        self.function = function
        self.receiver = receiver
        self.__doc__ = function.__doc__

    def __call__(self, *arguments: PythonValue, **named: PythonValue) -> PythonValue:
        return self.function(self.receiver, *arguments, **named)

    def compile(self, *arguments: PythonValue, **named: PythonValue) -> Compiled:
        """As `Function.compile`, the receiver being given."""
        return self.function.compile(self.receiver, *arguments, **named)
