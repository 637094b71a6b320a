"""Pytrees survive the round trip, keep order, and say what is wrong."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest

from chainrule.core.types.tree import register_pytree_node, tree_flatten, tree_map, tree_unflatten

Point = namedtuple("Point", "x y")
TREES = [
    1, None, [], (), {}, [1, (2, {"b": 3, "a": [4]})], Point(1, [2]), OrderedDict(b=1, a=2), deque([1, 2], maxlen=3),
    defaultdict(list, {"k": [1]}),
]  # fmt: skip


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: type(tree).__name__)
def test_flatten_and_unflatten_are_inverse(tree):
    leaves, spec = tree_flatten(tree)
    again = tree_unflatten(leaves, spec)
    assert again == tree
    assert type(again) is type(tree)
    assert spec.num_leaves == len(leaves)


def test_map_needs_equal_structures():
    assert tree_map(lambda x, y: x * y, {"a": (1, 2)}, {"a": (3, 4)}) == {"a": (3, 8)}
    with pytest.raises(ValueError, match="structures differ"):
        tree_map(lambda x, y: x, [1], (1,))


def test_unflatten_counts_leaves():
    _, spec = tree_flatten([1, 2])
    with pytest.raises(ValueError, match="got 3 leaves for a structure of 2"):
        tree_unflatten([1, 2, 3], spec)


def test_registered_containers_are_flattened():
    class Box:
        def __init__(self, inside):
            self.inside = inside

    register_pytree_node(Box, lambda box: ([box.inside], None), lambda children, _: Box(*children))
    assert tree_map(lambda x: x + 1, Box(1)).inside == 2
    with pytest.raises(ValueError, match="already registered"):
        register_pytree_node(Box, lambda box: ([box.inside], None), lambda children, _: Box(*children))
