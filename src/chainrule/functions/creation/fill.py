"""Tensors from a shape or a range: zeros, ones, full, eye, arange, linspace and their kin."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.call.asking import UNASKED, asked_here, asking, asks
from chainrule.core.call.silence import hush, unhush
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types import dtype as dtypes
from chainrule.core.types import shape as shapes
from chainrule.core.types.memory_format import order_in
from chainrule.core.write.out import into
from chainrule.functions.creation.create import check_device, leaf, placed

__all__ = [
    "arange", "empty", "empty_permuted", "empty_strided", "eye", "full", "linspace", "logspace", "ones", "scalar_tensor",
    "tril_indices", "triu_indices", "zeros",
]  # fmt: skip


_MOST = (1 << 59) - 1  # elements, of which 16 bytes each can still be counted

# -- shared ------------------------------------------------------------------------------------------------------------


def size_of(name: str, sizes: tuple, size: Any = None) -> tuple[int, ...]:
    """Return the shape meant by ``f(2, 3)``, ``f((2, 3))`` or ``f(size=(2, 3))``; raise in PyTorch's words."""
    if size is not None:
        sizes = (size,)
    elif not sizes:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    try:
        shape = shapes.sizes(sizes)
    except TypeError:
        given = sizes[0] if len(sizes) == 1 and hasattr(sizes[0], "__iter__") else sizes
        bad = next(s for s in given if not hasattr(s, "__index__"))
        raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(bad).__name__}") from None
    for n in shape:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(shape)}")
    if math.prod(shape) > _MOST:
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(shape)}")
    return shape


def finished(array: Any, device: Any, requires_grad: bool, out: Any = None) -> Tensor:
    """Return a fresh tensor of a fresh array, or `out` with its values.

    A 0-d array becomes a NumPy scalar, which computes several times faster.
    """
    check_device(device)
    if out is not None:
        return leaf(into(out, "out", wrap, (array,), {}), requires_grad)
    return leaf(wrap(array if array.ndim else array[()]), requires_grad)


def numpy_dtype(dtype: Any, default: dtypes.dtype | None = None, out: Any = None) -> np.dtype:
    """Return the NumPy dtype of a dtype argument; for None that of `out`, the one given, or the default dtype."""
    if isinstance(out, Tensor):
        if dtype is not None and dtypes.as_dtype(dtype) is not out.dtype:
            given = dtypes.as_dtype(dtype).old_name
            raise RuntimeError(f"dtype {given} does not match dtype of out parameter ({out.dtype.old_name})")
        return out.dtype.numpy
    if dtype is None:
        return (default or dtypes.get_default_dtype()).numpy
    return dtypes.as_dtype(dtype).numpy


def number(value: Any, name: str, position: str = "fill_value") -> Any:
    """Return the Python number of a number, NumPy scalar or 0-d tensor without history."""
    if isinstance(value, Tensor):
        if value.ndim or value.requires_grad or value._level:
            raise TypeError(f"{name}(): argument '{position}' (position 2) must be Number, not Tensor")
        return value.item()
    return value.item() if isinstance(value, (np.generic, np.ndarray)) else value


def filled(shape: tuple, value: Any, numpy: np.dtype) -> np.ndarray:
    """Return an array of one value; raise PyTorch's error if it does not fit the dtype."""
    unfit = f"value cannot be converted to type {dtypes.of(numpy).name}{'_t' * (numpy.kind in 'iu')} without overflow"
    if isinstance(value, complex) and numpy.kind != "c":
        raise RuntimeError(unfit)
    if numpy.kind == "u" and isinstance(value, int) and 0 < -value <= np.iinfo(numpy).max:
        value += int(np.iinfo(numpy).max) + 1  # negative numbers wrap, as in C++
    token = hush()
    try:
        return np.full(shape, value, numpy)
    except (OverflowError, ValueError):
        raise RuntimeError(unfit) from None
    finally:
        unhush(token)


def _maker(name: str, make: Callable, text: str, example: str) -> Callable:
    def factory(
        *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None,
        memory_format: Any = None,
    ) -> Tensor:  # fmt: skip
        if asking.on and (found := asked_here(factory, locals())) is not UNASKED:
            return found
        if memory_format is not None:
            if out is not None or make is not np.empty:
                raise TypeError(f"{name}() got an unexpected keyword argument 'memory_format'")
            shape = size_of(name, sizes, size)
            order = order_in(memory_format, len(shape))
            made = np.empty([shape[axis] for axis in order], numpy_dtype(dtype))
            return finished(made.transpose(np.argsort(order)), device, requires_grad)
        return finished(make(size_of(name, sizes, size), numpy_dtype(dtype, None, out)), device, requires_grad, out)

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = f"""Return a tensor {text}.

    Parameters
    ----------
    *sizes : int or one tuple of int
        The shape; also as ``size=``.
    dtype : dtype, optional
        The default dtype if not given.
    device : str, optional
        Only ``"cpu"``.
    requires_grad : bool
        Record operations on the result.
    out : Tensor, optional
        Write the values into this tensor and return it.

    Examples
    --------
    >>> import chainrule as cr
    {example}
    """
    factory = placed(factory)
    return factory


