"""einsum and tensordot: contractions named by subscripts, worked out pair by pair as matrix products.

Subscripts are letters, or negative integers for the axes under an ellipsis, counted from its right end. An axis of
size 1 broadcasts against a longer one of the same subscript.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import prod
from typing import Any

from chainrule.core.call.asking import as_factors
from chainrule.core.call.dispatch import cast
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.linalg.contract import operand
from chainrule.ops.indexing.view import diagonal
from chainrule.ops.linalg import contract as ops
from chainrule.ops.pointwise.arithmetic import mul
from chainrule.ops.reduction.reduce import sum as sum_over
from chainrule.ops.shaping.shape import permute, reshape, squeeze

__all__ = ["einsum", "tensordot"]

ELLIPSIS = "..."
Labels = list[Any]


# -- contracting -------------------------------------------------------------------------------------------------------


def contracted(operands: list[Tensor], labels: list[Labels], output: Labels) -> Tensor:
    """Return the contraction of operands with distinct labels each, its axes ordered as `output`."""
    sizes: dict[Any, int] = {}
    for x, names in zip(operands, labels, strict=True):
        for name, n in zip(names, x.shape, strict=True):
            sizes[name] = n if sizes.get(name, 1) == 1 else sizes[name]
    terms = [_without_ones(x, names, sizes) for x, names in zip(operands, labels, strict=True)]
    while len(terms) > 1:
        i, j = (0, 1) if len(terms) == 2 else _cheapest(terms, output, sizes)
        (x, a), (y, b) = terms[i], terms[j]
        rest = terms[:i] + terms[i + 1 : j] + terms[j + 1 :]
        keep = set(output).union(*[names for _, names in rest])
        terms = [_pair(x, a, y, b, keep, sizes), *rest]
    x, names = terms[0]
    x, names = _summed_out(x, names, [name for name in names if name not in output])
    order = tuple(names.index(name) for name in output)
    return x if x is not operands[0] and order == tuple(range(len(order))) else permute(x, order=order)


def _without_ones(x: Tensor, names: Labels, sizes: dict) -> tuple[Tensor, Labels]:
    """Drop the axes of size 1 that broadcast against another operand's."""
    ones = tuple(i for i, name in enumerate(names) if x.shape[i] == 1 and sizes[name] != 1)
    if not ones:
        return x, names
    return squeeze(x, axis=ones, form="2"), [name for i, name in enumerate(names) if i not in ones]


def _summed_out(x: Tensor, names: Labels, gone: Labels) -> tuple[Tensor, Labels]:
    if not gone:
        return x, names
    axes = tuple(i for i, name in enumerate(names) if name in gone)
    if x.dtype.category <= dtypes.INT:
        x = cast(x, dtypes.int64)
    return sum_over(x, axis=axes, keepdims=False), [name for name in names if name not in gone]


def _cheapest(terms: list, output: Labels, sizes: dict) -> tuple[int, int]:
    """Return the pair whose product shrinks memory most (the greedy order of opt_einsum, Smith & Gray 2018)."""

    def growth(pair: tuple[int, int]) -> int:
        i, j = pair
        keep = set(output).union(*[names for k, (_, names) in enumerate(terms) if k not in pair])
        a, b = set(terms[i][1]), set(terms[j][1])
        return _size((a | b) & keep, sizes) - _size(a, sizes) - _size(b, sizes)

    return min(combinations(range(len(terms)), 2), key=growth)


def _size(names: Any, sizes: dict) -> int:
    return prod(sizes[name] for name in names)


def _pair(x: Tensor, a: Labels, y: Tensor, b: Labels, keep: set, sizes: dict) -> tuple[Tensor, Labels]:
    """Return the product of two operands, summed over what neither the output nor another operand needs."""
    x, a = _summed_out(x, a, [name for name in a if name not in keep and name not in b])
    y, b = _summed_out(y, b, [name for name in b if name not in keep and name not in a])
    batch = [name for name in a if name in b and name in keep]
    inner = [name for name in a if name in b and name not in keep]
    left = [name for name in a if name not in b]
    right = [name for name in b if name not in a]
    names = [*batch, *left, *right]
    shape = tuple(sizes[name] for name in names)
    if not inner:
        x = _arranged(x, a, [*batch, *left], (*shape[: len(batch) + len(left)], *(1,) * len(right)))
        y = _arranged(y, b, [*batch, *right], tuple(1 if name in left else sizes[name] for name in names))
        return mul(x, y), names
    x, y = as_factors(x, y)
    n, k, m = (_size(group, sizes) for group in (left, inner, right))
    if batch:
        lead = _size(batch, sizes)
        x = _arranged(x, a, [*batch, *left, *inner], (lead, n, k))
        y = _arranged(y, b, [*batch, *inner, *right], (lead, k, m))
        out = ops.bmm(x, y)
    elif left or right:
        out = ops.mm(_arranged(x, a, [*left, *inner], (n, k)), _arranged(y, b, [*inner, *right], (k, m)))
    else:
        return ops.dot(_arranged(x, a, inner, (k,)), _arranged(y, b, inner, (k,))), names
    return (out if tuple(out.shape) == shape else reshape(out, shape=shape)), names


