"""Functions of a loaded program, as Python calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import index
from typing import Any, SupportsIndex, cast

import numpy as np

from dmc.api.compiled import Compiled, Direct, directly
from dmc.api.conversion import Describer, OfProgram, PythonValue, fingerprint, refuse
from dmc.api.donation import Donated
from dmc.api.entry import apply
from dmc.api.marshal import Marshal
from dmc.api.operators import Gradient, Operator
from dmc.api.placeholders import placeholders, size_names
from dmc.api.program import LoadedProgram
from dmc.diagnostics.errors import Error
from dmc.ir.collection import seldom_collecting
from dmc.ir.types import Array, DType
from dmc.process import compiling
from dmc.semantics.binding import bind
from dmc.semantics.program import place_of, signature_at
from dmc.semantics.signature import Given, Signature
from dmc.semantics.typed import DeclaredFunction
from dmc.semantics.types import Declared, GenericKind
from dmc_runtime.arguments import shown
from dmc_runtime.records import Constant
from dmc_runtime.spelling import did_you_mean

_LARGEST = 1 << 63

Values = dict[str, PythonValue]
Bracket = SupportsIndex | type[np.generic] | np.dtype[Any]
"""What stands in brackets: a size or an element type."""


@dataclass(frozen=True, slots=True)
class _Given:
    """What a call gives: values by parameter, sizes by name, paths of what is donated."""

    values: Values
    sizes: Mapping[str, int]
    donated: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Call:
    """What runs for calls of one fingerprint, and the parameters that it takes.

    Where arguments are not `plain`, they stand for others.
    """

    compiled: Compiled
    taken: tuple[str, ...]
    is_plain: bool


def _kept(value: PythonValue) -> PythonValue:
    """What an argument stands for: what is donated, or the record of a method."""
    whole = value.value if isinstance(value, Donated) else value
    return whole.receiver if isinstance(whole, BoundMethod) else whole


@dataclass(slots=True)
class _Shared:
    """What a function has in common with those that differ in values only.

    Compiled instances, prepared calls, variants under other operators or brackets, and the native
    call that ran last.
    """

    compiled: dict[object, Compiled] = field(default_factory=dict[object, Compiled])
    calls: dict[object, _Call] = field(default_factory=dict["object", "_Call"])
    variants: dict[object, _Shared] = field(default_factory=dict["object", "_Shared"])
    direct: Direct | None = None


class Function(OfProgram):
    """A function of a program or a derivative of one; compiled on first use for each set of sizes.

    Call it with NumPy arrays, numbers and records, by position or name; sizes that no argument
    determines go into brackets, as in the language: `simulate[200](p, y0, 0.05)`.
    """

    def __init__(
        self,
        program: LoadedProgram,
        signature: Signature,
        operators: tuple[Operator, ...] = (),
        extras: tuple[PythonValue, ...] = (),
        brackets: tuple[int | DType, ...] = (),
    ) -> None:
        """`extras` are the values that `operators` take, in order."""
        self.checked = signature
        self.operators = operators
        self._program = program
        self._extras = extras
        self.brackets = brackets
        self._names = [p.name for p in signature.parameters]
        self._shared = _Shared()
        self.__name__ = signature.name
        self.__doc__ = f"{signature}\n\n{signature.doc or ''}".rstrip()

    __iter__ = None
    """Brackets take any integer, and so would iterate without end."""

    def __copy__(self) -> Function:
        """The function itself, which never changes."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Function:
        return self

    def __reduce__(self) -> tuple[Callable[..., Function], tuple[object, ...]]:
        place = place_of(self.checked.declaration)
        return function_at, (self._program, place, self.operators, self._extras, self.brackets)

    @property
    def signature(self) -> str:
        """The declaration as it is written in the program."""
        return str(self.checked)

    @property
    def declaration(self) -> Declared | None:
        """What this is as an argument of another function; None for a derivative, or a method."""
        return None if self.operators or self._is_method else self.checked.declaration

    @property
    def _is_method(self) -> bool:
        """Whether the first parameter is the record that it is called on."""
        declared = self.checked.declaration
        return isinstance(declared, DeclaredFunction) and declared.self_symbol is not None

    @property
    def kind(self) -> str:
        """What it is, for a message."""
        return "a derivative" if self.operators else "a function"

    @property
    def way_in(self) -> str:
        """How a program passes this derivative where a function is wanted."""
        if self._is_method and not self.operators:
            record, _, name = self.__name__.rpartition(".")
            return f"pass the method of a record: `net.{name}` of a {record} called `net`"
        if self.operators != (Gradient(),):
            return "declare a function of the program that computes this, and pass that"
        head = self.signature.rpartition(" -> ")[0].replace(f"fn {self.__name__}", "fn slope", 1)
        call = f"grad({self.__name__})({', '.join(self._names)})"
        slope = f"{head} -> {self.checked.parameters[0].type} = {call}"
        return f"declare it in the program, and pass that: `{slope}`"

    def __getitem__(self, brackets: Bracket | tuple[Bracket, ...]) -> Function:
        given = brackets if isinstance(brackets, tuple) else (brackets,)
        return self._variant(self.operators, self._extras, tuple(map(self._bracket, given)))

    def _variant(
        self,
        operators: tuple[Operator, ...],
        extras: tuple[PythonValue, ...],
        brackets: tuple[int | DType, ...],
    ) -> Function:
        """The same function under other operators or brackets.

        Made anew at each use, as in `dmc.grad(f)(x)`, it still shares what it has compiled.
        """
        other = Function(self._program, self.checked, operators, extras, brackets)
        # Not the function is kept: its extras are the caller's arrays.
        other._shared = self._shared.variants.setdefault((operators, brackets), other._shared)
        return other

    def _bracket(self, value: PythonValue) -> int | DType:
        """A size, or an element type given as a NumPy type: `f[np.float32]`."""
        try:
            if hasattr(value, "__index__") and not isinstance(value, bool):
                return self._size("in brackets", index(cast("SupportsIndex", value)))
            kind = cast("type[np.generic]", value) if isinstance(value, type | np.dtype) else object
            return DType.of(np.dtype(kind))
        except (TypeError, KeyError):
            given = shown(cast("object", value))
            message = f"{self.__name__}: {given} in brackets is neither a size nor a dtype"
            raise refuse("call.argument", message, self.checked.span) from None

    def derived(self, operator: Operator, *extras: PythonValue) -> Function:
        """This function under one more differentiation operator and the values it takes."""
        operators = (*self.operators, operator)
        return self._variant(operators, (*self._extras, *extras), self.brackets)

    def with_extras(self, *extras: PythonValue) -> Function:
        """This function with the values that its last operators take; shares what is compiled."""
        extras = (*self._extras, *extras)
        other = Function(self._program, self.checked, self.operators, extras, self.brackets)
        other._shared = self._shared
        return other

    def __call__(self, /, *arguments: PythonValue, **named: PythonValue) -> PythonValue:
        """Run the function; `donate="net"` gives up the buffers of arguments, see `dmc.donate`.

        Raises dmc.Error before anything runs when the arguments do not fit.
        """
        ordered = self._in_order(arguments, named) if named else arguments
        if ordered is not None:
            result = directly(self._shared.direct, (*ordered, *self._extras))
            if type(result) is not int:
                return result
        key = self._call_key(arguments, named)
        call = self._shared.calls.get(key) or self._new_call(key, arguments, named)
        if named or not call.is_plain:
            values = {**dict(zip(self._names, arguments, strict=False)), **named}
            arguments = tuple([_kept(values[name]) for name in call.taken])
        result = call.compiled.run((*arguments, *self._extras))
        if ordered is not None:
            # A method and the `forward` of its record look the same to native code.
            self._shared.direct = call.compiled.direct if call.is_plain else None
        return result

    def _in_order(
        self, arguments: tuple[PythonValue, ...], named: Mapping[str, PythonValue]
    ) -> tuple[PythonValue, ...] | None:
        """All arguments by their position, where those named are the rest of them."""
        if len(arguments) + len(named) != len(self._names):
            return None
        try:
            return (*arguments, *[named[n] for n in self._names[len(arguments) :]])
        except KeyError:
            return None

    def _new_call(
        self, key: object, arguments: tuple[PythonValue, ...], named: Mapping[str, PythonValue]
    ) -> _Call:
        given = self._named(arguments, named)
        compiled, taken = self._compile(self._given(given.values), given)
        is_plain = not given.donated and all(_kept(v) is v for v in given.values.values())
        call = self._shared.calls[key] = _Call(compiled, taken, is_plain)
        return call

    def prepared(
        self, arguments: tuple[PythonValue, ...], named: Mapping[str, PythonValue]
    ) -> tuple[Compiled, tuple[PythonValue, ...]]:
        """What a call would run, and on what."""
        key = self._call_key(arguments, named)
        call = self._shared.calls.get(key) or self._new_call(key, arguments, named)
        values = {**dict(zip(self._names, arguments, strict=False)), **named}
        return call.compiled, (*(_kept(values[name]) for name in call.taken), *self._extras)

    def compile(self, /, *arguments: PythonValue, **named: PythonValue) -> Compiled:
        """Compile ahead of time. Arguments may be left out when sizes (`B=8`) determine them."""
        given = self._named(arguments, named)
        compiled = self._specialize(given)
        compiled.load()
        return compiled

    def specialize(self, /, *arguments: PythonValue, **named: PythonValue) -> Compiled:
        """As `compile`, but machine code is made when it is first called."""
        return self._specialize(self._named(arguments, named))

    def _specialize(self, given: _Given) -> Compiled:
        try:
            given_values = self._given(given.values)
            described = placeholders(
                self.checked, given_values, given.values, given.sizes, self.brackets
            )
        except RecursionError:
            raise self._too_deep() from None
        generics = {g.name for g in self.checked.generics if g.kind is GenericKind.SIZE}
        sizes = {name: size for name, size in given.sizes.items() if name in generics}
        return self._compile(described, _Given(given.values, sizes, given.donated))[0]

    def hyperparameters(self, **named: PythonValue) -> dict[str, Constant]:
        """Those of the model that the function makes, without making the rest of it."""
        given = self._named((), named)
        binding = bind(self.checked, self._given(given.values), self.brackets, given.sizes)
        marshal = Marshal(self._program.classes)
        arrays: list[Array] = []
        for parameter in binding.parameters:
            take = marshal.taker(parameter.type, f"{self.__name__}: {parameter}", parameter.span)
            take(given.values[parameter.name], arrays)
        with compiling:
            return self._program.hyperparameters(binding, arrays)

    def ir(self, /, stage: str = "tensor", *arguments: PythonValue, **named: PythonValue) -> str:
        """The IR at a stage (see `Compiled.ir`); arguments and sizes as for `compile`."""
        return self.specialize(*arguments, **named).ir(stage)

    def _call_key(self, arguments: tuple[PythonValue, ...], named: Mapping[str, Any]) -> object:
        try:
            key = tuple(map(fingerprint, arguments))
            if not named:
                return key
            return key, *[(n, self._keyword(n, v)) for n, v in named.items()]
        except RecursionError:
            raise self._too_deep() from None

    def _too_deep(self) -> Error:
        message = f"{self.__name__}: an argument is nested too deep"
        return refuse("call.value", message, self.checked.span)

    def _keyword(self, name: str, value: PythonValue) -> object:
        """Something hashable for a named argument; sizes and what is donated count by value."""
        if name in self._names:
            return fingerprint(value)
        if name == "donate":
            return self._donated(value)
        try:
            return cast("type[object]", type(value)), index(value)
        except TypeError:
            return fingerprint(value)

    def _donated(self, value: PythonValue) -> tuple[str, ...]:
        """The names in `donate`: one, or several in a tuple or a list."""
        several = [value] if isinstance(value, str) else value
        if isinstance(several, tuple | list):
            names = cast("tuple[object, ...] | list[object]", several)
            if all(isinstance(name, str) for name in names):
                return tuple(map(str, names))
        message = f"{self.__name__}: `donate` takes names of parameters"
        hint = f'as in `donate="{next(iter(self._names), "x")}"`, several in a tuple'
        raise refuse("call.argument", message, self.checked.span, hint)

    def _compile(
        self, described: Mapping[str, Given], given: _Given
    ) -> tuple[Compiled, tuple[str, ...]]:
        binding = bind(self.checked, described, self.brackets, given.sizes)
        key = binding.instance, given.donated
        with compiling, seldom_collecting():
            known = self._shared.compiled.get(key)
            if known is None:
                entry = self._program.entry(binding)
                for operator in self.operators:
                    entry = apply(operator, entry)
                known = Compiled(
                    self.__name__,
                    entry,
                    self._program,
                    given.donated,
                    self._program.recall(binding, self.operators, given.donated),
                )
                self._shared.compiled[key] = known
        return known, tuple(p.name for p in binding.parameters)

    def _named(
        self, arguments: tuple[PythonValue, ...], named: Mapping[str, PythonValue]
    ) -> _Given:
        """Arguments by parameter name, and what else is given by name."""
        name, span, names = self.__name__, self.checked.span, self._names
        if len(arguments) > len(names):
            plural = "argument" if len(names) == 1 else "arguments"
            message = f"{name}: takes {len(names)} {plural}, and {len(arguments)} were given"
            raise refuse("call.argument", message, span, self.signature)
        values: Values = dict(zip(names, arguments, strict=False))
        sizes: dict[str, int] = {}
        donated: list[str] = []
        for key, value in named.items():
            if key in values:
                raise refuse("call.argument", f"{name}: `{key}` is given twice", span)
            if key in names:
                values[key] = value
            elif key in self._size_names():
                sizes[key] = self._size(key, value)
            elif key == "donate":
                donated += self._donated(value)
            else:
                known = (*names, *self._size_names())
                (hint,) = did_you_mean(key, known) or (self.signature,)
                if key == "budget":
                    hint = 'a gradient takes one: `dmc.grad(f, budget="256MB")`'
                message = f"{name}: there is no parameter `{key}`"
                raise refuse("call.argument", message, span, hint)
        for key, value in values.items():
            if isinstance(value, Donated):
                values[key] = value.value
                donated.append(key)
        return _Given(values, sizes, tuple(donated))

    def _size_names(self) -> list[str]:
        return size_names(self.checked)

    def _size(self, name: str, value: PythonValue) -> int:
        try:
            size = index(value) if not isinstance(value, bool) else None
        except TypeError:
            size = None
        if size is not None and abs(size) < _LARGEST:
            return size
        problem = "not an integer" if size is None else "longer than any axis"
        message = f"{self.__name__}: the size {name} is {shown(value)}, {problem}"
        raise refuse("call.size", message, self.checked.span)

    def _given(self, values: Mapping[str, PythonValue]) -> dict[str, Given]:
        describer = Describer(self.__name__)
        return {
            p.name: describer.give(values[p.name], p.type, p.name, p.span)
            for p in self.checked.parameters
            if p.name in values
        }

    def __repr__(self) -> str:
        chain = "".join(f"{type(op).__name__.lower()} of " for op in reversed(self.operators))
        return f"<{chain}{self.signature}>"


