"""How a public function is declared: its name, method, in-place method, samples; NumPy's keyword names accepted.

This is the one adapter between public names (`dim`, `keepdim`; NumPy's `axis`, `keepdims`) and the rule book.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from chainrule.core.call.asking import UNASKED, asked, asking, asks
from chainrule.core.call.functions import make_asking
from chainrule.core.call.misfits import FAILURES, misfit
from chainrule.core.call.older import has_other_names, other_form
from chainrule.core.op.declaration import ELEMENTWISE, PUBLISHERS, TABLE, Op
from chainrule.core.op.samples import Sample, samples_of
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.write.inplace import assign, assign_elementwise
from chainrule.core.write.out import into

FUNCTIONS: dict[str, Function] = {}
LISTENERS: list[Callable[[Function], None]] = []  # told of each function that is declared
_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


class Function:
    """A public function as the tests see it.

    Attributes
    ----------
    name, call : str, callable
        PyTorch's name; the function.
    samples : callable
        Returns the list of :class:`Sample` calls to compare with PyTorch.
    domain : interval or list, optional
        Where samples are drawn.
    kinds : str
        NumPy kinds of dtypes to try: any of "b", "i", "f", "c".
    method, inplace : bool
        Whether `Tensor` has it as a method, and as an in-place method with a trailing underscore.
    out : bool
        Whether it takes ``out=``.
    """

    __slots__ = ("call", "domain", "inplace", "kinds", "method", "name", "out", "samples")

    def __init__(
        self, name: str, call: Callable, samples: Callable, domain: Any, kinds: str, method: bool, inplace: bool, out: bool
    ):
        self.name, self.call, self.samples, self.domain = name, call, samples, domain
        self.kinds, self.method, self.inplace, self.out = kinds, method, inplace, out


def public(
    f: Callable | None = None,
    *,
    samples: Callable[[], list[Sample]] | None = None,
    domain: Any = None,
    kinds: str = "fc",
    method: bool = True,
    inplace: bool = False,
    name: str | None = None,
    out: bool | str = False,
) -> Any:
    """Declare a public function: accept NumPy's keyword names and ``out=``, attach it as a method, note its samples.

    It looks for overrides (`core.call.asking`), unless it reads `asking` in its own body as the hottest do; as a method it only
    does once ``chainrule.overrides`` has had methods do so.

    Parameters
    ----------
    samples : callable
        Returns calls that the tests compare with PyTorch's function of the same name.
    method, inplace : bool
        Attach ``Tensor.name`` and ``Tensor.name_``.
    out : bool or "exact"
        Take ``out=``: tensors that the results are written into, as NumPy's ufuncs and PyTorch do; "exact" if PyTorch wants
        them to have the results' dtypes. Elementwise ops take it anyway.
    """

    def declare(f: Callable) -> Callable:
        code = f.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        public_name = name or f.__name__
        takes_out = out if "out" not in names else False  # the hottest say themselves what `out` does
        adapted = _adapted(f, public_name, takes_out) if "dim" in names or takes_out else None
        call = adapted or (f if "asking" in code.co_names else asks(f))
        has_out = bool(out) or "out" in names
        body = adapted or (call if has_other_names(f, public_name) else f)
        _register(Function(public_name, call, samples or list, domain, kinds, method, inplace, has_out), body)
        return call

    return declare if f is None else declare(f)


def _renamed(kwargs: dict[str, Any], f: Callable) -> None:
    code = f.__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    for theirs, ours in _NUMPY_NAMES.items():
        if theirs in kwargs and theirs not in own:
            if ours in kwargs:
                raise TypeError(f"{f.__name__}() got both {ours!r} and its NumPy name {theirs!r}")
            kwargs[ours] = kwargs.pop(theirs)


def _adapted(f: Callable, name: str, out: bool | str) -> Callable:
    """Return `f` asking overrides, and taking NumPy's keyword names, and ``out=`` if `out` says so."""

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if asking.on:
            found = asked(call, args, kwargs)
            if found is not UNASKED:
                return found
        given = None
        if kwargs:
            if "axis" in kwargs or "keepdims" in kwargs:
                _renamed(kwargs, f)
            if out and "out" in kwargs:
                given = kwargs.pop("out")
        try:
            if given is not None:
                return into(given, name, f, args, kwargs, exact=out == "exact")
            return f(*args, **kwargs) if kwargs else f(*args)
        except FAILURES as error:
            meant = other_form(f, name, args, kwargs)
            if meant is not None:
                return call(*meant[0], **meant[1]) if given is None else call(*meant[0], **meant[1], out=given)
            wrong = misfit(f, name, args, kwargs, error)
            if wrong is None:
                raise
            raise wrong from error

    return call


def public_op(op_call: Callable, *, method: bool = True, inplace: bool = False, name: str | None = None) -> Callable:
    """Return the public function of an elementwise op: same arguments, tensors, numbers or arrays."""
    op = op_call.op  # type: ignore[attr-defined]
    assert op.kind == ELEMENTWISE
    call = make_asking(op, into)
    name = name or op.name
    home, _, own = name.rpartition(".")
    call.__name__ = call.__qualname__ = own
    call.__doc__ = op.about.doc
    call.__module__ = f"chainrule.{home}" if home else "chainrule"  # where a pickle finds it
    call.op = op  # type: ignore[attr-defined]
    _register(Function(name, call, lambda: samples_of(op), op.about.domain, op.kinds, method, inplace, True), call)
    return call


def publish(op: Op) -> None:
    """Make the public functions of an op that its declaration asks for."""
    for name in op.public:
        public_op(op.call, method="." not in name, inplace=op.inplace, name=name)


def _register(function: Function, body: Callable) -> None:
    """Note a public function and attach its methods, the first of which is `body`."""
    name = function.name
    if name in FUNCTIONS:
        raise TypeError(f"the public function {name} is declared twice")
    FUNCTIONS[name] = function
    if function.method:
        setattr(Tensor, name, body)
    if function.inplace:
        setattr(Tensor, name + "_", in_place(function.call, name + "_"))
    for listener in LISTENERS:
        listener(function)


def in_place(call: Callable, name: str) -> Callable:
    """Return the in-place method of a public function: compute, then write into the tensor."""
    op = getattr(call, "op", None)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if op is not None and not kwargs:
            return assign_elementwise(self, op, call, args, name)
        return assign(self, lambda: call(self, *args, **kwargs), name)

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"In-place version of :func:`chainrule.{name[:-1]}`."
    return method


for _op in list(TABLE.values()):
    publish(_op)
PUBLISHERS.append(publish)
