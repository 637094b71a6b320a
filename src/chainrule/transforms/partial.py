"""Partial: a (co)tangent that knows which of its elements are absent, and not merely zero.

An element is absent where nothing that is differentiated bears on it: a `where` chose the other value, an index left it out,
padding put it there. A derivative rule is linear in its (co)tangent, so what it makes of absent elements alone is absent too,
whatever it multiplies them by; a zero that a product or a difference happens to give is present, and 0 * inf of it is NaN.

Rules are written with the library's ops, so one interpreter of these finds out what each rule drops: it runs an op on the
values, and on the presence of their elements by what the op says of itself. Of an op that it knows nothing about, every
element of the result is present. Forward mode carries such values as tangents; in a pass of reverse mode they live as long as
a node pulls (``transforms.presence``). The mode that has them made is ``autograd.safe_derivatives``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from types import FunctionType
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import run
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import BILINEAR, ELEMENTWISE, LINEAR, TABLE, Op
from chainrule.core.op.lowering import Expansion
from chainrule.core.op.raw import names_in, shape_of
from chainrule.core.op.reach import Call, links_of
from chainrule.core.tensor.level import Level
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import version_of
from chainrule.core.types.absent import Absent

ndarray = np.ndarray
LEVEL = 1 << 61  # above all transforms': a rule sees one (co)tangent, so that no two of them are inside of each other

# Linear ops that neither change nor add up elements.
_ALIKE = ("to", "clone", "alias", "contiguous", "named", "real", "imag", "conj_view")
# Those whose results are sums of elements, each times a number that is not negative: no two present ones cancel. The others
# (differences, Fourier transforms, cubic interpolation) may make a zero of present elements. Each result of _TAKES is a sum of
# some, of _PUTS perhaps of none.
_TAKES = (
    "getitem", "diagonal", "trace", "unfold", "broadcast_to", "sum_to", "reshape", "view", "reshape_alias", "squeeze",
    "unsqueeze", "permute", "transpose", "t", "flip", "roll", "rot90", "repeat", "index", "index_select", "take", "gather",
    "cumsum", "sum", "mean", "unbind", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "masked",
    "masked_select", "pick",
)  # fmt: skip
_PUTS = (
    "place", "overwrite", "place_diagonal", "diagonal_scatter", "fold", "tril", "triu", "index_sum", "index_put", "index_add",
    "index_copy", "index_fill", "put", "scatter_add", "scatter", "shift", "cat", "stack", "block_diag", "masked_place",
    "masked_put", "masked_scatter", "unmasked", "spread", "nll_spread", "im2col", "col2im",
)  # fmt: skip
_PRODUCTS = ("mm", "mv", "dot", "outer", "bmm", "matmul", "bmm_sum", "linear_map", "conv", "conv_input", "conv_weight")


class Partial(Level):
    """A (co)tangent in which absent elements are 0.

    `_data` holds its values, `_tangent` a boolean for each: whether it is present; None if all are. Both are of lower levels.
    """

    __slots__ = ()

    def _process(self, op: Op, args: tuple, params: dict) -> Any:
        on = tuple([a.__class__ is Partial for a in args])
        values = tuple([a._data if here else a for a, here in zip(args, on, strict=True)])
        masks = tuple([_mask_of(a) if here else None for a, here in zip(args, on, strict=True)])
        how = _HOW.get(op.name)
        if how is not None:
            return how(op, values, masks, on, params)
        if op.kind == ELEMENTWISE and op.scales and on[0] and True not in on[1:]:
            return _scaled(op, values, masks, on, params)
        if op.lowering.__class__ is Expansion and op.kind not in (LINEAR, BILINEAR):
            return op.lowering.f(*args, **params)
        if op.kind in (LINEAR, BILINEAR):
            return _reached(op, values, masks, on, params)
        return run(op, values, params)  # nothing is known of its zeros

    def _lift(self, value: Tensor) -> Tensor:
        """Return a value of a lower level, which is not linear in any (co)tangent, as one with all elements."""
        return partial(value, None)

    def _rebuilt(self, f: Callable) -> Tensor:
        """Return what `f` makes of the values; it keeps their places."""
        return partial(f(self._data), self._tangent)


def partial(value: Any, mask: Any) -> Partial:
    """Return a (co)tangent whose elements are present where a mask says so; a mask of None says that all are."""
    if mask.__class__ is ndarray and mask.all():
        mask = None
    t: Any = wrap(value, Partial)
    t._lv, t._tangent = LEVEL, mask
    return t


def seed(tangent: Any) -> Partial:
    """Return what carries the tangent that an input is given; a tensor's mask follows writes to it."""
    t: Any = partial(tangent, seeded(tangent))
    if isinstance(tangent, Tensor):
        t._ver = version_of(tangent)
        t._born = t._ver.count
    return t


def _mask_of(t: Any) -> Any:
    if t._ver is not None and t._ver.count > t._born:  # a seed that was written to
        t._tangent, t._born = seeded(t._data), t._ver.count
    return t._tangent


