"""Docstrings of elementwise ops, whose parameters all read alike; what ops without derivative say of it."""

from __future__ import annotations

from typing import NoReturn

_OPERAND = "Tensor, number or array"
_DTYPES = {
    "bifc": "real or complex; integers and bools are taken in the default dtype",
    "bif": "real; integers and bools are taken in the default dtype",
    "ifc": "integer, real or complex",
    "if": "integer or real",
    "f": "real floating point",
    "fc": "real or complex floating point",
    "any": "any dtype",
}


def no_derivative(name: str) -> NoReturn:
    """Raise PyTorch's error where a derivative is asked for that an op does not have."""
    raise RuntimeError(f"derivative for aten::{name} is not implemented: detach its input if the result is meant as a constant")


def no_tangent(name: str) -> NoReturn:
    """Raise PyTorch's error where forward mode meets an op that has no derivative."""
    raise NotImplementedError(
        f"Trying to use forward AD with aten::{name} that does not support it: detach its input if the result is meant as a "
        "constant"
    )


def binary(summary: str, example: str = "", result: str = "", *, note: str = "", names: tuple = ("input", "other")) -> str:
    """Return the NumPy-style docstring of an elementwise op of several inputs.

    Parameters
    ----------
    summary : str
        The imperative first line.
    example, result : str
        A call as it is written after ``import chainrule as cr``, and what it prints.
    note : str
        What is to be known of the derivative.
    names : tuple of str
        The operands.

    Returns
    -------
    str
        The docstring.
    """
    lines = [summary, ""]
    if note:
        lines += [note, ""]
    lines += ["Parameters", "----------", f"{', '.join(names)} : {_OPERAND}"]
    lines += ["    Of shapes that broadcast together; dtypes are promoted as PyTorch's.", ""]
    lines += ["Returns", "-------", "Tensor", "    Of the broadcast shape."]
    if example:
        lines += ["", "Examples", "--------", ">>> import chainrule as cr", f">>> {example}", result]
    return "\n".join(lines)


def unary(summary: str, call: str, shown: str, takes: str = "bifc", result: str = "", notes: str = "") -> str:
    """Return the docstring of a unary op.

    Parameters
    ----------
    summary : str
        Its first line.
    call, shown : str
        An example, and what it prints.
    takes : str
        Which dtypes it accepts: one of the keys of the table above, or the words themselves.
    result : str
        What the result is, where it is not of the input's shape and dtype.
    notes : str
        Values at points where the derivative does not exist, sources of formulas.

    Returns
    -------
    str
        In NumPy's form.
    """
    about = f"\nNotes\n-----\n{notes}\n" if notes else ""
    return f"""{summary}

Parameters
----------
input : Tensor
    Of any shape; {_DTYPES.get(takes, takes)}.

Returns
-------
Tensor
    Of the shape of `input`{"; " + result if result else ""}.
{about}
Examples
--------
>>> import chainrule as cr
>>> {call}
{shown}
"""
