"""The error of a decomposition that does not exist, or that its algorithm does not find."""

from __future__ import annotations


class LinAlgError(RuntimeError):
    """A matrix is singular, not positive definite, or an algorithm does not converge on it.

    Examples
    --------
    >>> import chainrule as cr
    >>> try:
    ...     cr.linalg.inv(cr.ones(2, 2))
    ... except cr.linalg.LinAlgError as error:
    ...     print(error)
    linalg.inv: The diagonal element 2 is zero, the inversion could not be completed because the input matrix is singular.
    """

    __module__ = "chainrule.linalg"
