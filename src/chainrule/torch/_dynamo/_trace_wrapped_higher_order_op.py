"""PyTorch's ``_dynamo._trace_wrapped_higher_order_op``, of which transformers takes one name."""

from __future__ import annotations

import contextlib

__all__ = ["TransformGetItemToIndex"]


class TransformGetItemToIndex(contextlib.nullcontext):
    """Have ``x[i]`` take tensors of one element for ``i`` inside `func.vmap`, which it always does here."""
