"""Small things around tensors: printing."""
