"""Declarations of one file: names collected, records and signatures resolved, in any order."""

from __future__ import annotations

from collections.abc import Iterable

from dmc.ir.types import DType
from dmc.semantics.context import Context, Scope, Stop, entity_span
from dmc.semantics.program import (
    Constant,
    ElementEntity,
    Entity,
    FieldEntity,
    FunctionDeclaration,
    ModelBody,
    PackEntity,
    Poison,
    RecordEntity,
    SizeEntity,
    default_of,
)
from dmc.semantics.requirements import Requirement, assume
from dmc.semantics.resolver import DTYPES, resolve_clause, resolve_size, resolve_type
from dmc.semantics.signature import Parameter
from dmc.semantics.sizes import Size
from dmc.semantics.typed import Symbol, SymbolKind
from dmc.semantics.types import (
    FieldDeclaration,
    Generic,
    GenericKind,
    KeyType,
    RecordDeclaration,
    RecordName,
    RecordType,
    Role,
    StackType,
    TensorType,
    Type,
    leaves,
    pruned,
    resolved,
)
from dmc.syntax import ast

__all__ = ["collect", "function_scope", "resolve_records", "resolve_signatures"]


# ---- names ------------------------------------------------------------------------------------


def collect(context: Context) -> None:
    """Enter every declaration of the file into the module's scope, still unresolved."""
    module = context.module
    for node in module.file.declarations:
        match node:
            case ast.FnDecl():
                function = FunctionDeclaration.declare(node, module)
                if _enter(context, node.name, function):
                    module.functions[node.name.text] = function
            case ast.StructDecl() | ast.ModelDecl():
                is_model = isinstance(node, ast.ModelDecl)
                record = RecordDeclaration(
                    node.name.text, is_model, module.name, node.name.span, doc=node.doc
                )
                if _enter(context, node.name, record):
                    module.records[node.name.text] = record
                    if isinstance(node, ast.ModelDecl):
                        name = f"{record.name}.init"
                        body = ModelBody(name, node, record, module)
                        record.body = module.models[record] = body
            case ast.ConstDecl():
                _enter(context, node.name, Constant(node, module))
            case ast.DimDecl():
                try:
                    size = resolve_size(context, node.value)
                    _enter(context, node.name, SizeEntity(size, node.name.span))
                except Stop:
                    pass
            case ast.DerivativeDecl() | ast.ImportDecl() | ast.FromDecl():
                pass


def _enter(context: Context, name: ast.Identifier, entity: Entity) -> bool:
    known = context.module.names.get(name.text)
    if known is not None:
        context.diagnostics.report(
            "name.duplicate",
            f"`{name.text}` is declared twice",
            name.span,
            "again here",
            [(entity_span(known), "first declared here")],
        )
        return False
    context.module.names[name.text] = entity
    return True


# ---- generics ---------------------------------------------------------------------------------


def declare_generics(context: Context, nodes: Iterable[ast.GenericParam]) -> tuple[Generic, ...]:
    """Enter generic parameters into the current scope."""
    generics: list[Generic] = []
    for node in nodes:
        generic = _generic(context, node)
        context.declare(node.name, _entity(generic))
        generics.append(generic)
    return tuple(generics)


def _entity(generic: Generic) -> Entity:
    """What the name of a generic parameter stands for inside its declaration."""
    match generic.kind:
        case GenericKind.SIZE:
            return SizeEntity(Size.named(generic.name), generic.span)
        case GenericKind.PACK:
            return PackEntity(generic.name, generic.span)
        case GenericKind.ELEMENT:
            return ElementEntity(generic.name, generic.span)
        case GenericKind.RECORD:
            return RecordEntity(generic.name, generic.span)


