"""Single operations on a million float32, forward and backward where they have a derivative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Step = Callable[[], Sequence[Any]]
Program = Callable[[Any, np.random.Generator], Step]
N = 1_000_000


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return float32 normal numbers."""
    return rng.standard_normal(shape, np.float32)


def forward(f: Callable[..., Any], *shape: int, dtype: str = "float32") -> Program:
    """Return the program that computes ``f(torch, x)`` of normal numbers."""

    def program(torch: Any, rng: np.random.Generator) -> Step:
        x = torch.tensor(normal(rng, *(shape or (N,)))).to(getattr(torch, dtype))
        return lambda: (f(torch, x),)

    return program


def both(f: Callable[..., Any], *shape: int) -> Program:
    """Return the program that computes ``f(torch, x)`` and pulls ones back."""

    def program(torch: Any, rng: np.random.Generator) -> Step:
        x = torch.tensor(normal(rng, *(shape or (N,))), requires_grad=True)
        with torch.no_grad():
            ones = torch.ones_like(f(torch, x))

        def step() -> tuple:
            x.grad = None
            y = f(torch, x)
            y.backward(ones)
            return y, x.grad

        return step

    return program


def indexed(f: Callable[..., Any], backward: bool, *shape: int, size: int = N) -> Program:
    """Return the program of ``f(torch, x, i)`` with as many indices into `x`'s first axis."""

    def program(torch: Any, rng: np.random.Generator) -> Step:
        shaped = shape or (N,)
        x = torch.tensor(normal(rng, *shaped), requires_grad=backward)
        i = torch.tensor(rng.integers(0, shaped[0], size))
        if not backward:
            return lambda: (f(torch, x, i),)
        ones = torch.ones_like(f(torch, x, i).detach())

        def step() -> tuple:
            x.grad = None
            y = f(torch, x, i)
            y.backward(ones)
            return y, x.grad

        return step

    return program


def scattered(torch: Any, rng: np.random.Generator) -> Step:
    x, i = torch.tensor(normal(rng, N)), torch.tensor(rng.integers(0, 1000, N))
    blank = torch.zeros(1000)
    return lambda: (blank.scatter_add(0, i, x),)


def spread(torch: Any, rng: np.random.Generator) -> Step:
    x, i = torch.tensor(normal(rng, 1000, 1000)), torch.tensor(rng.integers(0, 1000, (1000, 1000)))
    blank = torch.zeros(1000, 1000)
    return lambda: (blank.scatter_add(1, i, x),)


def drawn(torch: Any, rng: np.random.Generator) -> Step:
    """Draw: the two libraries' numbers differ, so that only their count is compared."""

    def step() -> tuple:
        return (torch.randn(N).isfinite().sum(),)

    return step


