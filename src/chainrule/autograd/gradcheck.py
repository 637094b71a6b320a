"""PyTorch's ``autograd.gradcheck``: analytical derivatives against numeric ones, with PyTorch's options and messages.

What is checked, and how, is in ``autograd.comparison`` (the Jacobians) and ``autograd.further_checks`` (everything else).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.autograd.numeric import GradcheckError
from chainrule.core.tensor.tensor import Tensor

__all__ = [
    "GradcheckError",
    "get_analytical_jacobian",
    "get_numerical_jacobian",
    "get_numerical_jacobian_wrt_specific_input",
    "gradcheck",
    "gradgradcheck",
]


def gradcheck(
    func: Callable,
    inputs: Tensor | Sequence,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Check a function's first derivatives against central differences of its values.

    Derivatives are checked in the floating point and complex inputs that require grad, from the outputs that do. For complex
    outputs reverse mode is checked for the real and the imaginary parts apart, for complex inputs forward mode.

    Parameters
    ----------
    func : callable
        Takes the inputs as positional arguments and returns a tensor or a tuple of tensors.
    inputs : Tensor or sequence
        Double precision, or the differences will be too coarse; their memory is written to, and left as it was.
    eps : float
        The step of the differences.
    atol, rtol : float
        Tolerances: an element agrees if ``|analytical - numerical| <= atol + rtol * |numerical|``.
    raise_exception : bool
        Return False instead of raising.
    nondet_tol : float
        How much two backward passes over one graph may differ.
    check_undefined_grad : bool
        Check that absent cotangents and tangents are treated as zeros.
    check_grad_dtypes : bool
        Check that gradients have the inputs' dtypes, and tangents the outputs'.
    check_batched_grad, check_batched_forward_grad : bool
        Check that a batch of cotangents, or of tangents, gives what they give one by one.
    check_forward_ad, check_backward_ad : bool
        Which modes to check.
    fast_mode : bool
        Compare one random projection of each Jacobian instead of all its elements.
    masked : bool, optional
        Is about sparse tensors, of which there are none here: must not be True.

    Returns
    -------
    bool
        Whether all derivatives are right.

    Raises
    ------
    GradcheckError
        For the first check that fails.
    ValueError
        If no input requires grad, or `masked` is given.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([0.5, -1.0], dtype=cr.float64, requires_grad=True)
    >>> cr.autograd.gradcheck(lambda x: x.sin() * x, x, check_forward_ad=True)
    True
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    _refuse_masked(masked)
    from chainrule.autograd import further_checks
    from chainrule.autograd.comparison import Comparison

    try:
        comparison = Comparison(func, inputs, eps, atol, rtol, nondet_tol, check_grad_dtypes, fast_mode)
        if check_backward_ad:
            comparison.check_backward()
        if check_forward_ad:
            comparison.check_forward()
            if check_undefined_grad:
                further_checks.check_undefined_tangents(comparison)
        if check_batched_forward_grad:
            further_checks.check_batched_tangents(comparison)
        if check_backward_ad:
            if check_batched_grad:
                further_checks.check_batched_cotangents(comparison)
            further_checks.check_zero_cotangents(comparison)
            if check_undefined_grad:
                further_checks.check_undefined_cotangents(comparison)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable,
    inputs: Tensor | Sequence,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    check_fwd_over_fwd: bool = False,
    check_rev_over_fwd: bool = False,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check a function's second derivatives: the gradient's derivatives against central differences of the gradient.

    Parameters
    ----------
    func : callable
        Takes the inputs as positional arguments and returns a tensor or a tuple of tensors.
    inputs : Tensor or sequence
        As in :func:`gradcheck`.
    grad_outputs : Tensor or sequence of Tensor, optional
        The cotangents of the outputs; random by default. The gradient is differentiated in them as well, if they require grad.
    gen_non_contig_grad_outputs : bool
        Let the random cotangents lie in memory with gaps.
    check_rev_over_rev, check_fwd_over_rev : bool
        In which modes to differentiate the gradient.
    check_rev_over_fwd, check_fwd_over_fwd : bool
        In which modes to differentiate the tangent along a random direction, which forward mode gives. PyTorch lacks these.
    eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_grad_dtypes, check_batched_grad, fast_mode, masked
        As in :func:`gradcheck`.

    Returns
    -------
    bool
        Whether all derivatives are right.

    Raises
    ------
    GradcheckError
        For the first check that fails.
    ValueError
        If no input requires grad, or `masked` is given.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([0.5, -1.0], dtype=cr.float64, requires_grad=True)
    >>> cr.autograd.gradgradcheck(lambda x: x.sin() * x, x, check_fwd_over_rev=True, check_fwd_over_fwd=True)
    True
    """
    if not (check_fwd_over_rev or check_rev_over_rev or check_fwd_over_fwd or check_rev_over_fwd):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    if check_undefined_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_undefined_grad=True requires check_rev_over_rev to be True")
    if check_batched_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_batched_grad=True requires check_rev_over_rev to be True")
    _refuse_masked(masked)
    from chainrule.autograd.comparison import as_tuple
    from chainrule.autograd.second_order import gradient_of, tangent_of

    options: dict[str, Any] = {
        "eps": eps, "atol": atol, "rtol": rtol, "raise_exception": raise_exception, "nondet_tol": nondet_tol,
        "check_undefined_grad": check_undefined_grad, "check_grad_dtypes": check_grad_dtypes, "fast_mode": fast_mode,
    }  # fmt: skip
    xs = as_tuple(inputs)
    right = True
    if check_rev_over_rev or check_fwd_over_rev:
        gradient, cotangents = gradient_of(func, xs, grad_outputs, gen_non_contig_grad_outputs)
        options |= {"check_backward_ad": check_rev_over_rev, "check_forward_ad": check_fwd_over_rev}
        right = gradcheck(gradient, xs + cotangents, check_batched_grad=check_batched_grad, **options)
    if right and (check_rev_over_fwd or check_fwd_over_fwd):
        tangent, directions = tangent_of(func, xs)
        options |= {"check_backward_ad": check_rev_over_fwd, "check_forward_ad": check_fwd_over_fwd}
        right = gradcheck(tangent, xs + directions, **options)
    return right


