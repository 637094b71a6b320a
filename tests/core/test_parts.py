"""The results of an op that gives several views are views like any other, each of its own part."""

from __future__ import annotations

import pytest

import chainrule as cr

WAYS = {
    "split": lambda a: a.split(1), "unbind": lambda a: a.unbind(0), "chunk": lambda a: a.chunk(2),
    "rows of several columns": lambda a: a.unsqueeze(1).expand(2, 3).unbind(0),
}  # fmt: skip


@pytest.mark.parametrize("parts", WAYS.values(), ids=WAYS)
def test_parts_follow_a_write_to_the_whole(parts):
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    a = x * 1
    _, q = parts(a)
    a.mul_(3)
    q.mean().backward()
    assert q.mean().item() == 6
    assert x.grad.tolist() == [0, 3]


@pytest.mark.parametrize("parts", WAYS.values(), ids=WAYS)
def test_a_part_that_was_saved_is_missed_after_a_write_to_the_whole(parts):
    a = cr.tensor([1.0, 2.0])
    w = cr.tensor(2.0, requires_grad=True)
    y = (parts(a)[1] * w).mean()
    a.mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("parts", WAYS.values(), ids=WAYS)
def test_parts_of_an_inference_tensor_are_inference_tensors(parts):
    with cr.inference_mode():
        a = cr.ones(2)
    assert all(p.is_inference() for p in parts(a))
    with cr.inference_mode():
        assert not any(p.is_inference() for p in parts(NORMAL))


NORMAL = cr.ones(2)


def test_parts_made_while_nothing_is_recorded_may_not_be_written_to():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    a = x * 1
    with cr.no_grad():
        p, _ = a.split(1)
        q = a[0:1]
    assert p.requires_grad is q.requires_grad
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode"):
        p.mul_(2)
