"""``utils._pytree`` takes apart and builds what PyTorch's does."""

from __future__ import annotations

import collections
import dataclasses
from importlib import import_module

import pytest
from tests.oracle import Raised, outcome

import chainrule as cr

Pair = collections.namedtuple("Pair", "a b")
TREES = [
    1, [], (), {}, None, [1, 2], (1, [2, None]), {"b": 1, "a": (2, 3)}, collections.OrderedDict(b=1, a=2), Pair(1, [2]),
    collections.defaultdict(int, b=1), collections.deque([1, 2], 4), {"x": [{"y": (1,)}, Pair(1, 2)]},
]  # fmt: skip
WAYS = {
    "leaves": lambda P, t: P.tree_leaves(t),
    "iter": lambda P, t: list(P.tree_iter(t)),
    "rebuilt": lambda P, t: P.tree_unflatten(range(9), P.tree_flatten([t, 0])[1]),
    "exactly": lambda P, t: P.tree_unflatten([7] * P.tree_structure(t).num_leaves, P.tree_structure(t)),
    "counts": lambda P, t: [getattr(P.tree_structure(t), f"num_{n}") for n in ("leaves", "nodes", "children")],
    "type": lambda P, t: t.__class__ is Pair or (P.tree_structure(t).type, P.tree_structure(t).context),
    "leaf": lambda P, t: (P.tree_is_leaf(t), P.tree_structure(t).is_leaf()),
    "map": lambda P, t: P.tree_map(str, t),
    "map two": lambda P, t: P.tree_map(lambda x, y: (x, y), t, P.tree_map(str, t)),
    "map below": lambda P, t: P.tree_map(lambda x, y: y, [1, 2], [t, t]),
    "map another": lambda P, t: P.tree_map(lambda x, y: x, t, [1, 2]),
    "map in another order": lambda P, t: P.tree_map(lambda x, y: (x, y), {"a": 1, "b": 2}, {"b": t, "a": 0}),
    "map_": lambda P, t: P.tree_map_(str, t) is t,
    "only": lambda P, t: P.tree_map_only(int, lambda x: -x, t),
    "only, told": lambda P, t: P.tree_map_only(lambda x: x == 1, str, t),
    "all": lambda P, t: (P.tree_all(bool, t), P.tree_all_only(int, bool, t)),
    "any": lambda P, t: (P.tree_any(bool, t), P.tree_any_only(int, bool, t)),
    "is_leaf": lambda P, t: P.tree_leaves(t, is_leaf=lambda x: isinstance(x, (tuple, dict))),
    "paths": lambda P, t: [(P.keystr(path), leaf, P.key_get(t, path)) for path, leaf in P.tree_leaves_with_path(t)],
    "map with path": lambda P, t: P.tree_map_with_path(lambda path, x: (P.keystr(path), x), t),
    "arguments": lambda P, t: P.arg_tree_leaves(t, k=t),
    "broadcast": lambda P, t: P._broadcast_to_and_flatten([1, 2], P.tree_structure([t, [3, 4]])),
    "broadcast another": lambda P, t: P._broadcast_to_and_flatten(t, P.tree_structure([3, 4])),
    "up to": lambda P, t: P.tree_structure([0, 0]).flatten_up_to([t, t]),
    "named tuple": lambda P, t: (P.is_namedtuple(t), P.is_namedtuple_class(type(t)), P.is_namedtuple_instance(t)),
    "equal": lambda P, t: [P.tree_structure(t) == P.tree_structure(other) for other in TREES],
    "by hand": lambda P, t: P.treespec_tuple([P.tree_structure(t), P.treespec_leaf()]).num_leaves,
}  # fmt: skip


@pytest.fixture(scope="module")
def both(torch):
    return import_module("chainrule.utils._pytree"), import_module("torch.utils._pytree")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", WAYS)
def test_trees_are_what_they_are_to_pytorch(both, way):
    for tree in TREES:
        ours, theirs = (outcome(pytree, WAYS[way], tree)[0] for pytree in both)
        if isinstance(theirs, Raised):
            assert isinstance(ours, Raised), tree
            assert ours.kind is theirs.kind, tree
        else:
            assert repr(ours) == repr(theirs), tree


def test_classes_are_registered_for_all_that_takes_trees(both):
    class Point:
        def __init__(self, x, y):
            self.x, self.y = x, y

    @dataclasses.dataclass
    class Line:
        start: object
        end: object

    @dataclasses.dataclass(frozen=True)
    class Constant:
        value: int

    for P in both:
        P.register_pytree_node(Point, lambda p: ([p.x, p.y], None), lambda children, _: Point(*children))
        P.register_dataclass(Line)
        P.register_constant(Constant)
        tree = Line(Point(1, 2), [3, Constant(4)])
        assert P.tree_leaves(tree) == [1, 2, 3]
        assert P.tree_map(lambda x: -x, tree).start.y == -2
        assert P.tree_map(lambda x: -x, tree).end[1] == Constant(4)
        with pytest.raises(ValueError, match="already registered"):
            P.register_pytree_node(Point, None, None)
        with pytest.raises(ValueError, match="flatten_with_keys_fn"):
            P.tree_leaves_with_path(Point(1, 2))
        assert [P.keystr(path) for path, _ in P.tree_leaves_with_path(Line(1, [2]))] == [".start", ".end[0]"]
    gradient = cr.func.grad(lambda p: p.x * p.y)(Point(cr.tensor(2.0), cr.tensor(3.0)))
    assert (gradient.x.item(), gradient.y.item()) == (3.0, 2.0)


@pytest.mark.parametrize("name", ["chainrule", "torch"])
def test_a_dictionary_of_ones_own_takes_the_functions_of_dictionaries(torch, name):
    class Mine(dict):
        pass

    P = import_module(f"{name}.utils._pytree")
    build = lambda values, keys: Mine(P._dict_unflatten(values, keys))
    P.register_pytree_node(Mine, P._dict_flatten, build, flatten_with_keys_fn=P._dict_flatten_with_keys)
    found, spec = P.tree_flatten_with_path(Mine(a=1, b=[2]))
    assert [(P.keystr(path), leaf) for path, leaf in found] == [("['a']", 1), ("['b'][0]", 2)]
    assert P.tree_unflatten([3, 4], spec) == Mine(a=3, b=[4])


@pytest.mark.parametrize("name", ["chainrule", "torch"])
def test_containers_are_taken_apart_by_the_functions_of_their_classes(torch, name):
    P = import_module(f"{name}.utils._pytree")
    for tree in ([1, 2], (1, 2), {"a": 1, "b": 2}, collections.OrderedDict(a=1, b=2), Pair(1, 2)):
        kind = P._get_node_type(tree)
        children, context = P.SUPPORTED_NODES[kind].flatten_fn(tree)
        assert children == [1, 2]
        found = P.tree_unflatten([3, 4], P.TreeSpec(kind, context, [P.treespec_leaf(), P.treespec_leaf()]))
        assert type(found) is type(tree)
        assert P.tree_leaves(found) == [3, 4]
    assert P._get_node_type(1) not in P.SUPPORTED_NODES
