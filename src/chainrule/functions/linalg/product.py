"""Products of tensors beside the matrix product: inner, Kronecker, cross, and chains of matrices."""

from __future__ import annotations

from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import shape as shapes
from chainrule.core.types.shape import axis_index
from chainrule.functions.adapt import public
from chainrule.functions.linalg.contract import mm, operand
from chainrule.functions.linalg.einsum import contracted
from chainrule.ops.linalg import contract as ops
from chainrule.ops.pointwise.arithmetic import mul
from chainrule.ops.shaping.shape import broadcast_to, clone, reshape

__all__ = ["chain_matmul", "cross", "inner", "kron"]


@public(out="exact", kinds="ifc", samples=lambda: [
    Sample((3,), (3,)), Sample((2, 3), (4, 3)), Sample((2, 3), (3,)), Sample((), (3,)),
    Sample((3,), (4,), error=(RuntimeError, "inner() the last dimension must match on both input tensors but got shapes [3]")),
])  # fmt: skip
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Return the sums of products along the last axes: shapes (…, k) and (*, k) give (…, *); 0-d operands multiply.

    Raises
    ------
    RuntimeError
        If the last sizes or the dtypes differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.inner(cr.tensor([1.0, 2.0]), cr.tensor([[3.0, 4.0], [5.0, 6.0]]))
    tensor([11., 17.])
    """
    x, y = operand(input, "inner", "input", 1), operand(other, "inner", "other", 2)
    if not x.ndim or not y.ndim:
        return mul(x, y)
    if x.shape[-1] != y.shape[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(x.shape)} and {list(y.shape)}"
        )
    if x.dtype is not y.dtype:
        raise RuntimeError("both inputs should have same dtype")
    left, right = list(range(x.ndim - 1)), list(range(x.ndim, x.ndim + y.ndim - 1))
    return contracted([x, y], [[*left, -1], [*right, -1]], [*left, *right])


@public(out=True, kinds="bifc", samples=lambda: [
    Sample((2, 3), (4, 5)), Sample((2,), (4, 5)), Sample((), (2, 2)), Sample((0, 2), (3, 1)),
])  # fmt: skip
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Return the Kronecker product: every element of `input` times all of `other`, as blocks.

    Parameters
    ----------
    input, other : Tensor
        Of any shapes; the shorter shape is filled with ones in front.

    Returns
    -------
    Tensor
        Its sizes are the products of the operands'.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.kron(cr.eye(2), cr.tensor([[1.0, 2.0]]))
    tensor([[1., 2., 0., 0.],
            [0., 0., 1., 2.]])
    """
    x, y = operand(input, "kron", "input", 1), operand(other, "kron", "other", 2)
    ndim = max(x.ndim, y.ndim)
    a, b = ((1,) * (ndim - z.ndim) + tuple(z.shape) for z in (x, y))
    x = reshape(x, shape=tuple(k for n in a for k in (n, 1)))
    y = reshape(y, shape=tuple(k for n in b for k in (1, n)))
    return reshape(mul(x, y), shape=tuple(n * m for n, m in zip(a, b, strict=True)))


@public(
    out="exact",
    method=False,
    kinds="fc",
    samples=lambda: [Sample((2, 3), (3, 4), (4, 5)), Sample((6, 1), (1, 6), (6, 2), (2, 1))],
)
def chain_matmul(*matrices: Tensor) -> Tensor:
    """Return the product of two or more matrices, multiplied in the order that costs least; of one, a copy.

    Raises
    ------
    RuntimeError
        If an operand is no matrix, or shapes or dtypes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.chain_matmul(cr.ones(2, 3), cr.ones(3, 4), cr.ones(4, 1))
    tensor([[12.],
            [12.]])
    """
    factors = [operand(m, "chain_matmul", "matrices", i + 1) for i, m in enumerate(matrices)]
    if not factors:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for m in factors:
        if m.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {m.ndim}, expected 2 instead.")
    if len(factors) == 1:
        return clone(factors[0])
    return cheapest_product(factors)


def cheapest_product(factors: list[Tensor]) -> Tensor:
    """Return the product of matrices in the order of least multiplications (Cormen et al., *Algorithms*, ch. 14.2)."""
    sizes = [f.shape[0] for f in factors] + [factors[-1].shape[1]]
    count = len(factors)
    cost = [[0] * count for _ in range(count)]
    cut = [[0] * count for _ in range(count)]
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i][j], cut[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        return factors[i] if i == j else mm(product(i, cut[i][j]), product(cut[i][j] + 1, j))

    return product(0, count - 1)


@public(out=True, kinds="ifc", samples=lambda: [
    Sample((2, 3), (2, 3)), Sample((3, 2), (3, 2)), Sample((4, 3, 2), (1, 3, 2), dim=1), Sample((3,), (3,), dim=-1),
    Sample((2, 4), (2, 4), error=(RuntimeError, "no dimension of size 3 in input")),
    Sample((3, 2), (3, 2), dim=1, error=(RuntimeError, "linalg.cross: inputs dimension 1 must have length 3. Got 2 and 2")),
])  # fmt: skip
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Return the cross products of the vectors that lie along one axis.

    Parameters
    ----------
    input, other : Tensor
        With the same number of axes, which broadcast, and size 3 along `dim`.
    dim : int, optional
        The axis; the first of size 3 by default.

    Raises
    ------
    RuntimeError
        If the axis has not size 3.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.cross(cr.tensor([1.0, 0.0, 0.0]), cr.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x, y = operand(input, "cross", "input", 1), operand(other, "cross", "other", 2)
    if x.ndim != y.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if dim is None:
        if 3 not in x.shape:
            raise RuntimeError("no dimension of size 3 in input")
        dim = x.shape.index(3)
    axis = axis_index(dim, x.ndim)
    if x.shape[axis] != 3 or y.shape[axis] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {x.shape[axis]} and {y.shape[axis]}")
    if x.dtype is not y.dtype:
        raise RuntimeError(f"expected scalar type {x.dtype.old_name} but found {y.dtype.old_name}")
    if x.dtype.name == "bool":
        raise NotImplementedError("\"cross\" not implemented for 'Bool'")
    shape = shapes.broadcast(tuple(x.shape), tuple(y.shape))
    x, y = (z if tuple(z.shape) == shape else broadcast_to(z, shape=shape) for z in (x, y))
    return ops.cross(x, y, axis=axis)
