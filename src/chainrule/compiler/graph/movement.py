"""Movement: what only rearranges, repeats or selects elements is merged, cancelled, and dropped where its user does without.

All is exact but two rules, which compute the same sums in another way: a sum over repeated elements is a product, rounded once;
and a transposed matrix product is the product of the transposed factors, which BLAS may add up in another order.
"""

from __future__ import annotations

from math import prod
from typing import Any

from chainrule.compiler.graph.rebuilding import with_operands
from chainrule.compiler.graph.rewriting import Rewriting, Rules, frozen
from chainrule.core.op.declaration import ELEMENTWISE
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import broadcast
from chainrule.transforms.equations import Equation, Graph, Variable

FULL = slice(None)

# -- reshapes ----------------------------------------------------------------------------------------------------------


def _reshape(r: Rewriting, e: Equation) -> Any:
    """Merge whatever only gives elements another shape into one reshape, or none."""
    x, shape = e.operands[0], e.results[0].shape
    if x.shape == shape:
        return x
    if (inner := r.maker(x, "reshape")) is not None:
        return r.apply("reshape", inner.operands[0], shape=shape)
    if (found := _through(r, x, shape)) is not None:
        return found
    return None if e.op.name == "reshape" else r.apply("reshape", x, shape=shape)


def _through(r: Rewriting, x: Variable, shape: tuple) -> Any:
    """Reshape the operands of an elementwise op in place of its result, if one of them is a reshape that this undoes."""
    above = r.made.get(x)
    if above is None or above.op.kind != ELEMENTWISE or r.uses.get(x, 0) != 1:
        return None
    full = [o for o in above.operands if o.__class__ is Variable and o.shape]
    if any([o.shape != x.shape for o in full]):
        return None
    back = [inner for o in full if (inner := r.maker(o, "reshape")) is not None and inner.operands[0].shape == shape]
    if not back or len(back) < len(full) - 1:
        return None
    operands = [r.apply("reshape", o, shape=shape) if o.__class__ is Variable and o.shape else o for o in above.operands]
    fresh = Variable(shape, x.dtype)
    r.process(with_operands(above, tuple(operands), (fresh,)))
    return r.value(fresh)


def _getitem(r: Rewriting, e: Equation) -> Any:
    """Reshape where an index only adds axes; take the part itself that was put in there, or joined with others."""
    x, index = e.operands[0], e.params["index"]
    if _takes_all(index):
        return r.apply("reshape", x, shape=e.results[0].shape)
    if (above := r.maker(x, "overwrite", "place")) is not None and frozen(above.params["index"]) == frozen(index):
        y = above.operands[-1]
        if y.__class__ is Variable and y.dtype is x.dtype:
            return _spread(r, y, e.results[0].shape)
    return _part(r, x, index)


def _takes_all(index: tuple) -> bool:
    """Tell whether an index only adds axes."""
    return all([item is None or item is Ellipsis or item == FULL for item in index])


def _place(r: Rewriting, e: Equation) -> Any:
    return r.apply("reshape", e.operands[0], shape=e.results[0].shape) if _takes_all(e.params["index"]) else None


def _spread(r: Rewriting, x: Variable, shape: tuple) -> Variable:
    return x if x.shape == shape else r.apply("broadcast_to", x, shape=shape)


def _part(r: Rewriting, x: Variable, index: tuple) -> Any:
    """Return the operand of a cat or a stack that an index selects along its axis, and nothing else."""
    if (joined := r.maker(x, "cat", "stack")) is None:
        return None
    axis = joined.params["axis"]
    rest = [item for item in index[axis + 1 :] if item is not Ellipsis and item != FULL]
    if len(index) <= axis or rest or any([item.__class__ is not slice or item != FULL for item in index[:axis]]):
        return None
    item = index[axis]
    if joined.op.name == "stack":
        if item.__class__ is not int or not -len(joined.operands) <= item < len(joined.operands):
            return None
        found = joined.operands[item]
        return found if found.dtype is x.dtype else None
    if item.__class__ is not slice or item.step not in (None, 1):
        return None
    start, stop, _ = item.indices(x.shape[axis])
    end = 0
    for o in joined.operands:
        if end == start and end + o.shape[axis] == stop and o.dtype is x.dtype:
            return o
        end += o.shape[axis]
    return None


def _split(r: Rewriting, e: Equation) -> Any:
    """Return the parts that were joined before."""
    if (joined := r.maker(e.operands[0], "cat")) is None or joined.params["axis"] != e.params["axis"]:
        return None
    parts = joined.operands
    return parts if [(p.shape, p.dtype) for p in parts] == [(v.shape, v.dtype) for v in e.results] else None


