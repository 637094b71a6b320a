"""What processor code is written for, as far as the IR depends on it."""

from __future__ import annotations


class Target:
    """A processor.

    Attributes
    ----------
    vector_bytes : int
        Of its widest vector registers: 64 (AVX-512), 32 (AVX2), 16 (SSE, NEON).
    family : str
        As LLVM names it: "x86_64", "aarch64".
    """

    __slots__ = ("family", "vector_bytes")

    def __init__(self, vector_bytes: int, family: str = "x86_64"):
        self.vector_bytes, self.family = vector_bytes, family