def convolved(groups: int, out: int = 32, size: int = 3, stride: int = 1) -> Program:
    """Return the program of a convolution of 16×16×32×32, padded by 1, and back."""

    def program(torch: Any, rng: np.random.Generator) -> Step:
        x = torch.tensor(normal(rng, 16, 16, 32, 32), requires_grad=True)
        w = torch.tensor(normal(rng, out, 16 // groups, size, size), requires_grad=True)
        convolve = torch.nn.functional.conv2d
        with torch.no_grad():
            ones = torch.ones_like(convolve(x, w, padding=1, groups=groups, stride=stride))

        def step() -> tuple:
            x.grad = w.grad = None
            y = convolve(x, w, padding=1, groups=groups, stride=stride)
            y.backward(ones)
            return y, x.grad, w.grad

        return step

    return program


def of_positive(f: Callable[..., Any], *batch: int, n: int) -> Program:
    """Return the program of a function of positive definite matrices, and of vectors, and back."""

    def program(torch: Any, rng: np.random.Generator) -> Step:
        x = normal(rng, *batch, n, n)
        a = torch.tensor(x @ x.swapaxes(-1, -2) + n * np.eye(n, dtype=np.float32), requires_grad=True)
        b = torch.tensor(normal(rng, *batch, n, 1))

        def step() -> tuple:
            a.grad = None
            y = f(torch, a, b)
            y.sum().backward()
            return y, a.grad

        return step

    return program


IMAGES = (16, 16, 32, 32)


def singular(torch: Any, x: Any) -> Any:
    """Return a function of singular values and vectors that no sign of these changes."""
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    return u @ (s.sqrt()[:, None] * vh)


SQUARE = (1000, 1000)
PROGRAMS: dict[str, Program] = {
    "x**3": forward(lambda torch, x: x**3),
    "x**3 and back": both(lambda torch, x: x**3),
    "x**0.5 of x*x": forward(lambda torch, x: (x * x) ** 0.5),
    "x**-2": forward(lambda torch, x: x**-2),
    "half * half": forward(lambda torch, x: x * x, dtype="float16"),
    "half + half": forward(lambda torch, x: x + x, dtype="float16"),
    "prod(1)": forward(lambda torch, x: (1 + x / 1000).prod(1), *SQUARE),
    "prod(1) and back": both(lambda torch, x: (1 + x / 1000).prod(1), *SQUARE),
    "cummax(0)": forward(lambda torch, x: x.cummax(0).values),
    "cummax(1)": forward(lambda torch, x: x.cummax(1).values, *SQUARE),
    "scatter_add to 1,000": scattered,
    "scatter_add in rows": spread,
    "x[i]": indexed(lambda torch, x, i: x[i], False),
    "x[i] and back": indexed(lambda torch, x, i: x[i], True),
    "rows x[i]": indexed(lambda torch, x, i: x[i], False, 1000, 100, size=10_000),
    "rows x[i] and back": indexed(lambda torch, x, i: x[i], True, 1000, 100, size=10_000),
    "median()": forward(lambda torch, x: x.median()),
    "median(1)": forward(lambda torch, x: x.median(1).values, *SQUARE),
    "kthvalue(1000)": forward(lambda torch, x: x.kthvalue(1000).values),
    "kthvalue(100, 1)": forward(lambda torch, x: x.kthvalue(100, 1).values, *SQUARE),
    "fft of 64x4096": forward(lambda torch, x: torch.fft.fft(x), 64, 4096),
    "fft of 64x4096 and back": both(lambda torch, x: torch.fft.fft(x), 64, 4096),
    "rfft of 64x4096 and back": both(lambda torch, x: torch.fft.rfft(x), 64, 4096),
    "randn": drawn,
    "linalg.solve 100x8x8 and back": of_positive(lambda torch, a, b: torch.linalg.solve(a, b), 100, n=8),
    "linalg.solve 1x500x500 and back": of_positive(lambda torch, a, b: torch.linalg.solve(a, b), 1, n=500),
    "cholesky 100x8x8 and back": of_positive(lambda torch, a, b: torch.linalg.cholesky(a), 100, n=8),
    "cholesky 1x500x500 and back": of_positive(lambda torch, a, b: torch.linalg.cholesky(a), 1, n=500),
    "svd 200x200 and back": both(singular, 200, 200),
    "x * (1 - x) and back": both(lambda torch, x: x * (1 - x)),
    "tanh and back": both(lambda torch, x: torch.tanh(x)),
    "sigmoid and back": both(lambda torch, x: torch.sigmoid(x)),
    "conv2d 3×3 and back": convolved(1),
    "conv2d 3×3, 16 groups, and back": convolved(16, 16),
    "conv2d 3×3, stride 2, and back": convolved(1, stride=2),
    "max_pool2d 2×2 and back": both(lambda torch, x: torch.nn.functional.max_pool2d(x, 2), *IMAGES),
    "avg_pool2d 2×2 and back": both(lambda torch, x: torch.nn.functional.avg_pool2d(x, 2), *IMAGES),
    "bilinear to twice and back": both(
        lambda torch, x: torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear"), *IMAGES
    ),
}