def _refuse_masked(masked: bool | None) -> None:
    if masked:
        raise ValueError("gradcheck(masked=True) is about sparse tensors: chainrule's tensors are dense; leave masked out")


# -- older names, which PyTorch keeps for those who came to rely on them -----------------------------------------------


def get_numerical_jacobian(
    fn: Callable, inputs: Sequence, target: Any = None, eps: float = 1e-3, grad_out: float = 1.0
) -> tuple[Tensor, ...]:
    """Return the numeric Jacobians of a function's first output in each target. Deprecated, as in PyTorch.

    Parameters
    ----------
    fn : callable
        Takes one argument, the sequence of inputs.
    inputs : sequence
        Passed to `fn`.
    target : Tensor or sequence of Tensor, optional
        With respect to what, if not the inputs: those that require grad count.
    eps : float
        The step.
    grad_out : float
        Must be 1.0.

    Returns
    -------
    tuple of Tensor
        Of shape (elements of the target, elements of the output).
    """
    _deprecated("get_numerical_jacobian", grad_out)
    from chainrule.autograd.comparison import as_tuple, numeric_jacobians

    targets = [t for t in as_tuple(inputs if target is None else target) if isinstance(t, Tensor) and t.requires_grad]
    return tuple(numeric_jacobians(lambda: as_tuple(fn(inputs)), t, eps, "get_numerical_jacobian")[0] for t in targets)


def get_numerical_jacobian_wrt_specific_input(
    fn: Callable, input_idx: int, inputs: Sequence, outputs: Any, eps: float, input: Any = None, is_forward_ad: bool = False
) -> tuple[Tensor, ...]:
    """Return the numeric Jacobian of each output of ``fn(*inputs)`` in one input.

    Parameters
    ----------
    fn : callable
        Takes the inputs as positional arguments.
    input_idx : int
        Which input.
    inputs, outputs : sequence
        Passed to `fn`, and what it returned (not used: shapes are found anew).
    eps : float
        The step.
    input : Tensor, optional
        The tensor to move, if not ``inputs[input_idx]``.
    is_forward_ad : bool
        Complex outputs are allowed.

    Returns
    -------
    tuple of Tensor
        Of shape (elements of the input, elements of the output).
    """
    from chainrule.autograd.comparison import as_tuple, numeric_jacobians

    moved = inputs[input_idx] if input is None else input
    if not moved.requires_grad:
        raise AssertionError("Expected input to have requires_grad=True")
    name = None if is_forward_ad else "get_numerical_jacobian_wrt_specific_input"
    return tuple(numeric_jacobians(lambda: as_tuple(fn(*as_tuple(inputs))), moved, eps, name))


def get_analytical_jacobian(inputs: Any, output: Tensor, nondet_tol: float = 0.0, grad_out: float = 1.0) -> tuple:
    """Return the Jacobians of an output by reverse mode, and three verdicts on them. Deprecated, as in PyTorch.

    Parameters
    ----------
    inputs : Tensor or sequence
        Those that require grad count.
    output : Tensor
        Computed from them.
    nondet_tol : float
        How much two passes may differ.
    grad_out : float
        Must be 1.0.

    Returns
    -------
    tuple
        ``(jacobians, is_reentrant, sizes_are_right, dtypes_are_right)``.
    """
    _deprecated("get_analytical_jacobian", grad_out)
    if output.is_complex():
        raise ValueError(
            "Expected output to be non-complex. get_analytical_jacobian no longer supports functions that return complex "
            "outputs."
        )
    from chainrule.autograd.comparison import analytic_jacobians, as_tuple

    return analytic_jacobians([x for x in as_tuple(inputs) if isinstance(x, Tensor) and x.requires_grad], output, nondet_tol)


def _deprecated(name: str, grad_out: float) -> None:
    warnings.warn(
        f"`{name}` was part of PyTorch's private API and not meant to be exposed. It is deprecated there, and kept here for "
        "programs that use it; see gradcheck.",
        FutureWarning,
        stacklevel=3,
    )
    if grad_out != 1.0:
        raise ValueError(f"Expected grad_out to be 1.0. {name} no longer supports values of grad_out != 1.0.")