def _unbind(r: Rewriting, e: Equation) -> Any:
    """Return what was stacked before."""
    if (joined := r.maker(e.operands[0], "stack")) is None or joined.params["axis"] != e.params["axis"]:
        return None
    return joined.operands if all([o.dtype is e.operands[0].dtype for o in joined.operands]) else None


def _join(r: Rewriting, e: Equation) -> Any:
    """Return what was taken apart before, or the one operand; leave out operands without elements."""
    operands, axis, result = e.operands, e.params["axis"], e.results[0]
    if e.op.name == "cat":
        held = tuple([o for o in operands if o.shape[axis]])
        if len(held) == 1 and held[0].dtype is result.dtype:
            return held[0]
    first = r.maker(operands[0], *(("split", "split_with_sizes") if e.op.name == "cat" else ("unbind",)))
    if first is None or first.params["axis"] != axis or first.results != operands:
        return None
    return first.operands[0]


def _overwrite(r: Rewriting, e: Equation) -> Any:
    """Drop a write of what stands there already, and one that is written over."""
    x, y = e.operands
    index = frozen(e.params["index"])
    if (taken := r.maker(y, "getitem")) is not None and taken.operands[0] is x and frozen(taken.params["index"]) == index:
        return x
    above = r.maker(x, "overwrite")
    if above is not None and frozen(above.params["index"]) == index:
        return r.apply("overwrite", above.operands[0], y, index=e.params["index"])
    return None


def _copy_slices(r: Rewriting, e: Equation) -> Any:
    """Write a change of a view of one step in the words of other ops."""
    base, value = e.operands
    chain = e.params["chain"]
    if len(chain) != 1 or base.__class__ is not Variable:
        return None
    ((how, params, index, _),) = chain
    name = getattr(how, "name", "")
    if name == "getitem" and index is None:
        return r.apply("overwrite", base, value, index=params["index"])
    if name in ("view", "reshape_alias", "squeeze", "unsqueeze", "alias") and _fits(value, base):
        return r.apply("reshape", value, shape=base.shape)
    return None


def _fits(value: Any, base: Variable) -> bool:
    return value.__class__ is Variable and value.dtype is base.dtype and prod(value.shape) == prod(base.shape)


# -- permutations ------------------------------------------------------------------------------------------------------


def _permute(r: Rewriting, e: Equation) -> Any:
    """Merge permutations into one, or none; one that moves no axis past another of several elements is a reshape."""
    x = e.operands[0]
    order = _order(e, len(x.shape))
    if (inner := r.maker(x, "permute")) is not None:
        before = inner.params["order"]
        return r.apply("permute", inner.operands[0], order=tuple([before[i] for i in order]))
    if order == tuple(range(len(order))):
        return x
    long = [i for i in order if x.shape[i] != 1]
    if long == sorted(long):
        return r.apply("reshape", x, shape=e.results[0].shape)
    if order == (1, 0) and r.uses.get(x, 0) == 1 and (product := r.maker(x, "mm")) is not None:
        a, b = product.operands
        return r.apply("mm", r.apply("permute", b, order=order), r.apply("permute", a, order=order))
    return None if e.op.name == "permute" else r.apply("permute", x, order=order)


def _order(e: Equation, ndim: int) -> tuple:
    if e.op.name == "permute":
        return tuple([i % ndim for i in e.params["order"]])
    order = list(range(ndim))
    if e.op.name == "t":
        return tuple(order[::-1])
    if ndim:
        a, b = e.params["a"], e.params["b"]
        order[a], order[b] = order[b], order[a]
    return tuple(order)


def _flip(r: Rewriting, e: Equation) -> Any:
    inner = r.maker(e.operands[0], "flip")
    return inner.operands[0] if inner is not None and inner.params["axis"] == e.params["axis"] else None


# -- broadcasts --------------------------------------------------------------------------------------------------------


def _broadcast_to(r: Rewriting, e: Equation) -> Any:
    x, shape = e.operands[0], e.results[0].shape
    if x.shape == shape:
        return x
    if (inner := r.maker(x, "broadcast_to")) is not None:
        return r.apply("broadcast_to", inner.operands[0], shape=shape)
    base = _unspread(r, x)
    return r.apply("broadcast_to", base, shape=shape) if base is not x else None


