"""`compile`: a function of tensors, recorded as it runs and replayed as one plan."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from chainrule.compiler.compiled import Compiled, Options

_BACKENDS = ("chainrule", "inductor", "eager", "aot_eager")
_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_OPTIONS = {"paths": int, "specialisations": int}


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "chainrule",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    name: str | None = None,
    disable: bool = False,
    recompile_limit: int | None = None,
    isolate_recompiles: bool = False,
    shapes_spec: Any = None,
) -> Any:
    """Return a function or module that computes the same, recorded once and replayed as one plan; also a decorator.

    The first call runs the function and records the ops that it does. Later calls with arguments of the same structure, shapes
    and dtypes replay the record. Whatever else is among the arguments (numbers, strings, objects) is fixed in it: another value
    is recorded anew. Python branches on values are kept: each value that the function reads is compared in every call, and a
    new outcome records a new path. What cannot be recorded runs as it is, with one warning that says why.

    Parameters
    ----------
    model : callable or Module, optional
        What to compile. None for a decorator with arguments.
    fullgraph : bool
        Raise where the function would otherwise run as it is.
    dynamic : bool, optional
        Sizes are always fixed in a record. After 32 records that differ in shapes or fixed values, other calls run as they are;
        with True, the oldest record is dropped instead.
    backend : str
        ``"chainrule"``, for which ``"inductor"`` is another name; ``"eager"`` and ``"aot_eager"`` replay op by op on
        NumPy, which tells faults of recording from those of code.
    mode : str, optional
        PyTorch's modes: ``"default"``, ``"reduce-overhead"``, ``"max-autotune"``, ``"max-autotune-no-cudagraphs"``. All mean
        the same here: a plan is one native call anyway, and there is nothing to tune.
    options : dict, optional
        ``"specialisations"`` and ``"paths"``: how many records that differ in the arguments (32), and in the values read (64),
        are kept.
    name : str, optional
        What the function is called in messages.
    disable : bool
        Return the function as it is.
    recompile_limit : int, optional
        As the option ``"specialisations"``.
    isolate_recompiles : bool
        Without effect: each compiled function counts its own records.
    shapes_spec : None
        Must be None.

    Returns
    -------
    callable
        With ``graph`` and ``reset()``. Under transforms, and for arguments that require grad, its derivatives are compiled too.
        Of a `func.jacobian` or `func.hessian` that was prepared, gives sparse arrays or has a pattern, one with ``plan`` and
        ``prepare``: what gives the entries is compiled, for each pattern, and put together outside.

    Raises
    ------
    RuntimeError
        For an unknown backend, mode or option, or if both mode and options are given; with ``fullgraph=True``, in the call, if
        the function cannot be recorded.
    NotImplementedError
        For a backend that is a function, and for `shapes_spec`.

    Notes
    -----
    The first call is the function itself, which is recorded as it runs. What it reads of Python (closures, globals, modules,
    optimizers) is looked at before each replay; what it prints, or counts where nothing looks, happens in recorded calls alone.
    NumPy arrays among the arguments are fixed by their content.

    The function runs as it is, without a word, inside of another recording or `func.trace` (of which it becomes part), in
    inference mode, on jets, and where something looks at its ops: anomaly mode, hooks on saved tensors, profilers and other
    watchers, modes with ``__torch_function__``. Derivatives of any order pass through its calls; of a call that
    writes into tensors from outside there are first ones in reverse mode, and others raise.

    Examples
    --------
    >>> import chainrule as cr
    >>> @cr.compile
    ... def f(x):
    ...     return x.sin() if x.sum() > 0 else x.cos()
    >>> f(cr.zeros(2)), f(-cr.zeros(2))
    (tensor([1., 1.]), tensor([1., 1.]))
    >>> cr.func.grad(lambda x: f(x).sum())(cr.ones(2))
    tensor([0.5403, 0.5403])
    >>> J = cr.compile(cr.func.jacobian(lambda x: x[1:] * x[:-1], sparse=True).prepare(cr.ones(1000)))
    >>> J(2 * cr.ones(1000)).sum()
    np.float32(3996.0)
    """
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, name=name,
            disable=disable, recompile_limit=recompile_limit, isolate_recompiles=isolate_recompiles, shapes_spec=shapes_spec,
        )  # fmt: skip
    if not callable(model):
        raise TypeError(f"compile(): expected a function or a Module, not {type(model).__name__}")
    made = _options(fullgraph, dynamic, backend, mode, options, name, recompile_limit, shapes_spec)
    if disable:
        return model
    of_module = getattr(type(model), "_compiled", None)
    if of_module is not None:
        return of_module(model, functools.partial(Compiled, options=made))
    return Compiled(model, made)


def _options(
    fullgraph: bool, dynamic: bool | None, backend: Any, mode: str | None, options: Any, name: Any, limit: Any, shapes: Any
) -> Options:
    """Return the options of a call of `compile`, checked."""
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if mode is not None and mode not in _MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(_MODES)}")
    if dynamic not in (None, True, False):
        raise TypeError(f"compile(): dynamic must be None, True or False, not {dynamic!r}")
    if callable(backend):
        raise NotImplementedError("compile(): a backend is named by a string; functions of PyTorch's graphs cannot serve here")
    if backend not in _BACKENDS:
        raise RuntimeError(f"Invalid backend: {backend!r}, should be one of: {', '.join(_BACKENDS)}")
    if shapes is not None:
        raise NotImplementedError("compile(): shapes_spec cannot be honoured, as every record is of fixed sizes")
    found = {"specialisations": limit} if limit is not None else {}
    for key, value in (options or {}).items():
        if key not in _OPTIONS:
            raise RuntimeError(f"Unexpected optimization option {key}, known options are {sorted(_OPTIONS)}")
        if not isinstance(value, _OPTIONS[key]) or value.__class__ is bool:
            raise RuntimeError(f"Unexpected type of attr {key}, got {type(value).__name__} should be {_OPTIONS[key].__name__}")
        found[key] = value
    for key, value in found.items():
        if value < 1:
            raise RuntimeError(f"compile(): {key} must be at least 1, got {value}")
    return Options(fullgraph, bool(dynamic), backend not in ("eager", "aot_eager"), name=name, **found)


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """Return the names of the backends that :func:`compile` takes; without tags to exclude, those that help to find faults too.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.compiler.list_backends()
    ['chainrule', 'inductor']
    """
    return list(_BACKENDS[:2] if exclude_tags else _BACKENDS)
