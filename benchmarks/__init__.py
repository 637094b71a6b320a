"""chainrule beside PyTorch, JAX and HIPS autograd, in one run: ``python -m benchmarks --help``."""
