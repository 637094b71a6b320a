"""Sequences of several lengths in one tensor: packed, step after step without gaps, or padded to the longest.

Packing, padding and their inverses move elements only, so that each is one indexing, and its gradient comes from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.create import as_tensor, tensor
from chainrule.functions.indexing.select import where
from chainrule.functions.shaping.join import cat, stack

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence",
    "unpack_sequence", "unpad_sequence",
]  # fmt: skip

_UNSORTED = (
    "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass `enforce_sorted=False` to "
    "pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do not need ONNX exportability."
)


class PackedSequence_(NamedTuple):  # noqa: N801 - PyTorch's name
    """The fields of a :class:`PackedSequence`."""

    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(PackedSequence_):
    """Sequences in one tensor: all first elements, longest sequence first, then all second elements, and so on.

    `pack_sequence` and `pack_padded_sequence` make them; recurrent modules take and return them.

    Attributes
    ----------
    data : Tensor
        Of shape (sum of the lengths, ...).
    batch_sizes : Tensor
        Of dtype int64: how many sequences have a first element, a second one, and so on.
    sorted_indices, unsorted_indices : Tensor or None
        The order of the sequences by length, and its inverse; None if they came in that order.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.utils.rnn.pack_sequence([cr.tensor([1, 2, 3]), cr.tensor([4])])
    PackedSequence(data=tensor([1, 4, 2, 3]), batch_sizes=tensor([2, 1, 1]), sorted_indices=None, unsorted_indices=None)
    """

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> PackedSequence:
        """Return the fields as one; the first two may be given as a pair."""
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data: Any) -> PackedSequence:
        return self if data is self.data else type(self)(data, *self[1:])

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Convert `data` as :meth:`Tensor.to` does; return the same object where nothing changes."""
        return self._with(self.data.to(*args, **kwargs))

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Return the sequences on the CPU, where they are."""
        return self._with(self.data.cpu(*args, **kwargs))

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Raise the error of :meth:`Tensor.cuda`: there is no such device."""
        return self._with(self.data.cuda(*args, **kwargs))

    def pin_memory(self) -> PackedSequence:
        """Raise the error of :meth:`Tensor.pin_memory`: there is no device to copy to."""
        return self._with(self.data.pin_memory())

    def double(self) -> PackedSequence:
        """Convert `data` to float64."""
        return self.to(dtype=dtypes.float64)

    def float(self) -> PackedSequence:
        """Convert `data` to float32."""
        return self.to(dtype=dtypes.float32)

    def half(self) -> PackedSequence:
        """Convert `data` to float16."""
        return self.to(dtype=dtypes.float16)

    def long(self) -> PackedSequence:
        """Convert `data` to int64."""
        return self.to(dtype=dtypes.int64)

    def int(self) -> PackedSequence:
        """Convert `data` to int32."""
        return self.to(dtype=dtypes.int32)

    def short(self) -> PackedSequence:
        """Convert `data` to int16."""
        return self.to(dtype=dtypes.int16)

    def char(self) -> PackedSequence:
        """Convert `data` to int8."""
        return self.to(dtype=dtypes.int8)

    def byte(self) -> PackedSequence:
        """Convert `data` to uint8."""
        return self.to(dtype=dtypes.uint8)

    @property
    def is_cuda(self) -> bool:
        """False: `data` is on the CPU."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Return whether `data` is in pinned memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Any) -> Any:
    """Return the inverse of a permutation given by its images; None of None.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.utils.rnn.invert_permutation(cr.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    return None if permutation is None else as_tensor(np.argsort(permutation.numpy(), kind="stable"))


# -- padded and packed -------------------------------------------------------------------------------------------------


def _lengths(given: Any, batch: int, steps: int, every: bool) -> np.ndarray:
    """Return lengths as an array; raise PyTorch's errors unless they are positive and within `steps`, and as many as needed."""
    lengths = given.to(dtypes.int64) if isinstance(given, Tensor) else tensor(given, dtype=dtypes.int64)
    if lengths.ndim != 1:
        raise RuntimeError(f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.ndim}D cpu Long tensor")
    found = lengths.numpy(force=True)
    if not batch * steps:
        raise RuntimeError("Cannot pack empty tensors.")
    if len(found) > batch or (every and len(found) < batch):
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {len(found)} (batch_size={batch})")
    if found.min() <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0")
    if found.max() > steps:
        raise RuntimeError(f"Expected all lengths to be at most the {steps} steps of the input, but got {found.max()}")
    return found


def pack_padded_sequence(input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences that are padded to one length.

    Parameters
    ----------
    input : Tensor
        Of shape (T, B, ...), or (B, T, ...) with `batch_first`.
    lengths : Tensor or sequence of int
        The length of each sequence, at least 1. Where they need not be sorted, those of the first sequences will do; the
        others are left out.
    batch_first : bool
        The sequences are the first axis.
    enforce_sorted : bool
        Raise unless the longest comes first; otherwise they are sorted.

    Raises
    ------
    RuntimeError
        If the lengths do not fit the input, or are not sorted though they should be.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([[1, 0, 0], [2, 3, 4]])
    >>> cr.nn.utils.rnn.pack_padded_sequence(x, [1, 3], batch_first=True, enforce_sorted=False)
    PackedSequence(data=tensor([2, 1, 3, 4]), batch_sizes=tensor([2, 1, 1]),
                   sorted_indices=tensor([1, 0]), unsorted_indices=tensor([1, 0]))
    """
    if input.ndim < 2:
        raise IndexError(f"Dimension out of range (expected to be in range of [-{input.ndim}, {input.ndim - 1}], but got 1)")
    steps, batch = (input.shape[1], input.shape[0]) if batch_first else input.shape[:2]
    found = _lengths(lengths, batch, steps, enforce_sorted)
    order = np.arange(batch)
    if not enforce_sorted:
        order = np.argsort(-found, kind="stable")
    elif (np.diff(found) > 0).any():
        raise RuntimeError(_UNSORTED)
    step = np.arange(found.max())[:, None]
    inside = step < found[order]
    places = (order * steps + step if batch_first else step * batch + order)[inside]
    data = input.reshape(batch * steps, *input.shape[2:]).index_select(0, as_tensor(places))
    return PackedSequence(data, as_tensor(inside.sum(1)), None if enforce_sorted else as_tensor(order))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Any, Any]:
    """Pad packed sequences to one length, in the order in which they were before.

    Parameters
    ----------
    sequence : PackedSequence
        What to pad.
    batch_first : bool
        Return the shape (B, T, ...) and not (T, B, ...).
    padding_value : float
        What stands behind the ends.
    total_length : int, optional
        The length T; that of the longest sequence if not given.

    Returns
    -------
    tuple of Tensor
        The sequences, and their lengths.

    Raises
    ------
    ValueError
        If a sequence is longer than `total_length`.

    Examples
    --------
    >>> import chainrule as cr
    >>> rnn = cr.nn.utils.rnn
    >>> rnn.pad_packed_sequence(rnn.pack_sequence([cr.tensor([1, 2, 3]), cr.tensor([4])]), batch_first=True)
    (tensor([[1, 2, 3],
            [4, 0, 0]]), tensor([3, 1]))
    """
    if sequence.batch_sizes.dtype is not dtypes.int64 or sequence.batch_sizes.ndim != 1:
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {sequence.batch_sizes.ndim}D cpu "
            f"{sequence.batch_sizes.dtype.old_name} tensor"
        )
    sizes = sequence.batch_sizes.numpy()
    longest = len(sizes) if total_length is None else total_length
    if longest < len(sizes):
        raise ValueError(
            f"Expected total_length to be at least the length of the longest sequence in input, but got {total_length=} and "
            f"max sequence length being {len(sizes)}"
        )
    data, order = sequence.data, sequence.unsorted_indices
    if sizes.sum() != data.shape[0] or (np.diff(sizes) > 0).any():
        raise RuntimeError(f"Expected batch_sizes that decrease and sum to {data.shape[0]}, but got {sizes.tolist()}")
    columns = np.arange(sizes[0]) if order is None else order.numpy()
    starts = np.zeros(longest, int)
    starts[: len(sizes)] = np.cumsum(sizes) - sizes
    inside = columns < np.pad(sizes, (0, longest - len(sizes)))[:, None]
    rows = np.where(inside, starts[:, None] + columns, 0)
    lengths = as_tensor(inside.sum(0))
    if batch_first:
        rows, inside = rows.T, inside.T
    found = data.index_select(0, as_tensor(rows.reshape(-1))).reshape(*rows.shape, *data.shape[1:])
    inside = inside.reshape(*rows.shape, *[1] * (data.ndim - 1))
    return where(as_tensor(inside), found, data.new_full((), padding_value)), lengths


def pad_sequence(sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right") -> Any:
    """Stack sequences of several lengths, padded to the longest.

    Parameters
    ----------
    sequences : iterable of Tensor
        Of shapes (L, ...).
    batch_first : bool
        Return the shape (B, T, ...) and not (T, B, ...).
    padding_value : float
        What stands outside.
    padding_side : {"right", "left"}
        Whether it stands behind the ends or before the beginnings.

    Raises
    ------
    RuntimeError
        If there is no sequence, or their shapes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.utils.rnn.pad_sequence([cr.tensor([1, 2, 3]), cr.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}")
    given = list(sequences)
    if not given:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    first = given[0]
    for s in given:
        if not s.ndim:
            raise RuntimeError("pad_sequence: a sequence must have an axis, but got a tensor of none")
        _check_rest(tuple(first.shape[1:]), tuple(s.shape[1:]))
    longest = max(s.shape[0] for s in given)
    padded = []
    for s in given:
        parts = [s.to(first.dtype), first.new_full((longest - s.shape[0], *first.shape[1:]), padding_value)]
        padded.append(cat(parts if padding_side == "right" else parts[::-1]))
    return stack(padded, dim=0 if batch_first else 1)


def _check_rest(expected: tuple, found: tuple) -> None:
    for axis, (a, b) in enumerate(zip(expected, found, strict=False)):
        if a != b:
            raise RuntimeError(
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {axis + 1}"
            )
    if len(expected) != len(found):
        raise RuntimeError(
            f"pad_sequence: all sequences must have as many axes as the first, {len(expected) + 1}, but got {len(found) + 1}"
        )


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list:
    """Return the sequences that were padded; the inverse of `pad_sequence`.

    Parameters
    ----------
    padded_sequences : Tensor
        Of shape (T, B, ...), or (B, T, ...) with `batch_first`. It stays as it is, where PyTorch transposes it in place.
    lengths : Tensor
        The length of each.
    batch_first : bool
        The sequences are the first axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.utils.rnn.unpad_sequence(cr.tensor([[1, 2], [3, 0]]), cr.tensor([2, 1]))
    [tensor([1, 3]), tensor([2])]
    """
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[: int(n)].clone() for row, n in zip(rows, lengths, strict=True)]


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences of several lengths.

    Parameters
    ----------
    sequences : sequence of Tensor
        Of shapes (L, ...).
    enforce_sorted : bool
        Raise unless the longest comes first; otherwise they are sorted.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.utils.rnn.pack_sequence([cr.tensor([1, 2, 3]), cr.tensor([4])]).data
    tensor([1, 4, 2, 3])
    """
    return pack_padded_sequence(pad_sequence(sequences), [s.shape[0] for s in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list:
    """Return the sequences that were packed; the inverse of `pack_sequence`.

    Examples
    --------
    >>> import chainrule as cr
    >>> rnn = cr.nn.utils.rnn
    >>> rnn.unpack_sequence(rnn.pack_sequence([cr.tensor([1, 2, 3]), cr.tensor([4])]))
    [tensor([1, 2, 3]), tensor([4])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
