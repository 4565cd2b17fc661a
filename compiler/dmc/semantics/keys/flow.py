"""Follows keys through a body: what each variable holds, and when each key is spent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from dmc.diagnostics.report import Diagnostics
from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.keys.history import Frame, History, Joined, Spent, find, in_order
from dmc.semantics.keys.report import report
from dmc.semantics.keys.summary import Summary, relevant
from dmc.semantics.keys.tokens import Split, Token, Tokens
from dmc.semantics.keys.values import (
    Closure,
    Held,
    Key,
    Names,
    Parts,
    Whole,
    fresh,
    holds_keys,
    is_whole,
    items_of,
    join,
    keys_in,
    mapped,
)
from dmc.semantics.sizes import Size
from dmc.semantics.typed import Callee, DeclaredFunction, Operator, Symbol
from dmc.semantics.types import FunctionType, Type, pruned

__all__ = ["Flow", "Summaries"]


class Summaries:
    """Every function that was read, and the tokens they share."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.tokens = Tokens()
        self._known: dict[DeclaredFunction, Summary | None] = {}

    def of(self, function: DeclaredFunction) -> Summary | None:
        """None for a function without keys, and within itself."""
        if function not in self._known:
            self._known[function] = None
            types = [symbol.type for symbol in function.symbols]
            if function.self_symbol is not None:
                types.append(function.self_symbol.type)
            if function.body is not None and any(holds_keys(type_) for type_ in types):
                self._known[function] = self._read(function, function.body)
        return self._known[function]

    def _read(self, function: DeclaredFunction, body: typed.Node) -> Summary:
        symbols = [*function.symbols]
        if function.self_symbol is not None:
            symbols.append(function.self_symbol)
        names = {symbol: fresh(self.tokens, symbol.type) for symbol in symbols}
        parameters, first = tuple(names.values()), self.tokens.meetings
        flow = Flow(self, names)
        result = flow.read(body)
        updated = flow.names.get(symbols[-1]) if function.self_symbol is not None else None
        history = relevant(flow.history, (result, updated))
        count = self.tokens.meetings - first
        return Summary(parameters, history, result, updated, first, count)


