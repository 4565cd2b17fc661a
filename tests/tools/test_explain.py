"""Every example of an error code is true: the first program has the error, the second has none."""

import pytest

import dmc
from dmc.api.function import Function
from dmc.diagnostics.codes import TABLE, Code, Language
from dmc.diagnostics.errors import Error
from dmc.lints.lint import lint
from dmc.semantics.modules import check_text
from dmc.tools.functions import complete_sizes, functions_of

DM = [code for code in TABLE.values() if code.language is Language.DM and code.failing]


def warnings_of(text: str) -> list[str]:
    """The codes of the warnings that a program gives."""
    return [diagnostic.code for diagnostic in lint(check_text(text))]


def codes_of(text: str) -> list[str]:
    """The codes that checking and compiling a program gives."""
    try:
        module = dmc.loads(text)
        for name in functions_of(module):
            function: object = module
            for part in name.split("."):
                function = getattr(function, part)
            assert isinstance(function, Function)
            sizes = complete_sizes(function.checked, {}, {})
            function.specialize(**sizes).ir("optimized")
    except Error as error:
        return [diagnostic.code for diagnostic in error.diagnostics]
    return []


@pytest.mark.parametrize("code", DM, ids=lambda code: code.name)
def test_examples(code: Code) -> None:
    found = warnings_of if code.name.startswith("lint.") else codes_of
    assert code.name in found(code.failing)
    assert found(code.fixed) == []
    assert codes_of(code.fixed) == []
