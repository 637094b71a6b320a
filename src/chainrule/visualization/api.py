"""``chainrule.visualize``: from a tensor, or a function that computes one, to a file that shows its graph."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from chainrule.autograd.graph import noting
from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.gradient import settled
from chainrule.visualization import page
from chainrule.visualization.description import described
from chainrule.visualization.explained import take_explanations
from chainrule.visualization.gradients import take_gradients
from chainrule.visualization.names import Names, place_of
from chainrule.visualization.recorded import read

__all__ = ["visualize"]


def visualize(
    outputs: Tensor | Sequence[Tensor] | Callable[[], Any],
    path: str | PathLike[str] = "graph.html",
    *,
    names: Any = None,
    gradients: bool = True,
    grad_outputs: Any = None,
    title: str | None = None,
) -> Path:
    """Write a file that shows the graph of tensors: a page to walk through, or a picture.

    The page is one file, which asks for nothing else and works in any browser: the graph laid out, zoomable, searchable and
    reachable by the keyboard. Modules, repetitions and long runs of nodes are folded into blocks that open on a click. A click
    on a node shows its op, the line that ran it, shape, dtype, what it keeps in memory, and what its value and its gradient
    hold: extremes, norm, the shares of zeros and NaN. Nodes with a NaN, an infinity or a gradient of zeros are marked,
    and what :func:`chainrule.explain` says of such gradients stands at the leaf and at the op that is the cause.

    Parameters
    ----------
    outputs : Tensor, sequence of Tensor, or callable
        What the graph is of. A function without arguments is called with notes on (``autograd.graph.noting(values=True)``), so
        that all values and lines are known. Of tensors computed before, only the values that nodes saved for the backward
        pass are, and lines only where notes were on.
    path : path, optional
        The file: ``.html`` for the page, ``.svg`` for a picture, which needs the extra ``chainrule[svg]``.
    names : module or mapping, optional
        A module, whose parameters have names, or names of tensors and modules. By default the variables that the caller
        sees, the modules among them, and what the function captured.
    gradients : bool
        Take the gradient of every node by a pass that keeps the graph and adds to no `.grad`, as
        ``autograd.grad(..., retain_graph=True)``, and others to explain what is strange in it; hooks are called.
    grad_outputs : Tensor, None or a sequence of them, optional
        The cotangent of each output; None means 1 for a real scalar.
    title : str, optional
        The page's title.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    TypeError
        If `outputs` are no tensors, or `names` neither a module nor a mapping.
    ValueError
        If the file's name ends neither with ``.html`` nor with ``.svg``.
    RuntimeError
        If an output requires no gradient: nothing was recorded of it.
    ModuleNotFoundError
        If a picture is asked for and mini-racer is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import chainrule as cr
    >>> x = cr.tensor(2.0, requires_grad=True)
    >>> y = cr.tensor(3.0, requires_grad=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = cr.visualize(lambda: x * y + y**2, f"{folder}/graph.html")
    ...     "PowBackward0" in file.read_text()
    True
    """
    file = page.check_name(path)
    caller = sys._getframe(1)
    function = None
    if callable(outputs) and not isinstance(outputs, Tensor):
        function = outputs
        with noting(values=True):
            outputs = function()
    roots = _roots(outputs)
    known = Names()
    if names is not None:
        known.take(names)
    else:
        known.look_around(caller, function)
    return write(roots, file, known, gradients, grad_outputs, title or _title(roots, known, function))


def write(
    roots: Sequence[Tensor],
    file: Path,
    names: Names,
    gradients: bool = True,
    grad_outputs: Any = None,
    title: str = "A graph",
) -> Path:
    """Write the file that shows the graph of tensors which require gradients."""
    items = read(roots)
    why = take_gradients(items, roots, grad_outputs) if gradients else "they were not asked for"
    texts = {} if why else take_explanations(items, roots, grad_outputs, names)
    shown = described(items, names, title, why, texts)
    file.write_text(page.svg(shown) if file.suffix == ".svg" else page.html(shown), encoding="utf-8")
    return file


def _roots(outputs: Any) -> list[Tensor]:
    given = [outputs] if isinstance(outputs, Tensor) else outputs
    if not isinstance(given, (list, tuple)) or not given or not all(isinstance(t, Tensor) for t in given):
        raise TypeError(f"visualize() takes a tensor, tensors, or a function that returns them, not {type(outputs).__name__}")
    roots = [_recorded(t) for t in given]
    for i, root in enumerate(roots):
        if not root.requires_grad:
            raise RuntimeError(
                f"element {i} of tensors does not require grad and does not have a grad_fn: there is no graph of it"
            )
    return roots


def _recorded(t: Tensor) -> Tensor:
    """Return the value of a tensor that a graph leads to: below transforms that have ended, and below tangents."""
    t = settled(t)
    while t._node is None and isinstance(t._data, Tensor):
        t = t._data
    return t


def _title(roots: Sequence[Tensor], names: Names, function: Callable | None) -> str:
    called = [name for root in roots for name in names.of(place_of(root))[:1]]
    if not called and function is not None and getattr(function, "__name__", "<lambda>") != "<lambda>":
        called = [f"{function.__name__}()"]
    return f"The graph of {', '.join(called)}" if called else "The graph of a result"
