"""How a tensor prints, as PyTorch prints it."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor import Tensor, innermost


def tensor_text(t: Tensor) -> Any:
    """Return PyTorch's text of a tensor."""
    return f"tensor({innermost(t)})"
