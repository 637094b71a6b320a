"""Selective checkpointing: the results of chosen ops are kept, so that running the function again need not compute them."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.core.mode.watch import Watcher
from chainrule.core.op.declaration import TABLE, Op
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import version_of


class CheckpointPolicy(enum.Enum):
    """What a policy function says of an op: keep its result, or compute it again.

    The ``MUST`` forms and the ``PREFER`` forms mean the same here. The ``CPU_OFFLOAD`` forms keep the result, which is in the
    CPU's memory already.
    """

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


_RECOMPUTED = frozenset((CheckpointPolicy.MUST_RECOMPUTE, CheckpointPolicy.PREFER_RECOMPUTE))
SAC_IGNORED_OPS = frozenset((TABLE["detach"],))


class SelectiveCheckpointContext:
    """What a policy function is told beside the op.

    Attributes
    ----------
    is_recompute : bool
        False: policies are asked in the first run alone.
    op_output : Tensor or tuple of Tensor
        The op's result.
    """

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute, self.op_output = is_recompute, op_output


class _Entry:
    """The kept result of one call of an op, and the versions of what it became."""

    __slots__ = ("out", "versions")

    def __init__(self, out: Any):
        self.out = out
        self.versions: list = []


_RECOMPUTE = object()
_MISMATCH = (
    "This can happen if the operations in the checkpointed region are nondeterministic or depend on global state that changed "
    "between forward and backward."
)


class _Caching(Watcher):
    """The first run: ask the policy about every op, and keep what it says."""

    def __init__(self, policy: Callable, storage: dict[Op, list]):
        super().__init__()
        self.policy, self.storage = policy, storage
        self._last: _Entry | None = None

    def around(self, op: Op, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        out = proceed()
        if op not in SAC_IGNORED_OPS:
            # A view is made again in any case: that costs nothing, and it must share the memory of what it is a view of.
            kept = self._asked(op, payloads, params, out) not in _RECOMPUTED and not op.view
            self._last = _Entry(out) if kept else None
            self.storage[op].append(self._last or _RECOMPUTE)
        return out

    def _asked(self, op: Op, payloads: list, params: dict, out: Any) -> CheckpointPolicy:
        several = out.__class__ is tuple or out.__class__ is list
        shown = tuple([_tensor(o) for o in out]) if several else _tensor(out)
        before = modes()
        switch(watchers=(), grad=False, saving=None)
        entered = modes()
        try:
            context = SelectiveCheckpointContext(is_recompute=False, op_output=shown)
            said = self.policy(context, op, *[_tensor(p) for p in payloads], **params)
        finally:
            back(entered, before, "watchers", "grad", "saving")
        if isinstance(said, bool):
            return CheckpointPolicy.MUST_SAVE if said else CheckpointPolicy.PREFER_RECOMPUTE
        if not isinstance(said, CheckpointPolicy):
            raise TypeError(
                f"a selective checkpoint's policy must return a CheckpointPolicy or a bool, not {type(said).__name__}"
            )
        return said

    def wrapped(self, op: Op, made: list[Tensor]) -> None:
        entry, self._last = self._last, None
        if entry is not None:
            versions = [version_of(t) for t in made if t._data.__class__ is np.ndarray]
            entry.versions = [(v, v.count) for v in versions]


class _Cached(Watcher):
    """Every other run: hand out what was kept, compute the rest."""

    def __init__(self, storage: dict[Op, list], allow_mutation: bool):
        super().__init__()
        self.storage, self.allow_mutation = storage, allow_mutation
        self._counts: defaultdict[Op, int] = defaultdict(int)

    def __enter__(self) -> Any:
        self._counts.clear()
        return super().__enter__()

    def around(self, op: Op, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        if op in SAC_IGNORED_OPS:
            return proceed()
        entries = self.storage.get(op)
        if entries is None:
            raise RuntimeError(f"{op} encountered during backward but not found in storage. {_MISMATCH}")
        i = self._counts[op]
        self._counts[op] += 1
        if i >= len(entries):
            raise RuntimeError(f"{op} invocation index {i} encountered during backward but not found in storage. {_MISMATCH}")
        entry = entries[i]
        if entry is _RECOMPUTE:
            return proceed()
        entries[i] = _RECOMPUTE  # kept for one run: what it fills in is freed as it is used, and so is this
        if any(version.count != count for version, count in entry.versions):
            if not self.allow_mutation:
                raise RuntimeError("Tensor cached during selective activation checkpoint has been mutated")
            return _copied(entry.out)  # the memory is someone's, and what was written to it may be written again
        return entry.out


def _tensor(payload: Any) -> Any:
    return wrap(payload) if isinstance(payload, (np.ndarray, np.generic)) else payload


def _copied(out: Any) -> Any:
    return type(out)(map(_copied, out)) if out.__class__ in (tuple, list) else out.copy()


def create_selective_checkpoint_contexts(policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False) -> tuple:
    """Return the two contexts of a selective checkpoint: give this function, with its policy, as `context_fn`.

    Parameters
    ----------
    policy_fn_or_list : callable or list
        ``policy(ctx, op, *args, **params)`` is called with every op that the function runs (not with those of its derivative)
        and returns a :class:`CheckpointPolicy`, or a bool: whether to keep the result. `op` is chainrule's own
        (an ``Op``: it has a `name`), `args` its inputs as plain tensors, `params` its static
        parameters. A list of ops, of functions that are one op (such as `chainrule.exp`) and of names of ops means: keep
        their results.
    allow_cache_entry_mutation : bool
        Hand out kept results that were written to in place, as they are then, instead of raising.

    Returns
    -------
    tuple
        Two context managers, for the first run and for the other.

    Notes
    -----
    The result of a view is never kept: it is made again at no cost. What is kept serves the first backward pass, and is then
    freed; further passes compute it again (PyTorch refuses them).

    Examples
    --------
    >>> import functools
    >>> import chainrule as cr
    >>> from chainrule.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
    >>> keep_products = functools.partial(create_selective_checkpoint_contexts, ["mm"])
    >>> w = cr.ones(2, 2, requires_grad=True)
    >>> y = checkpoint(lambda w: (w @ w).sin().sum(), w, use_reentrant=False, context_fn=keep_products)
    >>> y.backward()
    >>> w.grad
    tensor([[-1.6646, -1.6646],
            [-1.6646, -1.6646]])
    """
    if isinstance(policy_fn_or_list, list):
        chosen = {_op_of(given) for given in policy_fn_or_list}

        def policy(ctx: SelectiveCheckpointContext, op: Op, *args: Any, **params: Any) -> CheckpointPolicy:
            return CheckpointPolicy.MUST_SAVE if op in chosen else CheckpointPolicy.PREFER_RECOMPUTE
    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    storage: defaultdict[Op, list] = defaultdict(list)
    return _Caching(policy, storage), _Cached(storage, allow_cache_entry_mutation)


def _op_of(given: Any) -> Op:
    found = TABLE.get(given) if isinstance(given, str) else getattr(given, "op", given)
    if not isinstance(found, Op):
        raise ValueError(
            f"Expected op in `op_list` to be an OpOverload but got: {given!r} of type {type(given)}. Here that is a "
            "chainrule.core.op.declaration.Op, a function that is one op, or the name of one."
        )
    return found
