"""Hooks on modules, and on all modules: called before and after `forward`, and when the gradients of inputs are there.

A call of a module that never had a hook costs one look at the module, and one at those on all modules.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from chainrule.core.graph.handle import RemovableHandle
from chainrule.nn.modules.backward_hooks import FullHooks, hook_last_node
from chainrule.nn.modules.hook_dictionaries import HookDictionary

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)

# Of all modules; called before a module's own.
_global_forward_pre_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_forward_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_forward_hooks_with_kwargs: OrderedDict[int, bool] = OrderedDict()
_global_forward_hooks_always_called: OrderedDict[int, bool] = OrderedDict()
_global_backward_pre_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_backward_hooks: OrderedDict[int, Callable] = OrderedDict()
_everywhere: OrderedDict[int, bool] = OrderedDict()  # the ids of all of these
_global_is_full: list[bool] = []  # whether the backward hooks are full ones; nothing before the first


class _Forward(Protocol[_P, _R]):
    """What type checkers read of a module: its call takes and gives what its own `forward` does."""

    _hooked: bool

    def forward(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...


class Hooked:
    """What :class:`Module` has of hooks: calling, and registering them."""

    forward: Callable
    _of_all = (  # what a compiled call of a module looks at besides the module
        _global_forward_pre_hooks, _global_forward_hooks, _global_backward_pre_hooks, _global_backward_hooks,
    )  # fmt: skip
    _hooked = False  # whether a dictionary of hooks was asked for, or `compile` was called
    _compiled_call_impl: Callable | None = None
    _is_full_backward_hook: bool | None = None
    _forward_pre_hooks = HookDictionary()
    _forward_pre_hooks_with_kwargs = HookDictionary()
    _forward_hooks = HookDictionary()
    _forward_hooks_with_kwargs = HookDictionary()
    _forward_hooks_always_called = HookDictionary()
    _backward_pre_hooks = HookDictionary()
    _backward_hooks = HookDictionary()

    def __call__(self: _Forward[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Return what `forward` does, hooks called."""
        if self._hooked or _everywhere:
            return (self._compiled_call_impl or self._call_impl)(*args, **kwargs)  # type: ignore[attr-defined]
        return self.forward(*args, **kwargs)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module as it is, also where it was compiled in place."""
        return _Call(self, args, kwargs).run() if self._hooked or _everywhere else self.forward(*args, **kwargs)

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False) -> RemovableHandle:
        """Call a hook before `forward`.

        Parameters
        ----------
        hook : callable
            ``hook(module, args)``, which may return other arguments: a tuple, or one. With `with_kwargs`
            ``hook(module, args, kwargs)``, which may return ``(args, kwargs)``.
        prepend : bool
            Call it before those there are.
        with_kwargs : bool
            Pass keyword arguments too.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import chainrule as cr
        >>> layer = cr.nn.ReLU()
        >>> handle = layer.register_forward_pre_hook(lambda module, args: args[0] + 1)
        >>> layer(cr.tensor([-2.0, 0.0]))
        tensor([0., 1.])
        """
        return _added(self._forward_pre_hooks, hook, prepend, [(self._forward_pre_hooks_with_kwargs, with_kwargs)])

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call a hook after `forward`.

        Parameters
        ----------
        hook : callable
            ``hook(module, args, output)``, with `with_kwargs` ``hook(module, args, kwargs, output)``; it may return another
            output.
        prepend, with_kwargs : bool
            As in `register_forward_pre_hook`.
        always_call : bool
            Call it also where `forward` or another hook raises, with None for the output.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import chainrule as cr
        >>> layer, shapes = cr.nn.Linear(2, 3), []
        >>> with layer.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape))):
        ...     out = layer(cr.ones(4, 2))
        >>> shapes
        [(4, 3)]
        """
        marks = [(self._forward_hooks_with_kwargs, with_kwargs), (self._forward_hooks_always_called, always_call)]
        return _added(self._forward_hooks, hook, prepend, marks)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call a hook when the gradients of the module's outputs are there.

        Parameters
        ----------
        hook : callable
            ``hook(module, grad_outputs)``, which may return others.
        prepend : bool
            Call it before those there are.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import chainrule as cr
        >>> layer, x = cr.nn.Tanh(), cr.zeros(2, requires_grad=True)
        >>> handle = layer.register_full_backward_pre_hook(lambda module, gs: (gs[0] * 3,))
        >>> layer(x).sum().backward()
        >>> x.grad
        tensor([3., 3.])
        """
        return _added(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call a hook when the gradients of the module's inputs are there.

        Parameters
        ----------
        hook : callable
            ``hook(module, grad_inputs, grad_outputs)``, tuples with None for what is no tensor; it may return other gradients
            of the inputs.
        prepend : bool
            Call it before those there are.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import chainrule as cr
        >>> layer, x = cr.nn.Tanh(), cr.zeros(2, requires_grad=True)
        >>> handle = layer.register_full_backward_hook(lambda module, gi, go: (gi[0] + go[0],))
        >>> layer(x).sum().backward()
        >>> x.grad
        tensor([2., 2.])
        """
        if self._is_full_backward_hook is False:
            raise RuntimeError(_BOTH.format("on a single Module"))
        self._is_full_backward_hook = True
        return _added(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Callable) -> RemovableHandle:
        """Call a hook when the node of the module's output has its gradients; `register_full_backward_hook` is the better one.

        Parameters
        ----------
        hook : callable
            ``hook(module, grad_inputs, grad_outputs)``, with the gradients of that node, which are those of the module's inputs
            only if nothing else lies between.

        Raises
        ------
        RuntimeError
            If the module has full backward hooks.
        """
        if self._is_full_backward_hook is True:
            raise RuntimeError(_BOTH.format("on a single Module"))
        self._is_full_backward_hook = False
        return _added(self._backward_hooks, hook, False)


