"""ParameterList and ParameterDict: what PyTorch's do, in order, text and state."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from tests.oracle import agree, outcome, words


def listed(lib):
    p = lib.nn.ParameterList([lib.ones(2), 3, lib.nn.Parameter(lib.zeros(1, 2))])
    p.append(lib.zeros(1))
    p += [lib.nn.Parameter(lib.ones(3), requires_grad=False)]
    p[-2] = lib.full((2,), 7.0)
    part = p[1:4:2]
    return words(repr(p)), len(p), list(p.state_dict()), words(repr(part)), [type(v).__name__ for v in p], "0" in dir(p)


def mapped(lib):
    one = lib.ones(1)
    p = lib.nn.ParameterDict({"b": one, "a": lib.zeros(2)})
    p |= {"d": lib.zeros(3), "c": 5}
    q = p | lib.nn.ParameterDict(OrderedDict([("z", one), ("y", one)]))
    found = [list(p), list(reversed(p)), list(q.state_dict()), words(repr(q)), type(q).__name__, list(p.copy())]
    found += [p.setdefault("e"), p.setdefault("a").shape, p.popitem(), p.pop("b").shape, p.get("b"), p.get("c", 1), "c" in p]
    found += [list(p.fromkeys(["k", "l"], 2).values()), list({"m": 1} | p), len(p)]
    p.clear()
    return [*found, len(p), list(p.keys())]


ERRORS = {
    "call a list": lambda lib: lib.nn.ParameterList()(1),
    "call a dictionary": lambda lib: lib.nn.ParameterDict()(1),
    "beyond the end": lambda lib: lib.nn.ParameterList([lib.ones(1)])[1],
    "a tensor for a list": lambda lib: lib.nn.ParameterList(lib.ones(2)),
    "a number for a name": lambda lib: lib.nn.ParameterDict()[1],
    "nothing left": lambda lib: lib.nn.ParameterDict().popitem(),
    "triples": lambda lib: lib.nn.ParameterDict([("a", 1, 2)]),
}


@pytest.mark.parametrize("program", [listed, mapped, *ERRORS.values()], ids=["list", "dictionary", *ERRORS])
def test_program_is_pytorch_s(torch, program):
    a, b = outcome(program=program, lib=__import__("chainrule"))[0], outcome(program=program, lib=torch)[0]
    agree(a, b, full_text=False)
