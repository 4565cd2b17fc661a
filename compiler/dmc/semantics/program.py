"""What checking makes of source files: modules, their declarations, a whole program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from dmc.ir.location import SourceFile, Span
from dmc.semantics.requirements import Requirement
from dmc.semantics.signature import Default, Parameter, Signature
from dmc.semantics.sizes import Facts, Size
from dmc.semantics.typed import DeclaredFunction, Node, Symbol
from dmc.semantics.types import (
    Declared,
    FieldDeclaration,
    Generic,
    KeyType,
    RecordDeclaration,
    Role,
    TupleType,
)
from dmc.syntax import ast

__all__ = [
    "Constant", "ElementEntity", "Entity", "FieldEntity", "FunctionDeclaration",
    "Initializer", "ModelBody", "Names", "PackEntity", "Poison", "Program", "RecordEntity",
    "SizeEntity", "SourceModule", "body_of", "default_of", "place_of", "signature_at",
]  # fmt: skip


_INIT = "init"


@dataclass(frozen=True, slots=True)
class Poison:
    """A name whose declaration had an error: its uses say nothing more."""

    span: Span


@dataclass(frozen=True, slots=True)
class SizeEntity:
    """A size name in scope and what it stands for (`dim K = D / H`: the quotient)."""

    size: Size
    span: Span


@dataclass(frozen=True, slots=True)
class PackEntity:
    """`*S` in scope."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class ElementEntity:
    """`F: float` in scope."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class RecordEntity:
    """`M: record` in scope."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class FieldEntity:
    """A field of the model whose functions are being checked."""

    declaration: FieldDeclaration

    @property
    def span(self) -> Span:
        return self.declaration.span


@dataclass(eq=False, slots=True)
class Constant:
    """A top-level `let`, checked anew at each use so that its literals adapt there."""

    node: ast.ConstDecl
    module: SourceModule

    @property
    def span(self) -> Span:
        return self.node.name.span


@dataclass(frozen=True, slots=True)
class Use:
    """A function that is called, or one that may be differentiated: so, or named `as_value`."""

    function: FunctionDeclaration
    as_value: bool


