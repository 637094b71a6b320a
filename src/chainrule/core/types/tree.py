"""Pytrees: nested lists, tuples, dicts and registered containers, flattened to a list of leaves and back.

As in PyTorch, None is a leaf, and dicts keep their order.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class TreeSpec:
    """The structure of a pytree: container type, what rebuilds it, and the specs of its children.

    A leaf's spec has no type and no children.
    """

    __slots__ = ("children_specs", "context", "num_leaves", "type")

    def __init__(self, type: Any, context: Any, children_specs: list[TreeSpec]):
        self.type, self.context, self.children_specs = type, context, children_specs
        self.num_leaves: int = 1 if type is None else sum([child.num_leaves for child in children_specs])

    @property
    def num_children(self) -> int:
        """How many children the container has."""
        return len(self.children_specs)

    @property
    def num_nodes(self) -> int:
        """How many containers and leaves there are."""
        return 1 + sum([child.num_nodes for child in self.children_specs])

    def is_leaf(self) -> bool:
        """Tell whether it is a leaf's."""
        return self.type is None

    def children(self) -> list[TreeSpec]:
        """Return the specs of the children."""
        return list(self.children_specs)

    def child(self, index: int) -> TreeSpec:
        """Return the spec of one child."""
        return self.children_specs[index]

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """Return the pytree of this structure with the given leaves."""
        return tree_unflatten(list(leaves), self)

    def flatten_up_to(self, tree: Any) -> list:
        """Return what stands in a pytree in the places of this structure's leaves."""
        return flatten_up_to(self, tree)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TreeSpec)
            and self.type is other.type
            and self.context == other.context
            and self.children_specs == other.children_specs
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.type is None:
            return "*"
        return f"{self.type.__name__}({', '.join(map(repr, self.children_specs))})"


_LEAF = TreeSpec(None, None, [])  # every leaf's
_Flatten = Callable[[Any], tuple[list, Any]]
_Unflatten = Callable[[list, Any], Any]


class Node(NamedTuple):
    """How containers of a class are taken apart and put together."""

    flatten_fn: _Flatten
    unflatten_fn: _Unflatten


_NODES: dict[Any, Node] = {}


def register_pytree_node(cls: type, flatten: _Flatten, unflatten: _Unflatten) -> None:
    """Have instances of `cls` flattened as containers.

    Parameters
    ----------
    cls : type
        The container's type; its subclasses are not included.
    flatten : callable
        ``flatten(container) -> (children, context)``.
    unflatten : callable
        ``unflatten(children, context) -> container``.

    Raises
    ------
    ValueError
        If the type is registered already.
    """
    if cls in _NODES:
        raise ValueError(f"{cls.__name__} is already registered as pytree node.")
    _NODES[cls] = Node(flatten, unflatten)


_NODES[list] = Node(lambda x: (list(x), None), lambda children, _: children)
_NODES[tuple] = Node(lambda x: (list(x), None), lambda children, _: tuple(children))
_NODES[dict] = Node(
    lambda x: (list(x.values()), list(x)),
    lambda children, keys: dict(zip(keys, children, strict=True)),
)
_NODES[OrderedDict] = Node(
    lambda x: (list(x.values()), list(x)),
    lambda children, keys: OrderedDict(zip(keys, children, strict=True)),
)
_NODES[defaultdict] = Node(
    lambda x: (list(x.values()), [x.default_factory, list(x)]),
    lambda children, context: defaultdict(context[0], zip(context[1], children, strict=True)),
)
_NODES[deque] = Node(lambda x: (list(x), x.maxlen), lambda children, maxlen: deque(children, maxlen))
_NODES[namedtuple] = Node(lambda x: (list(x), x.__class__), lambda children, kind: kind(*children))
"""All named tuples, as PyTorch's private functions know them."""


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list, TreeSpec]:
    """Return the leaves of a pytree, depth first, and its structure; what `is_leaf` accepts is a leaf, whatever it holds.

    Examples
    --------
    >>> from chainrule.core.types.tree import tree_flatten
    >>> tree_flatten({"a": 1, "b": (2, [3])})
    ([1, 2, 3], dict(*, tuple(*, list(*))))
    """
    leaves: list = []
    return leaves, _flatten(tree, leaves, is_leaf)


def _flatten(tree: Any, leaves: list, is_leaf: Callable[[Any], bool] | None) -> TreeSpec:
    if is_leaf is not None and is_leaf(tree):
        leaves.append(tree)
        return _LEAF
    kind = tree.__class__
    found = _NODES.get(kind)
    if found is not None:
        children, context = found[0](tree)
    elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
        children, context = list(tree), None
    else:
        leaves.append(tree)
        return _LEAF
    return TreeSpec(kind, context, [_flatten(child, leaves, is_leaf) for child in children])


def flatten_up_to(spec: TreeSpec, tree: Any, what: str = "tree") -> list:
    """Return what stands in a pytree in the places of the leaves of a structure: any pytrees.

    Raises
    ------
    RuntimeError
        If the tree has another structure above those places; the message begins with `what`.

    Examples
    --------
    >>> from chainrule.core.types.tree import flatten_up_to, tree_flatten
    >>> flatten_up_to(tree_flatten({"a": 1, "b": 2})[1], {"a": [1, 2], "b": (3,)})
    [[1, 2], (3,)]
    """
    if spec.type is None:
        return [tree]
    found = _NODES.get(tree.__class__)
    if tree.__class__ is spec.type:
        children, context = found[0](tree) if found is not None else (list(tree), None)  # type: ignore[call-overload]
        if len(children) == len(spec.children_specs) and context == spec.context:
            return [
                leaf for child, s in zip(children, spec.children_specs, strict=True) for leaf in flatten_up_to(s, child, what)
            ]
    raise RuntimeError(f"{what} has another structure: {tree!r} in the place of {spec}")


def tree_unflatten(leaves: list, spec: TreeSpec) -> Any:
    """Return the pytree of a structure with the given leaves.

    Raises
    ------
    ValueError
        If the number of leaves is not the structure's.
    """
    if len(leaves) != spec.num_leaves:
        raise ValueError(f"tree_unflatten: got {len(leaves)} leaves for a structure of {spec.num_leaves}: {spec}")
    return _unflatten(iter(leaves), spec)


def _unflatten(leaves: Any, spec: TreeSpec) -> Any:
    if spec.type is None:
        return next(leaves)
    children = [next(leaves) if child is _LEAF else _unflatten(leaves, child) for child in spec.children_specs]
    found = _NODES.get(spec.type)
    return spec.type(*children) if found is None else found[1](children, spec.context)


def tree_map(f: Callable, tree: Any, *rests: Any) -> Any:
    """Apply `f` to the leaves of one or more pytrees of the same structure.

    Examples
    --------
    >>> from chainrule.core.types.tree import tree_map
    >>> tree_map(lambda x, y: x + y, {"a": 1}, {"a": 2})
    {'a': 3}
    """
    leaves, spec = tree_flatten(tree)
    columns = [leaves]
    for rest in rests:
        other, other_spec = tree_flatten(rest)
        if other_spec != spec:
            raise ValueError(f"tree_map: structures differ: {spec} and {other_spec}")
        columns.append(other)
    return tree_unflatten([f(*column) for column in zip(*columns, strict=True)], spec)