def parted(value: Any) -> tuple[Any, Any]:
    """Return the values of a (co)tangent and the mask of those present."""
    return (value._data, value._tangent) if value.__class__ is Partial else (value, None)


@lru_cache(1 << 12)
def may_drop(rule: Callable) -> bool:
    """Tell whether the text of a rule, or of a function that it names, names an op that may drop part of a cotangent."""
    space, seen = rule.__globals__, {rule}  # type: ignore[attr-defined]
    stack = [(space, name) for name in names_in(rule.__code__)]  # type: ignore[attr-defined]
    while stack:
        space, name = stack.pop()
        value = space.get(name)
        op = getattr(value, "op", None)
        if isinstance(op, Op):
            if op.name in _DROPS or (op.lowering.__class__ is Expansion and op.kind not in (LINEAR, BILINEAR)):
                return True
        elif value.__class__ is FunctionType and value not in seen:
            seen.add(value)
            stack += [(value.__globals__, other) for other in names_in(value.__code__)]
    return False


def value_of(t: Any) -> Any:
    """Return a (co)tangent without what it knows of absent elements."""
    return t._data if t.__class__ is Partial else t


def seeded(g: Any) -> Any:
    """Return the mask of a seed's elements: a constant's zeros are absent, as those of a basis vector are.

    A seed that is itself differentiated, or stands for values to come, has all elements.
    """
    inside = g
    while isinstance(inside, Tensor):
        if inside._node is not None or getattr(inside, "_tangent", None) is not None:
            return None
        inside = inside._data
    if inside.__class__ is Absent or modes().tracer is not None:
        return None
    mask = _call("ne", g, 0)
    return None if isinstance(mask, (ndarray, np.generic)) and np.all(mask) else mask


def either(a: Any, b: Any) -> Any:
    """Return the mask of what is present in one or the other."""
    return None if a is None or b is None else _call("logical_or", a, b)


def without_absent(value: Any, mask: Any) -> Any:
    """Return values with zeros where they are absent."""
    return value if mask is None else _call("where", mask, value, 0)


def _call(name: str, *args: Any, **params: Any) -> Any:
    return run(TABLE[name], args, params)


def _spread(mask: Any, out: Any) -> Any:
    """Return a mask in the shape of a result."""
    shape = shape_of(out)
    return mask if mask is None or shape_of(mask) == shape else _call("broadcast_to", mask, shape=shape)


def _is_zero(value: Any) -> bool:
    return not isinstance(value, Tensor) and not np.any(value)


# -- elementwise ops ---------------------------------------------------------------------------------------------------


