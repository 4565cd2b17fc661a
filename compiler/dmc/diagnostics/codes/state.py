"""Error codes of the family `state`: state of models."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code

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
        "        x / f64(seen)\n"
        "    }\n"
        "}\n"
        "\n"
        "fn f(net: Count, x: f64) -> f64 = net(x)\n",
        "model Count {\n"
        "    state seen: i64 = 0\n"
        "\n"
        "    mut fn forward(x: f64) -> f64 {\n"
        "        seen += 1\n"
        "        x / f64(seen)\n"
        "    }\n"
        "}\n"
        "\n"
        "fn f(var net: Count, x: f64) -> f64 = net(x)\n",
    ),
    Code(
        "state.field",
        "an assignment to a field that is not `state`",
        "Parameters change by training, hyperparameters not at all. What a function of "
        "the model may assign is declared `state`.",
        "model M[N] {\n"
        "    param w: f32[N] = ones\n"
        "    mut fn forward(x: f32[N]) -> f32[N] {\n"
        "        let change = x - w\n"
        "        w = x\n"
        "        change\n"
        "    }\n"
        "}\n",
        "model M[N] {\n"
        "    state w: f32[N] = ones\n"
        "    mut fn forward(x: f32[N]) -> f32[N] {\n"
        "        let change = x - w\n"
        "        w = x\n"
        "        change\n"
        "    }\n"
        "}\n",
    ),
    Code(
        "state.function",
        "state assigned outside a `mut fn`",
        "A function that assigns state says so with `mut`; it then needs a receiver that "
        "is a `var`.",
        "model M {\n"
        "    state seen: i64 = 0\n"
        "    fn forward(x: f32) -> f32 {\n"
        "        seen += 1\n"
        "        x / f32(seen)\n"
        "    }\n"
        "}\n",
        "model M {\n"
        "    state seen: i64 = 0\n"
        "    mut fn forward(x: f32) -> f32 {\n"
        "        seen += 1\n"
        "        x / f32(seen)\n"
        "    }\n"
        "}\n",
    ),
)
