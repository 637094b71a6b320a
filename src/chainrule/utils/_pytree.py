"""PyTorch's ``utils._pytree``: nested containers taken apart into leaves and put together again, over ``core.types.tree``.

None is a leaf, dicts keep their order, named tuples are containers, and classes that are registered are, too.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, NamedTuple

from chainrule.core.types.tree import _LEAF, _NODES, TreeSpec, tree_flatten, tree_unflatten
from chainrule.core.types.tree import register_pytree_node as _register

__all__ = [
    "Context", "FlattenFunc", "GetAttrKey", "KeyEntry", "KeyPath", "LeafSpec", "MappingKey", "PyTree", "SequenceKey",
    "TreeSpec",
    "UnflattenFunc", "arg_tree_leaves", "is_namedtuple", "is_namedtuple_class", "is_namedtuple_instance", "key_get", "keystr",
    "register_constant", "register_dataclass", "register_pytree_node", "tree_all", "tree_all_only", "tree_any", "tree_any_only",
    "tree_flatten", "tree_flatten_with_path", "tree_is_leaf", "tree_iter", "tree_leaves", "tree_leaves_with_path", "tree_map",
    "tree_map_", "tree_map_only", "tree_map_only_", "tree_map_with_path", "tree_structure", "tree_unflatten", "treespec_dict",
    "treespec_leaf", "treespec_list", "treespec_pprint", "treespec_tuple",
]  # fmt: skip

PyTree = Any
Context = Any
FlattenFunc = Callable[[Any], tuple[list, Any]]
UnflattenFunc = Callable[[Iterable[Any], Any], Any]
_Leaf = Callable[[Any], bool] | None
_Kinds = type | tuple[type, ...] | UnionType | Callable[[Any], bool]
SUPPORTED_NODES = _NODES


# -- keys: where a leaf is ---------------------------------------------------------------------------------------------


class SequenceKey(NamedTuple):
    """The place of a child in a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence: Any) -> Any:
        """Return the child."""
        return sequence[self.idx]


