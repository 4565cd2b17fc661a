"""A net of random dm programs, held against oracles that share no code with the compiler.

`syntax`, `arrays` and `statements` hold the part of the language that is generated: each node knows
its text and its meaning. `generate` draws programs, `check` compiles them and compares, `shrink`
makes what fails small.
"""