def function_at(
    program: LoadedProgram,
    place: tuple[str, str, str],
    operators: tuple[Operator, ...],
    extras: tuple[PythonValue, ...],
    brackets: tuple[int | DType, ...],
) -> Function:
    """A function of a program, by the place that `place_of` gives."""
    return Function(program, signature_at(program.program, place), operators, extras, brackets)


class Method:
    """Makes a function whose first parameter is the record available as a method of the record."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        return self._function if record is None else BoundMethod(self._function, record)


class BoundMethod(OfProgram):
    """`net.forward`: a function with its receiver."""

    __iter__ = None

    def __init__(self, function: Function, receiver: PythonValue) -> None:
        self.function = function
        self.receiver = receiver
        self.brackets = function.brackets
        self.__doc__ = function.__doc__

    @property
    def declaration(self) -> Declared | None:
        """What this is as an argument of another function."""
        return self.function.checked.declaration

    @property
    def kind(self) -> str:
        """What it is, for a message."""
        return "a method"

    def __call__(self, /, *arguments: PythonValue, **named: PythonValue) -> PythonValue:
        return self.function(self.receiver, *arguments, **named)

    def __getitem__(self, brackets: Bracket | tuple[Bracket, ...]) -> BoundMethod:
        return BoundMethod(self.function[brackets], self.receiver)

    def compile(self, /, *arguments: PythonValue, **named: PythonValue) -> Compiled:
        """As `Function.compile`, the receiver being given."""
        return self.function.compile(self.receiver, *arguments, **named)

    def __repr__(self) -> str:
        return f"<method {self.function.signature}>"
