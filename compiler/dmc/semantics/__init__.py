"""Names, types, symbolic sizes and mutability: from syntax to tensor-level IR.

To read in this order:

- `sizes`, `requirements`: polynomials over size names; what is proved, refuted or asked.
- `types`, `signature`, `solver`, `binding`: types as users write them; what a function takes and
  gives; generic parameters solved by matching (`call_solver`: for a call from outside).
- `program`, `typed`: what checking makes: modules with declarations, bodies as typed trees.
- `modules`: the way in. `checker` goes through one file: `declarations` (with `resolver` for
  written sizes and types), then every body, kept in a `context`.
- `expressions` dispatches: `statements`, `arithmetic`, `operators`, `indexing`, `builders`,
  `linear`; calls by `callees` (which function), `user_calls` (with `generics`), `construct`,
  `differentiation`, `rules`.
- `builtins`: what the language has built in, a file for each family; all of a builtin, from its
  types to its IR, in one place.
- `inference` and `agreement` bring types together; `zero` finds derivatives that vanish.
- `lower`: the typed tree of one instance to IR, with every size a number.
"""
