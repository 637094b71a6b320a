"""Public functions: discrete Fourier transforms."""
