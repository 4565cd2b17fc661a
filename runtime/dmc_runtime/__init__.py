"""What compiled programs are built from and run with; it needs NumPy only, and no compiler.

`std/` holds the standard library, written in the language itself. In Python: records
(`dmc_runtime.records`), flat buffers, random keys, checkpoints, batches and the training loop.
"""

from pathlib import Path

STD_FOLDER = Path(__file__).parent / "std"
"""Where `import optim` and `from nn import …` find the standard library."""