def _arranged(x: Tensor, names: Labels, order: Labels, shape: tuple) -> Tensor:
    """Return `x` with its axes in `order`, as `shape`: a view where strides allow."""
    if names != order:
        x = permute(x, order=tuple(names.index(name) for name in order))
    return x if tuple(x.shape) == shape else reshape(x, shape=shape)


# -- einsum ------------------------------------------------------------------------------------------------------------


@public(method=False, kinds="fc", samples=lambda: [
    Sample("ij,jk->ik", (2, 3), (3, 4)), Sample("ij,jk", (2, 3), (3, 4)), Sample("ii->i", (3, 3)), Sample("ii", (3, 3)),
    Sample("ij->ji", (2, 3)), Sample("ij->", (2, 3)), Sample("i,i->i", (3,), (3,)), Sample("i,i", (3,), (3,)),
    Sample("i,j->ij", (3,), (4,)), Sample("...ij,...jk->...ik", (2, 2, 3), (3, 4)),
    Sample("bij,bjk->bik", (2, 2, 3), (2, 3, 4)),
    Sample("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), Sample("i...", (2, 3)), Sample("ij,jk->ik", (2, 1), (3, 4)),
    Sample("bi,bj,ijk->bk", (2, 3), (2, 4), (3, 4, 2)), Sample("iij,jkk->ik", (2, 2, 3), (3, 4, 4)),
    Sample("...,...->...", (2, 3), (3,)),
    Sample(" i j , j -> i ", (2, 3), (3,)), Sample("ij,kl->", (2, 3), (2, 2)), Sample("", ()),
    Sample("ij,jk->ik", (2, 0), (0, 3)),
    Sample((2, 3), Fixed([0, 1]), (3, 4), Fixed([1, 2]), Fixed([2, 0])), Sample((2, 3), Fixed([..., 0]), (3,), Fixed([0])),
    Sample("ij,jk->ik", (2, 3), (4, 5), error=(RuntimeError, "einsum(): subscript j has size 4 for operand 1 which does not")),
    Sample("ij->ik", (2, 3), error=(RuntimeError, "einsum(): output subscript k does not appear in the equation")),
    Sample("ij->ii", (2, 3), error=(RuntimeError, "einsum(): output subscript i appears more than once in the output")),
    Sample("ijk->i", (2, 3), error=(RuntimeError, "einsum(): the number of subscripts in the equation (3) does not match")),
    Sample("i1->i", (2, 3), error=(RuntimeError, "einsum(): invalid subscript given at index 1 in the equation string")),
    Sample("ii->i", (2, 3), error=(RuntimeError, "einsum(): subscript i is repeated for operand 0 but the sizes don't match")),
    Sample("i.->i", (2, 3), error=(RuntimeError, "einsum(): found '.' for operand 0 that is not part of any ellipsis")),
    Sample("ij,jk->ik", (2, 3), error=(RuntimeError, "einsum(): fewer operands were provided than specified in the equation")),
])  # fmt: skip
def einsum(*args: Any) -> Tensor:
    """Return the sum of products that an equation of subscripts names (Einstein's convention).

    Parameters
    ----------
    *args
        An equation such as ``"ij,jk->ik"`` and the operands; or operands and lists of subscripts (ints below 52, and
        ``...``) in turn, with the result's list last if wanted. A subscript missing from the result is summed over; a
        repeated one within an operand takes the diagonal; ``...`` stands for any further axes, which broadcast. Without
        ``->``, the result has the subscripts that appear once, in alphabetical order, after those under the ellipsis.

    Returns
    -------
    Tensor
        With one axis for each of the result's subscripts.

    Raises
    ------
    RuntimeError
        If the equation is malformed, or does not fit the operands.

    Examples
    --------
    >>> import chainrule as cr
    >>> a, b = cr.tensor([[1.0, 2.0], [3.0, 4.0]]), cr.tensor([10.0, 1.0])
    >>> cr.einsum("ij,j->i", a, b)
    tensor([12., 34.])
    >>> cr.einsum("ii", a)
    tensor(5.)
    """
    operands, labels, output = _arguments(args)
    for x in operands[1:]:
        if x.dtype is not operands[0].dtype and as_factors(x)[0].dtype is not as_factors(operands[0])[0].dtype:
            raise RuntimeError(f"expected scalar type {operands[0].dtype.old_name} but found {x.dtype.old_name}")
    expanded = [_expanded(i, x, names) for i, (x, names) in enumerate(zip(operands, labels, strict=True))]
    width = max([x.ndim - len(names) + 1 for x, names in zip(operands, labels, strict=True) if ELLIPSIS in names], default=0)
    _check_sizes(operands, expanded)
    result = _result(expanded, output, width)
    singles = [_diagonals(i, x, names) for i, (x, names) in enumerate(zip(operands, expanded, strict=True))]
    return contracted([x for x, _ in singles], [names for _, names in singles], result)


def _arguments(args: tuple) -> tuple[list[Tensor], list[Labels], Labels | None]:
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its "
            "subscripts list"
        )
    if isinstance(args[0], str):
        given = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
        operands = [operand(x, "einsum", "operands", i + 2) for i, x in enumerate(given)]
        labels, output = _parsed(args[0])
    else:
        operands = [operand(x, "einsum", "operands", 2 * i + 1) for i, x in enumerate(args[: len(args) - len(args) % 2 : 2])]
        labels = [_letters(subscripts) for subscripts in args[1::2]]
        output = _letters(args[-1]) if len(args) % 2 else None
    if len(labels) != len(operands):
        few = len(operands) < len(labels)
        raise RuntimeError(f"einsum(): {'fewer' if few else 'more'} operands were provided than specified in the equation")
    return operands, labels, output


