"""`functionalize` and `debug_unwrap`: PyTorch's names for what is a matter of course here, and for a look inside."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from chainrule.autograd.forward_ad import raised
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.func.basis import bottom

__all__ = ["debug_unwrap", "functionalize"]


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """Return `func`: writes in place and views are recorded as the functional operations they mean, always.

    PyTorch's transform of this name removes them before a function is traced. Here every interpreter, `func.trace` among them,
    sees the functional form, so that nothing is left to remove.

    Parameters
    ----------
    func : callable
    remove : {"mutations", "mutations_and_views"}
        What PyTorch would remove.

    Raises
    ------
    RuntimeError
        For another `remove`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.functionalize(lambda x: x.clone().mul_(2))(cr.ones(2))
    tensor([2., 2.])
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid options are:\n"
            "     remove='mutations': all inplace and out= operators will be removed from the program, and replaced with their "
            "out-of-place equivalents.\n     remove='mutations_and_views': In addition to the above, all aliasing operators "
            "{view} will be replaced with their non-aliasing counterparts, {view}_copy."
        )

    @wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapped


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """Return what a value inside a transform holds, to look at while debugging: results made from it are not differentiated.

    Parameters
    ----------
    tensor : Tensor
        A value of any transform; an ordinary tensor is returned as it is.
    recurse : bool
        Through all transforms, not just the innermost.

    Examples
    --------
    >>> import chainrule as cr
    >>> def f(x):
    ...     print(cr.func.debug_unwrap(x))
    ...     return x * x
    >>> cr.func.grad(f)(cr.tensor(2.0))
    tensor(2.)
    tensor(4.)
    """
    if not tensor._level:
        return tensor
    return wrap(bottom(tensor)) if recurse else raised(tensor._data)
