"""Programs with what they say: plain data, or an error. Both libraries are held to the same words."""

from __future__ import annotations

import numpy as np
from tests.oracle import Raised, outcome, words


class Error:
    """An error of a kind whose text contains some words."""

    def __init__(self, kind, *parts):
        self.kind, self.parts = kind, parts

    def __repr__(self):
        return f"{self.kind.__name__}: {' … '.join(self.parts)}"


def check(lib, program, expected):
    """Raise AssertionError unless `program(lib)` gives what is expected of it."""
    found, _ = outcome(lib, program)
    if isinstance(found, Raised):
        assert isinstance(expected, Error), f"raises {found!r}, not gives {expected!r}"
        assert found.kind.__name__ == expected.kind.__name__, found
        for part in expected.parts:
            assert part in words(found.text), found.text
        return
    assert not isinstance(expected, Error), f"gives {found!r}, not {expected!r}"
    same(plain(lib, found), expected)


def plain(lib, value):
    """Return tensors as lists, and containers of them as tuples."""
    if isinstance(value, lib.Tensor):
        return value.detach().tolist()
    if isinstance(value, (tuple, list)):
        return [plain(lib, v) for v in value]
    if isinstance(value, dict):
        return {k: plain(lib, v) for k, v in value.items()}
    return words(value) if isinstance(value, str) else value


def same(found, expected):
    """Compare nested data; numbers up to rounding."""
    if isinstance(expected, (tuple, list)):
        assert isinstance(found, list), (found, expected)
        assert len(found) == len(expected), (found, expected)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
    elif isinstance(expected, (float, complex)):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    else:
        assert found == expected, (found, expected)
