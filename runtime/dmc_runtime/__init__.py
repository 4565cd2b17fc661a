"""What compiled programs are built from and run with; it needs NumPy only, and no compiler.

`std/` holds the standard library, written in the language itself. In Python: records
(`dmc_runtime.records`), flat buffers, random keys, checkpoints, batches and the training loop.
"""
