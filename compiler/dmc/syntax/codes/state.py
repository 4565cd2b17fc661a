"""Error codes of the family `state`: state of models."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "state.immutable",
        "a call may update the state of a model that is not `var`",
        "A `mut fn` gives back an updated model. Its receiver is a `var`, or a field in "
        "another `mut fn`, so that one sees where state changes.",
        "model Count {\n"
        "    state seen: i64 = 0\n"
        "\n"
        "    mut fn forward(x: f64) -> f64 {\n"
        "        seen += 1\n"
        "        x\n"
        "    }\n"
        "}\n"
        "\n"
        "fn f(net: Count, x: f64) -> f64 = net(x)\n",
        "model Count {\n"
        "    state seen: i64 = 0\n"
        "\n"
        "    mut fn forward(x: f64) -> f64 {\n"
        "        seen += 1\n"
        "        x\n"
        "    }\n"
        "}\n"
        "\n"
        "fn f(var net: Count, x: f64) -> f64 = net(x)\n",
    ),
)
