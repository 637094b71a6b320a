"""check_op: every law on every sample of one op."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chainrule.core.op.declaration import Op
from chainrule.core.op.samples import Sample, samples_of
from chainrule.testing import (
    batched,
    compositions,
    declared,
    derivatives,
    extremes,
    interface,
    passes,
    paths,
    planted,
    refusals,
    taylor,
    traced,
    values,
)
from chainrule.testing.case import OpError, cases
from chainrule.testing.law import Law

DECLARED_LAWS: tuple[Law, ...] = (
    declared.result_is_as_declared,
    declared.memory_is_shared_as_declared,
    declared.pure_op_gives_the_same_again,
    refusals.refusing_op_says_so,
)
VALUE_LAWS: tuple[Law, ...] = (
    values.tensors_give_what_arrays_give,
    values.value_is_the_reference,
    extremes.value_is_the_reference_at_special_values,
    declared.lowering_is_the_kernel,
    traced.graph_equals_the_op,
    declared.shapes_alone_give_the_same_graph,
    batched.vmap_is_a_loop,
    paths.hot_path_is_the_general_path,
)
DERIVATIVE_LAWS: tuple[Law, ...] = (
    derivatives.jvp_is_the_numeric_derivative,
    derivatives.dual_numbers_give_the_jvp,
    derivatives.vjp_is_the_transpose_of_jvp,
    derivatives.every_subset_of_inputs_agrees,
    derivatives.second_order_agrees_in_all_orders,
    batched.vmap_composes,
    *compositions.TRIPLES.values(),
    taylor.jet_is_nested_forward_mode,
    interface.backward_gives_the_vjp,
    interface.rules_return_fresh_arrays,
    interface.rules_write_nowhere,
    interface.broadcast_cotangent_gives_the_same,
    interface.second_backward_raises,
    passes.watched_pass_gives_the_same,
    passes.pass_writes_into_its_own_buffers,
    values.layout_does_not_matter,
    values.strange_values_stay_where_they_are,
    extremes.one_derivative_at_special_values,
    planted.one_gradient_at_special_values,
    planted.one_jacobian_at_special_values,
)
NARROW = ("float16", "float32", "complex64")


def check_op(
    op: Op | Callable,
    samples: Sequence[Sample] | None = None,
    *,
    dtypes: Iterable[Any] | None = None,
    raise_exception: bool = True,
    seed: int = 0,
) -> bool:
    """Check that an op obeys every law that chainrule's own ops obey.

    Declaration: shape, dtype, shared memory, purity and lowering are what it says; one that says nothing of its result fails.
    Values: on tensors as on arrays, as the reference gives, in any memory layout; result and node by the hot path as by the
    general one, field by field, in every mode. Derivatives: jvp is the numeric derivative, vjp its transpose, for every subset
    of inputs, of the primal's shape and dtype; second order agrees in all four orders of modes, third order in forward mode,
    fourth in Taylor mode; at NaN, infinities, zeros and subnormals all ways to ask give one answer. A traced graph is the call.
    Batching: under `vmap`, alone and with derivatives of first and second order, the same as for one example after the other,
    for every subset of inputs. Contracts: rules give back fresh arrays, write nowhere, take broadcast cotangents, and free what
    they saved; a pass gives the same whatever looks on, and writes into its own buffers. Samples with an error raise it.

    Parameters
    ----------
    op : Op or callable
        An op, or the function that `elementwise`, `linear`, `bilinear` or `op` returned.
    samples : sequence of Sample, optional
        In place of the op's own.
    dtypes : iterable of dtypes, optional
        For the derivatives, ``float64`` or ``complex128`` at best, since they are compared with numeric ones; by default
        those of the two that the op's `kinds` allow.
    raise_exception : bool
        Return False instead of raising.
    seed : int
        Of the random inputs.

    Returns
    -------
    bool
        Whether every law holds.

    Raises
    ------
    OpError
        For the first law that fails; it names the op, the law, the sample, the input and both numbers.

    Examples
    --------
    >>> from chainrule.ops.pointwise import arithmetic
    >>> from chainrule.testing import check_op
    >>> check_op(arithmetic.mul)
    True
    """
    op = getattr(op, "op", op)
    if not isinstance(op, Op):
        raise TypeError(f"check_op() takes an op or the function that declared one, not {type(op).__name__}")
    if samples is None:
        samples = samples_of(op)
    if not samples:
        raise ValueError(f"{op.name} has no samples: give its declaration samples=lambda: [Sample(...)], or check_op some")
    given: dict[str, Any] = {"samples": samples, "seed": seed}
    try:
        for case in cases([op], "bifc", **given):
            _obey(DECLARED_LAWS, case)
            if op.pure:  # of random numbers no two runs are alike
                _obey(VALUE_LAWS, case)
        for case in cases([op], dtypes=dtypes, differentiable=True, **given):
            _obey(DERIVATIVE_LAWS, case)
        for case in cases([op], dtypes=NARROW, differentiable=True, **given):
            if case.is_supported():
                declared.result_is_as_declared(case)
                values.precision_is_kept(case)
        for case in cases([op], "f", errors=True, **given):
            values.declared_error_is_raised(case)
    except OpError:
        if raise_exception:
            raise
        return False
    return True


def _obey(laws: Sequence[Law], case: Any) -> None:
    for law in laws:
        law(case)