def _scaled(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    """Run a product: an element is absent if a factor is."""
    out = run(op, values, params)
    mask = None
    for m in masks:
        if m is not None:
            mask = m if mask is None else _call("logical_and", mask, m)
    mask = _spread(mask, out)
    return partial(without_absent(out, mask), mask)


def _divided(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    return run(op, values, params) if on[1] else _scaled(op, values, masks, on, params)


def _added(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    """Run a sum: an element is present if a term is."""
    out = run(op, values, params)
    if False in on:
        other = values[on.index(False)]
        mask = masks[on.index(True)] if _is_zero(other) else None
    else:
        mask = either(*masks)
    return partial(out, _spread(mask, out))


def _chosen(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    """Run a `where`: an element is present if the one that is chosen is; a constant 0 never is."""
    if on[0]:
        return run(op, values, params)
    out = run(op, values, params)
    sides = []
    for value, mask, here in zip(values[1:], masks[1:], on[1:], strict=True):
        sides.append(np.bool_(not (_is_zero(value) and not here)) if mask is None else mask)
    return partial(out, _spread(_call("where", values[0], *sides), out))


def _gated(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    """Run a `gate`, which is a `where` on the values of its second operand."""
    out = run(op, values, params)
    if not on[0] or on[1]:
        return out
    opened = _call("ne", run(op, (np.ones((), np.float32), values[1]), params), 0)
    mask = opened if masks[0] is None else _call("logical_and", opened, masks[0])
    return partial(out, _spread(mask, out))


def _copied(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    return partial(run(op, values, params), masks[1] if on[1] else None)


def _alike(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    return partial(run(op, values, params), masks[0])


# -- linear and bilinear ops -------------------------------------------------------------------------------------------


def _numbers(value: Any, mask: Any) -> Any:
    """Return 1 for the elements that are present, else 0."""
    if mask is None:
        return np.ones(shape_of(value), np.float32)
    return _call("to", mask, dtype=np.dtype(np.float32), source=np.dtype(bool))


def _summed(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    """Run a linear op on the values, and on the presence of each: where that sums to 0, nothing present was taken."""
    out = run(op, values, params)
    if op.name in _TAKES and masks[0] is None:
        several = out.__class__ is tuple or out.__class__ is list
        return tuple([partial(o, None) for o in out]) if several else partial(out, None)
    rules = op.rules * len(values) if op.variadic else op.rules
    counts = []
    for value, mask, here, rule in zip(values, masks, on, rules, strict=True):
        if here:
            counts.append(_numbers(value, mask))
        elif rule is None:
            counts.append(value)
        else:
            counts.append(_numbers(value, None) if isinstance(value, Tensor) else _nonzero(value))
    found = run(op, tuple(counts), params)
    if out.__class__ is not tuple and out.__class__ is not list:
        return partial(out, _call("ne", found, 0))
    return tuple([partial(o, _call("ne", m, 0)) for o, m in zip(out, found, strict=True)])


def _nonzero(value: Any) -> Any:
    return np.not_equal(value, 0).astype(np.float32) if hasattr(value, "dtype") else float(value != 0)


def _in_place(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    """Run an op of places that are chains of views; those that show the parts of complex elements say nothing of these."""
    chains = params["chains"] if "chains" in params else (params["chain"],)
    if all([step[0].selects is not None for chain in chains for step in chain]):
        return _summed(op, values, masks, on, params)
    return run(op, values, params)


def _padded(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    return run(op, values, params) if params["value"] != 0 else _summed(op, values, masks, on, params)


def _multiplied(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    """Run a product that sums: a term is absent if a factor is, and a result if all its terms are.

    The other factor's elements that meet nothing present are left out as well: it may hold anything there.
    """
    if False not in on:
        return partial(run(op, values, params), None)
    i = on.index(True)
    other, mask = values[1 - i], masks[i]
    if mask is None:
        return partial(run(op, values, params), None)
    pair = list(values)
    pair[i], pair[1 - i] = _numbers(values[i], mask), np.ones(shape_of(other), np.float32)
    met = run(op, tuple(pair), params)
    if not _is_finite(other):
        needed: Any = op.rules[1 - i]
        ones = np.ones(shape_of(met), np.float32)
        shapes = [shape_of(v) for v in values]
        other = without_absent(other, _call("ne", needed((ones,), pair, shapes, met, None, params), 0))
    pair[i], pair[1 - i] = values[i], other
    mask = _call("ne", met, 0)
    return partial(without_absent(run(op, tuple(pair), params), mask), mask)


def _reached(op: Op, values: tuple, masks: tuple, on: tuple, params: dict) -> Any:
    """Run any other linear or bilinear op: an element is present if a present one can reach it, as far as arrays tell."""
    out = run(op, values, params)
    several = out.__class__ is tuple or out.__class__ is list
    outs = out if several else (out,)
    rules = op.rules * len(values) if op.variadic else op.rules
    known = {i: _array(mask) for i, (mask, here) in enumerate(zip(masks, on, strict=True)) if here}
    bears = [
        i for i, rule in enumerate(rules) if rule is not None and not on[i] and op.kind == LINEAR and not _is_zero(values[i])
    ]
    if bears or not any([m is not None for m in known.values()]) or any([m is NotImplemented for m in known.values()]):
        return out
    links = links_of(Call(op, [_shown(v) for v in values], params, [_shown(o) for o in outs]))
    made = []
    for o, each in zip(outs, links, strict=True):
        mask, size = np.zeros(prod(shape_of(o)), bool), prod(shape_of(o))
        for i, marked in known.items():
            if (link := each[i]) is not None:
                mask |= link.forward(np.ones(prod(shape_of(values[i])), bool) if marked is None else marked.ravel(), size)
        mask = mask.reshape(shape_of(o))
        made.append(partial(without_absent(o, mask), mask))
    return tuple(made) if several else made[0]


def _array(mask: Any) -> Any:
    """Return a mask as an array; None where all is present, NotImplemented where it is none: of a batch, or of a trace."""
    if mask is None:
        return None
    if modes().tracer is not None:
        return NotImplemented
    while isinstance(mask, Tensor):
        if mask._read is not None:
            return NotImplemented
        mask = mask._data
    return np.asarray(mask)


def _shown(value: Any) -> Any:
    """Return an operand as a call's reach looks at it."""
    while isinstance(value, Tensor) and value._read is None:
        value = value._data
    return value


def _is_finite(value: Any) -> bool:
    """Tell whether a factor is known to be finite, with all that it carries; nothing is known in a trace."""
    if modes().tracer is not None:
        return False
    while isinstance(value, Tensor):
        if (moved := getattr(value, "_tangent", None)) is not None and not _is_finite(value_of(moved)):
            return False
        value = value._data
    return bool(np.isfinite(value).all())


_PLACED = ("copy_slices", "retake", "assemble")
_DROPS = frozenset((*_PUTS, *_PLACED, "where", "gate", "constant_pad"))
_HOW: dict[str, Callable] = {
    **dict.fromkeys(("mul", "neg", "conj", "conj_physical"), _scaled),
    "div": _divided, "add": _added, "sub": _added, "where": _chosen, "gate": _gated, "constant_pad": _padded,
    "copy": _copied, **dict.fromkeys(_PLACED, _in_place),
    **dict.fromkeys(_ALIKE, _alike), **dict.fromkeys((*_TAKES, *_PUTS), _summed), **dict.fromkeys(_PRODUCTS, _multiplied),
}  # fmt: skip
