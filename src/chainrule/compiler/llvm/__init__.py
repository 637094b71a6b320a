"""What becomes native code, by LLVM through llvmlite, which only ``engine`` imports, when code is first needed."""
