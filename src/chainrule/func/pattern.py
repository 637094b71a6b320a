"""Patterns: the places in which a matrix may be other than zero."""

from __future__ import annotations

from typing import Any

import numpy as np

Lines = list[list[int]]


class Pattern:
    """The places in which a matrix may be other than zero, row by row.

    Attributes
    ----------
    rows, columns : ndarray of int64
        Of each place, sorted by row and then by column; no place stands twice.
    shape : tuple of int
    """

    __slots__ = ("columns", "rows", "shape")

    def __init__(self, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]):
        self.rows, self.columns, self.shape = rows, columns, shape

    @classmethod
    def of(cls, matrix: Any) -> Pattern:
        """Return the pattern of a SciPy sparse array or of a dense one; a stored zero of a sparse array is a place too.

        Raises
        ------
        ValueError
            If it has not two axes.
        """
        if hasattr(matrix, "tocoo"):
            matrix = matrix.tocoo()
            rows, columns = matrix.coords if hasattr(matrix, "coords") else (matrix.row, matrix.col)
        else:
            matrix = np.asarray(matrix)
            if matrix.ndim != 2:
                raise ValueError(f"sparsity is a matrix, dense or SciPy's sparse one, but this has {matrix.ndim} axes")
            rows, columns = np.nonzero(matrix)
        height, width = matrix.shape
        places = np.unique(np.asarray(rows, np.int64) * max(width, 1) + columns)
        return cls(places // max(width, 1), places % max(width, 1), (height, width))

    @property
    def size(self) -> int:
        """How many places there are."""
        return self.rows.size

    @property
    def transposed(self) -> Pattern:
        """The pattern of the transposed matrix."""
        order = np.lexsort((self.rows, self.columns))
        return Pattern(self.columns[order], self.rows[order], self.shape[::-1])

    def is_symmetric(self) -> bool:
        """Tell whether every place's mirror image is a place."""
        mirror = self.transposed
        return (
            self.shape == mirror.shape
            and np.array_equal(self.rows, mirror.rows)
            and np.array_equal(self.columns, mirror.columns)
        )

    def mirrored(self) -> Pattern:
        """Return the pattern with every place's mirror image: what the symmetric matrix has."""
        n = max(self.shape[0], 1)
        places = np.union1d(self.rows * n + self.columns, self.columns * n + self.rows)
        return Pattern(places // n, places % n, self.shape)

    def in_rows(self) -> Lines:
        """Return the columns of each row's places."""
        return lines_of(self.rows, self.columns, self.shape[0])

    def in_columns(self) -> Lines:
        """Return the rows of each column's places."""
        return self.transposed.in_rows()

    def widest_row(self) -> int:
        """Return how many places the fullest row has: no fewer colours will do for the columns."""
        return int(np.bincount(self.rows, minlength=1).max())


def lines_of(keys: np.ndarray, values: np.ndarray, n: int) -> Lines:
    """Return the values of each key below `n`, the keys being sorted."""
    stops = np.cumsum(np.bincount(keys, minlength=n)).tolist()
    flat = values.tolist()
    return [flat[a:b] for a, b in zip([0, *stops], stops, strict=False)]
