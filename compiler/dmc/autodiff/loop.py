"""Tangent and adjoint of `control.for` and `control.while`.

The tangent loop carries tangents beside values. The adjoint is a loop in the other direction: it
carries the cotangents of the carried values and those of what the body captures, to which each
iteration adds in place. (Griewank and Walther, Evaluating Derivatives, 2008, sections 3 and 12.)
The reverse of a `while` is a `for`, since by then it is known how often it ran.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.autodiff.adjoint import AdjointDriver, Pullback
from dmc.autodiff.tangent import TangentDriver
from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, control
from dmc.dialects.value_ranges import bounds_of
from dmc.ir import Block, Operation, TapeType, Value

# Forward mode


def tangent_of_for(driver: TangentDriver, op: Operation) -> None:
    """Carry, scan and stack the tangents of active values beside the values."""
    assert isinstance(op, control.For)
    body, scanned = _tangent_body(driver, op)
    primal = driver.primal
    loop = control.make_for(
        driver.builder,
        primal.get(op.count, op.count),
        _both(driver, op.inits, _active(driver, op.carried_args)),
        _both(driver, op.scanned, scanned),
        body,
        op.trip_count,
        op.reverse,
        op.checkpoint,
        op.most,
    )
    _take(driver, op, loop)


def tangent_of_while(driver: TangentDriver, op: Operation) -> None:
    """As of `for`; the condition looks at values only."""
    assert isinstance(op, control.While)
    carried = _active(driver, op.carried_args)
    test = Block()
    mapping = dict(driver.primal)
    for arg in op.condition.args:
        mapping[arg] = test.add_arg(arg.type, arg.name)
    for i in carried:
        test.add_arg(op.condition.args[i].type)
    for inner_op in op.condition:
        test.insert(inner_op.clone(mapping))
    body, _ = _tangent_body(driver, op)
    inits = _both(driver, op.inits, carried)
    _take(driver, op, control.make_while(driver.builder, inits, test, body, op.checkpoint))


def _active(driver: TangentDriver, values: Sequence[Value]) -> list[int]:
    return [i for i, value in enumerate(values) if value in driver.active]


def _both(driver: TangentDriver, values: Sequence[Value], active: Sequence[int]) -> list[Value]:
    """Values, then the tangents of those that are active."""
    copies = [driver.primal.get(value, value) for value in values]
    return [*copies, *(driver.tangent_or_zero(values[i]) for i in active)]


def _tangent_body(driver: TangentDriver, op: control.Loop) -> tuple[Block, list[int]]:
    """The body of the tangent loop, and which scanned values have tangents."""
    body = Block()
    inner = driver.inside(body)
    scanned = _active(driver, op.scanned_args)
    for arg in op.repeated.args[: op.first_carried]:
        inner.primal[arg] = body.add_arg(arg.type, arg.name)
    for args, active in (
        (op.carried_args, _active(driver, op.carried_args)),
        (op.scanned_args, scanned),
    ):
        for arg in args:
            inner.primal[arg] = body.add_arg(arg.type, arg.name)
        for i in active:
            inner.record(args[i], body.add_arg(args[i].type))
    inner.block(op.repeated)
    carried = _active(driver, op.carried_args)
    stacks = _active(driver, op.stacked_values)
    with inner.builder.at(driver.builder.location):
        nexts = _both(inner, op.next_values, carried)
        stacked = _both(inner, op.stacked_values, stacks)
        control.make_yield(inner.builder, [*nexts, *stacked])
    return body, scanned


def _take(driver: TangentDriver, op: control.Loop, loop: control.Loop) -> None:
    """Take over the results of the tangent loop."""
    pairs = (op.finals, op.carried_args, loop.finals), (op.stacks, op.stacked_values, loop.stacks)
    for results, inside, made in pairs:
        for old, new in zip(results, made, strict=False):
            new.name = old.name
            driver.primal[old] = new
        tangents = made[len(results) :]
        for i, new in zip(_active(driver, inside), tangents, strict=True):
            driver.record(results[i], new)


# Reverse mode


@dataclass(frozen=True)
class _Pair:
    """A loop of the source and the forward loop that stands for it.

    `count` is how often that has run, and `begin` prepares a reverse iteration: it gives what to
    pull cotangents back through.
    """

    op: control.Loop
    loop: control.Loop
    count: Callable[[AdjointDriver], Value]
    begin: Callable[[AdjointDriver], list[Pullback]]

    def pull_back(self, reverse: AdjointDriver) -> None:
        if any(value in reverse.cotangents for value in self.op.results):
            with reverse.builder.at(self.op.location.by("adjoint")):
                _Reverse(reverse, self).emit()


def adjoint_of_for(driver: AdjointDriver, op: Operation) -> Pullback:
    """Emit the forward loop; the pullback emits the reverse loop."""
    assert isinstance(op, control.For)
    return (_repeating(driver, op) if op.checkpoint else _keeping(driver, op)).pull_back


def _most(op: control.For) -> int:
    """The greatest count that the loop can have, -1 where nothing tells.

    What a loop keeps on tapes already stays there.
    """
    if op.extent >= 0 or op.scanned or op.stacks:
        return op.extent
    bounds = bounds_of(op.count)
    return -1 if bounds is None else max(bounds[1], 0)


def _keeping(driver: AdjointDriver, op: control.For) -> _Pair:
    """The reverse loop uses what each iteration of the forward loop has computed."""
    body = Block()
    inner = driver.inside(body)
    for arg in op.body.args:
        inner.primal[arg] = body.add_arg(arg.type, arg.name)
    pullbacks = inner.forward(op.body)
    control.make_yield(inner.builder, [inner.primal[v] for v in op.body.terminator.operands])
    primal = driver.primal
    loop = control.make_for(
        driver.builder,
        primal[op.count],
        [primal[v] for v in op.inits],
        [primal[v] for v in op.scanned],
        body,
        op.trip_count,
        op.reverse,
        most=_most(op),
    )
    driver.adopt(op, loop)
    return _Pair(op, loop, lambda back: back.primal[op.count], _resume(inner, pullbacks))


def _repeating(driver: AdjointDriver, op: control.For) -> _Pair:
    """The reverse loop repeats each iteration, from the carried values at its beginning."""
    loop = driver.copy(op)
    assert isinstance(loop, control.For)
    loop.attributes["most"] = _most(op)
    loop.attributes["checkpoint"] = 0

    begin = _repeat(op, loop.body.args)
    return _Pair(op, loop, lambda back: back.primal[op.count], begin)


def _repeat(op: control.Loop, args: Sequence[Value]) -> Callable[[AdjointDriver], list[Pullback]]:
    """Do again what an iteration has done, from the arguments of the forward loop."""

    def begin(back: AdjointDriver) -> list[Pullback]:
        back.primal.update(zip(op.repeated.args, args, strict=True))
        return back.forward(op.repeated)

    return begin


def _resume(
    inner: AdjointDriver, pullbacks: list[Pullback]
) -> Callable[[AdjointDriver], list[Pullback]]:
    """Go back through what the forward loop has done."""

    def begin(back: AdjointDriver) -> list[Pullback]:
        back.primal = inner.primal
        return pullbacks

    return begin


def adjoint_of_while(driver: AdjointDriver, op: Operation) -> Pullback:
    """Emit the loop, which counts its iterations; the pullback emits a loop as long."""
    assert isinstance(op, control.While)
    test, body = Block([control.INDEX], ["i"]), Block([control.INDEX], ["i"])
    mapping = dict(driver.primal)
    for arg in op.condition.args:
        mapping[arg] = test.add_arg(arg.type, arg.name)
    for inner_op in op.condition:
        test.insert(inner_op.clone(mapping))
    inner = driver.inside(body)
    for arg in op.body.args:
        inner.primal[arg] = body.add_arg(arg.type, arg.name)
    if op.checkpoint:
        for inner_op in op.body:
            if inner_op is not op.body.terminator:
                inner.copy(inner_op)
        begin = _repeat(op, body.args[1:])
    else:
        begin = _resume(inner, inner.forward(op.body))
    following = arith.add(inner.builder, body.args[0], arith.index(inner.builder, 1))
    yielded = [inner.primal[v] for v in op.body.terminator.operands]
    control.make_yield(inner.builder, [following, *yielded])
    inits = [arith.index(driver.builder, 0), *(driver.primal[v] for v in op.inits)]
    loop = control.make_while(driver.builder, inits, test, body)
    for old, new in zip(op.results, loop.results[1:], strict=True):
        new.name = old.name
        driver.primal[old] = new
    return _Pair(op, loop, lambda _: loop.results[0], begin).pull_back


class _Reverse:
    """Emits the reverse loop.

    It carries the cotangents of the carried values and of what is captured; it scans those of the
    stacked values and stacks those of the scanned ones. What is known already of the cotangent of a
    tape it scans too, and adds to that.
    """

    def __init__(self, reverse: AdjointDriver, pair: _Pair) -> None:
        self.reverse = reverse
        self.pair = pair
        self.op = op = pair.op
        active = reverse.active
        self.carried = [i for i, arg in enumerate(op.carried_args) if arg in active]
        self.stacks = [
            i
            for i, value in enumerate(op.stacked_values)
            if value in active and self._is_seeded(op.stacks[i])
        ]
        self.scanned: dict[Value, list[Value]] = {}
        """The arguments that are slices of each scanned value."""
        for value, arg in zip(op.scanned, op.scanned_args, strict=True):
            if arg in active:
                self.scanned.setdefault(value, []).append(arg)
        counter = op.index.name if isinstance(op, control.For) else "i"
        self.body = Block([control.INDEX], [counter])
        self.back = reverse.inside(self.body)
        self.back.entering = self._enter
        self.captured: dict[Value, Value] = {}

    def _is_seeded(self, stack: Value) -> bool:
        """Tapes have cotangents or none; there are no zeros of them."""
        return not isinstance(stack.type, TapeType) or self.reverse.known(stack) is not None

    def _enter(self, value: Value) -> Value | None:
        if value in self.reverse.primal and value in self.reverse.active:
            if isinstance(value.type, TapeType):
                raise CompilerBug(f"{value} is read in a loop and was made outside of it")
            self.captured[value] = self.body.add_arg(value.type, _bar(value))
        return self.captured.get(value)

    def emit(self) -> None:
        op, reverse, back = self.op, self.reverse, self.back
        pullbacks = self.pair.begin(back)
        seeded = [op.next_values[i] for i in self.carried]
        seeded += [op.stacked_values[i] for i in self.stacks]
        seeds = [self.body.add_arg(value.type, _bar(value)) for value in seeded]
        tapes = [
            value
            for value in self.scanned
            if isinstance(value.type, TapeType) and reverse.known(value) is not None
        ]
        known = [self.body.add_arg(self.scanned[v][0].type) for v in tapes]
        with back.builder.at(op.location.by("adjoint")):
            for value, seed in zip(seeded, seeds, strict=True):
                back.accumulate(value, seed)
            for value, so_far in zip(tapes, known, strict=True):
                back.accumulate(self.scanned[value][0], so_far)
            back.reverse(pullbacks)
            leaving = [back.cotangent_or_zero(op.carried_args[i]) for i in self.carried]
            leaving += [back.cotangents[value] for value in self.captured]
            leaving += [self._total(args) for args in self.scanned.values()]
            control.make_yield(back.builder, leaving)
        count = len(self.carried)
        index = self.body.args[0]
        carried = [*seeds[:count], *self.captured.values()]
        self.body.arrange_args([index, *carried, *seeds[count:], *known])
        self._take(self._loop(tapes), tapes)

    def _total(self, args: Sequence[Value]) -> Value:
        """What an iteration adds up for the slices of one value."""
        first, *others = args
        total = self.back.cotangent_or_zero(first)
        for arg in others:
            more = self.back.known(arg)
            total = total if more is None else arith.add(self.back.builder, total, more)
        return total

    def _loop(self, tapes: Sequence[Value]) -> control.For:
        """The loop itself, over the finished body."""
        op, reverse, loop = self.op, self.reverse, self.pair.loop
        counted = op if isinstance(op, control.For) else None
        new = control.make_for(
            reverse.builder,
            self.pair.count(reverse),
            [
                *(reverse.cotangent_or_zero(op.finals[i]) for i in self.carried),
                *(reverse.cotangent_or_zero(value) for value in self.captured),
            ],
            [
                *(reverse.cotangent_or_zero(op.stacks[i]) for i in self.stacks),
                *(reverse.cotangent_or_zero(value) for value in tapes),
            ],
            self.body,
            -1 if counted is None else counted.trip_count,
            counted is None or not counted.reverse,
            most=loop.most if isinstance(loop, control.For) else -1,
        )
        reverse.tape.pair(loop, new)
        return new

    def _take(self, new: control.For, tapes: Sequence[Value]) -> None:
        """Add what the loop has added up."""
        op, reverse, count = self.op, self.reverse, len(self.carried)
        for value, bar in zip(self.captured, new.finals[count:], strict=True):
            reverse.replace(value, bar)
        for i, bar in zip(self.carried, new.finals, strict=False):
            bar.name = bar.name or _bar(op.carried_args[i])
            reverse.accumulate(op.inits[i], bar)
        for value, bar in zip(self.scanned, new.stacks, strict=True):
            if value in tapes:
                reverse.replace(value, bar)
            else:
                reverse.accumulate(value, bar)


def _bar(value: Value) -> str:
    return f"{value.name}_bar" if value.name else ""