class Flow:
    """The state at one point of a body: what names hold, and which keys are spent."""

    def __init__(self, summaries: Summaries, names: Names) -> None:
        self.summaries = summaries
        self.tokens = summaries.tokens
        self.names: dict[Symbol, Held] = dict(names)
        self.history: History = None
        self.spent: list[Spent] = []
        self.frames: tuple[Frame, ...] = ()
        self.binding: str | None = None

    # -- spending

    def spend(self, token: Token, span: Span, path: str = "") -> None:
        """A key is drawn from, split, or put into an array."""
        first = find(self.tokens, self.history, token)
        new = Spent(self.history, token, span, path, self.binding, self.frames)
        if first is not None:
            report(self.summaries.diagnostics, first, new)
            return
        self.history = new
        self.spent.append(new)

    def _store(self, value: Held, span: Span) -> None:
        """Elements of an array are told apart by their index: their keys become the array's."""
        for token, path in keys_in(value):
            self.spend(token, span, path)

    # -- expressions

    def read(self, node: typed.Node | None) -> Held:
        """What the value of a node holds."""
        match node:
            case None:
                return None
            case typed.Local(symbol=symbol):
                return self.names.get(symbol)
            case typed.Literal(value=value):
                return Whole(self.tokens.derive(value)) if is_whole(node.type) else None
            case typed.SizeValue(size=size):
                return Whole(self.tokens.size(size))
            case typed.MakeTuple(items=items):
                return Parts({str(i): self.read(item) for i, item in enumerate(items)})
            case typed.MakeRecord(declaration=declaration, fields=fields):
                held = [self.read(part) for part in fields]
                names = [entry.name for entry in declaration.fields]
                return Parts(dict(zip(names, held, strict=True)))
            case typed.WithFields(record=record, changes=changes):
                old = self.read(record)
                new = {name: self.read(part) for name, part in changes}
                return Parts({**items_of(old), **new})
            case typed.FieldOf(record=record, name=name):
                return items_of(self.read(record)).get(name)
            case typed.MakeArray(items=items):
                for item in items:
                    self._store(self.read(item), item.span)
                return self._unknown(node)
            case typed.Access(base=base, items=items):
                return self._access(node, self.read(base), items)
            case typed.Apply():
                first, applications = typed.chain(node)
                held = self.read(first)
                for each in applications:
                    operands = [held, *(self.read(o) for o in each.operands[1:])]
                    held = self._apply(each, each.function.name, operands)
                return held
            case typed.Draw() | typed.SplitKey() | typed.FoldKey():
                return self._random(node)
            case typed.FunctionValue(callee=callee):
                return self._close(callee)
            case typed.Call(callee=callee, arguments=arguments, updates=updates):
                result, updated = self._call(callee, arguments, node)
                if updates is not None:
                    self._assign(updates, updated)
                return result
            case typed.MapLeaves(function=function, trees=trees):
                for tree in trees:
                    self.read(tree)
                self._repeat(lambda: self._body(function, [None] * len(trees)), 2)
                return self._unknown(node)
            case _:
                return self._statement(node)

    def _unknown(self, node: typed.Node) -> Held:
        return fresh(self.tokens, node.type)

    def _random(self, node: typed.Draw | typed.SplitKey | typed.FoldKey) -> Held:
        key = self.read(node.key)
        token = key.token if isinstance(key, Key) else self.tokens.root()
        match node:
            case typed.FoldKey(data=data):
                number = self.read(data)
                folded = number.token if isinstance(number, Whole) else self.tokens.root()
                return Key(self.tokens.derive("fold", token, folded))
            case typed.SplitKey(count=count):
                self.spend(token, node.key.span)
                places = [self.tokens.derive(Split(i), token) for i in range(count)]
                return Parts({str(i): Key(place) for i, place in enumerate(places)})
            case typed.Draw(parameters=parameters):
                for parameter in parameters:
                    self.read(parameter)
                self.spend(token, node.key.span)
                return self._unknown(node)

    def _apply(self, node: typed.Node, function: str, operands: Sequence[Held]) -> Held:
        """Whole numbers computed alike are alike."""
        if not is_whole(node.type):
            return None
        wholes = [operand.token for operand in operands if isinstance(operand, Whole)]
        if len(wholes) < len(operands):
            return self._unknown(node)
        return Whole(self.tokens.derive(function, *wholes))

    def _access(self, node: typed.Node, base: Held, items: tuple[typed.At, ...]) -> Held:
        """The keys of one element of an array of records are told by its index."""
        places: list[Token] = []
        for item in items:
            if isinstance(item, typed.AtIndex):
                index = self.read(item.index)
                places.append(index.token if isinstance(index, Whole) else self.tokens.root())
            elif isinstance(item, typed.AtSlice):
                self.read(item.start)
                places.append(self.tokens.root())
        if base is None or not holds_keys(node.type):
            return self._unknown(node)
        return mapped(base, lambda token: self.tokens.derive("element", token, *places))

    # -- statements

    def _statement(self, node: typed.Node) -> Held:
        match node:
            case typed.Block(statements=statements, value=value):
                for statement in statements:
                    self.read(statement)
                return self.read(value)
            case typed.Bind(pattern=pattern, value=value):
                self.binding = pattern.name if isinstance(pattern, Symbol) else None
                held = self.read(value)
                self.binding = None
                self._bind(pattern, held)
                return None
            case typed.Assign(targets=targets, value=value):
                held = self.read(value)
                if len(targets) == 1:
                    self._assign(targets[0], held)
                else:
                    items = items_of(held)
                    for position, target in enumerate(targets):
                        self._assign(target, items.get(str(position)))
                return None
            case typed.If(condition=condition, then=then, otherwise=otherwise):
                self.read(condition)
                return self._branch(lambda: self.read(then), lambda: self.read(otherwise))
            case typed.For():
                return self._for(node)
            case typed.While(condition=condition, limit=limit, body=body):
                self.read(limit)

                def turn() -> None:
                    self.read(condition)
                    self.read(body)

                self._repeat(turn, self._rounds(node))
                return None
            case typed.Build(indexes=indexes, body=body):
                self._over(indexes, lambda: self._store(self.read(body), body.span))
                return self._unknown(node)
            case typed.ReduceIndexes(indexes=indexes, body=body):
                self._over(indexes, lambda: self.read(body))
                return self._unknown(node)
            case _:
                for operand in operands_of(node):
                    self.read(operand)
                return self._unknown(node)

    def _bind(self, pattern: typed.BindPattern, held: Held) -> None:
        match pattern:
            case None:
                return
            case Symbol():
                if held is None and not isinstance(pruned(pattern.type), FunctionType):
                    held = fresh(self.tokens, pattern.type)
                self.names[pattern] = held
            case _:
                items = items_of(held)
                for position, part in enumerate(pattern):
                    self._bind(part, items.get(str(position)))

    def _assign(self, place: typed.Place, held: Held) -> None:
        if held is None:
            held = fresh(self.tokens, place.type)
        self.names[place.symbol] = self._put(
            self.names.get(place.symbol), place.symbol.type, place.path, held, place.span
        )

    def _put(
        self,
        old: Held,
        type_: Type,
        path: tuple[str | tuple[typed.At, ...], ...],
        held: Held,
        span: Span,
    ) -> Held:
        """`old` with what `path` leads to replaced."""
        if not path:
            return held
        step, *rest = path
        if isinstance(step, str):
            items = items_of(old)
            return Parts({**items, step: self._put(items.get(step), type_, (*rest,), held, span)})
        for item in step:
            if isinstance(item, typed.AtIndex):
                self.read(item.index)
        self._store(held, span)
        return mapped(old, lambda _: self.tokens.root())

    # -- ways that part and meet

    def _branch(self, left: Callable[[], Held], right: Callable[[], Held]) -> Held:
        names, history = dict(self.names), self.history
        first = left()
        names, self.names = self.names, names
        history, self.history = self.history, history
        second = right()
        meeting = self._meet(names, history)
        return join(self.tokens, meeting, first, second)

    def _meet(self, names: Names, history: History) -> int:
        """Meet another way: `names` and `history` at its end."""
        meeting = self.tokens.meet()
        self.names = {
            symbol: join(self.tokens, meeting, held, self.names[symbol])
            for symbol, held in names.items()
            if symbol in self.names
        }
        if history is not self.history:
            self.history = Joined(history, self.history, meeting)
        return meeting

    def _rounds(self, node: typed.Node) -> int:
        """How often a body is read until every key has been wherever it can get to.

        A key that is carried through n variables is in the last of them after n iterations, and
        back in the first after as many more.
        """
        changed = [self.names.get(symbol) for symbol in typed.assigned(node)]
        for held in self.names.values():
            changed += held.names.values() if isinstance(held, Closure) else ()
        carried = sum(len([*keys_in(held)]) for held in changed)
        return 2 * carried + 2

    def _repeat(self, turn: Callable[[], object], rounds: int, index: str | None = None) -> None:
        """A loop of any number of iterations."""
        outer, ways = self.frames, [(self.names, self.history)]
        for _ in range(rounds):
            self.names = dict(self.names)
            self.frames = (*outer, Frame(True, index))
            turn()
            ways.append((self.names, self.history))
        self.frames = outer
        self.names, self.history = ways[0]
        for names, history in ways[1:]:
            ended = self.names, self.history
            self.names, self.history = names, history
            self._meet(*ended)

    def _for(self, node: typed.For) -> Held:
        start = self.read(node.start) if node.start is not None else Whole(self.tokens.derive(0))
        stop = self.read(node.stop)
        scanned = self.read(node.scanned)
        if stop is None and node.count is not None:
            stop = Whole(self.tokens.size(node.count))
        name = node.pattern.name if isinstance(node.pattern, Symbol) else None

        def turn(index: Token) -> None:
            if node.scanned is None:
                self._bind(node.pattern, Whole(index))
            else:
                self._bind(
                    node.pattern,
                    mapped(scanned, lambda token: self.tokens.derive("element", token, index)),
                )
            self._store(self.read(node.body), node.body.span)

        is_single = node.count is not None and node.count.constant == 1
        rounds = 1 if is_single else self._rounds(node)
        self._counted(turn, start, stop, name if node.scanned is None else None, rounds)
        return self._unknown(node)

    def _over(self, indexes: tuple[typed.IndexRange, ...], body: Callable[[], object]) -> None:
        """Every combination of indexes."""
        if not indexes:
            body()
            return
        first, *rest = indexes

        def turn(index: Token) -> None:
            self.names[first.symbol] = Whole(index)
            self._over((*rest,), body)

        is_single = first.count is not None and first.count.constant == 1
        start, stop = self.read(first.start), self.read(first.stop)
        self._counted(turn, start, stop, first.symbol.name, 1 if is_single else 2)

    def _counted(
        self,
        turn: Callable[[Token], object],
        start: Held,
        stop: Held,
        name: str | None,
        rounds: int,
    ) -> None:
        """A loop over a range. Two loops over one range fold the same numbers in."""
        index = self.tokens.root()
        indexes = iter((index, *(self.tokens.root() for _ in range(rounds))))
        before = len(self.spent)
        self._repeat(lambda: turn(next(indexes)), rounds, name)
        if not isinstance(start, Whole) or not isinstance(stop, Whole):
            return
        every = self.tokens.derive("every", start.token, stop.token)
        for one in self.spent[before:]:
            whole = self.tokens.rebuild(one.token, lambda part: every if part is index else None)
            if whole is not one.token:
                binding, self.binding = self.binding, one.binding
                self.spend(whole, one.span)
                self.binding = binding

    # -- functions

    def _close(self, callee: Callee) -> Held:
        """A function value, if it has to do with keys."""
        if isinstance(callee, typed.LocalFunction):
            return self.names.get(callee.symbol)
        used = {n.symbol for n in typed.walk(callee) if isinstance(n, typed.Local)}
        used |= {
            n.callee.symbol
            for n in typed.walk(callee)
            if isinstance(n, typed.Call) and isinstance(n.callee, typed.LocalFunction)
        }
        names = {s: held for s in used if (held := self.names.get(s)) is not None}
        if any(isinstance(h, Closure) or any(keys_in(h)) for h in names.values()):
            return Closure(callee, names)
        return None

    def _call(
        self, callee: Callee, arguments: Sequence[typed.Node | None], node: typed.Node
    ) -> tuple[Held, Held]:
        """The result, and the receiver of a `mut fn` afterwards."""
        given = [self.read(argument) for argument in arguments]
        spans = [a.span if a is not None else node.span for a in arguments]
        if isinstance(callee, typed.Derived):
            for direction in callee.along:
                self.read(direction)
            result, _ = self._apply_function(callee.function, given, spans, node)
            return _derived(callee.operator, result), None
        result, updated = self._apply_function(callee, given, spans, node)
        if result is None and not isinstance(pruned(node.type), FunctionType):
            result = self._unknown(node)
        for argument, held in zip(arguments, given, strict=True):
            if argument is not None and isinstance(held, Closure):
                self._return(argument, held)
        return result, updated

    def _return(self, argument: typed.Node, closure: Closure) -> None:
        """A function that was passed on has changed what it changes around it."""
        match argument:
            case typed.FunctionValue(callee=typed.LocalFunction(symbol=symbol)):
                self.names[symbol] = closure
            case typed.Local(symbol=symbol):
                self.names[symbol] = closure
            case _:
                self.names |= closure.names

    def _apply_function(
        self, callee: Callee, given: list[Held], spans: Sequence[Span], node: typed.Node
    ) -> tuple[Held, Held]:
        """The result, and the receiver of a `mut fn`; functions in `given` become what they are."""
        match callee:
            case typed.Lambda():
                return self._body(callee, given), None
            case typed.LocalFunction(symbol=symbol):
                function = self.names.get(symbol)
                if isinstance(function, Closure):
                    result, self.names[symbol] = self._call_closure(function, given, spans, node)
                    return result, None
                for held, span in zip(given, spans, strict=True):
                    self._store(held, span)
                return None, None
            case typed.UserFunction(declaration=declaration, receiver=receiver):
                own = self.read(receiver)
                if any(isinstance(held, Closure) for held in given):
                    return self._inline(declaration, given, own)
                place = receiver.span if receiver is not None else node.span
                return self._summarized(callee, given, own, (*spans, place))
            case typed.Derived(function=function):
                result, _ = self._apply_function(function, given, spans, node)
                return _derived(callee.operator, result), None
            case typed.PreludeFunction() | typed.Variation():
                return None, None

    def _body(self, function: typed.Lambda, given: Sequence[Held]) -> Held:
        for parameter, held in zip(function.parameters, given, strict=True):
            self._bind(parameter, held)
        return self.read(function.body)

    def _call_closure(
        self, function: Closure, given: list[Held], spans: Sequence[Span], node: typed.Node
    ) -> tuple[Held, Closure]:
        """The result, and the function afterwards: it may have changed what it sees."""
        names, frames = self.names, self.frames
        self.names, self.frames = dict(function.names), (*frames, Frame(False))
        result, _ = self._apply_function(function.callee, given, spans, node)
        changed = {symbol: self.names.get(symbol) for symbol in function.names}
        self.names, self.frames = names, frames
        return result, Closure(function.callee, changed)

    def _inline(
        self, declaration: DeclaredFunction, given: list[Held], receiver: Held
    ) -> tuple[Held, Held]:
        """A function of functions does what those do."""
        names = self.names
        self.names = {}
        for symbol, held in zip(declaration.symbols, given, strict=True):
            self._bind(symbol, held)
        own = declaration.self_symbol
        if own is not None:
            self.names[own] = receiver
        result = self.read(declaration.body)
        updated = self.names.get(own) if own is not None else None
        for place, symbol in enumerate(declaration.symbols):
            if isinstance(given[place], Closure):
                given[place] = self.names[symbol]
        self.names = names
        return result, updated

    def _summarized(
        self,
        callee: typed.UserFunction,
        given: Sequence[Held],
        receiver: Held,
        spans: Sequence[Span],
    ) -> tuple[Held, Held]:
        summary = self.summaries.of(callee.declaration)
        if summary is None:
            return None, None
        arguments, places = [*given], [*spans]
        if callee.declaration.self_symbol is not None:
            arguments.append(receiver)
        sizes = {name: size for name, size in callee.generics.items() if isinstance(size, Size)}
        told = summary.told(self.tokens, arguments, places[: len(arguments)], sizes)
        ends: dict[History, History] = {None: self.history}
        for event in in_order(summary.history):
            if isinstance(event, Joined):
                meeting = event.meeting + told.shift
                ends[event] = Joined(ends[event.left], ends[event.right], meeting)
                continue
            self.history = ends[event.before]
            self.spend(told.token(event.token), *(told.origin(event.token) or (spans[-1], "")))
            ends[event] = self.history
        self.history = ends[summary.history]
        return told.value(summary.result), told.value(summary.updated)


def _derived(operator: Operator, result: Held) -> Held:
    """Where what the function gives is in what the derived function gives."""
    match operator:
        case Operator.VALUE_AND_GRAD | Operator.JVP | Operator.VJP:
            return Parts({"0": result})
        case Operator.GRAD | Operator.JACOBIAN if isinstance(result, Parts):
            rest = {str(int(n) - 1): held for n, held in result.items.items() if n not in ("0",)}
            return Parts({"1": rest["0"] if len(rest) == 1 else Parts(rest)}) if rest else None
        case _:
            return None


def operands_of(node: typed.Node) -> Iterator[typed.Node]:
    """The nodes that a node is computed from, in order."""
    for entry in dataclasses.fields(node):
        value: object = getattr(node, entry.name)
        if isinstance(value, typed.Node):
            yield value
        elif isinstance(value, tuple):
            for item in value:  # pyright: ignore[reportUnknownVariableType]
                if isinstance(item, typed.Node):
                    yield item
