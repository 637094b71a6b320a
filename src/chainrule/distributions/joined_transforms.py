"""Transforms of parts of a tensor, which are joined as by ``cat`` or by ``stack``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.distributions import constraints
from chainrule.distributions.transform import Transform
from chainrule.distributions.utils import lazy_property, sum_rightmost

__all__ = ["CatTransform", "StackTransform"]


class _Joined(Transform):
    """Several transforms, each of its part along an axis."""

    transforms: list[Transform]
    dim: int

    def _set(self, tseq: Sequence[Transform], dim: int, cache_size: int) -> None:
        if not all([isinstance(t, Transform) for t in tseq]):
            raise AssertionError("All elements of tseq must be Transform instances")
        self.transforms = [t.with_cache(cache_size) for t in tseq] if cache_size else list(tseq)
        self.dim = dim

    @property
    def bijective(self) -> Any:  # type: ignore[override]
        return all([t.bijective for t in self.transforms])

    def _check(self, value: Tensor, letter: str, name: str, size: int, called: str) -> None:
        if not -value.dim() <= self.dim < value.dim():
            raise AssertionError(f"dim {self.dim} out of range for {name} with {value.dim()} dimensions")
        if value.size(self.dim) != size:
            raise AssertionError(f"{letter}.size({self.dim}) = {value.size(self.dim)} must equal {called} {size}")


class CatTransform(_Joined):
    """Transforms of parts that are joined as by ``cat``, each of its length along an axis.

    Parameters
    ----------
    tseq : sequence of Transform
        The transforms.
    dim : int
        The axis.
    lengths : sequence of int, optional
        The lengths; 1 each if not given.
    cache_size : int
        0 or 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import CatTransform, ExpTransform, identity_transform
    >>> CatTransform([ExpTransform(), identity_transform], lengths=[1, 2])(cr.zeros(3))
    tensor([1., 0., 0.])
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None, cache_size: int = 0):
        super().__init__(cache_size=cache_size)
        self._set(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(f"lengths ({len(self.lengths)}) must match transforms ({len(self.transforms)})")

    @lazy_property
    def event_dim(self) -> int:  # type: ignore[override]
        return max([t.event_dim for t in self.transforms])

    @lazy_property
    def length(self) -> int:
        """Return the sum of the lengths."""
        return sum(self.lengths)

    def _again(self, cache_size: int) -> Transform:
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _parts(self, value: Tensor, letter: str, name: str = "tensor") -> list[Tensor]:
        self._check(value, letter, name, self.length, "length")
        starts = [sum(self.lengths[:i]) for i in range(len(self.lengths))]
        return [value.narrow(self.dim, start, length) for start, length in zip(starts, self.lengths, strict=True)]

    def _call(self, x: Tensor) -> Tensor:
        return cr.cat([t(part) for t, part in zip(self.transforms, self._parts(x, "x"), strict=True)], self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        return cr.cat([t.inv(part) for t, part in zip(self.transforms, self._parts(y, "y"), strict=True)], self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        terms = []
        for t, before, after in zip(self.transforms, self._parts(x, "x", "x"), self._parts(y, "y", "y"), strict=True):
            terms.append(sum_rightmost(t.log_abs_det_jacobian(before, after), self.event_dim - t.event_dim))
        dim = (self.dim if self.dim < 0 else self.dim - x.dim()) + self.event_dim
        return cr.cat(terms, dim) if dim < 0 else sum(terms[1:], terms[0])  # along an axis of events there is one for all

    @constraints.dependent_property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @constraints.dependent_property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)


class StackTransform(_Joined):
    """Transforms of parts that are joined as by ``stack``.

    Parameters
    ----------
    tseq : sequence of Transform
        The transforms.
    dim : int
        The axis.
    cache_size : int
        0 or 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.transforms import ExpTransform, StackTransform, identity_transform
    >>> StackTransform([ExpTransform(), identity_transform])(cr.zeros(2))
    tensor([1., 0.])
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0):
        super().__init__(cache_size=cache_size)
        self._set(tseq, dim, cache_size)

    def _again(self, cache_size: int) -> Transform:
        return StackTransform(self.transforms, self.dim, cache_size)

    def _parts(self, value: Tensor, letter: str, name: str = "tensor") -> list[Tensor]:
        self._check(value, letter, name, len(self.transforms), "len(transforms)")
        return [value.select(self.dim, i) for i in range(len(self.transforms))]

    def _call(self, x: Tensor) -> Tensor:
        return cr.stack([t(part) for t, part in zip(self.transforms, self._parts(x, "x"), strict=True)], self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        return cr.stack([t.inv(part) for t, part in zip(self.transforms, self._parts(y, "y"), strict=True)], self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        parts = zip(self.transforms, self._parts(x, "x", "x"), self._parts(y, "y", "y"), strict=True)
        return cr.stack([t.log_abs_det_jacobian(before, after) for t, before, after in parts], self.dim)

    @constraints.dependent_property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @constraints.dependent_property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.stack([t.codomain for t in self.transforms], self.dim)