def _unspread(r: Rewriting, o: Any) -> Any:
    """Return an operand without a broadcast, and without axes of size 1 in front, both of which broadcasting adds itself."""
    while o.__class__ is Variable:
        above = r.maker(o, "broadcast_to", "reshape")
        if above is None:
            break
        x = above.operands[0]
        if above.op.name == "reshape":
            lead = len(o.shape) - len(x.shape)
            if lead <= 0 or o.shape != (1,) * lead + x.shape:
                break
        o = x
    return o


def spread(r: Rewriting, e: Equation) -> Any:
    """Drop broadcasts of the operands of an elementwise op, which broadcasts itself, where others keep the result's shape."""
    if e.op.kind != ELEMENTWISE or len(e.operands) < 2:
        return None
    makers = r.made
    for o in e.operands:
        if o.__class__ is Variable and (above := makers.get(o)) is not None and above.op.name in ("broadcast_to", "reshape"):
            break
    else:
        return None
    operands = list(e.operands)
    for i, o in enumerate(operands):
        base = _unspread(r, o)
        if base is not o:
            others = [x.shape for k, x in enumerate(operands) if x.__class__ is Variable and k != i]
            if broadcast(*others, base.shape) == e.results[0].shape:
                operands[i] = base
    if all([a is b for a, b in zip(operands, e.operands, strict=True)]):
        return None
    fresh = Variable(e.results[0].shape, e.results[0].dtype)
    r.process(with_operands(e, tuple(operands), (fresh,)))
    return r.value(fresh)


def _sum(r: Rewriting, e: Equation) -> Any:
    """Reshape where a sum is of one element each, and add the 0 from which NumPy starts, for -0.0."""
    x, result = e.operands[0], e.results[0]
    if x.dtype is not result.dtype or not prod(x.shape) or prod(x.shape) != prod(result.shape):
        return None
    out = r.apply("reshape", x, shape=result.shape)
    return r.apply("add", out, 0.0) if result.dtype.category >= dtypes.FLOAT and result.dtype.numpy.isbuiltin == 1 else out


def _sum_to(r: Rewriting, e: Equation) -> Any:
    """Multiply in place of a sum to the shape from which its operand was broadcast."""
    x, result = e.operands[0], e.results[0]
    above = r.maker(x, "broadcast_to")
    if above is None or x.dtype.category != dtypes.FLOAT or x.dtype.itemsize < 4 or not prod(x.shape):
        return _sum(r, e)
    base = above.operands[0]
    if _padded(base.shape, len(x.shape)) != _padded(result.shape, len(x.shape)):
        return _sum(r, e)
    product = r.apply("mul", r.apply("reshape", base, shape=result.shape), prod(x.shape) // prod(result.shape))
    return r.apply("add", product, 0.0)


def _padded(shape: tuple, ndim: int) -> tuple:
    return (1,) * (ndim - len(shape)) + shape


def _extremum(r: Rewriting, e: Equation) -> Any:
    x, result = e.operands[0], e.results[0]
    return r.apply("reshape", x, shape=result.shape) if prod(x.shape) == prod(result.shape) and prod(x.shape) else None


# -- matrix products ---------------------------------------------------------------------------------------------------


def _matmul(r: Rewriting, e: Equation) -> Any:
    """Multiply matrices, or the rows of a batch by one matrix, as one product of two matrices, as the kernel does."""
    x, y = e.operands
    if len(y.shape) != 2 or len(x.shape) < 2:
        if len(x.shape) == len(y.shape) == 3 and x.shape[0] == y.shape[0]:
            return r.apply("bmm", x, y)
        return None
    if len(x.shape) == 2:
        return r.apply("mm", x, y)
    rows = r.apply("reshape", x, shape=(prod(x.shape[:-1]), x.shape[-1]))
    return r.apply("reshape", r.apply("mm", rows, y), shape=e.results[0].shape)


RULES: Rules = {
    "*": (spread,),
    **dict.fromkeys(("reshape", "view", "reshape_alias", "squeeze", "unsqueeze"), (_reshape,)),
    **dict.fromkeys(("permute", "transpose", "t"), (_permute,)),
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes"), (_split,)),
    "getitem": (_getitem,), "place": (_place,), "unbind": (_unbind,), "cat": (_join,), "stack": (_join,), "flip": (_flip,),
    "overwrite": (_overwrite,), "copy_slices": (_copy_slices,), "broadcast_to": (_broadcast_to,), "sum_to": (_sum_to,),
    "sum": (_sum,), "amax": (_extremum,), "amin": (_extremum,), "matmul": (_matmul,),
}  # fmt: skip


def moved(graph: Graph) -> Graph:
    """Return a graph with the same values by fewer rearrangements and broadcasts, and with plain matrix products."""
    return Rewriting(graph, RULES).run()
