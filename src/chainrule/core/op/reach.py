"""Reach: which elements of an op's result an element of an input can reach, told for one call without computing derivatives.

:func:`links_of` gives, for each result and each input of a :class:`Call`, a :class:`Link`, or None where no element reaches
any: the input is not differentiable there, or its derivative is 0 everywhere. A link is never smaller than the truth; where
little is known, all reaches all.

A link follows from the kind of op (elementwise: broadcasting; a view that selects: its kernel on numbered elements), or
from the declaration's ``reach=``: one rule for all inputs, or a dict of them by input, most of them shared ones from here. A
rule takes (call, input, result) and returns a link or None. What patterns and masks are made of links is the transforms'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.op.links import SAME, Link, Windows, places

if TYPE_CHECKING:
    from chainrule.core.op.declaration import Op


class Call:
    """One call of an op, as its reach depends on it.

    Attributes
    ----------
    op : Op
    args, outs : sequence
        The operands and the results: anything that has a shape and a dtype; numbers and None among the operands.
    params : dict
    read : callable
        ``read(i, needed)`` returns the values of the operand at a place, an index or a mask, as an array; None if it will not.
        `needed`: without them, nothing but "all reaches all" is known; else they would only make the link smaller.
    zeros : callable
        ``zeros(i)`` returns where the operand at a place is 0 and stays so, as an array of bool: what it multiplies does not
        reach the product, as far as derivatives go. None if it will not, as where infinity times 0 is to be seen.
    """

    __slots__ = ("_kept", "args", "op", "outs", "params", "read", "shapes", "zeros")

    def __init__(
        self,
        op: Op,
        args: Sequence,
        params: dict,
        outs: Sequence,
        read: Callable[[int, bool], np.ndarray | None] | None = None,
        zeros: Callable[[int], np.ndarray | None] = lambda i: None,
    ):
        self.op, self.args, self.params, self.outs, self.zeros = op, args, params, outs, zeros
        self.shapes = [tuple(getattr(a, "shape", ())) for a in args]
        self.read = read or self._own
        self._kept: dict[Any, Any] = {}

    def _own(self, i: int, needed: bool) -> np.ndarray | None:
        return self.args[i] if isinstance(self.args[i], np.ndarray) else None

    def having(self, op: Op, args: Sequence) -> Call:
        """Return the same call of another op, with the last of the operands and such of the parameters as it has."""
        skipped, read, zeros = len(self.args) - len(args), self.read, self.zeros
        params = {name: self.params[name] for name in op.params}
        return Call(op, args, params, self.outs, lambda i, needed: read(i + skipped, needed), lambda i: zeros(i + skipped))

    def rule(self, i: int) -> Any:
        """Return the derivative rule of an input, or None."""
        return self.op.rules[0 if self.op.variadic else i]

    def moves(self, i: int) -> bool:
        """Tell whether an input has a derivative here: a rule, and floating or complex elements."""
        return self.rule(i) is not None and _is_inexact(self.args[i])

    def out_shape(self, o: int) -> tuple:
        """Return the shape of a result."""
        return tuple(self.outs[o].shape)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what `make` returns, which is called once for all results."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def numbered(self, i: int | None, changed: dict | None = None) -> Any:
        """Return the kernel's result, or list of them, where the input's elements are numbered from 1 and all else is 0.

        Without an input, those of all inputs are numbered, one after another. `changed` gives other static parameters. None if
        an operand's values are needed and not told.
        """
        given: list[Any] = []
        start = 1
        for k, a in enumerate(self.args):
            if k == i or i is None:
                given.append((places(self.shapes[k]) + start) * (1 + 1j if _kind(a) == "c" else 1))
                start += given[-1].size if i is None else 0
            elif a is None:
                given.append(None)
            elif self.rule(k) is not None:
                given.append(np.zeros(self.shapes[k], complex if _kind(a) == "c" else np.int64))
            else:
                given.append(a if not hasattr(a, "shape") else self.read(k, True))
                if given[-1] is None:
                    return None
        return self.op.backend.kernel(*given, **{**self.params, **(changed or {})})


def _kind(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return "" if dtype is None else getattr(dtype, "numpy", dtype).kind


def _is_inexact(value: Any) -> bool:
    return _kind(value) in ("f", "c", "V")


def _numbers(shape: tuple) -> np.ndarray:
    """Return the places from 1, so that 0 is none."""
    return 1 + places(shape)


def _labels(numbers: Any, shape: tuple) -> np.ndarray:
    """Return, flat, the labels that numbers from 1 stand for; a complex one has its number in either part, or both."""
    numbers = np.asarray(numbers)
    if numbers.dtype.kind == "c":
        numbers = np.maximum(numbers.real, np.abs(numbers.imag))
    numbers = numbers if numbers.shape == shape else np.broadcast_to(numbers, shape)
    return numbers.ravel().astype(np.int64) - 1


def links_of(call: Call) -> list[list[Link | None]]:
    """Return for each result of a call the links from each input."""
    reach, moving = call.op.reach, [call.moves(i) for i in range(len(call.args))]
    return [
        [reach(call, i, o) if moved and exact else None for i, moved in enumerate(moving)]
        for o, exact in enumerate(map(_is_inexact, call.outs))
    ]


Rule = Callable[[Call, int, int], Link | None]


def reach_of(given: Rule | dict[str, Rule] | None, op: Op) -> Rule:
    """Return the rule of an op: what the declaration gives, or what follows from its kind.

    Raises
    ------
    TypeError
        If a rule is for a name that is no input.
    """
    if given.__class__ is dict:
        if unknown := [name for name in given if name not in op.inputs]:  # type: ignore[union-attr]
            raise TypeError(f"{op.name}: reach= has rules for {unknown}, but its inputs are {op.inputs}")
        rules = [given.get(name, everything) for name in op.inputs]  # type: ignore[union-attr]
        return lambda c, i, o: rules[i](c, i, o)
    if given is not None:
        return given  # type: ignore[return-value]
    if op.kind == "elementwise":
        return by_broadcasting
    return taken if op.selects is not None else everything


# -- rules that many ops share -----------------------------------------------------------------------------------------


def everything(c: Call, i: int, o: int) -> Link:
    """Any element reaches all."""
    return Link(np.zeros(prod(c.shapes[i]), np.int64), np.zeros(prod(c.out_shape(o)), np.int64))


def nowhere(c: Call, i: int, o: int) -> None:
    """No element reaches any: the derivative is 0 wherever there is one."""


def by_broadcasting(c: Call, i: int, o: int) -> Link:
    """Elements meet by broadcasting."""
    shape, out = c.shapes[i], c.out_shape(o)
    return SAME if shape == out else Link(outs=np.broadcast_to(places(shape), out).ravel())


def by_product(c: Call, i: int, o: int) -> Link:
    """Elements meet by broadcasting, but where the other factor is 0."""
    link, zeros = by_broadcasting(c, i, o), c.zeros(1 - i)
    if zeros is None:
        return link
    out = c.out_shape(o)
    outs = places(out).ravel() if link.outs is None else link.outs
    return Link(outs=np.where(np.broadcast_to(zeros, out).ravel(), -1, outs))


def in_order(c: Call, i: int, o: int) -> Link:
    """Elements stand in the same order in the result, whatever its shape."""
    return SAME


def taken(c: Call, i: int, o: int) -> Link | None:
    """Each element of the result is one of the input's, or none: the kernel tells, of numbered elements."""
    return taken_with()(c, i, o)


