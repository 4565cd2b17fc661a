"""The builtins of the language: everything that is true of one stands in one place.

Its types, its lowering, its documentation and whether it passes derivatives on are one definition,
in the file of its family. Checking and lowering ask the definition itself; only `prelude` knows
names, for the source text.
"""