class MappingKey(NamedTuple):
    """The key of a child in a mapping."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        """Return the child."""
        return mapping[self.key]


class GetAttrKey(NamedTuple):
    """The attribute that a child is."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        """Return the child."""
        return getattr(obj, self.name)


KeyEntry = Any
KeyPath = tuple[Any, ...]
_KEYS: dict[type, Callable[[Any], tuple[list[tuple[Any, Any]], Any]]] = {}


def _keyed(tree: Any) -> list[tuple[Any, Any]]:
    """Return the children of a container with their keys."""
    kind = tree.__class__
    if kind in _KEYS:
        return _KEYS[kind](tree)[0]
    if kind in (dict, OrderedDict, defaultdict):
        return _dict_flatten_with_keys(tree)[0]
    if is_namedtuple(tree):
        return [(GetAttrKey(name), getattr(tree, name)) for name in tree._fields]
    if kind in (list, tuple, deque):
        return [(SequenceKey(i), value) for i, value in enumerate(tree)]
    raise ValueError(f"Did not find a flatten_with_keys_fn for type: {kind}. Please pass a flatten_with_keys_fn argument to "
                     "register_pytree_node.")  # fmt: skip


def _dict_flatten(d: dict) -> tuple[list, list]:
    return list(d.values()), list(d)


def _dict_unflatten(values: Iterable[Any], context: list) -> dict:
    return dict(zip(context, values, strict=True))


def _dict_flatten_with_keys(d: dict) -> tuple[list[tuple[Any, Any]], list]:
    return [(MappingKey(key), value) for key, value in d.items()], list(d)


def keystr(kp: KeyPath) -> str:
    """Return a path as Python writes it.

    Examples
    --------
    >>> keystr((MappingKey("a"), SequenceKey(0), GetAttrKey("x")))
    "['a'][0].x"
    """
    return "".join(map(str, kp))


def key_get(obj: Any, kp: KeyPath) -> Any:
    """Return what is at a path within an object.

    Examples
    --------
    >>> key_get({"a": [1, 2]}, (MappingKey("a"), SequenceKey(1)))
    2
    """
    for key in kp:
        obj = key.get(obj)
    return obj


def tree_flatten_with_path(tree: Any, is_leaf: _Leaf = None) -> tuple[list[tuple[KeyPath, Any]], TreeSpec]:
    """Return the leaves, each with its path, and the structure.

    Examples
    --------
    >>> [(keystr(path), leaf) for path, leaf in tree_flatten_with_path({"a": [1, 2]})[0]]
    [("['a'][0]", 1), ("['a'][1]", 2)]
    """
    found: list[tuple[KeyPath, Any]] = []
    _walk(tree, (), found, is_leaf)
    return found, tree_structure(tree, is_leaf)


def _walk(tree: Any, path: KeyPath, found: list, is_leaf: _Leaf) -> None:
    if tree_is_leaf(tree, is_leaf):
        found.append((path, tree))
        return
    for key, child in _keyed(tree):
        _walk(child, (*path, key), found, is_leaf)


def tree_leaves_with_path(tree: Any, is_leaf: _Leaf = None) -> list[tuple[KeyPath, Any]]:
    """Return the leaves, each with its path."""
    return tree_flatten_with_path(tree, is_leaf)[0]


def tree_map_with_path(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: _Leaf = None) -> Any:
    """Apply a function of path and leaves to the leaves of pytrees.

    Examples
    --------
    >>> tree_map_with_path(lambda path, leaf: f"{keystr(path)}={leaf}", {"a": 1})
    {'a': "['a']=1"}
    """
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    columns = [[path for path, _ in pairs], [leaf for _, leaf in pairs], *(_up_to(spec, rest) for rest in rests)]
    return tree_unflatten(list(map(func, *columns)), spec)


# -- leaves and structures ---------------------------------------------------------------------------------------------


def tree_leaves(tree: Any, is_leaf: _Leaf = None) -> list:
    """Return the leaves, depth first.

    Examples
    --------
    >>> tree_leaves({"a": 1, "b": (2, [None])})
    [1, 2, None]
    """
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: Any, is_leaf: _Leaf = None) -> Iterator[Any]:
    """Yield the leaves, depth first."""
    yield from tree_leaves(tree, is_leaf)


def tree_structure(tree: Any, is_leaf: _Leaf = None) -> TreeSpec:
    """Return the structure."""
    return tree_flatten(tree, is_leaf)[1]


def tree_is_leaf(tree: Any, is_leaf: _Leaf = None) -> bool:
    """Tell whether something is a leaf, and no container."""
    if is_leaf is not None and is_leaf(tree):
        return True
    return tree.__class__ not in _NODES and not is_namedtuple(tree)


def arg_tree_leaves(*args: Any, **kwargs: Any) -> list:
    """Return the leaves of all arguments.

    Examples
    --------
    >>> arg_tree_leaves([1], 2, a=(3,))
    [1, 2, 3]
    """
    return tree_leaves((args, kwargs))


def _up_to(spec: TreeSpec, tree: Any) -> list:
    """Return what stands in a pytree in the places of a structure's leaves; raise PyTorch's error if it has another."""
    if spec.type is None:
        return [tree]
    if tree.__class__ is not spec.type:
        raise ValueError(f"Node type mismatch; expected {spec.type!r}, but got {tree.__class__!r}.")
    children, context = _NODES[spec.type][0](tree) if spec.type in _NODES else (list(tree), None)
    if len(children) != len(spec.children_specs):
        raise ValueError(f"Node arity mismatch; expected {len(spec.children_specs)}, but got {len(children)}.")
    if context != spec.context and not (isinstance(context, list) and set(context) == set(spec.context)):
        raise ValueError(f"Node context mismatch for custom node type {spec.type!r}.")
    if spec.type in (dict, OrderedDict):
        children = [tree[key] for key in spec.context]
    return [leaf for child, at in zip(children, spec.children_specs, strict=True) for leaf in _up_to(at, child)]


# -- maps --------------------------------------------------------------------------------------------------------------


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: _Leaf = None) -> Any:
    """Apply a function to the leaves of one or more pytrees of the same structure; the others may go on below it.

    Raises
    ------
    ValueError
        If one has another structure.

    Examples
    --------
    >>> tree_map(lambda x, y: x + y, {"a": 1}, {"a": 2})
    {'a': 3}
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    return tree_unflatten(list(map(func, leaves, *(_up_to(spec, rest) for rest in rests))), spec)


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: _Leaf = None) -> Any:
    """Call a function on the leaves for what it does; return the tree as it is."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _told_by(kinds: Any) -> Callable[[Any], bool]:
    """Return what tells whether a leaf is of some types, or what the user gave to tell it."""
    if isinstance(kinds, (type, tuple, UnionType)):
        return lambda leaf: isinstance(leaf, kinds)
    if callable(kinds):
        return kinds
    raise TypeError("Argument must be a type, a tuple of types, or a callable.")


def tree_map_only(kinds: _Kinds, /, func: Callable[[Any], Any], tree: Any, is_leaf: _Leaf = None) -> Any:
    """Apply a function to the leaves of some types; the others stay.

    Examples
    --------
    >>> tree_map_only(int, lambda x: -x, [1, "a"])
    [-1, 'a']
    """
    wanted = _told_by(kinds)
    return tree_map(lambda leaf: func(leaf) if wanted(leaf) else leaf, tree, is_leaf=is_leaf)


def tree_map_only_(kinds: _Kinds, /, func: Callable[[Any], Any], tree: Any, is_leaf: _Leaf = None) -> Any:
    """Call a function on the leaves of some types for what it does; return the tree as it is."""
    tree_map_only(kinds, func, tree, is_leaf)
    return tree


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: _Leaf = None) -> bool:
    """Tell whether all leaves are so."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: _Leaf = None) -> bool:
    """Tell whether any leaf is so."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all_only(kinds: _Kinds, /, pred: Callable[[Any], bool], tree: Any, is_leaf: _Leaf = None) -> bool:
    """Tell whether all leaves of some types are so."""
    return all(pred(leaf) for leaf in filter(_told_by(kinds), tree_leaves(tree, is_leaf)))


def tree_any_only(kinds: _Kinds, /, pred: Callable[[Any], bool], tree: Any, is_leaf: _Leaf = None) -> bool:
    """Tell whether any leaf of some types is so."""
    return any(pred(leaf) for leaf in filter(_told_by(kinds), tree_leaves(tree, is_leaf)))


def _broadcast_to_and_flatten(tree: Any, treespec: TreeSpec, is_leaf: _Leaf = None) -> list | None:
    """Return a leaf for each of a structure's, one that stands above several for all of these; None where trees differ."""
    if tree_is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    if treespec.is_leaf() or tree.__class__ is not treespec.type:
        return None
    children, context = _NODES[treespec.type][0](tree) if treespec.type in _NODES else (list(tree), None)
    if len(children) != treespec.num_children or context != treespec.context:
        return None
    found: list = []
    for child, spec in zip(children, treespec.children_specs, strict=True):
        part = _broadcast_to_and_flatten(child, spec, is_leaf)
        if part is None:
            return None
        found += part
    return found


