"""Functions that read and write parts of tensors."""
