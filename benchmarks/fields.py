"""Programs from the fields that differentiate, as people write them for PyTorch: forward and backward in one step.

The k-means, mixture and LSTM objectives follow ADBench (Šrajer, Kukelova & Fitzgibbon, "A benchmark of selected algorithmic
differentiation tools", 2018) and its PyTorch implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log, pi
from typing import Any

import numpy as np

Step = Callable[[], Sequence[Any]]


def leaves(torch: Any, *arrays: np.ndarray) -> list:
    """Return arrays as tensors that require grad."""
    return [torch.tensor(a, requires_grad=True) for a in arrays]


def differentiated(f: Callable[..., Any], params: Sequence[Any]) -> Step:
    """Return the step that computes a scalar of the parameters and fills in their gradients."""

    def step() -> list:
        for p in params:
            p.grad = None
        y = f(*params)
        y.backward()
        return [y, *(p.grad for p in params)]

    return step


# -- clustering --------------------------------------------------------------------------------------------------------


def k_means(torch: Any, rng: np.random.Generator) -> Step:
    """The objective, its gradient and its Hessian's diagonal: one step of Newton's method."""
    points = torch.tensor(rng.standard_normal((1000, 8)))
    (centers,) = leaves(torch, rng.standard_normal((10, 8)))
    ones = torch.ones(10, 8, dtype=torch.float64)

    def step() -> tuple:
        squares = torch.sum(points**2, 1)[None, :] + torch.sum(centers**2, 1)[:, None]
        distances, _ = torch.min(squares - 2 * torch.matmul(points, centers.T).T, dim=0)
        cost = distances.sum()
        (g,) = torch.autograd.grad(cost, centers, create_graph=True)
        (diagonal,) = torch.autograd.grad(g, centers, ones)
        return cost, g, diagonal

    return step


def mixture(torch: Any, rng: np.random.Generator, n: int = 1000, d: int = 10, k: int = 5) -> Step:
    """The log likelihood of Gaussians with triangular inverse covariance factors and a Wishart prior."""
    x = torch.tensor(rng.standard_normal((n, d)))
    params = leaves(torch, rng.random(k), rng.random((k, d)), rng.random((k, d * (d + 1) // 2)))
    gamma, m = 1.0, 0

    def triangle(entries: Any) -> Any:
        columns, start = [], d
        for i in range(d):
            end = start + d - i - 1
            columns.append(torch.cat([torch.zeros(i + 1, dtype=torch.float64), entries[start:end]]))
            start = end
        return torch.stack(columns, -1)

    def log_likelihood(alphas: Any, means: Any, factors: Any) -> Any:
        diagonals = torch.exp(factors[:, :d])
        sums = torch.sum(factors[:, :d], 1)
        lower = torch.stack([triangle(row) for row in factors])
        centered = x[:, None, :] - means[None, :, :]
        scaled = diagonals * centered + torch.einsum("ijk,mik->mij", lower, centered)
        inner = alphas + sums - 0.5 * torch.sum(torch.pow(scaled, 2), 2)
        prior = torch.sum(
            0.5 * gamma * gamma * (torch.sum(diagonals**2, dim=1) + torch.sum(factors[:, d:] ** 2, dim=1)) - m * sums
        )
        terms = torch.sum(torch.logsumexp(inner, 1))
        return -n * d * 0.5 * log(2 * pi) + terms - n * torch.logsumexp(alphas, 0) + prior

    return differentiated(log_likelihood, params)


def log_sum_exp(torch: Any, rng: np.random.Generator) -> Step:
    """The logarithm of a sum of exponentials, shifted by hand."""

    def f(x: Any) -> Any:
        top = x.max()
        return torch.log(torch.exp(x - top).sum()) + top

    return differentiated(f, leaves(torch, rng.standard_normal(2500).astype(np.float32)))


# -- mechanics ---------------------------------------------------------------------------------------------------------


def orbit(torch: Any, rng: np.random.Generator) -> Step:
    """Ten Runge-Kutta steps of a body around a mass: position and velocity are slices of one state, joined by cat."""

    def slope(state: Any) -> Any:
        position, velocity = state[:3], state[3:]
        distance = torch.sqrt((position * position).sum())
        return torch.cat([velocity, -position / distance**3])

    def f(state: Any) -> Any:
        h = 0.01
        for _ in range(10):
            k1 = slope(state)
            k2 = slope(state + h / 2 * k1)
            k3 = slope(state + h / 2 * k2)
            k4 = slope(state + h * k3)
            state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return (state * state).sum()

    return differentiated(f, leaves(torch, np.array([1.0, 0.1, 0.0, 0.0, 1.0, 0.2])))


# -- networks ----------------------------------------------------------------------------------------------------------


def lstm(torch: Any, rng: np.random.Generator, length: int = 1024, width: int = 14) -> Step:
    """The loss of two layers over a sequence; each layer's four gates are slices of one vector."""
    sequence = torch.tensor(rng.random((length, width)))
    state = torch.tensor(rng.random((4, width)))
    params = leaves(torch, rng.random((4, 4 * width)), rng.random((3, width)))

    def cell(weight: Any, bias: Any, hidden: Any, memory: Any, x: Any) -> tuple:
        gates = torch.cat((x, hidden, x, hidden)) * weight + bias
        forget = torch.sigmoid(gates[0:width])
        entry = torch.sigmoid(gates[width : 2 * width])
        exit = torch.sigmoid(gates[2 * width : 3 * width])
        change = torch.tanh(gates[3 * width :])
        memory = memory * forget + entry * change
        return exit * torch.tanh(memory), memory

    def f(main: Any, extra: Any) -> Any:
        states = [state[i] for i in range(4)]
        total, count = 0.0, 0
        for t in range(length - 1):
            x = sequence[t] * extra[0]
            for i in (0, 2):
                states[i], states[i + 1] = cell(main[i], main[i + 1], states[i], states[i + 1], x)
                x = states[i]
            out = x * extra[1] + extra[2]
            normal = out - torch.log(torch.exp(out).sum() + 2)
            gold = sequence[t + 1]
            total = total + (gold * normal).sum()
            count += gold.shape[0]
        return -total / count

    return differentiated(f, params)


