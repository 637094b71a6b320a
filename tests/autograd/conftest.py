"""Running one program under chainrule and under PyTorch, and comparing what it says."""

from __future__ import annotations

import re
import warnings

import pytest

import chainrule as cr


class Said(list):
    """What a program says: numbers, names, the errors and warnings it meets."""

    def __init__(self, lib):
        super().__init__()
        self.lib = lib

    def __call__(self, *things):
        self.append(tuple(plain(t) for t in things))

    def error(self, f, words=None):
        """Note the type and the words of the error that `f` raises."""
        try:
            f()
        except Exception as e:  # any: its type is what is compared
            self.append((type(e).__name__, spelled(str(e))[:words]))
        else:
            self.append("no error")


def plain(thing):
    if type(thing).__name__ in ("Tensor", "Parameter"):
        value = thing.detach().tolist()
        return (tuple(thing.shape), str(thing.dtype).split(".")[-1], rounded(value))
    if isinstance(thing, (list, tuple)):
        return tuple(plain(t) for t in thing)
    return spelled(thing) if isinstance(thing, str) else thing


def rounded(value):
    return tuple(rounded(v) for v in value) if isinstance(value, list) else float(f"{value:.6g}")


def spelled(text):
    return re.sub(r"0x[0-9a-f]+", "0x", text.replace("torch", "chainrule"))


@pytest.fixture
def same(torch):
    """Return a check that a program, given a library and a recorder, says the same under both."""

    def check(program):
        said = []
        for lib in (cr, torch):
            record = Said(lib)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                program(lib, record)
            record += [(w.category.__name__, spelled(str(w.message)).split(" (Triggered")[0]) for w in caught]
            said.append(list(record))
        assert said[0] == said[1]
        assert said[0]

    return check
