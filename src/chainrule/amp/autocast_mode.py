"""Autocast: a block, or a function, inside which functions choose their dtypes."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from chainrule.amp.casting import (
    SETTINGS,
    Settings,
    clear_autocast_cache,
    get_autocast_dtype,
    is_autocast_available,
    is_autocast_cache_enabled,
    is_autocast_enabled,
    put,
)
from chainrule.amp.policies import is_eligible
from chainrule.core.call.dispatch import cast
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.dtype import dtype

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

# -- blocks ------------------------------------------------------------------------------------------------------------


class autocast:  # noqa: N801 - PyTorch's public name
    """A block, or a function, in which products of matrices and convolutions compute in half precision.

    Each function computes in the dtype of the list that PyTorch has it in: products, convolutions, attention in `dtype`;
    losses, `prod`, Fourier transforms and factorisations in float32; `cat` and `stack` in the widest dtype they are given; all
    others in the dtypes that they are given. Tensors of float64 stay. Gradients arrive in the dtypes of the leaves; backward
    passes compute in the dtypes of the forward ones, inside the block too.

    Parameters
    ----------
    device_type : str
        ``"cpu"``. As in PyTorch without a GPU, one for ``"cuda"`` warns and is not enabled.
    dtype : dtype, optional
        bfloat16, which needs the package ml_dtypes, or float16; by default what :func:`chainrule.get_autocast_dtype` says.
    enabled : bool
        Whether autocast is on in the block, or off.
    cache_enabled : bool, optional
        Whether leaves are cast once and not in each call, until the outermost block ends.

    Raises
    ------
    ImportError
        If bfloat16 is wanted and ml_dtypes is not installed.
    RuntimeError
        For a type of device that has no autocast.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, w = cr.ones(2, 3), cr.ones(3, 2, requires_grad=True)
    >>> with cr.autocast("cpu", dtype=cr.bfloat16):
    ...     y = x @ w
    ...     loss = cr.nn.functional.mse_loss(y, cr.zeros(2, 2))
    >>> y.dtype, loss.dtype
    (chainrule.bfloat16, chainrule.float32)
    >>> loss.backward()
    >>> w.grad.dtype
    chainrule.float32
    """

    def __init__(
        self, device_type: str, dtype: dtype | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        if enabled and device_type == "cuda":
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", UserWarning, stacklevel=2)
            enabled = False
        self.device = device_type
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None and enabled else dtype
        if enabled and self.fast_dtype.name not in ("bfloat16", "float16"):  # type: ignore[union-attr]
            name = device_type.upper()
            warnings.warn(
                f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n{name} Autocast only "
                "supports dtypes of torch.bfloat16, torch.float16 currently.",
                UserWarning,
                stacklevel=2,
            )
            enabled = False
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = enabled
        self._before: list[Settings] = []

    def __enter__(self) -> autocast:
        before = SETTINGS.get()
        self._before.append(before)
        kind = {self.device}
        put(
            Settings(
                before.enabled | kind if self._enabled else before.enabled - kind,
                before.dtypes if self.fast_dtype is None else {**before.dtypes, self.device: self.fast_dtype},
                self._cache_enabled,
                before.depth + 1,
                before.kept if before.depth else {},
            )
        )
        return self

    def __exit__(self, *exc: object) -> None:
        before = self._before.pop()
        if not before.depth:
            clear_autocast_cache()
        put(before)

    def __call__(self, func: Any) -> Any:
        """Return a function that runs in such a block."""
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you mean to use autocast as a "
                "context manager? For example:\n    with torch.autocast(device_type=...):\n        output = model(input)"
            )

        @functools.wraps(func)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with _again(self):
                return func(*args, **kwargs)

        return decorated


def _again(block: autocast) -> autocast:
    """Return another block of the kind, for a call that may be running in several threads."""
    made = object.__new__(type(block))
    made.__dict__.update(block.__dict__, _before=[])
    return made


class same_settings:  # noqa: N801 - a context manager
    """A block in which autocast is what it was where this was made: what is computed again is computed in the same dtypes."""

    __slots__ = ("_before", "_then")

    def __init__(self) -> None:
        settings = SETTINGS.get()
        self._then = settings if settings.kept is None else settings._replace(kept={})

    def __enter__(self) -> None:
        self._before = SETTINGS.get()
        put(self._then)

    def __exit__(self, *exc: object) -> None:
        put(self._before)


# -- autograd functions ------------------------------------------------------------------------------------------------


def _cast(value: Any, device_type: str, d: dtype) -> Any:
    """Return a value with the floating point tensors in it in a dtype, but those of double precision."""
    if isinstance(value, Tensor):
        return cast(value, d) if is_eligible(value) and device_type == "cpu" else value
    if isinstance(value, (str, bytes, np.ndarray)):
        return value
    if isinstance(value, Mapping):
        return {_cast(k, device_type, d): _cast(v, device_type, d) for k, v in value.items()}
    if isinstance(value, Iterable):
        each = [_cast(v, device_type, d) for v in value]
        return type(value)(each) if isinstance(value, (list, tuple)) else each  # type: ignore[call-arg]
    return value


def _device_type(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(value)}`")
    return value


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: dtype | None = None) -> Any:
    """Declare the forward of an autograd function as one that autocast is to know of.

    Parameters
    ----------
    fwd : callable
        ``forward(ctx, *args)``; without one, a decorator is returned.
    device_type : str
        ``"cpu"``.
    cast_inputs : dtype, optional
        Inside a block of :class:`autocast`, the floating point arguments are cast to it, and autocast is off in the function.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.amp import custom_bwd, custom_fwd
    >>> class Product(cr.autograd.Function):
    ...     @staticmethod
    ...     @custom_fwd(device_type="cpu")
    ...     def forward(ctx, x, y):
    ...         ctx.save_for_backward(x, y)
    ...         return x.mm(y)
    ...     @staticmethod
    ...     @custom_bwd(device_type="cpu")
    ...     def backward(ctx, g):
    ...         x, y = ctx.saved_tensors
    ...         return g.mm(y.t()), x.t().mm(g)
    >>> x = cr.ones(2, 2, requires_grad=True)
    >>> with cr.autocast("cpu", dtype=cr.float16):
    ...     y = Product.apply(x, x)
    >>> y.dtype
    chainrule.float16
    """
    _device_type(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx._dtype = SETTINGS.get().dtypes.get(device_type)
        on = is_autocast_enabled(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if not on or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))

    return forward


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """Declare the backward of an autograd function as one that runs under autocast where its forward did.

    Parameters
    ----------
    bwd : callable
        ``backward(ctx, *grads)``; without one, a decorator is returned.
    device_type : str
        ``"cpu"``.

    Examples
    --------
    See :func:`custom_fwd`.
    """
    _device_type(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, ctx._dtype, enabled=ctx._fwd_used_autocast):
            return bwd(ctx, *args, **kwargs)

    return backward
