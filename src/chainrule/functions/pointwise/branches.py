"""Special functions of several results or branches, under SciPy's names."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.ops.pointwise import bessel
from chainrule.ops.pointwise.elliptic import lambert_w
from chainrule.return_types import named_result

__all__ = ["airy", "lambertw"]

_airy = named_result("airy", "Ai", "Aip", "Bi", "Bip")


@public(name="special.airy", method=False, kinds="bif", samples=lambda: [Sample((3, 4)), Sample(()), Sample((0,))])
def airy(input: Tensor) -> Any:
    """Return Airy's functions Ai and Bi and their derivatives, the solutions of ``y'' = x y``.

    Parameters
    ----------
    input : Tensor
        Of any shape; real; integers are taken in the default dtype.

    Returns
    -------
    (Tensor, Tensor, Tensor, Tensor)
        Ai, Ai', Bi and Bi', each of the shape of `input` (NIST DLMF 9.2).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.special.airy(cr.tensor(0.0)).Bi
    tensor(0.6149)
    """
    x = as_tensor(input, "airy")
    return _airy(bessel.airy_ai(x), bessel.airy_ai_slope(x), bessel.airy_bi(x), bessel.airy_bi_slope(x))


@public(
    name="special.lambertw", method=False, kinds="ifc", domain=(0.2, 2.0),
    samples=lambda: [
        Sample((3, 4)), Sample((), k=-1), Sample((0,), 1),
        Sample((2,), k=0.5, error=(TypeError, "lambertw(): argument 'k' must be int, not float")),
    ],
)  # fmt: skip
def lambertw(input: Tensor, k: int = 0) -> Tensor:
    """Return a branch of Lambert's W, for which ``W exp(W)`` is the input.

    Parameters
    ----------
    input : Tensor
        Of any shape; real or complex.
    k : int
        The branch; -1 and 0 are real where the input is real and not below -1/e, of -1 also negative.

    Returns
    -------
    Tensor
        Complex, as SciPy's.

    Raises
    ------
    TypeError
        If k is no int.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.special.lambertw(cr.tensor(1.0)).real
    tensor(0.5671)
    """
    if not hasattr(k, "__index__"):
        raise TypeError(f"lambertw(): argument 'k' must be int, not {type(k).__name__}")
    x = as_tensor(input, "lambertw")
    d = x.dtype if x.dtype.category >= dtypes.FLOAT else dtypes.get_default_dtype()
    return lambert_w(cast(x, d.to_complex()), k=int(k))
