"""Loop IR to LLVM IR, one instruction or a few for each operation.

No fast-math flag is set and nothing is contracted: a multiply and an add are fused only where the
loop IR says `loop.fma` (or a function of `vector_math` does). What is emitted is already in SSA
form with explicit vectors, so LLVM only has to select instructions and allocate registers.
"""

from dmc.lowering.to_llvm.lower import lower_module
from dmc.lowering.to_llvm.module import PARALLEL_FOR, Lowered, entry_symbol

__all__ = ["PARALLEL_FOR", "Lowered", "entry_symbol", "lower_module"]
