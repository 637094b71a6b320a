"""PyTorch's ``version``: that of the series whose behaviour chainrule has; chainrule's own is ``chainrule.__version__``."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

__all__ = ["TorchVersion", "cuda", "debug", "git_version", "hip", "xpu"]


class TorchVersion(str):
    """A version, which compares with texts and tuples as a version does.

    Examples
    --------
    >>> from chainrule.torch.version import TorchVersion
    >>> TorchVersion("2.13.0") >= "2.9", TorchVersion("2.13.0") > (2, 13)
    (True, False)
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def _compared(self, other: Any) -> int:
        theirs = other.split("+")[0].split(".") if isinstance(other, str) else list(other)
        for part, other_part in zip_longest(self.split("+")[0].split("."), theirs, fillvalue="0"):
            a, b = _number(part), _number(other_part)
            if a != b:
                return -1 if a < b else 1
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (str, tuple, list)) and self._compared(other) == 0

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return self._compared(other) < 0

    def __le__(self, other: Any) -> bool:
        return self._compared(other) <= 0

    def __gt__(self, other: Any) -> bool:
        return self._compared(other) > 0

    def __ge__(self, other: Any) -> bool:
        return self._compared(other) >= 0


def _number(part: Any) -> int:
    """Return the number that a part of a version begins with."""
    digits = ""
    for letter in str(part):
        if not letter.isdigit():
            break
        digits += letter
    return int(digits or 0)


__version__ = TorchVersion("2.13.0")
cuda: str | None = None
hip: str | None = None
xpu: str | None = None
debug = False
git_version = "chainrule"
