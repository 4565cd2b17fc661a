"""From LLVM IR to running machine code: targets, engine, object cache, thread pool, calls."""
