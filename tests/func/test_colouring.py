"""Colours of sparse matrices: every entry is read off again, no fewer colours than a bound, known optima, hubs in time."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from chainrule.func import colouring
from chainrule.func.pattern import Pattern


def read_off(colours, matrix):
    """Return the entries of a dense matrix, in the pattern's order, from the sums of its lines alone."""
    height, width = matrix.shape
    forward = np.zeros((colours.forward, height), matrix.dtype)
    reverse = np.zeros((colours.reverse, width), matrix.dtype)
    for j in np.flatnonzero(colours.columns >= 0):
        forward[colours.columns[j]] += matrix[:, j]
    for i in np.flatnonzero(colours.rows >= 0):
        reverse[colours.rows[i]] += matrix[i]
    sums = np.concatenate([forward.ravel(), reverse.ravel()])
    if not colours.rounds:
        return sums[colours.places]
    values = np.zeros(colours.places.size, matrix.dtype)
    for step in colours.rounds:
        found = sums[step.places]
        values[step.entries] = found
        np.subtract.at(sums, step.away, found[step.known])
    return values


def filled(pattern, rng, symmetric=False):
    matrix = np.zeros(pattern.shape)
    matrix[pattern.rows, pattern.columns] = rng.normal(size=pattern.size)
    return np.tril(matrix) + np.tril(matrix, -1).T if symmetric else matrix


def arrow(n, wide=1):
    matrix = np.eye(n)
    matrix[:wide], matrix[:, :wide] = 1, 1
    return matrix


def band(n, half):
    return sum(np.eye(n, k=k) for k in range(-half, half + 1))


def grid(n):
    one = sp.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 1], shape=(n, n))
    return (sp.kron(one, sp.eye_array(n)) + sp.kron(sp.eye_array(n), one)).toarray()


def drawn(rng):
    height, width = rng.integers(0, 12, 2)
    matrix = (rng.random((height, width)) < rng.choice([0, 0.1, 0.3, 0.6, 1])).astype(float)
    if height and width and rng.random() < 0.5:
        matrix[rng.integers(height)], matrix[:, rng.integers(width)] = 1, 1
    return matrix


FAMILIES = {
    "empty": np.zeros((3, 4)),
    "no rows": np.zeros((0, 4)),
    "no columns": np.zeros((4, 0)),
    "full": np.ones((5, 7)),
    "tall": np.ones((9, 2)),
    "diagonal": np.eye(6),
    "tridiagonal": band(20, 1),
    "wide band": band(30, 4),
    "arrow": arrow(20),
    "arrow upside down": arrow(20)[::-1, ::-1],
    "wide arrow": arrow(30, 3),
    "full row": np.vstack([np.ones(9), np.eye(9)]),
    "full column": np.hstack([np.ones((9, 1)), np.eye(9)]),
    "grid": grid(5),
    "banded arrow": np.maximum(band(25, 2), arrow(25)),
    "bilinear": np.block([[np.zeros((4, 4)), np.ones((4, 3))], [np.ones((3, 4)), np.zeros((3, 3))]]),
}


def check_all(matrix, rng):
    """Check the law of every colouring for a pattern: what is read off is the matrix."""
    pattern = Pattern.of(matrix)
    values = filled(pattern, rng)
    expected = values[pattern.rows, pattern.columns]
    found = [colouring.by_columns(pattern), colouring.by_rows(pattern)]
    found += [colouring.bidirectional(pattern, r, c) for r, c in ((1, 1), (5, 1), (1, 5))]
    for colours in found:
        np.testing.assert_array_equal(read_off(colours, values), expected, err_msg=colours.kind)
        for of, count in ((colours.columns, colours.forward), (colours.rows, colours.reverse)):
            assert set(of[of >= 0].tolist()) == set(range(count)), colours.kind
    for row_cost, column_cost in ((1, 1), (5, 1), (1, 5)):
        both = colouring.bidirectional(pattern, row_cost, column_cost)
        least = min(found[0].forward * column_cost, found[1].reverse * row_cost)
        assert both.forward * column_cost + both.reverse * row_cost <= least
    if matrix.shape[0] == matrix.shape[1]:
        check_symmetric(pattern.mirrored(), rng)


