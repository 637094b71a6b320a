"""Maps: ops that move values without changing them, as where each element of the result comes from.

For an op, `MAPS` tells the pieces of a result: which operand an element is read from and at which coordinates, and under which
conditions on the coordinates; pieces are tried in order, and what none holds is a number. Nothing here knows of loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from chainrule.compiler.loops.coords import (
    ZERO,
    Coord,
    Coords,
    affine,
    bounds,
    broadcast,
    constant,
    divided,
    flat,
    reshaped,
    total,
)
from chainrule.core.op.declaration import Op
from chainrule.core.record.placed import shown
from chainrule.transforms.equations import Equation

Condition = tuple[Coord, int, int]  # a coordinate is at least the one number and less than the other


class Piece(NamedTuple):
    """Elements read from an operand at coordinates, where all conditions hold. Without operand they are a number."""

    operand: Any
    coords: Coords
    conditions: tuple[Condition, ...]


Pieces = list[Piece]
MANY = 8  # pieces beyond which a join writes each to its place instead


def _same(e: Equation, k: int, coords: Coords) -> Pieces:
    return [Piece(e.operands[0], coords, ())]


def _read(operand: Any, coords: Coords, conditions: Sequence[Condition] = ()) -> Piece:
    """Return the piece of an operand, broadcast; a number stands for itself."""
    if hasattr(operand, "shape"):
        return Piece(operand, broadcast(operand.shape, coords), tuple(conditions))
    return Piece(operand, (), tuple(conditions))


def _expand(e: Equation, k: int, coords: Coords) -> Pieces:
    return [_read(e.operands[0], coords)]


def _copy(e: Equation, k: int, coords: Coords) -> Pieces:
    return [_read(e.operands[1], coords)]


def _reshape(e: Equation, k: int, coords: Coords) -> Pieces:
    x = e.operands[0]
    return [Piece(x, reshaped(coords, e.results[k].shape, x.shape), ())]


def _permuted(coords: Coords, order: Sequence[int]) -> Coords:
    out: list = [None] * len(order)
    for place, axis in enumerate(order):
        out[axis] = coords[place]
    return tuple(out)


def _swapped(coords: Coords, a: int, b: int) -> Coords:
    out = list(coords)
    if out:
        out[a], out[b] = out[b], out[a]
    return tuple(out)


# -- basic indices -----------------------------------------------------------------------------------------------------


def _items(index: tuple, ndim: int) -> list:
    """Return a basic index with an item for each axis, None for a new one, the ellipsis replaced."""
    used = len([i for i in index if i is not None and i is not Ellipsis])
    out: list = []
    for item in index:
        out += [slice(None)] * (ndim - used) if item is Ellipsis else [item]
    return out + [slice(None)] * (ndim - len([i for i in out if i is not None]))


def _picked(coords: Coords, index: tuple, shape: tuple) -> Coords:
    """Return where in an array of a shape the element of its part lies."""
    out: list[Coord] = []
    k = 0
    for item in _items(index, len(shape)):
        if item is None:
            k += 1
            continue
        n = shape[len(out)]
        if item.__class__ is slice:
            start, _, step = item.indices(n)
            out.append(affine(coords[k], step, start) if n != 1 else ZERO)
            k += 1
        else:
            out.append(constant(int(item) % n if n else 0) if n != 1 else ZERO)
    return tuple(out)


def _unpicked(coords: Coords, index: tuple, shape: tuple) -> tuple[Coords, list[Condition]]:
    """Return where in the part an element of an array of a shape lies, and under which conditions it is in the part."""
    out: list[Coord] = []
    conditions: list[Condition] = []
    axis = 0
    for item in _items(index, len(shape)):
        if item is None:
            out.append(ZERO)
            continue
        c, n = coords[axis], shape[axis]
        axis += 1
        if item.__class__ is not slice:
            k = int(item) % n
            conditions.append((c, k, k + 1))
            continue
        start, stop, step = item.indices(n)
        count = len(range(start, stop, step))
        if step < 0:  # the same elements in ascending order, then turned round
            start, step, turned = start + (count - 1) * step, -step, True
        else:
            turned = False
        if count == 1:
            conditions.append((c, start, start + 1))
            out.append(ZERO)
            continue
        conditions.append((c, start, start + (count - 1) * step + 1))
        place = affine(c, 1, -start)
        if step != 1:
            below = bounds(place)[0]  # made so that it is nowhere negative, outside of the part
            ups = -(below // step) if below < 0 else 0
            quotient, remainder = divided(affine(place, 1, ups * step), step)
            conditions.append((remainder, 0, 1))
            place = affine(quotient, 1, -ups)
        out.append(affine(place, -1, count - 1) if turned else place)
    return tuple(out), conditions


def _getitem(e: Equation, k: int, coords: Coords) -> Pieces:
    x = e.operands[0]
    return [Piece(x, _picked(coords, e.params["index"], x.shape), ())]


def _place(e: Equation, k: int, coords: Coords) -> Pieces:
    out, conditions = _unpicked(coords, e.params["index"], e.params["shape"])
    return [_read(e.operands[0], out, conditions), Piece(0, (), ())]


def _overwrite(e: Equation, k: int, coords: Coords) -> Pieces:
    x, y = e.operands
    out, conditions = _unpicked(coords, e.params["index"], x.shape)
    return [_read(y, out, conditions), Piece(x, coords, ())]


# -- diagonals, windows, triangles, turns ------------------------------------------------------------------------------


def _on_diagonal(coords: Coords, offset: int, a: int, b: int) -> Coords:
    rest = list(coords[:-1])
    row, column = affine(coords[-1], 1, max(-offset, 0)), affine(coords[-1], 1, max(offset, 0))
    for axis, c in sorted([(a, row), (b, column)]):
        rest.insert(axis, c)
    return tuple(rest)


def _off_diagonal(coords: Coords, offset: int, a: int, b: int) -> tuple[Coords, list[Condition]]:
    row, column = coords[a], coords[b]
    rest = [c for k, c in enumerate(coords) if k not in (a, b)]
    place = affine(row, 1, min(offset, 0)) if offset < 0 else row
    return (*rest, place), [(total([(column, 1), (row, -1)]), offset, offset + 1)]


def _diagonal(e: Equation, k: int, coords: Coords) -> Pieces:
    x = e.operands[0]
    found = _on_diagonal(coords, **e.params)
    return [Piece(x, tuple([ZERO if n == 1 else c for c, n in zip(found, x.shape, strict=True)]), ())]


def _place_diagonal(e: Equation, k: int, coords: Coords) -> Pieces:
    x = e.operands[0]
    out, conditions = _off_diagonal(coords, e.params["offset"], e.params["a"], e.params["b"])
    return [_inside(x, out, conditions, x.shape), Piece(0, (), ())]


def _diagonal_scatter(e: Equation, k: int, coords: Coords) -> Pieces:
    x, y = e.operands
    out, conditions = _off_diagonal(coords, **e.params)
    shape = _diagonal_shape(x.shape, **e.params)
    return [_inside(y, out, conditions, shape), Piece(x, coords, ())]


def _diagonal_shape(shape: tuple, offset: int, a: int, b: int) -> tuple:
    n = max(min(shape[a] + min(offset, 0), shape[b] - max(offset, 0)), 0)
    return (*[m for k, m in enumerate(shape) if k not in (a, b)], n)


def _inside(operand: Any, coords: Coords, conditions: list[Condition], shape: tuple) -> Piece:
    """Return a piece that is read where its coordinates lie inside of a shape, too."""
    limits = [(c, 0, n) for c, n in zip(coords, shape, strict=True)]
    return _read(operand, tuple([ZERO if n == 1 else c for c, n in zip(coords, shape, strict=True)]), (*conditions, *limits))


def _unfold(e: Equation, k: int, coords: Coords) -> Pieces:
    x, axis, step = e.operands[0], e.params["axis"], e.params["step"]
    if not x.shape:
        return [Piece(x, (), ())]
    out = list(coords[:-1])
    out[axis] = total([(coords[axis], step), (coords[-1], 1)]) if x.shape[axis] != 1 else ZERO
    return [Piece(x, tuple(out), ())]


def _triangle(upper: bool) -> Callable:
    def pieces(e: Equation, k: int, coords: Coords) -> Pieces:
        x, shift = e.operands[0], e.params["k"]
        across = total([(coords[-1], 1), (coords[-2], -1)])
        far = sum(x.shape[-2:]) + abs(shift) + 1
        condition = (across, shift, far) if upper else (across, -far, shift + 1)
        return [Piece(x, coords, (condition,)), Piece(0, (), ())]

    return pieces


def _flipped(coords: Coords, axes: Sequence[int], shape: tuple) -> Coords:
    return tuple([affine(c, -1, n - 1) if k in axes else c for k, (c, n) in enumerate(zip(coords, shape, strict=True))])


def _flip(e: Equation, k: int, coords: Coords) -> Pieces:
    x = e.operands[0]
    return [Piece(x, _flipped(coords, e.params["axis"], x.shape), ())]


def _rot90(e: Equation, k: int, coords: Coords) -> Pieces:
    x, (a, b), turns = e.operands[0], e.params["axis"], e.params["k"] % 4
    if turns == 2:
        return [Piece(x, _flipped(coords, (a, b), x.shape), ())]
    if turns:
        coords = _swapped(coords, a, b)
        coords = _flipped(coords, (b,) if turns == 1 else (a,), x.shape)
    return [Piece(x, coords, ())]


def _roll(e: Equation, k: int, coords: Coords) -> Pieces:
    x, shape = e.operands[0], e.operands[0].shape
    axes, shifts = e.params["axis"], e.params["shifts"]
    if not axes:
        size = 1
        for n in shape:
            size *= n
        parts = _turned(_flat_index(coords, shape), sum(shifts), size)
        return [Piece(x, reshaped((c,), (size,), shape), (condition,)) for c, condition in parts]
    found: list[tuple[list, tuple]] = [(list(coords), ())]
    for axis in set(axes):
        shift = sum([s for a, s in zip(axes, shifts, strict=True) if a == axis])
        if shape[axis] == 1 or shift % shape[axis] == 0:
            continue
        several = []
        for at, conditions in found:
            for c, condition in _turned(coords[axis], shift, shape[axis]):
                several.append(([*at[:axis], c, *at[axis + 1 :]], (*conditions, condition)))
        found = several
    return [Piece(x, tuple(at), conditions) for at, conditions in found]


def _turned(c: Coord, shift: int, n: int) -> list[tuple[Coord, Condition]]:
    """Return the two stretches of a rolled axis: where an element comes from, and under which condition."""
    shift %= n
    return [(affine(c, 1, -shift), (c, shift, n)), (affine(c, 1, n - shift), (c, 0, shift))]


def _flat_index(coords: Coords, shape: tuple) -> Coord:
    step, strides = 1, []
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return flat(coords, strides[::-1])


def _repeat(e: Equation, k: int, coords: Coords) -> Pieces:
    x = e.operands[0]
    out = [divided(c, n)[1] if n != 1 else ZERO for c, n in zip(coords[len(coords) - len(x.shape) :], x.shape, strict=True)]
    return [Piece(x, tuple(out), ())]


def _pad(e: Equation, k: int, coords: Coords) -> Pieces:
    x = e.operands[0]
    out = tuple([affine(c, 1, -before) for c, (before, _) in zip(coords, e.params["widths"], strict=True)])
    return [_inside(x, out, [], x.shape), Piece(e.params["value"], (), ())]


# -- joins -------------------------------------------------------------------------------------------------------------


def _cat(e: Equation, k: int, coords: Coords) -> Pieces:
    axis, out, start = e.params["axis"], [], 0
    for x in e.operands:
        n = x.shape[axis]
        if n:
            place = ZERO if n == 1 else affine(coords[axis], 1, -start)
            out.append(Piece(x, (*coords[:axis], place, *coords[axis + 1 :]), ((coords[axis], start, start + n),)))
        start += n
    return out


def _stack(e: Equation, k: int, coords: Coords) -> Pieces:
    axis = e.params["axis"]
    rest = (*coords[:axis], *coords[axis + 1 :])
    return [Piece(x, rest, ((coords[axis], i, i + 1),)) for i, x in enumerate(e.operands)]


def _unbind(e: Equation, k: int, coords: Coords) -> Pieces:
    axis, x = e.params["axis"], e.operands[0]
    return [Piece(x, (*coords[:axis], constant(k) if x.shape[axis] != 1 else ZERO, *coords[axis:]), ())]


def _split(e: Equation, k: int, coords: Coords) -> Pieces:
    axis, x = e.params["axis"], e.operands[0]
    start = [0, *accumulate(e.params["sizes"])][k]
    here = ZERO if x.shape[axis] == 1 else affine(coords[axis], 1, start)
    return [Piece(x, (*coords[:axis], here, *coords[axis + 1 :]), ())]


# -- chains of views ---------------------------------------------------------------------------------------------------


class _Step:
    """A step of a chain, as an equation of one operand that is told its shape alone."""

    __slots__ = ("op", "operands", "params", "results")

    def __init__(self, op: Any, params: dict, operand: Any, result: Any):
        self.op, self.params, self.operands, self.results = op, params, (operand,), (result,)


class _Shape:
    __slots__ = ("shape",)

    def __init__(self, shape: tuple):
        self.shape = shape


def shapes_along(shape: tuple, chain: Any) -> list[tuple] | None:
    """Return the shapes before each step of a chain, and the last; None for a chain with steps that no map can follow."""
    out = [shape]
    for op, params, index, _ in chain:
        if op.name not in INVERSES or not isinstance(op, Op):  # a view of each example bears the name of one of all
            return None
        found = op.shape([shape], params)  # type: ignore[misc]
        shape = found if index is None else found[index]
        out.append(tuple(shape))
    return out


def _retake(e: Equation, k: int, coords: Coords) -> Pieces:
    x, chain = e.operands[0], e.params["chain"]
    shapes: Any = shapes_along(x.shape, chain)
    for (op, params, index, _), before, after in zip(reversed(chain), reversed(shapes[:-1]), reversed(shapes[1:]), strict=True):
        step: Any = _Step(op, params, _Shape(before), None)
        step.results = (_Shape(after),) * ((index or 0) + 1)
        [piece] = MAPS[op.name](step, index or 0, coords)
        coords = piece.coords
    return [Piece(x, coords, ())]


def into_chain(coords: Coords, shape: tuple, chain: Any) -> tuple[Coords, list[Condition]]:
    """Return where in what a chain of views shows an element of the base lies, and under which conditions."""
    conditions: list[Condition] = []
    for op, params, index, _ in chain:
        coords, more = INVERSES[op.name](coords, shape, params, index)
        conditions += more
        found = op.shape([shape], params)
        shape = tuple(found if index is None else found[index])
    return coords, conditions


def _copy_slices(e: Equation, k: int, coords: Coords) -> Pieces:
    base, value = e.operands
    out, conditions = into_chain(coords, e.results[0].shape, e.params["chain"])
    return [_read(value, out, conditions), _read(base, coords)]


def _assemble(e: Equation, k: int, coords: Coords) -> Pieces:
    parts = [
        _read(x, *into_chain(coords, e.params["shape"], chain)) for x, chain in zip(e.operands, e.params["chains"], strict=True)
    ]
    return [*parts, Piece(0, (), ())]


def parts_of(e: Equation) -> list[np.ndarray] | None:
    """Return an array that counts how many parts of an `assemble` each element is in, and its views that are the parts."""
    shape, chains = e.params["shape"], e.params["chains"]
    if any([shapes_along(shape, chain) is None for chain in chains]):
        return None
    counts = np.zeros(shape, np.int8)
    views = [shown(counts, chain) for chain in chains]
    if not all([np.may_share_memory(v, counts) for v in views]):
        return None
    for v in views:
        v += v < 2  # more do not matter
    return [counts, *views]


def _split_start(params: dict, index: int) -> tuple[int, int]:
    ends = list(accumulate(params["sizes"]))
    return ends[index] - params["sizes"][index], ends[index]


INVERSES: dict[str, Callable] = {
    "getitem": lambda c, shape, p, k: _unpicked(c, p["index"], shape),
    "permute": lambda c, shape, p, k: (tuple([c[i] for i in p["order"]]), []),
    "transpose": lambda c, shape, p, k: (_swapped(c, p["a"], p["b"]), []),
    "t": lambda c, shape, p, k: (c[::-1], []),
    "alias": lambda c, shape, p, k: (c, []),
    "view": lambda c, shape, p, k: (reshaped(c, shape, p["shape"]), []),
    "reshape_alias": lambda c, shape, p, k: (reshaped(c, shape, p["shape"]), []),
    "squeeze": lambda c, shape, p, k: (tuple([x for i, x in enumerate(c) if i not in p["axis"]]), []),
    "unsqueeze": lambda c, shape, p, k: ((*c[: p["axis"]], ZERO, *c[p["axis"] :]), []),
    "diagonal": lambda c, shape, p, k: _diagonal_inverse(c, shape, p),
    "unbind": lambda c, shape, p, k: _unpicked(c, (*(slice(None),) * p["axis"], k), shape),
    "split": lambda c, shape, p, k: _unpicked(c, (*(slice(None),) * p["axis"], slice(*_split_start(p, k))), shape),
}  # fmt: skip
INVERSES["split_with_sizes"] = INVERSES["split"]


def _diagonal_inverse(coords: Coords, shape: tuple, params: dict) -> tuple[Coords, list[Condition]]:
    out, conditions = _off_diagonal(coords, **params)
    shown = _diagonal_shape(shape, **params)
    conditions += [(c, 0, n) for c, n in zip(out, shown, strict=True)]
    return tuple([ZERO if n == 1 else c for c, n in zip(out, shown, strict=True)]), conditions


MAPS: dict[str, Callable[[Any, int, Coords], Pieces]] = {
    **dict.fromkeys(("clone", "alias", "contiguous", "named", "detach"), _same),
    **dict.fromkeys(("reshape", "view", "reshape_alias", "squeeze", "unsqueeze"), _reshape),
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes"), _split),
    "broadcast_to": _expand, "copy": _copy, "getitem": _getitem, "place": _place, "overwrite": _overwrite,
    "permute": lambda e, k, c: [Piece(e.operands[0], _permuted(c, e.params["order"]), ())],
    "transpose": lambda e, k, c: [Piece(e.operands[0], _swapped(c, e.params["a"], e.params["b"]), ())],
    "t": lambda e, k, c: [Piece(e.operands[0], c[::-1], ())],
    "diagonal": _diagonal, "place_diagonal": _place_diagonal, "diagonal_scatter": _diagonal_scatter, "unfold": _unfold,
    "tril": _triangle(False), "triu": _triangle(True), "flip": _flip, "rot90": _rot90, "roll": _roll, "repeat": _repeat,
    "constant_pad": _pad, "cat": _cat, "stack": _stack, "unbind": _unbind, "retake": _retake, "copy_slices": _copy_slices,
    "assemble": _assemble,
}  # fmt: skip


def follows(e: Equation) -> bool:
    """Tell whether a map follows an equation, of the op and its parameters."""
    name = e.op.name
    if name not in MAPS:
        return False
    if name == "assemble":  # of parts that do not overlap
        parts = parts_of(e) if len(e.operands) <= MANY else None
        return parts is not None and parts[0].max() <= 1
    if name in ("retake", "copy_slices"):
        return shapes_along(e.operands[0].shape, e.params["chain"]) is not None
    return True
