"""Pytrees: nested lists, tuples, dicts and registered containers, flattened to a list of leaves and back.

As in PyTorch, None is a leaf, and dicts keep their order.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any


class TreeSpec:
    """The structure of a pytree: container type, what rebuilds it, and the specs of its children.

    A leaf's spec has no type and no children.
    """

    __slots__ = ("children", "context", "kind", "num_leaves")

    def __init__(self, kind: type | None, context: Any, children: list[TreeSpec]):
        self.kind, self.context, self.children = kind, context, children
        self.num_leaves: int = 1 if kind is None else sum([child.num_leaves for child in children])

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TreeSpec)
            and self.kind is other.kind
            and self.context == other.context
            and self.children == other.children
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        return f"{self.kind.__name__}({', '.join(map(repr, self.children))})"


_LEAF = TreeSpec(None, None, [])  # every leaf's
_Flatten = Callable[[Any], tuple[list, Any]]
_Unflatten = Callable[[list, Any], Any]
_NODES: dict[type, tuple[_Flatten, _Unflatten]] = {}


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
    _NODES[cls] = (flatten, unflatten)


_NODES[list] = (lambda x: (list(x), None), lambda children, _: children)
_NODES[tuple] = (lambda x: (list(x), None), lambda children, _: tuple(children))
_NODES[dict] = (
    lambda x: (list(x.values()), list(x)),
    lambda children, keys: dict(zip(keys, children, strict=True)),
)
_NODES[OrderedDict] = (
    lambda x: (list(x.values()), list(x)),
    lambda children, keys: OrderedDict(zip(keys, children, strict=True)),
)
_NODES[defaultdict] = (
    lambda x: (list(x.values()), (x.default_factory, list(x))),
    lambda children, context: defaultdict(context[0], zip(context[1], children, strict=True)),
)
_NODES[deque] = (lambda x: (list(x), x.maxlen), lambda children, maxlen: deque(children, maxlen))


def tree_flatten(tree: Any) -> tuple[list, TreeSpec]:
    """Return the leaves of a pytree, depth first, and its structure.

    Examples
    --------
    >>> from chainrule.core.types.tree import tree_flatten
    >>> tree_flatten({"a": 1, "b": (2, [3])})
    ([1, 2, 3], dict(*, tuple(*, list(*))))
    """
    leaves: list = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list) -> TreeSpec:
    kind = tree.__class__
    found = _NODES.get(kind)
    if found is not None:
        children, context = found[0](tree)
    elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
        children, context = list(tree), None
    else:
        leaves.append(tree)
        return _LEAF
    return TreeSpec(kind, context, [_flatten(child, leaves) for child in children])


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
    if spec.kind is None:
        return [tree]
    found = _NODES.get(tree.__class__)
    if tree.__class__ is spec.kind:
        children, context = found[0](tree) if found is not None else (list(tree), None)  # type: ignore[call-overload]
        if len(children) == len(spec.children) and context == spec.context:
            return [leaf for child, s in zip(children, spec.children, strict=True) for leaf in flatten_up_to(s, child, what)]
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
    if spec.kind is None:
        return next(leaves)
    children = [next(leaves) if child is _LEAF else _unflatten(leaves, child) for child in spec.children]
    found = _NODES.get(spec.kind)
    return spec.kind(*children) if found is None else found[1](children, spec.context)


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
