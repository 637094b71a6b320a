"""PyTorch's ``utils.flop_counter``: how many operations the matrix products and convolutions of a forward pass take.

It stands around every kernel as a watcher does, and knows by hooks in which modules' forwards it is. A node's pull is seen as a
whole, without the products inside, so passes backward are refused and not miscounted.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.core.mode.watch import Watcher
from chainrule.nn.modules.module_hooks import register_module_forward_hook, register_module_forward_pre_hook
from chainrule.transforms.operations import PRODUCTS

__all__ = ["FlopCounterMode"]

_tell_of_missing(__name__)

_NAMES = {
    "linear_map": "aten.addmm", "mm": "aten.mm", "addmm": "aten.addmm", "bmm": "aten.bmm", "matmul": "aten.bmm",
    "baddbmm": "aten.baddbmm", "conv": "aten.convolution", "conv_input": "aten.convolution", "lstm": "aten.lstm",
}  # fmt: skip
"""PyTorch's name of each op that is counted."""


class FlopCounterMode(Watcher):
    """Count the operations of products and convolutions in a block, two for each multiplication and addition, by module.

    Parameters
    ----------
    mods : Module, optional
        Of no use any more, as in PyTorch: all modules are told apart.
    depth : int, optional
        How deep the table tells of modules within modules; None for all.
    display : bool
        Whether the table is printed at the end of the block.
    custom_mapping : dict, optional
        Only None.

    Raises
    ------
    NotImplementedError
        In a pass backward through one of them: only forward passes are counted.

    Notes
    -----
    PyTorch on the CPU does not count scaled dot product attention and LSTMs, which run in one kernel there. Here their products
    are counted.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.utils.flop_counter import FlopCounterMode
    >>> model = cr.nn.Sequential(cr.nn.Linear(3, 4), cr.nn.Linear(4, 2))
    >>> with FlopCounterMode(display=False) as counter:
    ...     out = model(cr.ones(5, 3))
    >>> counter.get_total_flops(), counter.get_flop_counts()["Sequential.1"]
    (200, {'aten.addmm': 80})
    """

    def __init__(
        self, mods: Any = None, depth: int | None = 2, display: bool = True, custom_mapping: dict[Any, Any] | None = None
    ) -> None:
        super().__init__()
        if mods is not None:
            warnings.warn("mods argument is not needed anymore, you can stop passing it", stacklevel=2)
        if custom_mapping:
            raise NotImplementedError("FlopCounterMode(custom_mapping=...): chainrule counts its own products alone")
        self.depth, self.display = depth, display
        self.flop_counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._within: list[str] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> FlopCounterMode:
        self.flop_counts.clear()
        self._within = ["Global"]
        self._hooks = [
            register_module_forward_pre_hook(self._entered_module), register_module_forward_hook(self._left, always_call=True),
        ]  # fmt: skip
        super().__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        for hook in self._hooks:
            hook.remove()
        if self.display:
            print(self.get_table())  # noqa: T201 - what display= asks for

    def _entered_module(self, module: Any, args: tuple) -> None:
        self._within.append(self._named(module))

    def _left(self, module: Any, args: tuple, out: Any) -> None:
        self._within.pop()

    def _named(self, module: Any) -> str:
        """Return a module's name: its place in the outermost that was called, whose name is its class's."""
        if module not in self._names:
            for path, part in module.named_modules():
                self._names.setdefault(part, f"{type(module).__name__}.{path}".rstrip("."))
        return self._names[module]

    def around(self, op: Any, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        """Count a kernel's operations."""
        if op.name in _NAMES:
            name = _NAMES[op.name]
            flops = int(PRODUCTS[op.name](*(np.shape(p) for p in payloads), params=params))
            for module in set(self._within):
                self.flop_counts[module][name] += flops
        return proceed()

    def pulled(self, node: Any, proceed: Callable[[], Any]) -> Any:
        """Refuse a node whose pull has products."""
        if node.op.name in _NAMES:
            raise NotImplementedError(
                "FlopCounterMode counts forward passes: end its block before backward, which takes about twice as many"
            )
        return proceed()

    def get_total_flops(self) -> int:
        """Return how many there were."""
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict[str, dict[str, int]]:
        """Return how many there were in each module, ``"Global"`` for all, by op."""
        return {module: dict(counts) for module, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """Return a table of modules and their shares."""
        depth = self.depth if depth is None else depth
        total = self.get_total_flops()
        lines = [f"{'Module':40}{'FLOP':>16}{'% Total':>10}"]
        for module in ["Global", *sorted(self.flop_counts.keys() - {"Global"})]:
            level = module.count(".") + (module != "Global")
            if depth is not None and level > depth:
                continue
            for name, flops in [(module, sum(self.flop_counts[module].values())), *(
                (f" - {op}", count) for op, count in self.flop_counts[module].items()
            )]:  # fmt: skip
                share = 100 * flops / total if total else 0.0
                lines.append(f"{' ' * level + name:40}{flops:>16,}{share:>9.2f}%")
        return "\n".join(lines)
