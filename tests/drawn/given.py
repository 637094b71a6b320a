"""What the text of a drawn program is written with: its leaves, its constants, and values made to fit an argument."""

from __future__ import annotations

import math

import numpy as np

inf, nan = math.inf, math.nan


class Given:
    """The inputs of one run of a program under a library.

    Parameters
    ----------
    lib : module
        chainrule or PyTorch.
    seed : int
        Of all numbers, which are drawn in the order of the program's text.
    moved : float
        Every floating number is moved by a part of itself of about this size: how much the results then move tells how
        far two libraries' roundings may take them apart.
    step : float
        Leaves that require grad are moved by so much of a direction of their own, for differences.
    """

    def __init__(self, lib, seed=0, moved=0.0, step=0.0):
        self.lib, self.moved, self.step = lib, moved, step
        self.rng, self.shaking = np.random.default_rng(seed), np.random.default_rng([seed, 1])
        self.leaves, self.directions = [], []

    def normal(self, shape):
        """Return normal numbers, an array."""
        x = np.asarray(self.rng.normal(size=shape))
        return x * (1 + self.moved * self.shaking.normal(size=shape)) if self.moved else x

    def tensor(self, x, dtype):
        """Return a tensor of an array."""
        return self.lib.as_tensor(x.astype(dtype))

    def leaf(self, shape, dtype="float64", requires_grad=True):
        """Return a leaf of normal numbers."""
        x = self.normal(shape) + 1j * self.normal(shape) if dtype[0] == "c" else self.normal(shape)
        self.directions.append(self.shaking.normal(size=shape) if self.step and requires_grad else np.zeros(shape))
        x = self.tensor(x + self.step * self.directions[-1] if self.step else x, dtype)
        self.leaves.append(x)
        return x.requires_grad_(requires_grad)

    def array(self, values, dtype="float64"):
        """Return a constant."""
        return self.tensor(np.array(values), dtype)

    def ints(self, shape, low, high):
        """Return a tensor of integers in [low, high)."""
        return self.lib.as_tensor(np.asarray(self.rng.integers(low, high, shape)))

    def bools(self, shape):
        """Return a tensor of truth values."""
        return self.lib.as_tensor(np.asarray(self.rng.random(shape) < 0.5))

    def fit(self, x, shape, dtype="float64", domain=None):
        """Return a tensor of any shape, dtype and domain that depends on every element of `x` used, smoothly.

        Each element is moved by a number of its own, so that no two are equal and none lies on a kink; all are brought to
        the size of one first, so that no gradient is lost in another's rounding; of what is not finite nothing is used.
        """
        lib, size = self.lib, math.prod(shape)
        if tuple(x.shape) != shape:
            x = x.reshape(-1) if x.numel() else x.sum().reshape(1)
            x = x[lib.as_tensor(np.arange(size) % x.numel())].reshape(shape)
        if x.is_complex() and dtype[0] != "c":
            x = x.real + 0.5 * x.imag
        x = x.to(getattr(lib, dtype))
        if not size:
            return x
        size = x.abs().mean()
        x = x / (1 + size) if bool(size.detach() < inf) else lib.zeros_like(x)
        if dtype[0] != "c":
            return self.inside(x, domain)
        return lib.complex(self.inside(x.real, domain), self.inside(x.imag, domain))

    def inside(self, x, domain):
        """Return real numbers of about one, each moved by a number of its own, into a domain."""
        x = x + self.tensor(self.normal(tuple(x.shape)), str(x.dtype).rpartition(".")[2])
        if domain is None:
            return x
        low, high = domain
        return low + (high - low) * (0.02 + 0.96 * self.lib.sigmoid(x))

    def matrices(self, x, shape, dtype="float64", kind="regular"):
        """Return matrices that depend on `x`: well conditioned, or Hermitian with eigenvalues apart, or positive ones."""
        x = self.fit(x, shape, dtype)
        n, m = shape[-2:]
        if kind == "regular":
            return x + self.tensor(2 * np.sqrt(max(n, m)) * np.eye(n, m), dtype)
        if kind == "positive":
            return x @ x.mH + self.tensor(np.eye(n), dtype)
        return (x + x.mH) / 2 + self.tensor(2 * np.diag(np.arange(n)), dtype)

    def beside(self, x, y, way, domain=None):
        """Return `x` in its own dtype, of a shape that broadcasts with y's: the whole, without its first axis, with ones."""
        shape = tuple(y.shape)
        shape = (shape, shape[1:], (*shape[:-1], 1)[: len(shape)], ())[way]
        if x.is_floating_point() or x.is_complex():
            return self.fit(x, shape, str(x.dtype).rpartition(".")[2], domain)
        return x.reshape(-1)[:1].expand(shape) if x.numel() else self.bools(shape)

    def within(self, x, domain=None):
        """Return `x` of its own shape and dtype, in a domain."""
        if x.is_floating_point() or x.is_complex():
            return self.fit(x, tuple(x.shape), str(x.dtype).rpartition(".")[2], domain)
        return x

    def gradient(self, x, leaf):
        """Return the gradient of a sum, recorded, also where it is constant; zeros where nothing depends on the leaf."""
        if not (x.requires_grad and leaf.requires_grad):
            return self.lib.zeros_like(leaf)
        loss = (x.real + 0.5 * x.imag if x.is_complex() else x).sum()
        (g,) = self.lib.autograd.grad(loss, leaf, create_graph=True, allow_unused=True)
        return (0 if g is None else g) + 0 * leaf

    def mass(self, x):
        """Return what programs branch on."""
        x = x.detach()
        return float((x if x.is_complex() else x.double()).abs().sum())


def flat(out):
    """Return the tensors of nested results, in order."""
    if isinstance(out, (tuple, list)):
        return [leaf for o in out for leaf in flat(o)]
    return [out]
