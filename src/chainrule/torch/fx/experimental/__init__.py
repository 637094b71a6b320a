"""PyTorch's ``fx.experimental``, of which packages ask whether a function is being traced."""

from __future__ import annotations

from typing import Any

from chainrule.torch import absent


def __getattr__(name: str) -> Any:
    return absent.name_of("fx.experimental", name)
