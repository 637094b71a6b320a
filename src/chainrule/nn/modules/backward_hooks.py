"""What backward hooks on modules stand on: nodes around a module's inputs and outputs, or in the old form its last one.

Full hooks have the nodes of two identities, one around the inputs and one around the outputs, so that what lies between may be
anything. Old hooks have the node of the output, and see the gradients of that node's inputs, whatever these are.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.autograd.function import Function
from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor


class BackwardHookFunction(Function):
    """The identity of several tensors, whose node sees all their gradients."""

    generate_vmap_rule = True

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """Return the arguments."""
        return args

    @staticmethod
    def backward(ctx: Any, *gs: Any) -> Any:
        """Return the gradients."""
        return gs


class FullHooks:
    """One call of a module with backward hooks: what links the gradients of its outputs to those of its inputs."""

    def __init__(self, module: Any, hooks: list, pre_hooks: list):
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.grad_outputs: tuple | None = None
        self.inputs_at: list[int] | None = None  # positions of the inputs that require grad; None if none does
        self.inputs = 0

    def around_inputs(self, args: tuple) -> tuple:
        """Return the inputs behind a node that calls the hooks."""
        self.inputs = len(args)
        args, self.inputs_at, node = _behind_a_node(args)
        if node is not None:
            node.register_hook(self._inputs_arrived)
        return args

    def around_outputs(self, result: Any) -> Any:
        """Return the outputs behind a node that keeps their gradients for the hooks."""
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}",
                stacklevel=4,
            )
        outputs = result if isinstance(result, tuple) else (result,)
        made, at, node = _behind_a_node(outputs)
        if node is not None:
            node.register_hook(lambda _, gs: self._outputs_arrived(gs, at, len(outputs)))
        return made if isinstance(result, tuple) else made[0]

    def _outputs_arrived(self, gs: tuple, at: Sequence[int], count: int) -> tuple:
        self.grad_outputs = _spread(gs, at, count)
        for hook in self.pre_hooks:
            given = hook(self.module, self.grad_outputs)
            if given is not None:
                _check_number("Backward pre hook returned an invalid number of grad_output", given, self.grad_outputs)
                self.grad_outputs = given
        kept = self.grad_outputs
        if self.inputs_at is None:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs since no inputs "
                "require gradients. See Module.register_full_backward_hook for more details.",
                stacklevel=5,
            )
            for hook in self.hooks:
                given = hook(self.module, (None,) * self.inputs, kept)
                if given is not None and not (isinstance(given, tuple) and all(g is None for g in given)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None for all "
                        "gradients."
                    )
            self.grad_outputs = None
        return tuple(kept[i] for i in at)  # type: ignore[index]

    def _inputs_arrived(self, gs: tuple, _: tuple) -> tuple | None:
        if self.grad_outputs is None:  # the gradient came to the inputs by another way than through the outputs
            return None
        found = _spread(gs, self.inputs_at or (), self.inputs)
        for hook in self.hooks:
            given = hook(self.module, found, self.grad_outputs)
            if given is not None:
                given = given if isinstance(given, tuple) else (given,)
                _check_number("Backward hook returned an invalid number of grad_input", given, found)
                found = given
        self.grad_outputs = None
        return tuple(found[i] for i in self.inputs_at or ())


def _behind_a_node(values: tuple) -> tuple[tuple, Any, Any]:
    """Return values, those that require grad behind one identity; their positions, and its node, or None for both."""
    at = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not at or not modes().record:
        return values, None, None
    made = list(values)
    for i, t in zip(at, BackwardHookFunction.apply(*[values[i] for i in at]), strict=True):
        made[i] = t
    kept = type(values)(*made) if hasattr(values, "_fields") else tuple(made)
    return kept, at, made[at[0]].grad_fn


def _spread(gs: Sequence, at: Sequence[int], count: int) -> tuple:
    found: list = [None] * count
    for i, g in zip(at, gs, strict=True):
        found[i] = g
    return tuple(found)


def _check_number(what: str, given: Sequence, expected: Sequence) -> None:
    if len(given) != len(expected):
        raise RuntimeError(f"{what}, got {len(given)}, but expected {len(expected)}")


# -- old hooks ---------------------------------------------------------------------------------------------------------


def hook_last_node(module: Any, hooks: list[Callable], args: tuple, result: Any) -> None:
    """Have old backward hooks called with the gradients of the node that made the first tensor of a result."""
    first = result
    while not isinstance(first, Tensor):
        first = next(v for v in first.values() if isinstance(v, Tensor)) if isinstance(first, dict) else first[0]
    node = first.grad_fn
    if node is None:
        return
    for hook in hooks:
        node.register_hook(functools.partial(hook, module))
    text = _why_incomplete(args, result, node)
    if text:
        warnings.warn(text, FutureWarning, stacklevel=5)


def _why_incomplete(args: tuple, result: Any, node: Any) -> str | None:
    """Return PyTorch's warning where old hooks do not see all gradients of a module's inputs and outputs."""
    gone = "is deprecated and will be removed in future versions. This hook will be missing some"
    full = "Please use register_full_backward_hook to get the documented behavior."
    outputs = (result,) if isinstance(result, Tensor) else result
    if not (isinstance(outputs, tuple) and all(isinstance(r, Tensor) for r in outputs)):
        return (
            "Using non-full backward hooks on a Module that does not return a single Tensor or a tuple of Tensors "
            f"{gone} of the grad_output. {full}"
        )
    if not all(isinstance(a, Tensor) for a in args):
        return (
            "Using non-full backward hooks on a Module that does not take as input a single Tensor or a tuple of Tensors "
            f"{gone} of the grad_input. {full}"
        )
    if len({r.grad_fn for r in outputs if r.grad_fn is not None}) > 1:
        return (
            f"Using a non-full backward hook when outputs are generated by different autograd Nodes {gone} grad_output. {full}"
        )
    if {a.grad_fn for a in args if a.grad_fn is not None} != {n for n, _ in node.next_functions}:
        return f"Using a non-full backward hook when the forward contains multiple autograd Nodes {gone} grad_input. {full}"
    return None