zeros = _maker("zeros", np.zeros, "of zeros", ">>> cr.zeros(2, 3)\n    tensor([[0., 0., 0.],\n            [0., 0., 0.]])")
ones = _maker("ones", np.ones, "of ones", ">>> cr.ones((2,), dtype=cr.int64)\n    tensor([1, 1])")
empty = _maker("empty", np.empty, "of unspecified values", ">>> cr.empty(2, 0).shape\n    chainrule.Size([2, 0])")


@asks
@placed
def full(
    size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None
) -> Tensor:
    """Return a tensor with one value everywhere.

    Parameters
    ----------
    size : tuple of int
        The shape.
    fill_value : number
        The value; the dtype follows from it unless given.
    dtype, device, requires_grad
        As for :func:`zeros`.

    Raises
    ------
    TypeError
        If `size` is no tuple.
    RuntimeError
        If the value does not fit `dtype`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.full((2,), 3.5)
    tensor([3.5000, 3.5000])
    """
    if not hasattr(size, "__iter__") or isinstance(size, Tensor):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    value = number(fill_value, "full")
    numpy = numpy_dtype(dtype, dtypes.of_number(value), out)
    return finished(filled(size_of("full", (size,)), value, numpy), device, requires_grad, out)


@asks
@placed
def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a 0-d tensor of a number, of the default dtype unless told otherwise.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.scalar_tensor(3)
    tensor(3.)
    """
    return finished(filled((), number(s, "scalar_tensor", "s"), numpy_dtype(dtype)), device, requires_grad)


@asks
@placed
def eye(
    n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None
) -> Tensor:
    """Return a matrix with ones on the diagonal and zeros elsewhere, of shape (n, m); m is n if not given.

    Raises
    ------
    RuntimeError
        If a size is negative.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    for name, k in (("n", n), ("m", m)):
        if k is not None and k < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {k}")
    return finished(np.eye(n, m, dtype=numpy_dtype(dtype, None, out)), device, requires_grad, out)


# -- ranges ------------------------------------------------------------------------------------------------------------


@asks
@placed
def arange(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
) -> Tensor:
    """Return the numbers ``start, start + step, …`` below `end`; ``arange(end)`` starts at 0.

    Parameters
    ----------
    start, end, step : number
        `end` is not included.
    dtype : dtype, optional
        By default ``int64`` if all three are integers, else the default dtype.
    device, requires_grad
        As for :func:`zeros`.

    Returns
    -------
    Tensor
        Of shape (ceil((end - start) / step),).

    Raises
    ------
    RuntimeError
        If `step` is zero or leads away from `end`, or a bound is not finite.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.arange(1, 2.5, 0.5)
    tensor([1.0000, 1.5000, 2.0000])
    """
    if end is None or start is None:
        start, end = 0, start if end is None else end
    if end is None:
        raise TypeError(
            "arange() received an invalid combination of arguments: it takes (end), (start, end) or (start, end, step)"
        )
    start, end, step = (number(v, "arange", name) for v, name in ((start, "start"), (end, "end"), (step, "step")))
    whole = all(isinstance(v, int) for v in (start, end, step))
    numpy = numpy_dtype(dtype, dtypes.int64 if whole else None, out)
    if numpy.kind in "bc":
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{dtypes.of(numpy).old_name}'")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if numpy == np.int64 and not int(step):
        raise ValueError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if whole:
        return finished(np.arange(start, end, step, dtype=np.int64).astype(numpy), device, requires_grad, out)
    count = math.ceil((end - start) / step)
    if numpy.kind in "iu":
        start, end, step = int(start), int(end), int(step)
        if numpy == np.int64:  # of which PyTorch counts the steps in integers too
            count = -((start - end) // step)
    return finished((start + step * np.arange(count)).astype(numpy), device, requires_grad, out)


@asks
@placed
def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None
) -> Tensor:
    """Return `steps` numbers from `start` to `end`, both included, at equal distances.

    Parameters
    ----------
    start, end : number or 0-d Tensor
        First and last value.
    steps : int
        How many.
    dtype : dtype, optional
        The default dtype, or its complex dtype for a complex bound, if not given.
    device, requires_grad
        As for :func:`zeros`.

    Raises
    ------
    RuntimeError
        If `steps` is negative.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    values, numpy = _spaced(start, end, steps, dtype, out, "linspace")
    return finished(_from_floats(values, numpy), device, requires_grad, out)


@asks
@placed
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
) -> Tensor:
    """Return `steps` numbers from ``base**start`` to ``base**end`` whose logarithms lie at equal distances.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    values, numpy = _spaced(start, end, steps, dtype, out, "logspace")
    token = hush()
    try:
        return finished(_from_floats(np.asarray(base, values.dtype) ** values, numpy), device, requires_grad, out)
    finally:
        unhush(token)


