"""Parametrizations: orthogonal matrices, weights of given norms, weights of spectral norm 1."""

from __future__ import annotations

from enum import Enum
from typing import Any

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.creation.fill import eye
from chainrule.functions.interop.info import finfo
from chainrule.functions.linalg.classic_factors import geqrf
from chainrule.functions.linalg.contract import mv
from chainrule.functions.linalg.factor import householder_product
from chainrule.functions.linalg.solve import solve
from chainrule.functions.linalg.various import matrix_exp
from chainrule.functions.random.tensors import randn
from chainrule.functions.shaping.join import cat
from chainrule.nn.modules.module import Module
from chainrule.nn.utils import parametrize
from chainrule.nn.utils.spectral_norm import as_matrix, checked, outputs_axis, unit
from chainrule.nn.utils.weight_norm import norm_except, normed

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor(module: Any, name: str) -> Any:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


# -- orthogonal matrices -----------------------------------------------------------------------------------------------


def _is_orthogonal(q: Any) -> bool:
    n, k = q.shape[-2:]
    return bool(((q.mH @ q - eye(k, dtype=q.dtype)).abs() <= 10.0 * n * finfo(q.dtype).eps).all())


def _made_orthogonal(a: Any) -> Any:
    """Return the orthogonal factor of tall matrices whose other factor has a diagonal that is not negative."""
    x, tau = geqrf(a)
    return householder_product(x, tau) * x.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class _OrthMaps(Enum):
    matrix_exp = 1
    cayley = 2
    householder = 3


class _Orthogonal(Module):
    base: Any

    def __init__(self, weight: Any, orthogonal_map: _OrthMaps, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map is _OrthMaps.householder:
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:
        """Return the orthogonal matrices of any ones."""
        wide = X.shape[-2] < X.shape[-1]
        x = X.mT if wide else X
        q = self._reflected(x) if self.orthogonal_map is _OrthMaps.householder else self._rotated(x)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def _rotated(self, x: Any) -> Any:
        n, k = x.shape[-2:]
        lower = x.tril()
        if n != k:
            lower = cat([lower, lower.new_zeros(*x.shape[:-2], n, n - k)], -1)
        skew = lower - lower.mH
        if self.orthogonal_map is _OrthMaps.matrix_exp:
            q = matrix_exp(skew)
        else:
            one = eye(n, dtype=x.dtype)
            q = solve(one - 0.5 * skew, one + 0.5 * skew)
        return q[..., :k] if n != k else q

    def _reflected(self, x: Any) -> Any:
        a = x.tril(-1)
        tau = 2.0 / (1.0 + (a * a).sum(-2))
        return householder_product(a, tau) * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)

    @no_grad()
    def right_inverse(self, Q: Any) -> Any:
        """Return what becomes orthogonal matrices near given ones; with a base, they become that."""
        if Q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {Q.shape}.")
        wide = Q.shape[-2] < Q.shape[-1]
        q = Q.mT if wide else Q
        if hasattr(self, "base"):
            self.base = self._base(q)
            minus = -eye(*Q.shape[-2:], dtype=Q.dtype)
            return minus.expand(Q.shape).clone()
        if self.orthogonal_map is not _OrthMaps.householder:
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                "use_trivialization=False."
            )
        a, tau = geqrf(q)
        a.diagonal(dim1=-2, dim2=-1).sign_()
        a.diagonal(dim1=-2, dim2=-1)[tau == 0.0] *= -1
        return a.mT if wide else a

    def _base(self, q: Any) -> Any:
        n, k = q.shape[-2:]
        if n == k:
            return q.clone() if _is_orthogonal(q) else _made_orthogonal(q)
        return _made_orthogonal(cat([q, randn(*q.shape[:-2], n, n - k, dtype=q.dtype)], -1))