def _letters(subscripts: Sequence) -> Labels:
    """Return the letters of a list of integer subscripts: 0 to 25 are A to Z, 26 to 51 a to z."""
    names: Labels = []
    for s in subscripts:
        if s is Ellipsis:
            names.append(ELLIPSIS)
        elif 0 <= s < 52:
            names.append(chr(ord("A") + s) if s < 26 else chr(ord("a") + s - 26))
        else:
            raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
    return names


def _parsed(equation: str) -> tuple[list[Labels], Labels | None]:
    left, arrow, right = equation.partition("->")
    labels, start = [], 0
    for i, part in enumerate(left.split(",")):
        labels.append(_term(part, start, f"for operand {i}"))
        start += len(part) + 1
    return labels, _term(right, len(left) + 2, "in output") if arrow else None


def _term(text: str, start: int, where: str) -> Labels:
    names: Labels = []
    i = 0
    while i < len(text):
        c = text[i]
        if c == ".":
            if ELLIPSIS in names:
                raise RuntimeError(f"einsum(): found '.' {where} for which an ellipsis was already found")
            if text[i : i + 3] != ELLIPSIS:
                raise RuntimeError(f"einsum(): found '.' {where} that is not part of any ellipsis")
            names.append(ELLIPSIS)
            i += 2
        elif c.isascii() and c.isalpha():
            names.append(c)
        elif c != " ":
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {start + i} in the equation string, subscripts must be in [a-zA-Z]"
            )
        i += 1
    return names


def _expanded(i: int, x: Tensor, names: Labels) -> Labels:
    """Return one label for each axis: the ellipsis stands for the axes that no letter names."""
    letters = len(names) - (ELLIPSIS in names)
    if letters != x.ndim and ELLIPSIS not in names:
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({letters}) does not match the number of dimensions "
            f"({x.ndim}) for operand {i} and no ellipsis was given"
        )
    if letters > x.ndim:
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({letters}) is more than the number of dimensions "
            f"({x.ndim}) for operand {i}"
        )
    return _filled(names, x.ndim - letters)


def _filled(names: Labels, width: int) -> Labels:
    out: Labels = []
    for name in names:
        out += range(-width, 0) if name == ELLIPSIS else [name]
    return out


