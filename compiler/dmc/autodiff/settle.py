"""Carrying out a plan: forward loops stack what is kept, reverse loops scan it and repeat the rest.

The function is walked once, in order. In front of the first operation that needs a value of a
forward region, that value is fetched into the reverse region.
"""

from __future__ import annotations

from dmc.autodiff.plan import Plan, Scan, is_index, make_plan
from dmc.autodiff.stack import stack_contractions
from dmc.autodiff.tape import Structured, Tape, drop_dead
from dmc.autodiff.undo import Undo
from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import control, tensor
from dmc.ir import Block, Builder, Operation, Value


def settle(tape: Tape, body: Block) -> None:
    """Give the reverse code in `body`, that of a function, all that it needs of forward regions."""
    drop_dead(body, set(tape.reverse_of))
    tape.forget_erased()
    needs = dict.fromkeys(value for _, value in tape.needs(body))
    if needs:
        _Settling(tape, make_plan(tape, needs, body)).block(body)
    stack_contractions(tape)


class _Settling:
    """`found` has the values that were fetched, `cursor` where code is inserted in a block."""

    def __init__(self, tape: Tape, plan: Plan) -> None:
        self.tape = tape
        self.plan = plan
        self.found: dict[Value, Value] = {}
        self.cursor: dict[Block, Operation] = {}
        self.around: set[Block] = set()
        self.forward_of: dict[Operation, Structured] = {
            reverse: forward for forward, reverse in tape.reverse_of.items()
        }
        self.kept: set[Value] = set()
        """Values made only to be kept."""
        self.undoing: dict[Undo, Value] = {}
        """The argument of the reverse loop that carries a table back."""
        self.branch_of: dict[Value, Undo] = {}
        """In a reverse branch, the chain to a table as it was in front of the branch."""

    # The walk

    def block(self, block: Block) -> None:
        self.around.add(block)
        for op in block:
            self.cursor[block] = op
            self.operation(op)
        self._hand_back(block)
        self.around.remove(block)

    def operation(self, op: Operation) -> None:
        for index, value in enumerate(op.operands):
            if self.tape.is_gone(value, self.around):
                op.set_operand(index, self.fetch(value))
        forward = self.forward_of.get(op)
        if isinstance(forward, control.If) and isinstance(op, control.If):
            self._branches(forward, op)
            return
        self._begin(op)
        for inner in op.regions:
            self.block(inner.block)
        self._end(op)

    def _branches(self, forward: control.If, op: control.If) -> None:
        """Behind reverse branches, the tables that they change are as they were in front."""
        undone = [self._around(forward, result) for result in forward.results]
        chains = [outer.inner[forward] for outer in undone if outer is not None]
        restored: list[list[Value]] = []
        for position, block in enumerate(op.yielding):
            before = [each[position].values[0] for each in chains]
            held = [self.found.pop(value, None) for value in before]
            assert not any(held)
            self.branch_of.update((each[position].values[0], each[position]) for each in chains)
            self.block(block)
            restored.append([self.fetch(value) for value in before])
            for value in before:
                self.found.pop(value, None)
                del self.branch_of[value]
        for each, values in zip(chains, zip(*restored, strict=True), strict=True):
            value = each[0].values[0]
            self.found[value] = op.join(values, value.name)

    def _around(self, step: Operation, left: Value) -> Undo | None:
        """The chain that is undone and has `step`, which leaves `left` of a table."""
        undo = self.plan.undone(left)
        return undo if undo is not None and step in undo.inner else None

    def _begin(self, op: Operation) -> None:
        """A reverse loop carries back the tables that the loop around carries back too."""
        forward = self.forward_of.get(op)
        if not isinstance(forward, control.Loop):
            return
        for arg, final in zip(forward.carried_args, forward.finals, strict=True):
            undo, outer = self.plan.undone(arg), self._around(forward, final)
            if undo is not None and outer is not None and outer.inner[forward] == (undo,):
                self._carry_back(undo)

    def _end(self, op: Operation) -> None:
        """Behind a reverse loop, the tables that it carries back are as they were at first."""
        forward = self.forward_of.get(op)
        if not isinstance(forward, control.Loop) or not isinstance(op, control.For):
            return
        for undo, arg in self.undoing.items():
            if undo.block is forward.repeated:
                init = forward.inits[undo.values[0].index - forward.first_carried]
                final = op.finals[op.carried_args.index(arg)]
                if init.parent_block in self.tape.mirrors:
                    self.found.setdefault(init, final)

    def _hand_back(self, block: Block) -> None:
        """At the end of an iteration, go on with the tables as they were at its beginning."""
        loop = block.parent_op
        done: set[Undo] = set()
        while isinstance(loop, control.For):
            here = (u for u in self.undoing if self.tape.mirrors[u.block] is block)
            undo = next((u for u in here if u not in done), None)
            if undo is None:
                return
            done.add(undo)
            loop.set_next(self.undoing[undo], self.fetch(undo.values[0]))

    # Fetching

    def fetch(self, value: Value) -> Value:
        """`value` of a forward region, in the reverse region that belongs to it."""
        if not self.tape.is_gone(value, self.around):
            return value
        found = self.found.get(value)
        if found is None:
            found = self._fetch(value)
            found.name = found.name or value.name
            self.found.setdefault(value, found)
        return self.found[value]

    def _fetch(self, value: Value) -> Value:
        branch = self.branch_of.get(value)
        if branch is not None:
            return self._undone(branch, value)
        if is_index(value):
            return self._mirror(value).args[0]
        if value in self.kept or self.plan.is_kept(value):
            return self._kept(value)
        match self.plan.producer(value):
            case Scan(_, scanned):
                loop = self._mirror(value).parent_op
                assert isinstance(loop, control.For)
                return loop.add_scanned(self.fetch(scanned))
            case Undo() as undo:
                return self._undone(undo, value)
            case Operation() as op:
                return self._repeated(op, value)
            case None:
                raise CompilerBug(f"{value} cannot be computed again")

    def _mirror(self, value: Value) -> Block:
        block = value.parent_block
        assert block is not None
        return self.tape.mirrors[block]

    def _builder(self, value: Value, location: Operation) -> Builder:
        """Inserts where the reverse region of `value` has got to."""
        block = self._mirror(value)
        return Builder(block, self.cursor[block], location.location.by("recompute"))

    def _kept(self, value: Value) -> Value:
        """Keep `value` for each iteration of the loops around."""
        block = value.parent_block
        owner = block.parent_op if block is not None else None
        match owner:
            case control.Loop():
                stack = owner.add_stack(value)
                stack.name = f"{value.name}_tape" if value.name else ""
                self.kept.add(stack)
                loop = self.tape.reverse_of[owner]
                assert isinstance(loop, control.For)
                arg = loop.add_scanned(self.fetch(stack))
                arg.name = value.name
                return arg
            case control.If():
                result = owner.add_result(value)
                self.kept.add(result)
                return self.fetch(result)
            case _:
                raise CompilerBug(f"{value} is in no region that keeps values")

    def _repeated(self, op: Operation, value: Value) -> Value:
        """Run `op` again."""
        captured = [v for inner in op.regions for v in inner.captures()]
        mapping = {v: self.fetch(v) for v in (*op.operands, *captured)}
        builder = self._builder(value, op)
        builder.insert(op.clone(mapping, op.location.by("recompute")))
        self.found.update((v, mapping[v]) for v in op.results)
        return mapping[value]

    # Undoing

    def _carry_back(self, undo: Undo) -> None:
        """Let the reverse loop carry a table from its last value."""
        if undo in self.undoing:
            return
        forward = undo.block.parent_op
        assert isinstance(forward, control.Loop)
        loop = self.tape.reverse_of[forward]
        assert isinstance(loop, control.For)
        arg, _ = loop.add_carried(self.fetch(undo.last), undo.values[0].name)
        self.undoing[undo] = arg
        self.found[undo.values[-1]] = arg

    def _undone(self, undo: Undo, value: Value) -> Value:
        """A state of a table, from the one after it."""
        at = undo.values.index(value)
        if isinstance(undo.block.parent_op, control.Loop):
            self._carry_back(undo)
            if value in self.found:
                return self.found[value]
        elif value is undo.values[-1]:
            return self.fetch(undo.last)
        step = undo.steps[at]
        if isinstance(step, control.Loop):
            return self._undone_loop(undo, step, value)
        if isinstance(step, control.If):
            return self._undone_branch(undo, step, value)
        assert isinstance(step, tensor.Update)
        changed = self.fetch(undo.values[at + 1])
        before = Builder.ahead_of(step)
        old = step.overwritten(before)
        self.kept.add(old)
        places = [self.fetch(index) for index in step.operands[2:]]
        old = self.fetch(old)
        return step.restored(self._ahead(undo, step), changed, old, places)

    def _ahead(self, undo: Undo, step: Operation) -> Builder:
        """Inserts where the reverse region that undoes `step` has got to."""
        block = self.tape.mirrors[undo.block]
        return Builder(block, self.cursor[block], step.location.by("recompute"))

    def _undone_loop(self, undo: Undo, step: control.Loop, value: Value) -> Value:
        """Undo a loop that has no reverse of its own."""
        if step in self.tape.reverse_of or not isinstance(step, control.For):
            raise CompilerBug(f"{value} is needed before it can be had")
        count = self.fetch(step.count)
        builder = self._ahead(undo, step)
        body = Block([control.INDEX], [step.index.name])
        control.make_yield(Builder(body, location=builder.location), [])
        loop = control.make_for(
            builder, count, [], [], body, step.trip_count, not step.reverse, most=step.extent
        )
        self.tape.pair(step, loop)
        self.forward_of[loop] = step
        block = self.tape.mirrors[undo.block]
        held, self.cursor[block] = self.cursor[block], loop
        self._carry_back(*undo.inner[step])
        self.operation(loop)
        self.cursor[block] = held
        return self.found[value]

    def _undone_branch(self, undo: Undo, step: control.If, value: Value) -> Value:
        """Undo branches that have no reverse of their own."""
        if step in self.tape.reverse_of:
            raise CompilerBug(f"{value} is needed before it can be had")
        condition = self.fetch(step.condition)
        builder = self._ahead(undo, step)
        blocks = [Block(), Block()]
        for each in blocks:
            control.make_yield(Builder(each, location=builder.location), [])
        branch = control.make_if(builder, condition, *blocks)
        self.tape.pair(step, branch)
        self.forward_of[branch] = step
        block = self.tape.mirrors[undo.block]
        held, self.cursor[block] = self.cursor[block], branch
        self.operation(branch)
        self.cursor[block] = held
        return self.found[value]
