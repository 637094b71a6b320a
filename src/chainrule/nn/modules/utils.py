"""What modules of one kind in several dimensions share, under the names that programs import from PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["consume_prefix_in_state_dict_if_present"]


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple]:
    """Return a function of a value that gives a tuple: an iterable's elements, or n times the value."""

    def parse(x: Any) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")


def _reverse_repeat_tuple(t: Sequence, n: int) -> tuple:
    """Return the elements, last first, each n times: paddings of axes as `F.pad` takes them."""
    return tuple(x for x in reversed(t) for _ in range(n))


def _list_with_default(out_size: Any, defaults: list[int]) -> Any:
    """Return sizes, with the defaults of the last axes where one is None."""
    if isinstance(out_size, int):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    last = defaults[len(defaults) - len(out_size) :]
    return [d if v is None else v for v, d in zip(out_size, last, strict=True)]


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take a prefix from a state's names in place, where they have it: that of a wrapper around the model.

    Examples
    --------
    >>> import chainrule as cr
    >>> state = {"module.weight": cr.ones(1), "bias": cr.ones(1)}
    >>> cr.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    >>> sorted(state)
    ['bias', 'weight']
    """
    for names in (state_dict, getattr(state_dict, "_metadata", {})):
        for key in list(names):
            if key.startswith(prefix) or (names is not state_dict and key and key == prefix.replace(".", "")):
                names[key[len(prefix) :]] = names.pop(key)
