"""Coordinates: where along an axis a value is read, as a sum of constant multiples of loop indices and their parts.

A coordinate is ``(constant, ((atom, factor), ...))``, a tuple that compares and hashes. An atom is a tuple of ints:

- ``(axis, divisor, size)`` with axis ≥ 0: ``index of the axis // divisor % size``, the whole index where the divisor is 1 and
  the size is the axis's;
- ``(QUOTIENT, coordinate, divisor, size)`` and ``(REMAINDER, coordinate, divisor, size)`` of another coordinate;
- ``(READ, number, size)``: an integer that is itself read from a tensor, numbered by whoever reads it.

Every atom is at least 0 and less than its last item. Pure functions on tuples; nothing here knows of ops or memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

QUOTIENT, REMAINDER, READ = -1, -2, -3
Coord = tuple[int, tuple]
Coords = tuple[Coord, ...]
ZERO: Coord = (0, ())


def axis(number: int, size: int) -> Coord:
    """Return the index along an axis of the loops."""
    return (0, (((number, 1, size), 1),)) if size != 1 else ZERO


def constant(value: int) -> Coord:
    """Return a coordinate that is the same everywhere."""
    return (value, ())


def affine(c: Coord, factor: int, shift: int) -> Coord:
    """Return ``factor * c + shift``."""
    if factor == 1:
        return (c[0] + shift, c[1]) if shift else c
    if factor == 0:
        return (shift, ())
    return c[0] * factor + shift, tuple([(atom, f * factor) for atom, f in c[1]])


def total(terms: Iterable[tuple[Coord, int]], shift: int = 0) -> Coord:
    """Return a sum of multiples of coordinates, parts of one index joined where they fit."""
    found: dict[Any, int] = {}
    for (start, atoms), factor in terms:
        shift += start * factor
        for atom, f in atoms:
            found[atom] = found.get(atom, 0) + f * factor
    kept = {atom: f for atom, f in found.items() if f and atom[-1] != 1}
    if len(kept) > 1:
        _join(kept)
        for atom, f in list(kept.items()):
            if atom[0] == QUOTIENT and kept.get((REMAINDER, atom[1], atom[2], atom[2]), 0) * atom[2] == f:
                del kept[atom]
                once = kept.pop((REMAINDER, atom[1], atom[2], atom[2]))
                return total([((0, tuple(kept.items())), 1), (atom[1], once)], shift)
    return shift, tuple(sorted(kept.items()))


def _join(found: dict[Any, int]) -> None:
    """Join ``i // d % n`` times f and ``i // (d n) % m`` times f n into ``i // d % (n m)`` times f."""
    parts = [atom for atom in found if atom[0] >= 0]
    if len(parts) < 2:
        return
    by_place = {(a[0], a[1]): a for a in parts}
    for low in sorted(parts, key=lambda a: (a[0], -a[1])):
        if low not in found:
            continue
        while True:
            high = by_place.get((low[0], low[1] * low[2]))
            if high is None or high not in found or found[high] != found[low] * low[2]:
                break
            f = found.pop(low)
            del found[high]
            low = (low[0], low[1], low[2] * high[2])
            if low in found:
                found[low] += f
            else:
                found[low] = f
            by_place[low[0], low[1]] = low


def bounds(c: Coord) -> tuple[int, int]:
    """Return the least and the greatest value that a coordinate may take."""
    low = high = c[0]
    for atom, f in c[1]:
        if f > 0:
            high += f * (atom[-1] - 1)
        else:
            low += f * (atom[-1] - 1)
    return low, high


def divided(c: Coord, divisor: int) -> tuple[Coord, Coord]:
    """Return quotient and remainder of a coordinate that is not negative where it is used."""
    if divisor == 1:
        return c, ZERO
    low, high = bounds(c)
    if low >= 0 and high < divisor:
        return ZERO, c
    whole: list = []
    rest: list = []
    for atom, f in c[1]:
        if f % divisor == 0:
            whole.append((atom, f // divisor))
        elif f > 0 and divisor % f == 0 and atom[0] >= 0 and atom[2] % (divisor // f) == 0:
            part = divisor // f  # of the index, as often as the divisor
            rest.append(((atom[0], atom[1], part), f))
            whole.append(((atom[0], atom[1] * part, atom[2] // part), 1))
        else:
            rest.append((atom, f))
    remainder = total([((0, tuple(rest)), 1)], c[0] % divisor)
    least, top = bounds(remainder)
    if low >= 0 and least >= 0 and top < divisor:
        return total([((c[0] // divisor, tuple(whole)), 1)]), remainder
    return (
        (0, (((QUOTIENT, c, divisor, high // divisor + 1), 1),)),
        (0, (((REMAINDER, c, divisor, divisor), 1),)),
    )


def flat(coords: Sequence[Coord], strides: Sequence[int], offset: int = 0) -> Coord:
    """Return the place of coordinates in memory."""
    return total(zip(coords, strides, strict=True), offset)


def reshaped(coords: Sequence[Coord], shape: Sequence[int], source: Sequence[int]) -> Coords:
    """Return the coordinates in an array of shape `source` of what is at `coords` in it as one of `shape`."""
    given = [(c, n) for c, n in zip(coords, shape, strict=True) if n != 1]
    out: list[Coord] = []
    i = 0
    wanted = [n for n in source if n != 1]
    found: list[Coord] = []
    while len(found) < len(wanted):
        n = wanted[len(found)]
        if i < len(given) and given[i][1] == n:
            found.append(given[i][0])
            i += 1
            continue
        # A group of axes on both sides with one number of elements: together one index, then taken apart.
        sizes, here = [n], [given[i]]
        i += 1
        left, right = n, here[0][1]
        while left != right:
            if left < right:
                sizes.append(wanted[len(found) + len(sizes)])
                left *= sizes[-1]
            else:
                here.append(given[i])
                right *= given[i][1]
                i += 1
        step, terms = 1, []
        for c, m in reversed(here):
            terms.append((c, step))
            step *= m
        index = total(terms)
        taken: list[Coord] = []
        for m in reversed(sizes[1:]):
            index, low = divided(index, m)
            taken.append(low)
        found += [index, *reversed(taken)]
    k = 0
    for n in source:
        if n == 1:
            out.append(ZERO)
        else:
            out.append(found[k])
            k += 1
    return tuple(out)


def broadcast(shape: Sequence[int], coords: Coords) -> Coords:
    """Return the coordinates in an operand of a shape that is broadcast to what `coords` address."""
    return tuple([ZERO if n == 1 else c for n, c in zip(shape, coords[len(coords) - len(shape) :], strict=True)])


def is_plain(c: Coord, sizes: Sequence[int]) -> bool:
    """Tell whether a coordinate is an affine function of whole loop indices."""
    return all([atom[0] >= 0 and atom[1] == 1 and atom[2] >= sizes[atom[0]] for atom, _ in c[1]])
