"""`vmap`: a function of one example becomes a function of a batch of them, each operation running on all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from chainrule.autograd.forward_ad import raised
from chainrule.core.generator import default_generator
from chainrule.core.mode.grad_mode import Argument, Mapped, modes, scope
from chainrule.core.mode.levels import fresh_level
from chainrule.core.op.batching import moved
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import is_written
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_unflatten
from chainrule.func.arguments import check_randomness, expect_function
from chainrule.transforms.batch import Batched, batched_at, unbatched

_P = ParamSpec("_P")
_R = TypeVar("_R")

Dims = Any  # an int, None, or a pytree of them


def vmap(
    func: Callable[_P, _R],
    in_dims: Dims = 0,
    out_dims: Dims = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[_P, _R]:
    """Return a function that maps `func` over an axis of its arguments, with one operation for all examples.

    Parameters
    ----------
    func : callable
        Takes tensors, or pytrees of them, of one example; returns a tensor or a pytree of tensors.
    in_dims : int, None or a pytree of them
        Which axis of each positional argument holds the examples; None for what all examples share. An int is meant for all
        arguments; a tuple has an entry for each, which may be nested as the argument is. Keyword arguments are shared.
    out_dims : int, None or a pytree of them
        Where the axis goes in each result; None for a result that does not depend on the example.
    randomness : {"error", "same", "different"}
        Whether random functions inside raise, draw once for all examples, or once for each.
    chunk_size : int, optional
        Take that many examples at once, to bound the memory in use; by default all.

    Returns
    -------
    callable
        Takes arguments with the additional axis, and returns results with one.

    Raises
    ------
    ValueError
        If `in_dims` or `out_dims` do not fit arguments or results, the sizes of the axes differ, or `func` returns what is not
        a tensor.
    RuntimeError
        Inside `func`: where the value of an example is asked for (``item()``, a branch on it), or the shape of a result depends
        on it; for a random function under ``randomness="error"``.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, y = cr.tensor([[1.0, 2.0], [3.0, 4.0]]), cr.tensor([[1.0, 1.0], [0.0, 2.0]])
    >>> cr.func.vmap(cr.dot)(x, y)
    tensor([3., 8.])
    >>> cr.func.vmap(cr.func.grad(lambda w: (w**3).sum()), in_dims=1, out_dims=1)(x)
    tensor([[ 3., 12.],
            [27., 48.]])
    """
    expect_function(func, "vmap")
    check_randomness(randomness)
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", repr(func))

    @wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        flat, dims, spec, size = _checked(name, in_dims, args)
        run = partial(_map, name, func, dims, spec, out_dims, randomness, kwargs)
        if chunk_size is None or size <= chunk_size:
            return run(flat, size)
        state = default_generator.get_state() if randomness == "same" else None
        parts = []
        for n, piece in _chunks(flat, dims, size, chunk_size):
            if state is not None:
                default_generator.set_state(state)
            parts.append(run(piece, n))
        return _joined(name, parts, out_dims)

    return wrapped


# -- arguments ---------------------------------------------------------------------------------------------------------


def _checked(name: str, in_dims: Dims, args: tuple) -> tuple[list, list, TreeSpec, int]:
    """Return the arguments' leaves, the axis of each (None for none), their structure and the batch size."""
    told = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): "
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"{told}expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, "
            f"got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a function "
            "with no inputs. The latter is unsupported."
        )
    flat, spec = tree_flatten(args)
    dims = _for_each(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"{told}in_dims is not compatible with the structure of `inputs`. in_dims has structure {tree_flatten(in_dims)[1]} "
            f"but inputs has structure {spec}."
        )
    sizes = []
    for k, (t, dim) in enumerate(zip(flat, dims, strict=True)):
        if dim is None:
            continue
        if not isinstance(dim, int):
            raise ValueError(f"{told}Got in_dim={dim} for an input but in_dim must be either an integer dimension or None.")
        if not isinstance(t, Tensor):
            raise ValueError(
                f"{told}Got in_dim={dim} for an input but the input is of type {type(t)}. We cannot vmap over non-Tensor "
                "arguments, please use None as the respective in_dim"
            )
        if not -t.ndim <= dim < t.ndim:
            raise ValueError(
                f"{told}Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {t.ndim} so expected "
                f"in_dim to satisfy -{t.ndim} <= in_dim < {t.ndim}."
            )
        dims[k] = dim % t.ndim
        sizes.append(t.shape[dims[k]])
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return flat, dims, spec, sizes[0]


