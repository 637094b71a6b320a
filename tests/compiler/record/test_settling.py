"""The end of a recording: what it costs does not depend on how much the program holds beside."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule.compiler.record import settling

x, leaf = cr.randn(3), cr.randn(3, requires_grad=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: x * y, lambda x, y: x[1:] * y[:2], lambda x, y: (x * y).sum().backward(), lambda x, y: x.exp().max(0),
        lambda x, y: cr.autograd.grad((y * y).sum(), y), lambda x, y: cr.func.vjp(lambda x: x * x, x)[1](x),
        lambda x, y: cr.func.jvp(cr.sin, (x,), (x,)), lambda x, y: x if x.sum() > 0 else -x,
        lambda x, y: (x * 2).add_(y.detach()),
    ],
)  # fmt: skip
def test_ordinary_calls_are_settled_without_a_look_at_all_objects(call, monkeypatch):
    looks = []
    monkeypatch.setattr(settling.gc, "get_referrers", lambda *held: looks.append(len(held)) or [])
    compiled = cr.compile(call)
    for _ in range(2):
        compiled(x, leaf)
    assert looks == []
