"""PyTorch's ``_higher_order_ops``: loops over tensors as functions, which run as Python's loops do."""

from __future__ import annotations

from typing import Any

from chainrule.func.branch import cond
from chainrule.torch import absent
from chainrule.torch._higher_order_ops.associative_scan import associative_scan
from chainrule.torch._higher_order_ops.loops import scan, while_loop

__all__ = ["associative_scan", "cond", "scan", "while_loop"]


def __getattr__(name: str) -> Any:
    return absent.name_of("_higher_order_ops", name)
