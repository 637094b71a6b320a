"""A batch norm in evaluation taken into the linear map or convolution before it."""

from __future__ import annotations

import copy
from typing import Any

from chainrule.nn.parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _fused(w: Any, b: Any, mean: Any, var: Any, eps: float, scale: Any, shift: Any, axis: int) -> tuple[Any, Any]:
    """Return weight and bias of a map whose outputs are along an axis of the weight, followed by a batch norm."""
    factor = (var + eps).rsqrt() if scale is None else scale * (var + eps).rsqrt()
    shape = [-1 if i == axis else 1 for i in range(w.ndim)]
    bias = ((0 if b is None else b) - mean) * factor + (0 if shift is None else shift)
    fused = (w * factor.reshape(shape)).to(w.dtype), bias.to(w.dtype if b is None else b.dtype)
    required = w.requires_grad, b is not None and b.requires_grad
    weight, bias = (Parameter(x.detach(), flag) for x, flag in zip(fused, required, strict=True))
    return weight, bias


def _check(layer: Any, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")


def fuse_conv_bn_weights(
    conv_w: Any, conv_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any, transpose: bool = False
) -> tuple[Any, Any]:
    """Return weight and bias of the convolution that does what one with a batch norm behind it does in evaluation.

    Parameters
    ----------
    conv_w, conv_b : Tensor
        Of the convolution; the bias may be None.
    bn_rm, bn_rv, bn_eps, bn_w, bn_b
        Running mean and variance, what is added to it, weight and bias of the norm; the last two may be None.
    transpose : bool
        Whether it is a transposed convolution.
    """
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Any, Any]:
    """Return weight and bias of the linear map that does what one with a batch norm behind it does in evaluation."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """Return a convolution that does what one with a batch norm behind it does in evaluation.

    Examples
    --------
    >>> import chainrule as cr
    >>> conv, bn, x = cr.nn.Conv2d(2, 3, 1).eval(), cr.nn.BatchNorm2d(3).eval(), cr.ones(1, 2, 4, 4)
    >>> cr.allclose(cr.nn.utils.fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)), atol=1e-6)
    True
    """
    _check(conv, bn)
    made = copy.deepcopy(conv)
    made.weight, made.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return made


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """Return a linear map that does what one with a batch norm behind it does in evaluation.

    Examples
    --------
    >>> import chainrule as cr
    >>> linear, bn, x = cr.nn.Linear(2, 3).eval(), cr.nn.BatchNorm1d(3).eval(), cr.ones(4, 2)
    >>> cr.allclose(cr.nn.utils.fuse_linear_bn_eval(linear, bn)(x), bn(linear(x)), atol=1e-6)
    True
    """
    _check(linear, bn)
    if bn.num_features not in (linear.out_features, 1):
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got linear.out_features="
            f"{linear.out_features} and bn.num_features={bn.num_features}"
        )
    made = copy.deepcopy(linear)
    made.weight, made.bias = fuse_linear_bn_weights(
        linear.weight, linear.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return made
