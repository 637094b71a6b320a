"""Named tuples that functions with several results return, printed as PyTorch prints its ``torch.return_types``.

>>> import chainrule as cr
>>> cr.max(cr.tensor([1.0, 3.0, 2.0]), dim=0)
chainrule.return_types.max(
values=tensor(3.),
indices=tensor(1))
"""

from __future__ import annotations

import functools
from collections import namedtuple
from typing import Any

DECLARED: dict[str, type] = {}


def named_result(name: str, *fields: str) -> Any:
    """Declare the named tuple ``chainrule.return_types.<name>`` and return its class."""

    def __repr__(self: Any) -> str:  # noqa: N807 - becomes the class's own
        parts = ",\n".join(f"{field}={value!r}" for field, value in zip(fields, self, strict=True))
        return f"chainrule.return_types.{name}(\n{parts})"

    made = type(name, (_of_fields(fields),), {"__slots__": (), "__repr__": __repr__, "__module__": __name__})
    made.__doc__ = f"Result of :func:`chainrule.{name}`: {', '.join(fields)}."
    DECLARED[name] = made
    globals()[name] = made
    return made


@functools.cache
def _of_fields(fields: tuple[str, ...]) -> type:
    """Return the named tuple on which all of the same fields are built: to make one takes 80 µs, a class of it 10."""
    return namedtuple("_".join(fields), fields)  # type: ignore[misc]
