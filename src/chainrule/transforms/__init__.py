"""The transforms: reverse and forward accumulation, one interpreter over the op table a file; none knows the others.

What a plain pass seldom needs is read when it is first asked for, as ``transforms.batch``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.transforms import batch as batch
    from chainrule.transforms import reentry as reentry
    from chainrule.transforms import watched as watched

_LAZY = frozenset(("batch", "reentry", "watched"))


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
