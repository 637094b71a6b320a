"""The affine map and the bilinear one: a part of `chainrule.nn.functional`."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.write.out import into
from chainrule.functions.linalg.contract import check_vectors, same_c_dtype
from chainrule.functions.linalg.einsum import einsum
from chainrule.ops.nn.loss import linear_map
from chainrule.ops.pointwise.arithmetic import add
from chainrule.ops.shaping.shape import reshape

__all__ = ["bilinear", "linear"]


@asks
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *, out: Any = None) -> Tensor:
    """Return ``input @ weight.T + bias``.

    Parameters
    ----------
    input : Tensor
        Of shape (..., in).
    weight : Tensor
        Of shape (out, in), or (in,), which drops the last axis of the result.
    bias : Tensor, optional
        Of shape (out,), or () for a weight of one axis.
    out : Tensor, optional
        Write the result into this tensor.

    Returns
    -------
    Tensor
        Of shape (..., out).

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not match.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, w, b = cr.tensor([[1.0, 2.0]]), cr.tensor([[1.0, 1.0], [0.0, 3.0]]), cr.tensor([0.5, 0.5])
    >>> cr.nn.functional.linear(x, w, b)
    tensor([[3.5000, 6.5000]])
    """
    if out is not None:
        return into(out, "linear", linear, (input, weight, bias), {}, exact=True)
    x = input if isinstance(input, Tensor) else as_tensor(input, "linear")
    w = weight if isinstance(weight, Tensor) else as_tensor(weight, "linear", 1)
    shape, size = x.shape, w.shape
    if not shape or not size:
        raise RuntimeError(f"both arguments to linear need to be at least 1D, but they are {len(shape)}D and {len(size)}D")
    if len(size) > 2:
        raise RuntimeError(f"linear(): weight must have 1 or 2 axes, (out, in) or (in,), not {list(size)}")
    if shape[-1] != size[-1]:
        rows = 1
        for n in shape[:-1]:
            rows *= n
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{shape[-1]} and {size[-1]}x{size[0] if len(size) > 1 else 1})"
        )
    if len(shape) == 1 and len(size) == 1:
        check_vectors(x, w)
    same_c_dtype(x, w)
    bias = None if bias is None else as_tensor(bias, "linear", 2)
    if bias is not None and bias.dtype is not w.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {bias.dtype.old_name} and {w.dtype.old_name}")
    if len(size) == 1:
        out = reshape(linear_map(x, reshape(w, shape=(1, *size))), shape=shape[:-1])
    else:
        out = linear_map(x, w)
    return out if bias is None else add(out, bias)


@asks
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input1 @ weight[k] @ input2`` for each k, plus a bias.

    Parameters
    ----------
    input1, input2 : Tensor
        Of shapes (..., in1) and (..., in2), the leading axes alike.
    weight : Tensor
        Of shape (out, in1, in2).
    bias : Tensor, optional
        Of shape (out,).

    Returns
    -------
    Tensor
        Of shape (..., out).

    Raises
    ------
    RuntimeError
        If shapes do not match.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, y, w = cr.tensor([[1.0, 2.0]]), cr.tensor([[3.0]]), cr.ones(2, 2, 1)
    >>> cr.nn.functional.bilinear(x, y, w)
    tensor([[9., 9.]])
    """
    x, y, w = (as_tensor(z, "bilinear", i) for i, z in enumerate((input1, input2, weight)))
    if x.ndim != y.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {x.ndim} and {y.ndim}")
    if w.ndim != 3 or not x.ndim:
        raise RuntimeError(f"bilinear(): expected inputs of at least 1 axis and a weight of 3, not {x.ndim} and {w.ndim}")
    for axis, (n, m) in enumerate(zip(x.shape[:-1], y.shape[:-1], strict=True)):
        if n != m:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {axis}: got {n} and {m}")
    for k, z in ((1, x), (2, y)):
        if z.shape[-1] != w.shape[k]:
            raise RuntimeError(
                f"bilinear(): input{k} size does not match weight size: got {z.shape[-1]} but expected {w.shape[k]}"
            )
    b = None if bias is None else as_tensor(bias, "bilinear", 3)
    if b is not None and b.shape[0] != w.shape[0]:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {b.shape[0]} but expected {w.shape[0]}")
    # The larger product first, as one of matrices: (..., in1) by (in1, out * in2).
    out = einsum("...oj,...j->...o", einsum("...i,oij->...oj", x, w), y)
    return out if b is None else add(out, b)