def _generic(context: Context, node: ast.GenericParam) -> Generic:
    name, span = node.name.text, node.name.span
    if node.is_pack:
        return Generic(name, GenericKind.PACK, span)
    if node.kind is None:
        if node.default is not None:
            raise context.fail("type.arguments", "a size has no default", node.default.span)
        return Generic(name, GenericKind.SIZE, span)
    if node.kind.text == "record":
        return Generic(name, GenericKind.RECORD, span)
    if node.kind.text != "float":
        raise context.fail(
            "type.arguments",
            f"`{node.kind.text}` is not a kind of parameter",
            node.kind.span,
            help=["there are `F: float` and `M: record`; a size has no kind: `N`"],
        )
    default: DType | None = None
    if node.default is not None:
        default = DTYPES.get(node.default.text)
        if default is None or not default.is_float:
            raise context.fail("type.arguments", "a float type is expected", node.default.span)
    return Generic(name, GenericKind.ELEMENT, span, default)


# ---- records ----------------------------------------------------------------------------------


def resolve_records(context: Context) -> None:
    """Sizes, requirements and fields of every struct and model of the file."""
    nodes = [
        (node, record)
        for node in context.module.file.declarations
        if isinstance(node, ast.StructDecl | ast.ModelDecl)
        and (record := context.module.records.get(node.name.text)) is not None
        and record.span == node.name.span
    ]
    for node, record in nodes:
        with context.nested():
            try:
                record.generics = declare_generics(context, node.generics)
                _resolve_interface(context, node)
            except Stop:
                context.module.names[node.name.text] = _poisoned(node)
    outer = context.facts
    for node, record in nodes:
        if record is not context.module.names.get(node.name.text):
            continue
        with context.nested():
            context.record = record
            try:
                _resolve_record(context, node, record)
            except Stop:
                context.module.names[node.name.text] = _poisoned(node)
        context.facts, context.record = outer, None
    for node, record in nodes:
        _refuse_recursion(context, node, record)


def _resolve_interface(context: Context, node: ast.StructDecl | ast.ModelDecl) -> None:
    """Requirements and `dim`s, which the fields of other records need."""
    record = context.module.records[node.name.text]
    if isinstance(node, ast.ModelDecl):
        clauses: list[Requirement] = []
        for clause in node.requires:
            clauses += resolve_clause(context, clause)
        record.requirements = tuple(clauses)
        facts, context.facts = context.facts, assume(context.facts, clauses)
        try:
            dims: dict[str, Size] = {}
            for member in node.members:
                if isinstance(member, ast.DimDecl):
                    dims[member.name.text] = _dim(context, member)
            record.dims = dims
        finally:
            context.facts = facts


def _dim(context: Context, member: ast.DimDecl) -> Size:
    size = resolve_size(context, member.value)
    context.declare(member.name, SizeEntity(size.spelled(member.name.text), member.name.span))
    return size


def _poisoned(node: ast.StructDecl | ast.ModelDecl) -> Entity:
    # Module scopes hold entities only; a poisoned declaration answers like one.
    return Poison(node.name.span)


def _resolve_record(
    context: Context, node: ast.StructDecl | ast.ModelDecl, record: RecordDeclaration
) -> None:
    declare_generics(context, node.generics)
    fields: list[FieldDeclaration] = []
    failed = False
    if isinstance(node, ast.StructDecl):
        for entry in node.fields:
            try:
                type_ = resolve_type(context, entry.type)
                _check_field(context, entry.type, type_)
                new = FieldDeclaration(
                    entry.name.text, type_, Role.DATA, entry.name.span, entry.doc
                )
                context.declare(entry.name, FieldEntity(new))
                fields.append(new)
            except Stop:
                failed = True
    else:
        context.facts = assume(context.facts, record.requirements)
        for member in node.members:
            if isinstance(member, ast.DimDecl):
                _dim(context, member)
        for parameter in node.parameters:
            type_ = resolve_type(context, parameter.type)
            new = FieldDeclaration(
                parameter.name.text,
                type_,
                Role.HYPER,
                parameter.name.span,
                has_default=parameter.default is not None,
            )
            context.declare(parameter.name, FieldEntity(new))
            fields.append(new)
        for member in node.members:
            try:
                field = _member(context, member)
            except Stop:
                failed = True
                continue
            if field is not None:
                fields.append(field)
    record.fields = tuple(fields)
    if failed:
        raise Stop