def _for_each(dims: Dims, spec: TreeSpec) -> list | None:
    """Return an entry of `dims` for each leaf of a structure, of which `dims` is a prefix; None if it is none."""
    if dims is None or dims.__class__ is int:
        return [dims] * spec.num_leaves
    leaves, prefix = tree_flatten(dims)
    found: list = []
    return found if _spread(iter(leaves), prefix, spec, found) else None


def _spread(leaves: Iterator, prefix: TreeSpec, spec: TreeSpec, found: list) -> bool:
    if prefix.type is None:
        found += [next(leaves)] * spec.num_leaves
        return True
    if prefix.type is not spec.type or prefix.context != spec.context or len(prefix.children_specs) != len(spec.children_specs):
        return False
    return all(_spread(leaves, p, s, found) for p, s in zip(prefix.children_specs, spec.children_specs, strict=True))


def _chunks(flat: list, dims: list, size: int, chunk: int) -> Iterator[tuple[int, list]]:
    take = TABLE["getitem"].call
    for start in range(0, size, chunk):
        end = min(start + chunk, size)
        place = slice(start, end)
        piece = [
            t if dim is None else take(t, index=(*(slice(None),) * dim, place, ...)) for t, dim in zip(flat, dims, strict=True)
        ]
        yield end - start, piece


# -- one batch ---------------------------------------------------------------------------------------------------------


def _map(
    name: str, func: Callable, dims: list, spec: TreeSpec, out_dims: Dims, randomness: str, kwargs: dict, flat: list, size: int
) -> Any:
    level = fresh_level()
    inputs = [t if dim is None else _argument(level, t, dim) for t, dim in zip(flat, dims, strict=True)]
    call = Mapped(level, size, randomness, lambda payload: batched_at(level, payload))
    with scope(level, mapped=(*modes().mapped, call)):
        result = func(*tree_unflatten(inputs, spec), **kwargs)
    for t, x, dim in zip(flat, inputs, dims, strict=True):
        if dim is not None and is_written(x):  # written in place: so is the caller's tensor, as in PyTorch
            t.copy_(moved(raised(x._data), 0, dim))
    outs, out_spec = tree_flatten(result)
    places = _places(name, out_dims, out_spec)
    found = []
    arguments = {id(x): (t, dim) for t, x, dim in zip(flat, inputs, dims, strict=True) if dim is not None}
    for out, place in zip(outs, places, strict=True):
        value = _unbatched(name, level, out, place, size)
        given, dim = arguments.get(id(out), (None, None))
        if given is not None and place % given.ndim == dim:  # an argument, perhaps written to: the caller's tensor itself
            found.append(given)
            continue
        if any([value is t for t in flat]):  # an argument as it was: another tensor of the same memory
            value = TABLE["getitem"].call(value, index=(...,))
        found.append(value)
    return tree_unflatten(found, out_spec)


def _argument(level: int, value: Tensor, dim: int) -> Tensor:
    made = batched_at(level, moved(value, dim))
    made._meta = Argument(dim)
    return made


def _places(name: str, out_dims: Dims, spec: TreeSpec) -> list:
    if out_dims.__class__ is int:
        return [out_dims] * spec.num_leaves
    leaves, own = tree_flatten(out_dims)
    if any(not (dim is None or isinstance(dim, int)) for dim in leaves):
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python collection of ints "
            "representing where in the outputs the vmapped dimension should appear."
        )
    places = _for_each(out_dims, spec)
    if places is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of `outputs`. "
            f"out_dims has structure {own} but outputs has structure {spec}."
        )
    return places


def _unbatched(name: str, level: int, out: Any, dim: int | None, size: int) -> Any:
    """Return a result with its batch axis at `dim`."""
    of_level = out.__class__ is Batched and out._level == level
    if dim is None:
        if of_level:
            raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
        return out
    if not isinstance(out, Tensor):
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(out)}. Did you mean to set out_dims= to "
            "None for output?"
        )
    value = raised(unbatched(level, out, size))
    ndim = value.ndim
    if not -ndim <= dim < ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {dim})")
    return moved(value, 0, dim % ndim)


def _joined(name: str, parts: list, out_dims: Dims) -> Any:
    """Return the results of the chunks, joined along the batch axis; of what no example changes, the first."""
    flat, specs = zip(*map(tree_flatten, parts), strict=True)
    joined = []
    for column, dim in zip(zip(*flat, strict=True), _places(name, out_dims, specs[0]), strict=True):
        joined.append(column[0] if dim is None else TABLE["cat"].call(*column, axis=dim % column[0].ndim))
    return tree_unflatten(joined, specs[0])