# -- classes of containers ---------------------------------------------------------------------------------------------


def is_namedtuple_class(cls: Any) -> bool:
    """Tell whether a class is that of named tuples."""
    return isinstance(cls, type) and issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def is_namedtuple_instance(obj: Any) -> bool:
    """Tell whether an object is a named tuple."""
    return is_namedtuple_class(obj.__class__)


def is_namedtuple(obj: Any) -> bool:
    """Tell whether an object, or a class, is that of named tuples."""
    return is_namedtuple_class(obj if isinstance(obj, type) else obj.__class__)


def _get_node_type(tree: Any) -> Any:
    """Return the key of a container in SUPPORTED_NODES: its class, for named tuples the function that makes their classes."""
    return namedtuple if is_namedtuple_instance(tree) else tree.__class__


def register_pytree_node(
    cls: type,
    flatten_fn: FlattenFunc,
    unflatten_fn: UnflattenFunc,
    *,
    serialized_type_name: str | None = None,
    to_dumpable_context: Callable[[Any], Any] | None = None,
    from_dumpable_context: Callable[[Any], Any] | None = None,
    flatten_with_keys_fn: Callable[[Any], tuple[list[tuple[Any, Any]], Any]] | None = None,
) -> None:
    """Have instances of a class, and not of its subclasses, taken apart as containers.

    Parameters
    ----------
    cls : type
        The class.
    flatten_fn, unflatten_fn : callable
        ``flatten_fn(container) -> (children, context)`` and ``unflatten_fn(children, context) -> container``.
    serialized_type_name, to_dumpable_context, from_dumpable_context : optional
        How PyTorch writes structures into files, which chainrule does not.
    flatten_with_keys_fn : callable, optional
        As `flatten_fn`, with pairs of key and child.

    Raises
    ------
    ValueError
        If the class is registered already.
    """
    _register(cls, flatten_fn, unflatten_fn)
    if flatten_with_keys_fn is not None:
        _KEYS[cls] = flatten_with_keys_fn


