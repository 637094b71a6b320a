"""Functions that make tensors of data, numbers or sizes."""
