"""PyTorch's ``quasirandom``: points that fill a cube evenly, of SciPy."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.dtype import get_default_dtype
from chainrule.functions.creation.create import tensor

__all__ = ["SobolEngine"]


class SobolEngine:
    """Sobol' sequences in up to 21,201 dimensions (Joe and Kuo 2008, by `scipy.stats.qmc.Sobol`).

    Parameters
    ----------
    dimension : int
        Coordinates of a point.
    scramble : bool
        Whether the points are scrambled (Owen 1998), other points than PyTorch's of the same seed.
    seed : int, optional
        Of the scrambling.

    Raises
    ------
    ValueError
        If there are too many dimensions, or fewer than one.

    References
    ----------
    S. Joe and F. Y. Kuo, Constructing Sobol sequences with better two-dimensional projections, SIAM J. Sci. Comput. 30, 2008.

    Examples
    --------
    >>> from chainrule.torch.quasirandom import SobolEngine
    >>> SobolEngine(2).draw(3)
    tensor([[0.0000, 0.0000],
            [0.5000, 0.5000],
            [0.7500, 0.2500]])
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None) -> None:
        if not 1 <= dimension <= self.MAXDIM:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        from scipy.stats.qmc import Sobol

        self.dimension, self.scramble, self.seed, self.num_generated = dimension, scramble, seed, 0
        self._points = Sobol(dimension, scramble=scramble, rng=seed, bits=self.MAXBIT)

    def draw(self, n: int = 1, out: Tensor | None = None, dtype: Any = None) -> Tensor:
        """Return the next ``n`` points, of shape ``(n, dimension)``.

        Parameters
        ----------
        n : int
            How many.
        out : Tensor, optional
            Where to write them.
        dtype : dtype, optional
            By default the default dtype.
        """
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a number of points is no power of two
            points = self._points.random(n)
        self.num_generated += n
        drawn = tensor(points, dtype=dtype or get_default_dtype())
        if out is None:
            return drawn
        return out.resize_(drawn.shape).copy_(drawn)

    def draw_base2(self, m: int, out: Tensor | None = None, dtype: Any = None) -> Tensor:
        """Return the next ``2 ** m`` points, that make a whole power of two with those before.

        Raises
        ------
        ValueError
            If they do not.
        """
        n = 2**m
        total = self.num_generated + n
        if total & (total - 1) != 0:
            raise ValueError(
                "The balance properties of Sobol' points require n to be a power of 2. "
                f"{self.num_generated} points have been previously generated, then: n={self.num_generated}+2**{m}={total}. "
                "If you still want to do this, please use 'SobolEngine.draw()' instead."
            )
        return self.draw(n, out=out, dtype=dtype)

    def reset(self) -> SobolEngine:
        """Begin again, and return the engine."""
        self._points.reset()
        self.num_generated = 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Leave ``n`` points out, and return the engine."""
        self._points.fast_forward(n)
        self.num_generated += n
        return self

    def __repr__(self) -> str:
        shown = [f"dimension={self.dimension}"]
        if self.scramble:
            shown += ["scramble=True"]
        if self.seed is not None:
            shown += [f"seed={self.seed}"]
        return f"SobolEngine({', '.join(shown)})"
