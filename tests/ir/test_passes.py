"""Pipelines as text, and what the pass manager does around each pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from dmc.ir import Module, Operation, PassFailure, verify
from dmc.ir.edits import edit
from dmc.ir.parser import parse_module
from dmc.ir.passes import Compound, Pass, PassManager, PipelineError, parse_pipeline
from tests.ir.modules import Anything


@dataclass(frozen=True)
class Tag(Pass):
    """Adds an operation with the options of the pass."""

    name: ClassVar[str] = "test-tag"
    count: int = 1
    loud: bool = False
    text: str = "x"

    def run(self, module: Module) -> None:
        attributes = {"text": self.text, "loud": self.loud}
        for _ in range(self.count):
            module.append(Anything([], attributes, [], []))


@dataclass(frozen=True)
class Look(Pass):
    """Changes nothing."""

    name: ClassVar[str] = "test-look"

    def run(self, module: Module) -> None:
        list(module.walk())


@dataclass(frozen=True)
class Break(Pass):
    """Leaves IR that does not verify, or raises."""

    name: ClassVar[str] = "test-break"
    loud: bool = False

    def run(self, module: Module) -> None:
        if self.loud:
            raise ArithmeticError("no")
        for _ in range(2):
            module.append(Anything([], {"sym_name": "twice"}, [], []))


def test_a_pipeline_is_text_and_back() -> None:
    text = "test-tag{count=2,loud=true,text=a-b},test-tag,test-break"
    passes = parse_pipeline(text)
    assert passes == [Tag(2, True, "a-b"), Tag(), Break()]
    assert ",".join(map(str, passes)) == text
    assert parse_pipeline(" test-tag { count = 3 } , test-tag ") == [Tag(3), Tag()]
    assert parse_pipeline("") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "no pass `nothing`; there are"),
        ("test-tag{size=1}", "has no option `size=1`"),
        ("test-tag{count}", "has no option `count`"),
        ("test-tag{count=many}", "wants int for `count`, not `many`"),
        ("test-tag{loud=1}", "wants bool for `loud`, not `1`"),
        ("test-tag{count=1", "cannot read the pipeline"),
        ("test-tag test-tag", "cannot read the pipeline"),
    ],
)
def test_wrong_pipelines_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        parse_pipeline(text)


@dataclass(frozen=True)
class Twice(Compound):
    """Tags until there are two."""

    name = "test-twice"
    then: bool = False

    def steps(self, module: Module) -> Iterator[Pass]:
        while len(list(module.body)) < 2:
            yield Tag()
        if self.then:
            yield Break(loud=True)


def test_compound_passes_are_managed_step_by_step() -> None:
    seen: list[str] = []
    everything = frozenset({"*"})
    manager = PassManager(
        [Twice(), Tag()],
        print_after=everything,
        on_print=lambda title, _: seen.append(title),
    )
    module = Module.empty()
    manager.run(module)
    assert seen == ["after test-tag"] * 3
    assert [name for name, _ in manager.seconds] == ["test-tag"] * 3
    again = Module.empty()
    Twice().run(again)
    assert len(list(again.body)) == 2


def test_a_failing_step_is_named_with_what_it_was_given(tmp_path: Path) -> None:
    manager = PassManager([Twice(then=True)], reproducers=tmp_path)
    with pytest.raises(PassFailure, match="pass test-break failed") as caught:
        manager.run(Module.empty())
    assert caught.value.reproducer is not None
    assert len(list(parse_module(caught.value.reproducer.read_text()).body)) == 2


def test_a_pass_that_did_nothing_waits_for_a_change() -> None:
    manager = PassManager([Look(), Look(), Tag(), Look(), Tag(loud=True), Tag()])
    manager.run(Module.empty())
    names = ["test-look", "test-tag", "test-look", "test-tag{loud=true}", "test-tag"]
    assert [name for name, _ in manager.seconds] == names


def test_every_change_counts() -> None:
    module = parse_module(
        "%a = test.constant 5 : f32\ntest.anything %a {scale = 1.0} : (f32) -> ()\n"
    )
    constant, user = module.body

    def changes(action: Callable[[], object]) -> bool:
        before = edit()
        action()
        return edit() > before + 1

    assert not changes(lambda: list(module.walk()))
    assert changes(lambda: user.attributes.__setitem__("scale", 2.0))
    assert changes(lambda: user.attributes.__delitem__("scale"))
    assert changes(lambda: user.set_operand(0, constant.results[0]))
    assert changes(lambda: user.set_operands([]))
    assert changes(lambda: module.body.add_arg(constant.results[0].type))
    assert changes(lambda: module.body.arrange_args(module.body.args))
    assert changes(lambda: module.body.erase_arg(0))
    assert changes(user.detach)
    assert changes(lambda: module.body.insert(user))
    assert changes(lambda: user.insert_result(0, constant.results[0].type))


def test_passes_are_printed_and_timed() -> None:
    seen: list[tuple[str, str]] = []
    manager = PassManager(
        [Tag(), Tag(loud=True)],
        print_before=frozenset({"test-tag"}),
        print_after=frozenset({"*"}),
        on_print=lambda title, text: seen.append((title, text)),
    )
    manager.run(Module.empty())
    assert [title for title, _ in seen] == [
        "before test-tag",
        "after test-tag",
        "before test-tag{loud=true}",
        "after test-tag{loud=true}",
    ]
    assert [text.count("test.anything") for _, text in seen] == [0, 1, 1, 2]
    assert [name for name, _ in manager.seconds] == ["test-tag", "test-tag{loud=true}"]


@pytest.mark.parametrize(
    ("culprit", "cause"), [(Break(), "symbol names repeat"), (Break(loud=True), "no")]
)
def test_a_failure_names_the_pass_and_leaves_its_input(
    tmp_path: Path, culprit: Pass, cause: str
) -> None:
    manager = PassManager([Tag(), culprit, Tag()], reproducers=tmp_path)
    with pytest.raises(PassFailure, match=f"pass test-break failed.*{cause}") as caught:
        manager.run(Module.empty())
    assert caught.value.pass_name == "test-break"
    assert caught.value.reproducer is not None
    text = caught.value.reproducer.read_text()
    assert text.startswith(f"// dmc opt --passes '{culprit}'\n")
    module = parse_module(text)
    verify(module)
    assert [type(op) for op in module.body] == [Anything]
    assert isinstance(next(iter(module.body)), Operation)
