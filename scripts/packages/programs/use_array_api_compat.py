"""array-api-compat: the standard's names over torch, which must give what they give over PyTorch."""

import array_api_compat
import pytest
import torch
from agreement import agree, drawn, integers

xp = array_api_compat.array_namespace(torch.zeros(1))
X, I = drawn(3, 4), integers(9, (3, 4))
CALLS = {
    "astype": lambda: xp.astype(X, xp.int32),
    "arange": lambda: xp.arange(2, 9, 2),
    "linspace": lambda: xp.linspace(0, 1, 5, endpoint=False),
    "eye": lambda: xp.eye(3, 4, k=1),
    "full": lambda: xp.full((2, 3), 7),
    "sum": lambda: xp.sum(I, axis=(0, 1), keepdims=True),
    "sum of bool": lambda: xp.sum(X > 0),
    "prod": lambda: xp.prod(I, axis=0),
    "mean": lambda: xp.mean(X, axis=(0, 1)),
    "std": lambda: xp.std(X, axis=0, correction=1),
    "var": lambda: xp.var(X, axis=None, correction=0),
    "max": lambda: xp.max(X, axis=(0,)),
    "min": lambda: xp.min(X),
    "any": lambda: xp.any(X > 0, axis=0),
    "all": lambda: xp.all(X > -9, axis=(0, 1)),
    "count_nonzero": lambda: xp.count_nonzero(I, axis=0),
    "permute_dims": lambda: xp.permute_dims(X, (1, 0)),
    "matrix_transpose": lambda: xp.matrix_transpose(X),
    "concat": lambda: xp.concat([X, X], axis=1),
    "concat flat": lambda: xp.concat([X, X], axis=None),
    "stack": lambda: xp.stack([X, X], axis=-1),
    "squeeze": lambda: xp.squeeze(X[None], axis=0),
    "expand_dims": lambda: xp.expand_dims(X, axis=1),
    "flip": lambda: xp.flip(X, axis=1),
    "roll": lambda: xp.roll(X, 2, axis=0),
    "repeat": lambda: xp.repeat(X, 2, axis=0),
    "tile": lambda: xp.tile(X, (2, 1)),
    "sort": lambda: xp.sort(X, axis=0, descending=True),
    "argsort": lambda: xp.argsort(X, axis=-1),
    "searchsorted": lambda: xp.searchsorted(xp.arange(5), xp.asarray([1, 4])),
    "take": lambda: xp.take(X, xp.asarray([2, 0]), axis=0),
    "take_along_axis": lambda: xp.take_along_axis(X, xp.argsort(X), axis=-1),
    "where": lambda: xp.where(X > 0, X, 0.0),
    "nonzero": lambda: xp.nonzero(I)[0],
    "unique_values": lambda: xp.sort(xp.unique_values(I)),
    "unique_counts": lambda: xp.unique_counts(I).counts,
    "unique_inverse": lambda: xp.unique_inverse(I).inverse_indices,
    "cumulative_sum": lambda: xp.cumulative_sum(X, axis=1, include_initial=True),
    "cumulative_prod": lambda: xp.cumulative_prod(X, axis=1),
    "diff": lambda: xp.diff(X, axis=0),
    "clip": lambda: xp.clip(X, -0.5, 0.5),
    "bitwise_invert": lambda: xp.bitwise_invert(I),
    "bitwise_left_shift": lambda: xp.bitwise_left_shift(I, 2),
    "remainder": lambda: xp.remainder(I, 4),
    "pow": lambda: xp.pow(X, 2),
    "atan2": lambda: xp.atan2(X, xp.abs(X)),
    "hypot": lambda: xp.hypot(X, X),
    "logical_xor": lambda: xp.logical_xor(X > 0, I > 3),
    "copysign": lambda: xp.copysign(X, -X),
    "signbit": lambda: xp.signbit(X),
    "nextafter": lambda: xp.nextafter(X, X + 1),
    "isdtype": lambda: xp.asarray([xp.isdtype(d, "real floating") for d in (xp.float32, xp.int8, xp.bool)]),
    "result_type": lambda: xp.zeros(2, dtype=xp.result_type(xp.int32, xp.float32)),
    "finfo": lambda: xp.asarray([xp.finfo(xp.float32).eps, xp.iinfo(xp.int16).max]),
    "tensordot": lambda: xp.tensordot(X, X, axes=((0,), (0,))),
    "vecdot": lambda: xp.vecdot(X, X, axis=0),
    "matmul": lambda: xp.matmul(X, xp.matrix_transpose(X)),
    "cross": lambda: xp.linalg.cross(X[:, :3], X[:, 1:], axis=-1),
    "outer": lambda: xp.linalg.outer(X[0], X[1]),
    "norm": lambda: xp.linalg.vector_norm(X, axis=(0, 1), ord=3),
    "trace": lambda: xp.linalg.trace(X, offset=1),
    "solve": lambda: xp.linalg.solve(X[:, :3], X[:, 3]),
    "svdvals": lambda: xp.linalg.svdvals(X),
    "fftn": lambda: xp.fft.fftn(xp.astype(X, xp.complex64), axes=(0, 1)).real,
    "rfft": lambda: xp.fft.rfft(X, axis=0).imag,
    "fftfreq": lambda: xp.fft.fftfreq(6, d=0.5),
    "meshgrid": lambda: xp.meshgrid(xp.arange(3), xp.arange(2))[0],
    "tril": lambda: xp.tril(X, k=-1),
    "broadcast_to": lambda: xp.broadcast_to(X[0], (2, 4)),
    "asarray": lambda: xp.asarray(X, dtype=xp.float64, copy=True),
    "moveaxis": lambda: xp.moveaxis(X[None], 0, -1),
    "unstack": lambda: xp.unstack(X, axis=1)[2],
    "argmax": lambda: xp.argmax(X, axis=1, keepdims=True),
}


@pytest.mark.parametrize("name", CALLS)
def test_name(name):
    found = CALLS[name]()
    agree(name, {"found": found, "shape": list(found.shape), "dtype": [ord(c) for c in str(found.dtype)]})


def test_helpers():
    assert (
        array_api_compat.is_torch_array(X)
        and array_api_compat.is_torch_namespace(xp)
        and not array_api_compat.is_numpy_array(X)
    )
    assert array_api_compat.device(X) == torch.device("cpu") and array_api_compat.size(X) == 12
    assert array_api_compat.to_device(X, "cpu") is X
    info = xp.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] == torch.float32 and "int64" in info.dtypes()