def _check_field(context: Context, node: ast.TypeExpr, type_: Type) -> None:
    if not any(True for _ in leaves(type_)) and not isinstance(type_, KeyType):
        if isinstance(type_, RecordName | RecordType | StackType):
            return
        raise context.fail(
            "type.field", f"a field cannot be {type_}", node.span, "functions are not data"
        )


def _member(context: Context, member: ast.ModelMember) -> FieldDeclaration | None:
    match member:
        case ast.ParamMember():
            type_ = resolve_type(context, member.type)
            role = Role.FROZEN if member.frozen else Role.PARAM
        case ast.StateMember():
            type_ = resolve_type(context, member.type)
            role = Role.STATE
        case ast.SubMember():
            type_ = resolve_type(context, member.type)
            inner = type_
            while isinstance(inner, StackType):
                inner = inner.item
            if not isinstance(inner, RecordType) or not inner.declaration.is_model:
                raise context.fail(
                    "type.field",
                    f"`{member.name.text}` is not a sub-model",
                    member.type.span,
                    str(type_),
                    help=[f"an array needs a role: `param {member.name.text}: {type_} = zeros`"],
                )
            role = Role.FROZEN_SUB if member.frozen else Role.SUB
        case ast.FnDecl() | ast.DimDecl():
            return None
    field = FieldDeclaration(member.name.text, type_, role, member.name.span, member.doc)
    context.declare(member.name, FieldEntity(field))
    return field


def _refuse_recursion(
    context: Context, node: ast.StructDecl | ast.ModelDecl, record: RecordDeclaration
) -> None:
    seen: set[RecordDeclaration] = set()
    pending = [record]
    while pending:
        for field in pending.pop().fields:
            inner = pruned(field.type)
            while isinstance(inner, StackType):
                inner = inner.item
            if isinstance(inner, RecordType) and inner.declaration not in seen:
                if inner.declaration is record:
                    context.diagnostics.report(
                        "type.recursive",
                        f"`{record.name}` contains itself",
                        field.span,
                        "a value of this type would have no end",
                    )
                    record.fields = ()
                    context.module.names[node.name.text] = _poisoned(node)
                    return
                seen.add(inner.declaration)
                pending.append(inner.declaration)


# ---- functions --------------------------------------------------------------------------------


def resolve_signatures(context: Context) -> None:
    """Signatures of every function and method of the file."""
    for function in context.module.functions.values():
        _resolve_signature(context, function, None)
    for record, model in context.module.models.items():
        if context.module.names.get(record.name) is not record:
            continue
        for member in model.node.members:
            if not isinstance(member, ast.FnDecl):
                continue
            name = member.name.text
            if name in model.methods or record.field(name) is not None:
                context.diagnostics.report(
                    "name.duplicate", f"`{name}` is declared twice", member.name.span
                )
                continue
            model.methods[name] = FunctionDeclaration.declare(member, context.module, record)
        model.is_sound = True
        for method in model.methods.values():
            _resolve_signature(context, method, model)


def model_scope(context: Context, model: ModelBody) -> Scope:
    """Sizes, fields and functions of a model, for its own functions and initializers."""
    scope, record = Scope(), model.declaration
    for generic in record.generics:
        scope.names[generic.name] = _entity(generic)
    for name, size in record.dims.items():
        scope.names[name] = SizeEntity(size.spelled(name), record.span)
    for field in record.fields:
        scope.names[field.name] = FieldEntity(field)
    scope.names |= model.methods
    return scope