def check_symmetric(pattern, rng):
    values = filled(pattern, rng, symmetric=True)
    expected = values[pattern.rows, pattern.columns]
    star, acyclic = colouring.star(pattern), colouring.acyclic(pattern)
    np.testing.assert_array_equal(read_off(star, values), expected)
    assert star.colours <= max(1, np.abs(values).astype(bool).sum(1).max(initial=0)) ** 2
    assert acyclic is not None or pattern.shape[0] > 15, "a cycle of two colours has no leaf to start from"
    if acyclic is not None:
        np.testing.assert_allclose(read_off(acyclic, values), expected, atol=1e-12)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_what_is_read_off_is_the_matrix(name):
    check_all(FAMILIES[name], np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(40))
def test_what_is_read_off_is_the_matrix_of_drawn_patterns(seed):
    rng = np.random.default_rng(seed)
    check_all(drawn(rng), rng)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_what_is_read_off_is_the_matrix_of_many_drawn_patterns(seed):
    rng = np.random.default_rng(seed)
    for _ in range(100):
        check_all(drawn(rng), rng)


OPTIMA = {  # columns, rows, both, star
    "diagonal": (1, 1, 1, 1),
    "tridiagonal": (3, 3, 3, 3),
    "wide band": (9, 9, 9, 9),
    "arrow": (20, 20, 3, 2),
    "arrow upside down": (20, 20, 3, 2),
    "full row": (9, 2, 2, None),
    "full column": (2, 9, 2, None),
    "full": (7, 5, 5, None),
    "empty": (0, 0, 0, None),
    "bilinear": (4, 4, 4, 3),
}


@pytest.mark.parametrize("name", list(OPTIMA))
def test_known_optima_are_found(name):
    pattern = Pattern.of(FAMILIES[name])
    columns, rows, both, star = OPTIMA[name]
    assert colouring.by_columns(pattern).colours == columns
    assert colouring.by_rows(pattern).colours == rows
    assert colouring.bidirectional(pattern).colours == both
    if star is not None:
        assert colouring.star(pattern).colours == star


def test_substitution_takes_fewer_colours_than_reading_off():
    tridiagonal, tree = Pattern.of(band(20, 1)), Pattern.of(np.eye(31) + tree_of(31))
    assert colouring.acyclic(tridiagonal).colours == 2 < colouring.star(tridiagonal).colours
    assert colouring.acyclic(tree).colours == 2 < colouring.star(tree).colours
    assert colouring.acyclic(Pattern.of(band(200, 1))) is None  # a hundred differences of differences


def tree_of(n):
    matrix = np.zeros((n, n))
    for i in range(1, n):
        matrix[i, (i - 1) // 2] = matrix[(i - 1) // 2, i] = 1
    return matrix


def test_patterns_come_from_sparse_and_dense_matrices():
    dense = np.array([[0, 2.0, 0], [1, 0, 3]])
    for given in (dense, dense != 0, sp.csr_array(dense), sp.csc_matrix(dense), sp.coo_array(dense)):
        pattern = Pattern.of(given)
        assert (pattern.rows.tolist(), pattern.columns.tolist(), pattern.shape) == ([0, 1, 1], [1, 0, 2], (2, 3))
    twice = sp.coo_array((np.zeros(3), ([1, 0, 1], [0, 1, 0])), shape=(2, 2))  # stored zeros are places, and stand once
    assert Pattern.of(twice).rows.tolist() == [0, 1]
    assert Pattern.of(twice).transposed.shape == (2, 2)


def test_a_hub_costs_no_more_than_its_edges():
    """Pairs of lines that meet in a hub are 10⁸ at n = 10,000: counting them takes minutes, edges a fraction of a second."""
    n = 10_000
    ends = np.arange(n)
    rows, columns = np.concatenate([ends, 0 * ends, ends]), np.concatenate([ends, ends, 0 * ends])
    pattern = Pattern.of(sp.coo_array((np.ones(3 * n), (rows, columns)), shape=(n, n)))
    assert colouring.bidirectional(pattern).colours == 3
    assert colouring.star(pattern).colours == 2
    assert colouring.acyclic(pattern).colours == 2
