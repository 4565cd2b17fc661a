"""Lowering of functions of a checked program into one module of tensor-level IR."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import CompilerBug, Error, error
from dmc.dialects import autodiff, func
from dmc.dialects.derivatives import Compressed, Problem
from dmc.dialects.flow import ControlFlow
from dmc.ir import Block, Builder, FunctionType, Location, Module, TensorType
from dmc.ir import DType as IRDType
from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.builtins import prelude
from dmc.semantics.lower import access, applications, derivatives, elementwise, loops, reductions
from dmc.semantics.lower.body import Body
from dmc.semantics.lower.declared import attach_rules, call_declared
from dmc.semantics.lower.functions import inline, result_type
from dmc.semantics.lower.initial import build_model
from dmc.semantics.lower.linearity import check_linear
from dmc.semantics.lower.values import Array, Function, Lowered, flatten, rebuild
from dmc.semantics.program import FunctionDeclaration, ModelBody
from dmc.semantics.signature import Binding, Instance
from dmc.semantics.sizes import Size
from dmc.semantics.typed import DeclaredFunction, DerivativeRule
from dmc.semantics.types import (
    DType,
    KeyType,
    Leaf,
    RecordType,
    Role,
    Substitution,
    Type,
    leaves,
    resolved,
)

_Generics = tuple[frozenset[tuple[str, object]], ...]
"""The values of generic arguments, by kind."""

__all__ = ["Lowering", "Patterns", "leaf_type", "lower"]

FAMILIES = (access, applications, prelude, derivatives, elementwise, loops, reductions)
"""The files that say how their kinds of nodes are lowered; importing them registers it."""


def lower(binding: Binding, patterns: Patterns) -> Module:
    """The module for a call that has been matched with its signature.

    It has one public function, named as in the source, and the private ones that it calls. Its
    arguments are the leaves of the parameters in order (those in `instance.defaults` and
    function-typed ones are absent), its results the leaves of the result. `Model.init` names the
    initializer of a model. `patterns` finds where sparse derivatives are zero.

    Raises:
        dmc.diagnostics.errors.Error: when the sizes of this instance make the program wrong.
    """
    instance = binding.instance
    lowering = Lowering(patterns)
    match instance.declaration:
        case ModelBody() as model:
            lowering.lower_init(instance, model)
        case FunctionDeclaration() as function:
            lowering.lower_entry(instance, function)
        case other:
            raise TypeError(f"{other} cannot be called")
    return lowering.finish()


def leaf_type(leaf: Leaf) -> TensorType:
    """The IR type of a concrete leaf; a key is an i64."""
    if isinstance(leaf.type, KeyType):
        return TensorType((), IRDType.I64)
    element = resolved(leaf.type.element)
    shape = [axis.constant for axis in leaf.type.shape if isinstance(axis, Size)]
    if not isinstance(element, DType) or None in shape or len(shape) < len(leaf.type.shape):
        raise CompilerBug(f"{leaf.name}: {leaf.type} is not concrete")
    return TensorType(tuple(n for n in shape if n is not None), element)


class Patterns(Protocol):
    """Finds where derivatives may differ from zero; `dmc.sparsity.layout.compressed`."""

    def __call__(
        self,
        module: Module,
        name: str,
        target: Sequence[int],
        of: Sequence[int],
        is_symmetric: bool,
    ) -> Compressed: ...


class Lowering:
    """The module being built, with one function for each instance of a declaration."""

    def __init__(self, patterns: Patterns) -> None:
        self.module = Module.empty()
        self._patterns = patterns
        self._instances: dict[tuple[DeclaredFunction, _Generics], func.Func] = {}
        self._pending: list[Callable[[], None]] = []
        self._of_nothing: dict[Block, Span] = {}
        self._rules: list[tuple[func.Func, func.Func, str, int, bool]] = []

    def instance(self, declaration: DeclaredFunction, substitution: Substitution) -> func.Func:
        """The function for these generic arguments; its body is lowered by `finish`.

        Calls need its type only, so chains of calls do not nest.
        """
        key = declaration, _settled(substitution)
        known = self._instances.get(key)
        if known is not None:
            return known
        function, builder, values = self._declare(declaration, substitution, frozenset(), True)
        self._instances[key] = function
        results = tuple(map(leaf_type, leaves(result_type(declaration, substitution))))
        inputs = function.function_type.inputs
        function.attributes["function_type"] = FunctionType(inputs, results)
        self._pending.append(
            lambda: self._fill(declaration, substitution, function, builder, values)
        )
        return function

    def finish(self) -> Module:
        """Lower the bodies that calls have asked for, and return the module.

        Raises Error for a declared rule that is not linear, and for a read of an axis without
        elements that surely happens.
        """
        self._settle()
        for instance, rule, name, vectors, unchecked in self._rules:
            try:
                check_linear(self.module, rule, name, vectors)
            except Error:
                if not unchecked:
                    raise
                instance.attributes["nonlinear_rules"] = True
        self._refuse_reads_of_nothing()
        return self.module

    def _settle(self) -> None:
        while self._pending:
            self._pending.pop()()

    def compress(self, problem: Problem, of: Sequence[int], is_symmetric: bool) -> Compressed:
        """Where the derivatives of the results `of` may differ from zero, and what is at once."""
        self._settle()
        name = problem.function.sym_name
        return self._patterns(self.module.part(name), name, problem.target, of, is_symmetric)

    def read_nothing(self, block: Block, span: Span) -> None:
        """An element of an axis without elements is read or written in `block`."""
        self._of_nothing.setdefault(block, span)

    def _refuse_reads_of_nothing(self) -> None:
        functions = func.functions(self.module)
        pending = [function.body for function in functions if not function.is_private]
        seen = set(pending)
        while pending:
            block = pending.pop()
            if block in self._of_nothing:
                label = Label(self._of_nothing[block], "it has no elements")
                title = "this index is outside an axis of 0"
                raise error(Diagnostic("index.bounds", title, label))
            new: list[Block] = []
            for op in block:
                if isinstance(op, ControlFlow) and op.surely_runs:
                    new += [region.block for region in op.regions]
                elif isinstance(op, func.Call | autodiff.Jvp | autodiff.Vjp):
                    new.append(func.lookup(self.module, op.callee.name).body)
            pending += [b for b in new if b not in seen]
            seen.update(new)

    def lower_entry(self, instance: Instance, declaration: FunctionDeclaration) -> func.Func:
        """The public function of the module."""
        substitution = instance.substitution
        functions, receivers = dict(instance.functions), dict(instance.receivers)
        absent = instance.defaults | (functions.keys() - receivers.keys())
        function, builder, values = self._declare(
            declaration, substitution, absent, False, receivers
        )
        for name, given in functions.items():
            model = (receivers[name], values[name]) if name in receivers else None
            values[name] = _function(given, model)
        self._fill(declaration, substitution, function, builder, values)
        return function

    def _declare(
        self,
        declaration: DeclaredFunction,
        substitution: Substitution,
        absent: frozenset[str],
        private: bool,
        receivers: Mapping[str, Type] = MappingProxyType({}),
    ) -> tuple[func.Func, Builder, dict[str, Lowered]]:
        """An empty function and the parameters as values; of a function that is a model, that."""
        named: list[tuple[str, Type]] = []
        if declaration.self_symbol is not None:
            named.append(("self", substitution.type(declaration.self_symbol.type)))
        named += [
            (p.name, receivers.get(p.name, substitution.type(p.type)))
            for p in declaration.parameters
            if p.name not in absent
        ]
        found = [leaf for name, type_ in named for leaf in leaves(type_, (name,))]
        function, builder = func.function(
            self.module,
            declaration.full_name,
            [leaf_type(leaf) for leaf in found],
            [leaf.name for leaf in found],
            Location(declaration.span),
            private=private,
        )
        arguments = iter(function.body.args)
        return function, builder, {name: rebuild(type_, arguments) for name, type_ in named}

    def _fill(
        self,
        declaration: DeclaredFunction,
        substitution: Substitution,
        function: func.Func,
        builder: Builder,
        values: dict[str, Lowered],
    ) -> None:
        body = Body(self, builder, substitution, {})
        receiver = values.get("self") if declaration.self_symbol is not None else None
        if receiver is not None and declaration.self_symbol is not None:
            body.environment[declaration.self_symbol] = receiver
        given: list[Lowered] = []
        for parameter, symbol, default in zip(
            declaration.parameters, declaration.symbols, declaration.defaults, strict=True
        ):
            value = values.get(parameter.name)
            if value is None:
                assert default is not None
                value = body.materialize(body.lower(default), substitution.type(parameter.type))
            body.environment[symbol] = value
            given.append(value)
        # A rule belongs to calls of its function; the entry may itself be differentiated.
        is_called = declaration.rules and not function.is_private
        compute = call_declared if is_called else inline
        result = compute(body, declaration, substitution, given, receiver)
        func.finish(function, builder, flatten(result))
        if not is_called:
            attach_rules(body, declaration, substitution, function)

    def add_rule(
        self,
        instance: func.Func,
        function: func.Func,
        name: str,
        vectors: int,
        rule: DerivativeRule,
    ) -> None:
        """`function` is a rule of `instance`, whose last `vectors` arguments are vectors."""
        self._rules.append((instance, function, name, vectors, rule.unchecked))

    # -- models

    def lower_init(self, instance: Instance, model: ModelBody) -> func.Func:
        """The function that makes a model: a key and hyperparameters to its leaves."""
        substitution = instance.substitution
        record = model.declaration.itself()
        type_ = substitution.type(record)
        assert isinstance(type_, RecordType)
        hypers = [
            entry
            for entry in record.declaration.fields
            if entry.role is Role.HYPER and entry.name not in instance.defaults
        ]
        named: list[tuple[str, Type]] = [("key", KeyType())]
        named += [(entry.name, substitution.type(entry.type)) for entry in hypers]
        found = [leaf for name, part in named for leaf in leaves(part, (name,))]
        function, builder = func.function(
            self.module,
            model.full_name,
            [leaf_type(leaf) for leaf in found],
            [leaf.name for leaf in found],
            Location(record.declaration.span),
        )
        arguments = iter(function.body.args)
        values = {name: rebuild(part, arguments) for name, part in named}
        key = values.pop("key")
        assert isinstance(key, Array)
        body = Body(self, builder, substitution, {})
        made = build_model(body, type_, key.value, values)
        return func.finish(function, builder, flatten(made))


def _function(given: Instance, model: tuple[Type, Lowered] | None) -> Lowered:
    """A function given from outside for a parameter of function type; or a `model`'s."""
    function, generics = given.declaration, dict(given.generics)
    assert isinstance(function, FunctionDeclaration)
    if model is None:
        return Function(typed.UserFunction(function, generics), {}, Substitution())
    type_, value = model
    symbol = function.self_symbol
    assert symbol is not None
    receiver = typed.Local(type_, function.span, symbol)
    return Function(
        typed.UserFunction(function, generics, receiver), {symbol: value}, Substitution()
    )


def _settled(substitution: Substitution) -> _Generics:
    """A key that is equal for equal substitutions: what is still open in them is looked up."""
    known = Substitution()
    return (
        frozenset((name, known.size(size)) for name, size in substitution.sizes.items()),
        frozenset((name, known.shape(axes)) for name, axes in substitution.packs.items()),
        frozenset((name, known.element(kind)) for name, kind in substitution.elements.items()),
        frozenset((name, known.type(record)) for name, record in substitution.records.items()),
    )