def arranged(c: Call, i: int, o: int) -> Link:
    """Each element of the result is one of one of a variadic op's inputs, or none: the kernel tells once for all of them."""
    start = c.once("starts", lambda: np.cumsum([0, *map(prod, c.shapes)]))[i]
    own = c.once("places", lambda: arrangement(c)) - start
    return Link(outs=np.where((own >= 0) & (own < prod(c.shapes[i])), own, -1))


def arrangement(c: Call) -> np.ndarray:
    """Return for each element of the result, flat, which one it is of the elements of all inputs, one after another."""
    return _labels(c.numbered(None), c.out_shape(0))


def taken_with(**changed: Any) -> Rule:
    """Return `taken` with other static parameters, such as 0 for what a kernel fills with."""

    def rule(c: Call, i: int, o: int) -> Link:
        found = c.once(i, lambda: c.numbered(i, changed))
        if found is None:
            return everything(c, i, o)
        found = found[o] if found.__class__ in (tuple, list) else found
        return Link(outs=_labels(found, c.out_shape(o)))

    return rule


def placed(c: Call, i: int, o: int) -> Link:
    """Each element of the input stands in one place of the result, or in none: the transposed rule tells."""
    rule, inputs = c.rule(i), list(c.args)
    for kind, k in rule.sources:
        if kind == "in" and hasattr(inputs[k], "shape"):
            inputs[k] = c.read(k, True)
            if inputs[k] is None:
                return everything(c, i, o)
    found = rule((_numbers(c.out_shape(o)),), inputs, c.shapes, None, None, c.params, raw=True)
    return Link(ins=_labels(found[i] if c.op.joint else found, c.shapes[i]))