def training(torch: Any, rng: np.random.Generator) -> Step:
    """A step of a small classifier whose parameters are updated by hand."""
    arrays = []
    for m, n in ((64, 32), (32, 10)):
        arrays += [(2 / m) ** 0.5 * rng.standard_normal((m, n)), np.zeros(n)]
    params = w1, b1, w2, b2 = leaves(torch, *(a.astype(np.float32) for a in arrays))
    x = torch.tensor(rng.standard_normal((16, 64)).astype(np.float32))
    labels = torch.tensor(rng.integers(0, 10, 16))

    def step() -> tuple:
        hidden = torch.relu(x @ w1 + b1)
        loss = torch.nn.functional.cross_entropy(hidden @ w2 + b2, labels)
        loss.backward()
        with torch.no_grad():
            for p in params:
                p -= 0.1 * p.grad
                p.grad = None
        return (loss,)

    return step


def example(torch: Any, rng: np.random.Generator) -> Step:
    """The first example, its tensors made once; the gradients add up."""
    x, y = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)

    def step() -> tuple:
        z = x * y + y**2
        z.backward()
        return (z,)

    return step


PROGRAMS: dict[str, Callable[[Any, np.random.Generator], Step]] = {
    "k-means of 1,000 points, Hessian diagonal": k_means,
    "log-sum-exp of 2,500 from primitives": log_sum_exp,
    "RK4 of 6 equations, 10 steps": orbit,
    "LSTM of 2 layers, 1,024 steps": lstm,
    "Gaussian mixture, d 10, K 5": mixture,
    "train 64-32-10 by hand": training,
    "x*y + y**2, tensors made once": example,
}
