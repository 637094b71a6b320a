"""Memory that stays with the process from one step of a program to the next, where the C library is glibc.

A step of training frees its arrays at its end and asks for the same sizes again. By default glibc hands what was freed back to
the kernel, which clears every page before it gives it again: a third to a half of the time of small networks' steps.
"""

from __future__ import annotations

import os
import sys

KEPT = 64 << 20  # bytes that may lie idle
OWN_PAGES = 32 << 20  # bytes from which an array has pages of its own, which go back when it is freed

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_pages() -> bool:
    """Have glibc keep freed memory as it does by itself after it has freed one array of 32 MB; tell whether it does so.

    Settings of the user's, by glibc's environment variables, are left as they are.
    """
    chosen = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")
    if sys.platform != "linux" or any(name in os.environ for name in chosen):
        return False
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # a static interpreter, or another C library
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, OWN_PAGES) and mallopt(_M_TRIM_THRESHOLD, KEPT))
