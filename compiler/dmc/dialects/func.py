"""`func`: functions, calls and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from dmc.ir import (
    UNKNOWN,
    Array,
    Attribute,
    Block,
    Builder,
    Cost,
    FunctionType,
    Interpreter,
    Location,
    Module,
    Operation,
    Region,
    SymbolRef,
    Trait,
    Type,
    Value,
    VerifyError,
    attribute,
    operands,
    optional,
    region,
)


class Func(Operation):
    """`func.func`: a named function; its arguments are those of its block.

    `jvp_rule` and `vjp_rule` are functions that give its derivative; with one it is not inlined
    before differentiation. A jvp rule takes the arguments, the results and a tangent for each float
    argument, and returns a tangent for each float result; a vjp rule takes cotangents of float
    results and returns those of float arguments. A rule that is the only one is transposed for the
    other mode, unless there are `nonlinear_rules`.

    C1: the body ends in `func.return` of the result types.  C2: the block has the input types.
    C3: rules are functions of the module.
    """

    name = "func.func"
    sym_name = attribute(str)
    function_type = attribute(FunctionType)
    visibility = optional(str)
    """"private": called from its module only."""
    jvp_rule = optional(SymbolRef)
    vjp_rule = optional(SymbolRef)
    nonlinear_rules = optional(bool)
    """A rule is not linear in its vectors."""
    donated = optional(cast("type[tuple[int, ...]]", tuple))
    """The places of arguments in whose buffers the results may lie."""
    arena_bytes = optional(int)
    private_bytes = optional(int)
    """What the plan of memory takes: once, and for each thread."""
    tape_bytes = optional(int)
    """What tapes may take beside it, where a budget bounds them."""
    body = region()

    def infer(self) -> Sequence[Type]:
        return ()

    def verify_(self) -> None:
        returned = self.body.terminator.operand_types
        ends = isinstance(self.body.terminator, Return) and returned == self.function_type.results
        declared = self.function_type.results
        self.require(1, ends, "returns {}, declares {}", returned, declared)
        inputs = tuple(arg.type for arg in self.body.args)
        self.require(2, inputs == self.function_type.inputs, "block arguments differ from inputs")

    def verify_symbols(self, symbols: Mapping[str, Operation]) -> None:
        for rule in (self.jvp_rule, self.vjp_rule):
            known = rule is None or isinstance(symbols.get(rule.name), Func)
            self.require(3, known, "there is no function {}", rule)

    @property
    def is_private(self) -> bool:
        return self.visibility == "private"

    @property
    def has_rule(self) -> bool:
        """Whether a declared rule replaces differentiating the body."""
        return self.jvp_rule is not None or self.vjp_rule is not None

    def update_type(self) -> None:
        """Make `function_type` follow the block arguments and the return."""
        inputs = tuple(arg.type for arg in self.body.args)
        self.attributes["function_type"] = FunctionType(inputs, self.body.terminator.operand_types)


class Return(Operation):
    """`func.return`: ends a function."""

    name = "func.return"
    traits = frozenset({Trait.TERMINATOR})
    values = operands()

    def infer(self) -> Sequence[Type]:
        return ()


class Call(Operation):
    """`func.call` of a function of the module. The result types are given, not inferred.

    C1: the callee is a function of the module. C2: it takes the operands. C3: it gives the results.
    """

    name = "func.call"
    callee = attribute(SymbolRef)
    arguments = operands()

    def verify_symbols(self, symbols: Mapping[str, Operation]) -> None:
        type_ = callee_of(self, self.callee, symbols).function_type
        self.require(2, self.operand_types == type_.inputs, "{} takes {}", self.callee, type_)
        self.require(3, self.result_types == type_.results, "{} gives {}", self.callee, type_)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return interpreter.call(self.callee.name, operands)

    def cost(self) -> Cost:
        return Cost()


def callee_of(op: Operation, callee: SymbolRef, symbols: Mapping[str, Operation]) -> Func:
    """The function that `op` names. Raises VerifyError (C1) when there is none."""
    found = symbols.get(callee.name)
    if not isinstance(found, Func):
        raise VerifyError(op, 1, f"there is no function {callee}")
    return found


def function(
    module: Module,
    name: str,
    inputs: Sequence[Type],
    names: Sequence[str] = (),
    location: Location = UNKNOWN,
    private: bool = False,
) -> tuple[Func, Builder]:
    """Append an empty function named `name` (made unique) and a builder for its body."""
    attributes: dict[str, Attribute] = {
        "sym_name": module.fresh_name(name),
        "function_type": FunctionType(tuple(inputs), ()),
    }
    if private:
        attributes["visibility"] = "private"
    block = Block(inputs, names)
    func = Func([], attributes, [Region(block)], location=location)
    module.append(func)
    return func, Builder(block, location=location)


def finish(func: Func, builder: Builder, values: Sequence[Value]) -> Func:
    """End the body with a return of `values` and settle the type."""
    builder.insert(Return(values))
    func.update_type()
    return func


def call(builder: Builder, callee: Func, arguments: Sequence[Value]) -> tuple[Value, ...]:
    """Call `callee`."""
    symbol: Attribute = SymbolRef(callee.sym_name)
    results = callee.function_type.results
    return builder.insert(Call(arguments, {"callee": symbol}, result_types=results)).results


def functions(module: Module) -> list[Func]:
    """The functions of `module`, in order."""
    return [op for op in module.body if isinstance(op, Func)]


def lookup(module: Module, symbol: str | SymbolRef) -> Func:
    """The function named `symbol`. Raises KeyError when there is none."""
    op = module.lookup(symbol)
    if not isinstance(op, Func):
        raise KeyError(symbol)
    return op