def _check_sizes(operands: list[Tensor], labels: list[Labels]) -> None:
    sizes: dict[Any, int] = {}
    for i, (x, names) in enumerate(zip(operands, labels, strict=True)):
        for name, n in zip(names, x.shape, strict=True):
            seen = sizes.get(name, 1)
            if n != 1 and seen not in (1, n) and (names.count(name) == 1 or i > 0):
                raise RuntimeError(
                    f"einsum(): subscript {name} has size {n} for operand {i} which does not broadcast with previously "
                    f"seen size {seen}"
                )
            sizes[name] = n if seen == 1 else seen


def _result(labels: list[Labels], output: Labels | None, width: int) -> Labels:
    seen = [name for names in labels for name in names]
    if output is None:
        letters = sorted({name for name in seen if isinstance(name, str) and seen.count(name) == 1})
        return [*range(-width, 0), *letters]
    for name in output:
        if name != ELLIPSIS and name not in seen:
            raise RuntimeError(f"einsum(): output subscript {name} does not appear in the equation for any input operand")
        if output.count(name) > 1:
            raise RuntimeError(f"einsum(): output subscript {name} appears more than once in the output")
    return _filled(output, width)


def _diagonals(i: int, x: Tensor, names: Labels) -> tuple[Tensor, Labels]:
    """Take the diagonal over each label that an operand repeats."""
    names = list(names)
    for name in dict.fromkeys(names):
        while names.count(name) > 1:
            a = names.index(name)
            b = names.index(name, a + 1)
            if x.shape[a] != x.shape[b]:
                raise RuntimeError(
                    f"einsum(): subscript {name} is repeated for operand {i} but the sizes don't match, {x.shape[b]} != "
                    f"{x.shape[a]}"
                )
            x = diagonal(x, offset=0, a=a, b=b)
            names = [n for k, n in enumerate(names) if k not in (a, b)] + [name]
    return x, names


# -- tensordot ---------------------------------------------------------------------------------------------------------


@public(out=True, method=False, kinds="fc", samples=lambda: [
    Sample((2, 3, 4), (3, 4, 5)), Sample((2, 3, 4), (4, 3, 5), dims=([1, 2], [1, 0])),
    Sample((2, 3), (4, 5), dims=0),
    Sample((3,), (3,), dims=1), Sample((2, 3), (1, 5), dims=1), Sample((2, 3), (3, 5), dims=([-1], [0])),
    Sample((2, 3), (4, 5), dims=1, error=(RuntimeError, "contracted dimensions need to match, but first has size 3 in dim -1")),
    Sample((2, 3), (4, 5), dims=-1, error=(RuntimeError, "tensordot expects dims >= 0, but got dims=-1")),
    Sample((2, 3), (4, 5), dims=3, error=(RuntimeError, "tensordot expects dims < ndim_a or ndim_b, but got dims=3")),
    Sample((2, 3), (3, 5), dims=([1], [0, 1]), error=(RuntimeError, "both dimension lists should have same length")),
])  # fmt: skip
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Return the contraction of two tensors over some axes.

    Parameters
    ----------
    a, b : Tensor
        Of one dtype.
    dims : int or pair of lists of int
        How many of the last axes of `a` to contract with as many of the first of `b`; or the axes of each.

    Returns
    -------
    Tensor
        With the axes of `a` that are left, then those of `b`.

    Raises
    ------
    RuntimeError
        If contracted sizes or the dtypes differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensordot(cr.ones(2, 3), cr.ones(3, 4), dims=1).shape
    chainrule.Size([2, 4])
    """
    x, y = operand(a, "tensordot", "a", 1), operand(b, "tensordot", "b", 2)
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(x.ndim, y.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        of_x, of_y = list(range(-dims, 0)), list(range(dims))
    else:
        of_x, of_y = (list(d) if hasattr(d, "__iter__") else [d] for d in dims)
    if len(of_x) != len(of_y):
        raise RuntimeError("both dimension lists should have same length")
    if x.dtype is not y.dtype:
        raise RuntimeError("both inputs should have same dtype")
    left, right = [("x", i) for i in range(x.ndim)], [("y", i) for i in range(y.ndim)]
    for i, j in zip(of_x, of_y, strict=True):
        p, q = axis_index(i, x.ndim), axis_index(j, y.ndim)
        n, m = x.shape[p], y.shape[q]
        if n != m and 1 not in (n, m):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {n} in dim {i} and second has size {m} in dim {j}"
            )
        right[q] = left[p]
    rest = [n for n in left if n not in right] + [n for n in right if n not in left]
    return cast(contracted([x, y], [left, right], rest), x.dtype)