_BOTH = "Cannot use both regular backward hooks and full backward hooks {}. Please use only one of them."


def _added(hooks: OrderedDict, hook: Any, prepend: bool, marks: Any = ()) -> RemovableHandle:
    """Put a hook among others, and True under its id in the dictionaries that are to mark it; return its handle."""
    handle = RemovableHandle(hooks, extra=[register for register, _ in marks])
    hooks[handle.id] = hook
    for register, marked in marks:
        if marked:
            register[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


# -- hooks on all modules ----------------------------------------------------------------------------------------------

_EVERYWHERE = [(_everywhere, True)]


def register_module_forward_pre_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, args)`` before the `forward` of every module, before its own hooks; it may return other arguments."""
    return _added(_global_forward_pre_hooks, hook, False, _EVERYWHERE)


def register_module_forward_hook(hook: Callable, *, with_kwargs: bool = False, always_call: bool = False) -> RemovableHandle:
    """Call a hook after the `forward` of every module; arguments as :meth:`Module.register_forward_hook` takes them.

    Examples
    --------
    >>> import chainrule as cr
    >>> names = []
    >>> with cr.nn.modules.module.register_module_forward_hook(lambda m, args, out: names.append(type(m).__name__)):
    ...     out = cr.nn.Sequential(cr.nn.ReLU(), cr.nn.Tanh())(cr.ones(2))
    >>> names
    ['ReLU', 'Tanh', 'Sequential']
    """
    marks = [(_global_forward_hooks_with_kwargs, with_kwargs), (_global_forward_hooks_always_called, always_call)]
    return _added(_global_forward_hooks, hook, False, [*marks, *_EVERYWHERE])


def register_module_full_backward_pre_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, grad_outputs)`` when the gradients of any module's outputs are there; it may return others."""
    return _added(_global_backward_pre_hooks, hook, False, _EVERYWHERE)


def _register_backward(hook: Callable, full: bool) -> RemovableHandle:
    if _global_is_full and _global_is_full[0] is not full:
        raise RuntimeError(_BOTH.format("as a global Module hook"))
    _global_is_full[:] = [full]
    return _added(_global_backward_hooks, hook, False, _EVERYWHERE)


