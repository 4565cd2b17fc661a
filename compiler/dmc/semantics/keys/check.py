"""Every function of a file is read once, with a token for each key of its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dmc.diagnostics.report import Diagnostics
from dmc.semantics.keys.flow import Flow, Summaries
from dmc.semantics.keys.values import Held, Key, fresh
from dmc.semantics.program import FunctionDeclaration, ModelBody, SourceModule
from dmc.semantics.typed import BindPattern, DerivativeRule, Symbol

__all__ = ["check_keys"]


def check_keys(
    module: SourceModule, rules: Sequence[DerivativeRule], diagnostics: Diagnostics
) -> None:
    """Report keys that are spent twice in functions of a module, and in the rules it declares."""
    summaries = Summaries(diagnostics)
    for function in _functions(module):
        summaries.of(function)
    for rule in rules:
        _check_rule(summaries, rule)
    for model in module.models.values():
        _check_initializers(summaries, model)


def _functions(module: SourceModule) -> Iterator[FunctionDeclaration]:
    yield from module.functions.values()
    for model in module.models.values():
        yield from model.methods.values()


def _check_rule(summaries: Summaries, rule: DerivativeRule) -> None:
    """A rule is handed the keys of the call that it belongs to."""
    names: dict[Symbol, Held] = {}
    for symbol in (*rule.inputs, *_symbols(rule.output), *rule.vectors):
        names[symbol] = fresh(summaries.tokens, symbol.type)
    Flow(summaries, names).read(rule.body)


def _symbols(pattern: BindPattern) -> Iterator[Symbol]:
    match pattern:
        case None:
            return
        case Symbol():
            yield pattern
        case _:
            for part in pattern:
                yield from _symbols(part)


def _check_initializers(summaries: Summaries, model: ModelBody) -> None:
    """Each field has a key of its own."""
    for initializer in model.initializers:
        if initializer.value is None or model.key is None:
            continue
        names: dict[Symbol, Held] = {
            symbol: fresh(summaries.tokens, symbol.type) for symbol in model.hypers.values()
        }
        names[model.key] = Key(summaries.tokens.root())
        Flow(summaries, names).read(initializer.value)
