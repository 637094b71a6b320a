"""The rule book: discrete Fourier transforms."""