@dataclass(eq=False, slots=True)
class FunctionDeclaration(DeclaredFunction):
    """A function or method, and what its checking needs. Made by `declare`.

    `is_sound` is False when the signature had errors: then its body is not checked, and calls of it
    say nothing more.
    """

    node: ast.FnDecl = field(kw_only=True)
    module: SourceModule = field(kw_only=True)
    owner: RecordDeclaration | None = field(kw_only=True)
    generics: tuple[Generic, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    facts: Facts = field(default_factory=Facts)
    bare: dict[RecordDeclaration, tuple[Size, ...]] = field(
        default_factory=dict[RecordDeclaration, tuple[Size, ...]]
    )
    is_sound: bool = False
    uses: list[Use] = field(default_factory=list["Use"])
    rule_uses: list[Use] = field(default_factory=list["Use"])
    """What its body uses, and the rules of its derivative."""

    @staticmethod
    def declare(
        node: ast.FnDecl, module: SourceModule, owner: RecordDeclaration | None = None
    ) -> FunctionDeclaration:
        """The declaration before its signature is resolved."""
        name = f"{owner.name}.{node.name.text}" if owner is not None else node.name.text
        return FunctionDeclaration(
            name, node.name.span, node.mutable, node=node, module=module, owner=owner
        )

    @property
    def signature(self) -> Signature:
        """What callers outside the language see; a method takes `self` first.

        A `mut fn` also gives the updated model: its result is a pair.

        Raises ValueError when the declaration has errors.
        """
        if self.result is None:
            raise ValueError(f"{self.name} has errors")
        parameters, generics = self.parameters, self.generics
        if self.owner is not None and self.self_symbol is not None:
            receiver = Parameter("self", self.self_symbol.type, self.span)
            parameters = (receiver, *parameters)
            generics = (*self.generics, *self.owner.generics)
        requirements, result = self.requirements, self.result
        if self.self_symbol is not None and self.is_mutable:
            result = TupleType((result, self.self_symbol.type))
        if self.owner is not None:
            requirements = (*self.owner.requirements, *requirements)
        return Signature(
            self,
            generics,
            parameters,
            result,
            self.span,
            requirements,
            self.node.doc,
            self.is_mutable,
        )


@dataclass(eq=False, slots=True)
class Initializer:
    """How a field of a model gets its first value: an expression, or arguments for a sub-model."""

    entry: FieldDeclaration
    value: Node | None
    arguments: dict[str, Node] = field(default_factory=dict[str, Node])


@dataclass(eq=False, slots=True)
class ModelBody(Declared):
    """A model's functions and initializers; `hypers` and `key` are what initializers see."""

    node: ast.ModelDecl
    declaration: RecordDeclaration
    module: SourceModule
    methods: dict[str, FunctionDeclaration] = field(default_factory=dict[str, FunctionDeclaration])
    hypers: dict[str, Symbol] = field(default_factory=dict[str, Symbol])
    defaults: dict[str, Node] = field(default_factory=dict[str, Node])
    initializers: tuple[Initializer, ...] = ()
    key: Symbol | None = None
    facts: Facts = field(default_factory=Facts)
    is_sound: bool = False

    @property
    def init_signature(self) -> Signature:
        """`Model.init(key, hyperparameters…)`; sizes are generics, given by name."""
        declaration = self.declaration
        parameters = [Parameter("key", KeyType(), declaration.span)]
        hypers = [entry for entry in declaration.fields if entry.role is Role.HYPER]
        for entry, node in zip(hypers, self.node.parameters, strict=True):
            default = default_of(self.module, node)
            parameters.append(Parameter(entry.name, entry.type, entry.span, default))
        return Signature(
            self,
            declaration.generics,
            tuple(parameters),
            declaration.itself(),
            declaration.span,
            declaration.requirements,
            declaration.doc,
        )


class Names(MutableMapping[str, "Entity"]):
    """The top-level scope of a module; a name that it imports is looked up when it is asked for.

    So `from nn import relu` loads what declares `relu`, not all that `nn` passes on.
    """

    def __init__(self) -> None:
        self._known: dict[str, Entity] = {}
        self._awaited: dict[str, Callable[[], Entity]] = {}

    def await_import(self, name: str, find: Callable[[], Entity]) -> None:
        """Let `name` mean what `find` gives, once it is asked for."""
        self._awaited[name] = find

    def __getitem__(self, name: str) -> Entity:
        find = self._awaited.pop(name, None)
        if find is not None:
            self._known[name] = find()
        return self._known[name]

    def __setitem__(self, name: str, entity: Entity) -> None:
        self._awaited.pop(name, None)
        self._known[name] = entity

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in self._awaited

    def __iter__(self) -> Iterator[str]:
        return iter([*self._known, *self._awaited])

    def __len__(self) -> int:
        return len(self._known) + len(self._awaited)


@dataclass(eq=False, slots=True)
class SourceModule:
    """One checked file. `names` is its top-level scope, imports included."""

    name: str
    path: Path | None
    source: SourceFile
    file: ast.File
    names: Names = field(default_factory=Names)
    functions: dict[str, FunctionDeclaration] = field(
        default_factory=dict[str, FunctionDeclaration]
    )
    records: dict[str, RecordDeclaration] = field(default_factory=dict[str, RecordDeclaration])
    models: dict[RecordDeclaration, ModelBody] = field(
        default_factory=dict[RecordDeclaration, ModelBody]
    )


Entity = (
    Symbol
    | SizeEntity
    | PackEntity
    | ElementEntity
    | RecordEntity
    | FieldEntity
    | Poison
    | Constant
    | FunctionDeclaration
    | RecordDeclaration
    | SourceModule
)


@dataclass(eq=False, slots=True)
class Program:
    """A module and all it imports, by name; everything is checked and free of errors."""

    main: SourceModule
    modules: dict[str, SourceModule]

    def module(self, name: str) -> SourceModule:
        """A module by its name, also one whose import nobody has asked for yet.

        Raises KeyError when there is none.
        """
        known = 0
        while name not in self.modules and known < len(self.modules):
            known = len(self.modules)
            for module in list(self.modules.values()):
                dict(module.names)
        return self.modules[name]

    def functions(self) -> Iterator[FunctionDeclaration]:
        """Every function and method of every module."""
        for module in self.modules.values():
            yield from module.functions.values()
            for model in module.models.values():
                yield from model.methods.values()


def body_of(declaration: RecordDeclaration) -> ModelBody | None:
    """What a model does; None for a struct."""
    assert declaration.body is None or isinstance(declaration.body, ModelBody)
    return declaration.body


def place_of(declared: Declared) -> tuple[str, str, str]:
    """The names of the module, of the record (or none) and of the function that is declared."""
    match declared:
        case FunctionDeclaration():
            owner = declared.owner.name if declared.owner is not None else ""
            return declared.module.name, owner, declared.name
        case ModelBody():
            return declared.module.name, declared.declaration.name, _INIT
        case _:
            raise TypeError(f"{declared.full_name} is not declared in a program")


def signature_at(program: Program, place: tuple[str, str, str]) -> Signature:
    """The signature of the function at a place."""
    module, owner, name = place
    if not owner:
        return program.module(module).functions[name].signature
    body = body_of(program.module(module).records[owner])
    assert body is not None
    return body.init_signature if name == _INIT else body.methods[name].signature


def default_of(module: SourceModule, node: ast.Param) -> Default | None:
    """The default of a parameter as written, with its value when it is a literal."""
    if node.default is None:
        return None
    value, sign = node.default, 1
    if isinstance(value, ast.Unary) and value.op is ast.UnaryOp.NEGATE:
        value, sign = value.operand, -1
    text = " ".join(module.source.quote(node.default.span).split())
    match value:
        case ast.BoolLit(value=constant) if sign == 1:
            return Default(text, constant)
        case ast.IntLit(value=number) | ast.FloatLit(value=number):
            return Default(text, sign * number)
        case _:
            return Default(text, None)
