"""PyTorch's ``utils.hooks``: the handle that every ``register_…_hook`` returns.

Examples
--------
>>> import chainrule as cr
>>> from chainrule.utils.hooks import RemovableHandle
>>> isinstance(cr.ones(1, requires_grad=True).register_hook(print), RemovableHandle)
True
"""

from __future__ import annotations

from chainrule.core.graph.handle import RemovableHandle

__all__ = ["RemovableHandle"]
