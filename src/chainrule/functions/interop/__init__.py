"""NumPy's protocols, DLPack, and what dtypes and tensors tell of themselves."""
