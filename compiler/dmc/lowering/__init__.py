"""From kernels to native code: schedules choose loops, loops become LLVM IR."""
