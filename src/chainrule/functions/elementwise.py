"""The public functions of elementwise ops: those that say ``public=True`` where they are declared, in the rule book.

Nothing is written here: a name, its method and in-place method, its place in `__all__` follow from the declaration.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from chainrule.functions.adapt import FUNCTIONS
from chainrule.ops.comparison import compare
from chainrule.ops.pointwise import (
    activation,
    arithmetic,
    complex,
    exponential,
    extremum,
    incomplete,
    rounding,
    special,
    trigonometric,
)

RULE_BOOK = (activation, arithmetic, compare, complex, exponential, extremum, incomplete, rounding, special, trigonometric)


def naturally(name: str) -> list:
    """Return the key by which names are sorted: log2 before log10."""
    return [(int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


_DECLARED = {name: f.call for name, f in FUNCTIONS.items() if hasattr(f.call, "op") and "." not in name}
__all__ = sorted(_DECLARED, key=naturally)
globals().update(_DECLARED)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...  # what `globals` got; the types that users see are in chainrule.__init__.pyi