def orthogonal(module: Any, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True) -> Any:
    """Have a module's matrices be orthogonal, or unitary if complex.

    Parameters
    ----------
    module : Module
        Whose parameter it is.
    name : str
        Of the parameter, of shape (..., m, n): it has orthonormal columns if m >= n, else orthonormal rows.
    orthogonal_map : {"matrix_exp", "cayley", "householder"}, optional
        The exponential of a skew-symmetric matrix A, ``(I - A / 2)^-1 (I + A / 2)``, or a product of reflections. The first if
        the matrices are square or complex, else the last, if not given.
    use_trivialization : bool
        Keep a base by which the result is multiplied, so that the parameter starts at a regular point (Lezcano Casado 2019,
        arXiv 1909.09501).

    Returns
    -------
    Module
        `module`.

    Raises
    ------
    ValueError
        If the tensor has fewer than two axes, or there is no such map.

    Examples
    --------
    >>> import chainrule as cr
    >>> m = cr.nn.utils.parametrizations.orthogonal(cr.nn.Linear(20, 40))
    >>> q = m.weight
    >>> bool(((q.T @ q - cr.eye(20)).abs() < 1e-5).all())
    True
    """
    weight = _tensor(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1] or weight.is_complex()
        orthogonal_map = "matrix_exp" if square else "householder"
    found = getattr(_OrthMaps, orthogonal_map, None)
    if found is None:
        raise ValueError(f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}')
    made = _Orthogonal(weight, found, use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, made, unsafe=True)


# -- weights of given norms --------------------------------------------------------------------------------------------


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        """Return the weight of norms and directions."""
        return normed(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Return the norms of a weight, and it."""
        return norm_except(weight, self.dim), weight


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Have a module's parameter be given by norms and directions (Salimans & Kingma 2016, arXiv 1602.07868).

    States that `nn.utils.weight_norm` has saved can be loaded.

    Parameters
    ----------
    module : Module
        Whose parameter it is.
    name : str
        Of the parameter.
    dim : int, optional
        The norms are those of the slices along this axis, with None of the whole.

    Returns
    -------
    Module
        `module`.

    Examples
    --------
    >>> import chainrule as cr
    >>> m = cr.nn.utils.parametrizations.weight_norm(cr.nn.Linear(20, 40))
    >>> m.parametrizations.weight.original0.shape
    chainrule.Size([40, 1])
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def takes_older(state_dict: dict, prefix: str, *rest: Any) -> None:
        older = [f"{prefix}{name}_{end}" for end in "gv"]
        if all(key in state_dict for key in older):
            for i, key in enumerate(older):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(takes_older)
    return module


# -- weights of spectral norm 1 ----------------------------------------------------------------------------------------


class _SpectralNorm(Module):
    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        n = weight.ndim
        if not -n <= dim < n:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{n}, {n - 1}] but got {dim})")
        checked(n_power_iterations)
        self.dim, self.eps = dim % n, eps
        if n > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight, self.dim)
            u, v = (matrix.new_empty(size).normal_(0, 1) for size in matrix.shape)
            self.register_buffer("_u", unit(u, eps))
            self.register_buffer("_v", unit(v, eps))
            self._power_method(matrix, 15)

    @no_grad()
    def _power_method(self, matrix: Any, n_power_iterations: int) -> None:
        for _ in range(n_power_iterations):
            self._u.copy_(unit(mv(matrix, self._v), self.eps))
            self._v.copy_(unit(mv(matrix.mH, self._u), self.eps))

    def forward(self, weight: Any) -> Any:
        """Return the weight divided by its largest singular value, which an iteration in training brings nearer before."""
        if weight.ndim == 1:
            return unit(weight, self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()  # what the next call overwrites is not what this one saves
        return weight / u.vdot(mv(matrix, v))

    def right_inverse(self, value: Any) -> Any:
        """Return the value, which may have been divided already."""
        return value


def spectral_norm(
    module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Any:
    """Have a module's parameter be divided by its largest singular value (Miyato et al. 2018, arXiv 1802.05957).

    Parameters
    ----------
    module : Module
        Whose parameter it is.
    name : str
        Of the parameter.
    n_power_iterations : int
        How many power iterations each access in training makes.
    eps : float
        The least norm by which vectors are divided.
    dim : int, optional
        The axis of outputs; 1 for transposed convolutions, else 0, if not given.

    Returns
    -------
    Module
        `module`.

    Raises
    ------
    ValueError
        If there is no such parameter, or the number of iterations is not positive.

    Examples
    --------
    >>> import chainrule as cr
    >>> m = cr.nn.utils.parametrizations.spectral_norm(cr.nn.Linear(20, 40), n_power_iterations=50)
    >>> bool(abs(cr.linalg.matrix_norm(m.weight, 2) - 1) < 1e-3)
    True
    """
    weight = _tensor(module, name)
    made = _SpectralNorm(weight, n_power_iterations, outputs_axis(module, dim), eps)
    return parametrize.register_parametrization(module, name, made)
