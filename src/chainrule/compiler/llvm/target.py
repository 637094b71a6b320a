"""What processor code is written for, as far as the IR depends on it."""

from __future__ import annotations


class Target:
    """A processor.

    Attributes
    ----------
    vector_bytes : int
        Of its widest vector registers: 64 (AVX-512), 32 (AVX2), 16 (SSE, NEON).
    """

    __slots__ = ("vector_bytes",)

    def __init__(self, vector_bytes: int):
        self.vector_bytes = vector_bytes