def _register_pytree_node(
    cls: type, flatten_fn: FlattenFunc, unflatten_fn: UnflattenFunc, to_str_fn: Any = None, maybe_from_str_fn: Any = None,
    **kwargs: Any,
) -> None:  # fmt: skip
    register_pytree_node(cls, flatten_fn, unflatten_fn, **kwargs)


def register_dataclass(
    cls: type, *, field_names: list[str] | None = None, drop_field_names: list[str] | None = None,
    serialized_type_name: str | None = None,
) -> None:  # fmt: skip
    """Have a dataclass taken apart into its fields.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Point:
    ...     x: float
    ...     y: float
    >>> register_dataclass(Point)
    >>> tree_map(lambda v: 2 * v, Point(1.0, 2.0)).y
    4.0
    """
    if field_names is None and not dataclasses.is_dataclass(cls):
        raise ValueError(
            f"field_names must be specified with a list of all fields used to initialize {cls}: it is no dataclass"
        )
    names = field_names or [f.name for f in dataclasses.fields(cls) if f.init and f.name not in (drop_field_names or ())]
    register_pytree_node(
        cls,
        lambda obj: ([getattr(obj, name) for name in names], list(names)),
        lambda children, context: cls(**dict(zip(context, children, strict=True))),
        flatten_with_keys_fn=lambda obj: ([(GetAttrKey(name), getattr(obj, name)) for name in names], list(names)),
    )


def register_constant(cls: type) -> None:
    """Have instances of a class be part of the structure, with no leaves of their own."""
    if cls.__eq__ is object.__eq__:
        raise TypeError(
            "register_constant(cls) expects `cls` to have a non-default `__eq__` implementation. Please follow the docs"
        )
    register_pytree_node(cls, lambda obj: ([], obj), lambda _, obj: obj, flatten_with_keys_fn=lambda obj: ([], obj))


# -- structures made by hand -------------------------------------------------------------------------------------------


def treespec_leaf() -> TreeSpec:
    """Return a leaf's structure."""
    return _LEAF


LeafSpec = treespec_leaf


def treespec_tuple(iterable: Iterable[TreeSpec] = (), /) -> TreeSpec:
    """Return the structure of a tuple."""
    return TreeSpec(tuple, None, list(iterable))


def treespec_list(iterable: Iterable[TreeSpec] = (), /) -> TreeSpec:
    """Return the structure of a list."""
    return TreeSpec(list, None, list(iterable))


def treespec_dict(mapping: Mapping[Any, TreeSpec] | Iterable[tuple[Any, TreeSpec]] = (), /, **kwargs: TreeSpec) -> TreeSpec:
    """Return the structure of a dict."""
    specs = dict(mapping, **kwargs)
    return TreeSpec(dict, list(specs), list(specs.values()))


def treespec_pprint(treespec: TreeSpec) -> str:
    """Return a structure as it reads with ``*`` for leaves.

    Examples
    --------
    >>> treespec_pprint(tree_structure({"a": [1, 2]}))
    "{'a': [*, *]}"
    """
    return repr(tree_unflatten([_Star()] * treespec.num_leaves, treespec))


class _Star:
    def __repr__(self) -> str:
        return "*"
