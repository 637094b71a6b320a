"""Folding: no block shows many members, blocks are consecutive, and repetitions and modules are found."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.visualization.blocks import MOST, Block, folded, scopes_by_parameters
from chainrule.visualization.recorded import read


def label(item):
    return item.source.name()


def tree_of(loss, scopes=None):
    items = read([loss])
    return items, folded(items, scopes or [()] * len(items), label, {})


def blocks_in(block):
    inner = [member for member in block.members if isinstance(member, Block)]
    return [block, *[b for member in inner for b in blocks_in(member)]]


def looped(steps):
    w, x = cr.ones(3, requires_grad=True), cr.ones(3)
    for _ in range(steps):
        x = (x * w).tanh() + w
    return x.sum()


@pytest.mark.parametrize("steps", [1, 7, 8, 9, 100, 1000, pytest.param(3400, marks=pytest.mark.slow)])
def test_no_block_shows_many_and_none_is_lost(steps):
    items, root = tree_of(looped(steps))
    assert sorted(item.index for item in root.items()) == list(range(len(items)))
    assert max(len(block.members) for block in blocks_in(root)) <= MOST + 1, "its ops, and the leaf w"
    depth = {1: 1, 1000: 5, 3400: 5}.get(steps)
    if depth is not None:
        assert _depth(root) <= depth


@pytest.mark.parametrize("steps", [10, 40, 400])
def test_where_nothing_repeats_runs_are_folded(steps):
    items = read([looped(steps)])
    root = folded(items, [()] * len(items), lambda item: str(item.index), {})
    assert sorted(item.index for item in root.items()) == list(range(len(items)))
    assert max(len(block.members) for block in blocks_in(root)) <= MOST + 1


def _depth(block):
    return 1 + max([_depth(member) for member in block.members if isinstance(member, Block)], default=0)


def test_the_ops_of_a_block_are_consecutive():
    items, root = tree_of(looped(200))
    for block in blocks_in(root):
        ops = [item.index for item in block.items() if not item.is_leaf]
        between = [item.index for item in items[ops[0] : ops[-1] + 1] if not item.is_leaf]
        assert ops == between


def test_repetitions_are_found_by_their_period():
    _, root = tree_of(looped(100))
    (repeated,) = [block for block in root.members if isinstance(block, Block)]
    assert repeated.name.startswith("100 × ") or repeated.name.startswith("99 × ")
    rounds = [block for block in blocks_in(root) if block.name.startswith("round ")]
    assert {len(block.items()) for block in rounds} == {3}


def test_ops_belong_to_the_modules_of_their_parameters():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)), nn.Tanh(), nn.Linear(2, 2))
    items = read([model(cr.ones(1, 2)).sum()])
    names = {id(p): tuple(name.split(".")[:-1]) for name, p in model.named_parameters()}
    scopes = scopes_by_parameters(items, lambda item: names.get(id(item.source)))
    tanhs = [scopes[item.index] for item in items if not item.is_leaf and item.op.name == "tanh"]
    assert tanhs == [("0",), ()]
    others = [scopes[item.index] for item in items if not item.is_leaf and item.op.name not in ("tanh", "sum")]
    assert list(dict.fromkeys(others)) == [("0", "0"), ("0", "2"), ("2",)]


def test_a_leaf_stands_in_the_innermost_block_that_has_all_its_uses():
    w, v = cr.ones(2, requires_grad=True), cr.ones(2, requires_grad=True)
    h = (w * v).exp()
    loss = (h * w).log().sum()
    items = read([loss])
    ops = [item for item in items if not item.is_leaf]
    scopes = [() if item.is_leaf else ("a",) if item in ops[:2] else ("b",) if item in ops[2:4] else () for item in items]
    root = folded(items, scopes, label, {})
    homes = {id(item.source): block.name for block in blocks_in(root) for item in block.members if not isinstance(item, Block)}
    assert homes[id(w)] == ""
    assert homes[id(v)] == "a"
