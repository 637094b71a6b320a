"""How a call of an op goes: dispatch, the hot path, threads, silence for NumPy's warnings."""