def register_module_full_backward_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, grad_inputs, grad_outputs)`` when the gradients of any module's inputs are there.

    Raises
    ------
    RuntimeError
        If `register_module_backward_hook` was used before.
    """
    return _register_backward(hook, True)


def register_module_backward_hook(hook: Callable) -> RemovableHandle:
    """Call a hook as :meth:`Module.register_backward_hook` does, for every module.

    Raises
    ------
    RuntimeError
        If `register_module_full_backward_hook` was used before.
    """
    return _register_backward(hook, False)


# -- a call with hooks -------------------------------------------------------------------------------------------------


class _Call:
    """One call of a module that has hooks."""

    __slots__ = ("args", "called", "kwargs", "module", "result")

    def __init__(self, module: Any, args: tuple, kwargs: dict):
        self.module, self.args, self.kwargs = module, args, kwargs
        self.result: Any = None
        self.called: set[int] = set()

    def run(self) -> Any:
        """Return what `forward` does, hooks called; where something raises, those too that are always called."""
        try:
            return self._forward()
        except Exception:
            self._call_the_rest()
            raise

    def _forward(self) -> Any:
        module = self.module
        pre = [*_global_backward_pre_hooks.values(), *module._backward_pre_hooks.values()]
        full, old = self._backward_hooks()
        self._before()
        around = None
        if full or pre:
            around = FullHooks(module, full, pre)
            self.args = around.around_inputs(self.args)
        self.result = module.forward(*self.args, **self.kwargs)
        for key, hook, with_kwargs, _ in self._after():
            self.called.add(key)
            given = self._answer(hook, with_kwargs)
            if given is not None:
                self.result = given
        if around is not None:
            self.result = around.around_outputs(self.result)
        if old:
            hook_last_node(module, old, self.args, self.result)
        return self.result

    def _backward_hooks(self) -> tuple[list, list]:
        """Return the full backward hooks, and the old ones."""
        own, everywhere = self.module._is_full_backward_hook, _global_is_full[0] if _global_is_full else None
        found: tuple[list, list] = [], []
        for full, hooks in ((everywhere, _global_backward_hooks), (own, self.module._backward_hooks)):
            if full is not None:
                found[not full].extend(hooks.values())
        return found

    def _before(self) -> None:
        module = self.module
        for key, hook in [*_global_forward_pre_hooks.items(), *module._forward_pre_hooks.items()]:
            if key in module._forward_pre_hooks_with_kwargs:
                given = hook(module, self.args, self.kwargs)
                if given is not None:
                    if not (isinstance(given, tuple) and len(given) == 2):
                        raise RuntimeError(
                            f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {given}."
                        )
                    self.args, self.kwargs = given
            else:
                given = hook(module, self.args)
                if given is not None:
                    self.args = given if isinstance(given, tuple) else (given,)

    def _after(self) -> list[tuple[int, Callable, bool, bool]]:
        """Return the forward hooks: (id, hook, whether it takes keyword arguments, whether it is always called)."""
        m = self.module
        everywhere, own = _global_forward_hooks_with_kwargs, m._forward_hooks_with_kwargs
        always, own_always = _global_forward_hooks_always_called, m._forward_hooks_always_called
        return [(k, hook, k in everywhere, k in always) for k, hook in _global_forward_hooks.items()] + [
            (k, hook, k in own, k in own_always) for k, hook in m._forward_hooks.items()
        ]

    def _answer(self, hook: Callable, with_kwargs: bool) -> Any:
        kwargs = (self.kwargs,) if with_kwargs else ()
        return hook(self.module, self.args, *kwargs, self.result)

    def _call_the_rest(self) -> None:
        for key, hook, with_kwargs, always in self._after():
            if always and key not in self.called:
                try:
                    given = self._answer(hook, with_kwargs)
                    if given is not None:
                        self.result = given
                except Exception as error:
                    warnings.warn(
                        f"{'global ' * (key in _global_forward_hooks)}module forward hook with ``always_call=True`` raised an "
                        f"exception that was silenced as another error was raised in forward: {error}",
                        stacklevel=4,
                    )