def function_scope(
    context: Context, function: FunctionDeclaration, model: ModelBody | None
) -> None:
    """Make the current scope that of a function's signature: generics, then parameters."""
    context.scope = Scope(model_scope(context, model) if model is not None else None)
    context.facts = function.facts
    context.bare = function.bare
    for generic in function.generics:
        scope = context.scope.names
        scope[generic.name] = _entity(generic)
    for symbol in function.symbols:
        context.scope.names[symbol.name] = symbol


def _resolve_signature(
    context: Context, function: FunctionDeclaration, model: ModelBody | None
) -> None:
    node = function.node
    outer = context.scope, context.facts, context.bare
    context.scope = Scope(model_scope(context, model) if model is not None else None)
    context.facts = (
        assume(context.facts, model.declaration.requirements) if model else context.facts
    )
    context.bare = function.bare
    try:
        if node.mutable and model is None:
            raise context.fail(
                "state.function", "only functions of a model are `mut`", node.name.span
            )
        if model is not None:
            function.self_symbol = Symbol(
                "self",
                SymbolKind.SELF,
                model.declaration.itself(),
                node.name.span,
                is_mutable=node.mutable,
            )
            context.bare[model.declaration] = tuple(
                value for value in model.declaration.itself().arguments if isinstance(value, Size)
            )
            context.scope.names["self"] = function.self_symbol
        function.generics = declare_generics(context, node.generics)
        clauses = _early_clauses(context, function)
        parameters: list[Parameter] = []
        symbols: list[Symbol] = []
        for entry in node.parameters:
            type_ = resolve_type(context, entry.type, entry.name.text)
            symbol = Symbol(
                entry.name.text,
                SymbolKind.PARAMETER,
                type_,
                entry.name.span,
                is_mutable=entry.mutable,
            )
            context.declare(entry.name, symbol)
            symbols.append(symbol)
            parameters.append(
                Parameter(
                    entry.name.text,
                    type_,
                    entry.name.span,
                    default_of(context.module, entry),
                    entry.mutable,
                )
            )
        for entry in parameters:
            if entry.default is None and any(
                p.default for p in parameters[: parameters.index(entry)]
            ):
                raise context.fail(
                    "call.default", "a parameter without default follows one with", entry.span
                )
        clauses += _late_clauses(context, function, clauses)
        result = resolve_type(context, node.result)
        function.parameters = tuple(parameters)
        function.symbols = tuple(symbols)
        function.requirements = tuple(clauses)
        function.result = result
        function.facts = context.facts
        function.is_sound = True
        for symbol in symbols:
            symbol.affine = _affine_parameter(symbol)
    except Stop:
        pass
    finally:
        context.scope, context.facts, context.bare = outer


def _affine_parameter(symbol: Symbol) -> Size | None:
    type_ = symbol.type
    if isinstance(type_, TensorType) and not type_.shape and not symbol.is_mutable:
        element = resolved(type_.element)
        if isinstance(element, DType) and element.is_integer:
            return Size.named(f"{symbol.name}'")
    return None


def _early_clauses(context: Context, function: FunctionDeclaration) -> list[Requirement]:
    """Clauses over generic sizes alone hold while the parameters are resolved."""
    clauses: list[Requirement] = []
    names = {generic.name for generic in function.generics}
    owner = function.owner
    if owner is not None:
        names |= {generic.name for generic in owner.generics} | set(owner.dims)
    for node in function.node.requires:
        used = {part.text for part in ast.walk(node) if isinstance(part, ast.Name)}
        members = any(isinstance(part, ast.Member) for part in ast.walk(node))
        if used <= names and not members:
            clauses += resolve_clause(context, node)
    context.facts = assume(context.facts, clauses)
    return clauses


def _late_clauses(
    context: Context, function: FunctionDeclaration, early: list[Requirement]
) -> list[Requirement]:
    """Clauses that mention parameters: `T <= net.C`."""
    done = {clause.span for clause in early}
    clauses: list[Requirement] = []
    for node in function.node.requires:
        if node.span not in done:
            clauses += [c for c in resolve_clause(context, node) if c.span not in done]
    context.facts = assume(context.facts, clauses)
    return clauses
