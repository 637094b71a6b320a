"""The objectives of ADBench (Šrajer, Kukelova & Fitzgibbon 2018, arXiv 1807.10129), each written once over a library's names.

The data are random, of the sizes of ADBench's files: a mixture of 25 Gaussians in 64 dimensions; an LSTM of two layers of 14
on 1,024 letters; hands of 544 and 10,001 vertices, 26 parameters and 100 points; 31,843 observations of 49 cameras.
"""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np

BONES, POINTS = 22, 100
# Each finger's first bone hangs on the wrist, the others on the one before.
PARENTS = (-1, *[0 if bone % 4 == 1 else bone - 1 for bone in range(1, 21)], 0)


def stacked_matrix(m: Any, rows: list) -> Any:
    """Return matrices of lists of entries, on the last two axes."""
    return m.stack([m.stack(row, -1) for row in rows], -2)


# -- Gaussian mixture --------------------------------------------------------------------------------------------------


def mixture_data(rng: np.random.Generator, n: int = 1000, d: int = 64, k: int = 25) -> tuple[list, list]:
    """Return parameters; and points, places of a triangle's entries, and the term of the Wishart prior's constant."""
    places = np.full((d, d), d * (d - 1) // 2)  # of a zero behind the entries
    columns, rows = np.triu_indices(d, 1)
    places[rows, columns] = np.arange(d * (d - 1) // 2)
    params = [rng.random(k), rng.random((k, d)), 0.1 * rng.random((k, d * (d + 1) // 2))]
    return params, [rng.standard_normal((n, d)), places, np.zeros((k, 1))]


def mixture(m: Any, params: list, data: list) -> Any:
    """Return the log likelihood of Gaussians with triangular inverse covariance factors and a Wishart prior."""
    (alphas, means, factors), (x, places, zero) = params, data
    n, d = x.shape
    diagonals, entries = m.exp(factors[:, :d]), factors[:, d:]
    lower = m.concatenate([entries, zero], 1)[:, places]
    centered = x[:, None, :] - means
    scaled = diagonals * centered + m.einsum("kij,nkj->nki", lower, centered)
    inner = alphas + factors[:, :d].sum(1) - 0.5 * (scaled * scaled).sum(2)
    prior = 0.5 * ((diagonals * diagonals).sum() + (entries * entries).sum())
    return -n * d * 0.5 * log(2 * pi) + m.logsumexp(inner, 1).sum() - n * m.logsumexp(alphas, 0) + prior


# -- LSTM --------------------------------------------------------------------------------------------------------------


def letters(rng: np.random.Generator, length: int = 1024, width: int = 14) -> tuple[list, list]:
    return [rng.random((4, 4 * width)), rng.random((3, width))], [rng.random((length, width)), rng.random((4, width))]


def lstm(library: Any) -> Any:
    """Return the loss of two layers over a sequence, as a loop of the library's."""

    def cell(m: Any, weight: Any, bias: Any, hidden: Any, memory: Any, x: Any) -> tuple:
        n = x.shape[0]
        gates = m.concatenate((x, hidden, x, hidden), 0) * weight + bias
        forget, entry, exit = (m.sigmoid(gates[i * n : (i + 1) * n]) for i in range(3))
        memory = memory * forget + entry * m.tanh(gates[3 * n :])
        return exit * m.tanh(memory), memory

    def f(m: Any, params: list, data: list) -> Any:
        (main, extra), (sequence, state) = params, data
        n = sequence.shape[0] - 1

        def step(carry: Any, row: Any) -> tuple:
            h0, c0, h1, c1 = carry
            h0, c0 = cell(m, main[0], main[1], h0, c0, row * extra[0])
            h1, c1 = cell(m, main[2], main[3], h1, c1, h0)
            out = h1 * extra[1] + extra[2]
            return (h0, c0, h1, c1), out - m.log(m.exp(out).sum() + 2)

        _, outs = library.loop(step, tuple([state[i] for i in range(4)]), sequence, n)
        normal = m.stack(outs, 0) if isinstance(outs, list) else outs
        return -(sequence[1:] * normal).sum() / (n * sequence.shape[1])

    return f


# -- hand tracking -----------------------------------------------------------------------------------------------------


def hand_data(vertices: int) -> Any:
    """Return the function that makes the parameters, and the hand: base transforms, vertices, weights, points, their places."""

    def data(rng: np.random.Generator) -> list:
        relatives = np.tile(np.eye(4), (BONES, 1, 1))
        relatives[:, :3, 3] = 0.1 * rng.standard_normal((BONES, 3))
        inverses = np.tile(np.eye(4), (BONES, 1, 1))
        inverses[:, :3, 3] = 0.1 * rng.standard_normal((BONES, 3))
        base = np.concatenate([rng.standard_normal((3, vertices)), np.ones((1, vertices))])
        weights = rng.random((BONES, vertices))
        places = rng.integers(0, vertices, POINTS)
        theta = 0.3 * rng.standard_normal(26)
        return [theta, relatives, inverses, base, weights / weights.sum(0), rng.standard_normal((3, POINTS)), places]

    return data


def bends(theta: Any, m: Any) -> Any:
    """Return each bone's three angles: a finger's second bone bends and spreads, its others bend."""
    zero = theta[0] * 0
    none = m.stack([zero, zero, zero], 0)
    rows, i = [none], 6
    for _ in range(5):
        rows += [none, m.stack([theta[i], theta[i + 1], zero], 0)]
        rows += [m.stack([theta[i + 2 + k], zero, zero], 0) for k in range(2)]
        i += 4
    return m.stack([*rows, none], 0)


def hand(m: Any, theta: Any, relatives: Any, inverses: Any, base: Any, weights: Any, points: Any, places: Any) -> Any:
    """Return how far a posed hand's vertices are from points."""
    angles = bends(theta, m)
    (sx, sy, sz), (cx, cy, cz) = ([f(angles[:, i]) for i in range(3)] for f in (m.sin, m.cos))
    zero, one = sx * 0, sx * 0 + 1
    turns = stacked_matrix(m, [
        [cy * cz, -cx * sz + sx * sy * cz, sx * sz + cx * sy * cz, zero],
        [cy * sz, cx * cz + sx * sy * sz, -sx * cz + cx * sy * sz, zero],
        [-sy, sx * cy, cx * cy, zero],
        [zero, zero, zero, one],
    ])  # fmt: skip
    local, absolute = relatives @ turns, []
    for bone, parent in enumerate(PARENTS):
        absolute.append(local[bone] if parent < 0 else absolute[parent] @ local[bone])
    posed = m.stack(absolute, 0) @ inverses @ base
    positions = (posed[:, :3] * weights[:, None, :]).sum(0)[:, places]
    return points - (rotation(m, theta[:3]) @ positions + theta[3:6][:, None])


def rotation(m: Any, axis: Any) -> Any:
    """Return the rotation about an axis by its length (Rodrigues)."""
    angle = m.sqrt((axis * axis).sum())
    x, y, z = (axis[i] / angle for i in range(3))
    s, c = m.sin(angle), m.cos(angle)
    rest = 1 - c
    return stacked_matrix(m, [
        [c + x * x * rest, x * y * rest - z * s, x * z * rest + y * s],
        [x * y * rest + z * s, c + y * y * rest, y * z * rest - x * s],
        [x * z * rest - y * s, y * z * rest + x * s, c + z * z * rest],
    ])  # fmt: skip


# -- bundle adjustment -------------------------------------------------------------------------------------------------


def observations(rng: np.random.Generator, n: int = 31_843, cameras: int = 49, points: int = 7776) -> list:
    """Return, for each observation, the camera, the point, the weight and where the point was seen."""
    each = rng.standard_normal((cameras, 11)) * 0.1 + np.array([0, 0, 0, 0, 0, 5, 1, 0, 0, 0, 0])
    seen = rng.standard_normal((points, 3))
    return [each[rng.integers(0, cameras, n)], seen[rng.integers(0, points, n)], rng.random(n), rng.standard_normal((n, 2))]


def reprojection(m: Any, camera: Any, point: Any, weight: Any, seen: Any) -> Any:
    """Return the weighted error of one observation by a camera: rotation, centre, focal length, principal point, radii."""
    axis = camera[:3]
    angle = m.sqrt((axis * axis).sum())
    x = point - camera[3:6]
    w = axis / angle
    cross = m.stack([w[1] * x[2] - w[2] * x[1], w[2] * x[0] - w[0] * x[2], w[0] * x[1] - w[1] * x[0]], 0)
    turned = x * m.cos(angle) + cross * m.sin(angle) + w * (w * x).sum() * (1 - m.cos(angle))
    flat = turned[:2] / turned[2]
    r = (flat * flat).sum()
    radial = 1 + camera[9] * r + camera[10] * r * r
    return weight * (flat * radial * camera[6] + camera[7:9] - seen)