def _spaced(start: Any, end: Any, steps: int, dtype: Any, out: Any, name: str) -> tuple[np.ndarray, np.dtype]:
    for value, which in ((start, "start"), (end, "end")):
        if isinstance(value, Tensor) and value.ndim:
            raise RuntimeError(
                f"{name} only supports 0-dimensional start and end tensors, but got {which} with {value.ndim} dimension(s)."
            )
    start, end = (v.item() if isinstance(v, (Tensor, np.generic)) else v for v in (start, end))
    steps = operator.index(steps)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    is_complex = isinstance(start, complex) or isinstance(end, complex)
    numpy = numpy_dtype(dtype, dtypes.get_default_dtype().to_complex() if is_complex else None, out)
    if numpy.kind == "b":
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'")
    if numpy.kind in "iu":
        start, end = int(start), int(end)
    step = (end - start) / (steps - 1) if steps > 1 else 0
    index = np.arange(steps)
    # From the nearer end, so that the last value is exactly `end`.
    return np.where(index < max(steps // 2, 1), start + step * index, end - step * (steps - 1 - index)), numpy


def _from_floats(values: np.ndarray, numpy: np.dtype) -> np.ndarray:
    token = hush()
    try:
        return values.astype(numpy)
    finally:
        unhush(token)


@asks
@placed
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None) -> Tensor:
    """Return the row and column numbers of a (row, col) matrix's lower triangle, as a tensor of shape (2, count).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tril_indices(3, 3, -1)
    tensor([[1, 2, 2],
            [0, 0, 1]])
    """
    _check_triangle(row, col)
    return finished(np.array(np.tril_indices(row, offset, col)).astype(_of_indices(dtype, "tril_indices")), device, False)


@asks
@placed
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None) -> Tensor:
    """Return the row and column numbers of a (row, col) matrix's upper triangle, as a tensor of shape (2, count).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.triu_indices(2, 3, 1)
    tensor([[0, 0, 1],
            [1, 2, 2]])
    """
    _check_triangle(row, col)
    return finished(np.array(np.triu_indices(row, offset, col)).astype(_of_indices(dtype, "triu_indices")), device, False)


def _of_indices(dtype: Any, name: str) -> np.dtype:
    """Return the NumPy dtype of indices; raise PyTorch's error for one that counts nothing."""
    d = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    if d.category != dtypes.INT:
        raise NotImplementedError(f'"{name}" not implemented for {d.old_name!r}')
    return d.numpy


def _check_triangle(row: int, col: int) -> None:
    for name, n in (("row", row), ("col", col)):
        if n < 0:
            raise RuntimeError(f"{name} must be non-negative, got{n}")


# -- with strides ------------------------------------------------------------------------------------------------------


@asks
@placed
def empty_strided(size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of unspecified values with the given strides, which count elements.

    Raises
    ------
    RuntimeError
        If there is not one stride for each axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.empty_strided((2, 3), (1, 2)).stride()
    (1, 2)
    """
    shape, strides = size_of("empty_strided", (size,)), tuple(stride)
    if len(shape) != len(strides):
        raise RuntimeError(f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides ({len(strides)})")
    numpy = numpy_dtype(dtype)
    count = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    memory = np.empty(count, numpy)
    array = np.lib.stride_tricks.as_strided(memory, shape, [s * numpy.itemsize for s in strides])
    check_device(device)
    return leaf(wrap(array), requires_grad)


@asks
@placed
def empty_permuted(
    size: Any, physical_layout: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor of unspecified values whose axes lie in memory in the given order, the slowest first.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.empty_permuted((2, 3, 4), (0, 2, 1)).stride()
    (12, 1, 3)
    """
    shape, layout = size_of("empty_permuted", (size,)), tuple(physical_layout)
    if len(shape) != len(layout):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {len(shape)} is not equal to len(physical_layout) = {len(layout)}"
        )
    for i, axis in enumerate(layout):
        if not 0 <= axis < len(shape):
            raise RuntimeError(
                f"Dimension out of range (expected to be between 0 and {len(shape) - 1}, but got {axis} at index {i}).  NB: "
                "negative dims not currently supported; file an issue if you want it."
            )
        if layout.count(axis) > 1:
            raise RuntimeError("Duplicate dim not allowed")
    array = np.empty([shape[i] for i in layout], numpy_dtype(dtype)).transpose(np.argsort(layout))
    check_device(device)
    return leaf(wrap(array), requires_grad)