def by_axes(shape: tuple, out: tuple, axes: Sequence[tuple[int, int]], windows: dict[int, Windows] | None = None) -> Link:
    """Return the link of elements whose places agree along some axes of an input and of a result, which pair up.

    Along a pair the sizes are equal, or the input's is 1, which broadcasts; or `windows`, by the axis of the result, tell what
    results read along it. Along all other axes elements are alike.
    """
    axes, windows = sorted(axes, key=lambda pair: pair[1]), windows or {}
    kept, sizes = [k for k, _ in axes], [shape[k] for k, _ in axes]
    rest = [k for k in range(len(shape)) if k not in kept]
    ins = places((*sizes, *[1] * len(rest))).transpose(np.argsort([*kept, *rest]))
    steps = []
    for at, (_, to) in enumerate(axes):
        if to in windows:
            steps.append(windows[to].along(prod(sizes[:at]), prod(sizes[at + 1 :])))
            sizes[at] = len(windows[to].starts)
    shown = [1] * len(out)
    for (_, to), size in zip(axes, sizes, strict=True):
        shown[to] = size
    outs = places(tuple(shown))
    return Link(np.broadcast_to(ins, shape).ravel(), np.broadcast_to(outs, out).ravel(), tuple(steps))


def over(c: Call, i: int, o: int, axis: Any) -> Link:
    """Elements of a line along some axes (None: all) reach that line of the result, or what it is reduced to."""
    shape, out = c.shapes[i], c.out_shape(o)
    given = range(len(shape)) if axis is None else axis if axis.__class__ is tuple else (axis,)
    axes = [k % max(len(shape), 1) for k in given]
    kept = [k for k in range(len(shape)) if k not in axes]
    return by_axes(shape, out, [(k, k if len(out) == len(shape) else to) for to, k in enumerate(kept)])


def in_lines(c: Call, i: int, o: int) -> Link:
    """Elements of a line along the parameter `axis` reach that line of the result: in a reduction, a softmax, a sort."""
    return over(c, i, o, c.params["axis"])


def running(c: Call, i: int, o: int) -> Link:
    """Elements reach their own place along the parameter `axis`, and all behind it; with the parameter `reverse`, before it."""
    shape = c.shapes[i]
    if not shape:
        return SAME
    axis = c.params["axis"]
    return along_axes(shape, c.out_shape(o), {axis: so_far(shape[axis], c.params.get("reverse", False))})


def so_far(n: int, reverse: bool = False) -> Windows:
    """Return the windows along an axis in which each result reads its own element and all before it, or behind it."""
    own = np.arange(n)
    return Windows((1, n, 1), own, np.full(n, n)) if reverse else Windows((1, n, 1), np.zeros(n, np.int64), own + 1)


def along_axes(shape: tuple, out: tuple, windows: dict[int, Windows]) -> Link:
    """Return the link of an input and a result that have the same axes: equal places but along those that windows tell of."""
    return by_axes(shape, out, [(k, k) for k in range(len(shape))], windows)


def apart(core: int, of_result: int | tuple[int, ...], *axes: tuple[int, int]) -> Rule:
    """Return the rule of an input whose axes before the last `core` count examples, which are apart, and broadcast.

    Each example of the result has `of_result` axes, a number for each of several results. `axes` pairs further axes of the
    input and the result, both counted from the last, as -1, along which elements are apart, too.
    """

    def rule(c: Call, i: int, o: int) -> Link:
        shape, out = c.shapes[i], c.out_shape(o)
        own = len(shape) - core
        lead = len(out) - (of_result[o] if of_result.__class__ is tuple else of_result)  # type: ignore[index,operator]
        if not 0 <= own <= lead:
            return everything(c, i, o)
        pairs = [(k, k + lead - own) for k in range(own)]
        return by_axes(shape, out, [*pairs, *[(len(shape) + a, len(out) + b) for a, b in axes]])

    return rule


per_matrix = apart(2, 2)
