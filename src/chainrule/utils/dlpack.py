"""PyTorch's ``utils.dlpack``: memory shared with other libraries."""

from chainrule.functions.interop.dlpack import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
