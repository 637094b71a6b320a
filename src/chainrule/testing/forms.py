"""Laws of the other forms of a public function: the in-place method, and the call with ``out=``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import autograd
from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost
from chainrule.core.types.dtype import can_cast
from chainrule.functions.adapt import FUNCTIONS, Function
from chainrule.testing.case import Case, is_floating, like
from chainrule.testing.compare import first_gap, gap
from chainrule.testing.composed import Composed
from chainrule.testing.law import Silent, law

NO_FUNCTION = Silent("no public function is this op alone")
NO_METHOD = Silent("there is no in-place form, as in PyTorch")
NO_TENSOR = Silent("these calls have no array")
NO_OUT = Silent("its function takes no `out=`, as PyTorch's")
RAISES = Silent("the call raises for these dtypes")
WORDS = "functions with out=... arguments don't support automatic differentiation"


def public_functions(case: Case) -> list[Function]:
    """Return the public functions that a case is a call of: one, or all those that are its op."""
    if isinstance(case.op, Composed):
        return [case.op.function]
    return [FUNCTIONS[name] for name in case.op.public]


def _arguments(case: Case, tensors: Sequence[Any]) -> tuple[list, dict]:
    if isinstance(case.op, Composed):
        return case.op.arguments(tensors)
    return list(tensors), case.params


def _recorded(case: Case) -> tuple[list, list]:
    """Return fresh leaves of a case, and copies of them that may be written to."""
    leaves = case.tensors()
    for i in case.moving:
        leaves[i].requires_grad_()
    return leaves, [t.clone() if isinstance(t, Tensor) else t for t in leaves]


def _gradients(case: Case, out: Tensor, leaves: list) -> list[np.ndarray]:
    """Return the gradients of a weighted result in the inputs that move, zeros where there is none."""
    moving = [leaves[i] for i in case.moving]
    found: Sequence[Any] = [None] * len(moving)
    if moving and out.requires_grad:
        weight = wrap(like(case.rng("in place"), innermost(out)))
        found = autograd.grad([out], moving, [weight], allow_unused=True)
    return [np.zeros(tuple(x.shape)) if g is None else np.asarray(innermost(g)) for g, x in zip(found, moving, strict=True)]


# -- in place ----------------------------------------------------------------------------------------------------------


@law("in place = the function")
def in_place_is_the_function(case: Case) -> str | None:
    """Check that ``x.name_(…)`` leaves the function's value in x, with its gradients, or refuses and leaves x as it was.

    It refuses a result of another shape, unless it is a view of x, and a dtype that cannot become x's.
    """
    public = public_functions(case)
    methods = {f.name: getattr(Tensor, f.name + "_", None) for f in public}
    if not public:
        return NO_FUNCTION
    if not any(methods.values()):
        return NO_METHOD
    if not case.args or not isinstance(case.args[0], np.ndarray):
        return NO_TENSOR
    for f in public:
        method = methods[f.name]
        wrong = None if method is None else _in_place(case, f, method)
        if wrong is not None:
            return wrong if wrong.__class__ is Silent else f"{f.name}_: {wrong}"
    return None


def _in_place(case: Case, f: Function, method: Callable) -> str | None:
    leaves, copies = _recorded(case)
    args, kwargs = _arguments(case, copies)
    try:
        expected = f.call(*args, **kwargs)
    except RuntimeError as error:
        refused = _raises(lambda: method(*_of_method(args, copies[0]), **kwargs))
        return RAISES if refused else f"the function raised {error}, the method nothing"
    shares = expected._is_view() or np.may_share_memory(innermost(expected), innermost(copies[0]))
    fits = shares or tuple(expected.shape) == case.args[0].shape
    fits = fits and can_cast(expected.dtype, copies[0].dtype)
    wanted, wanted_gradients = None, []
    if fits:
        wanted = expected.to(copies[0].dtype)
        wanted_gradients = _gradients(case, wanted, leaves)
        wanted = np.array(innermost(wanted))
    leaves, copies = _recorded(case)
    args, kwargs = _arguments(case, copies)
    x, version = copies[0], copies[0]._version
    try:
        found = method(*_of_method(args, x), **kwargs)
    except RuntimeError as error:
        if fits:
            return f"raised {error}"
        return None if gap(innermost(x), case.args[0], 0) is None else "it refused, and changed the tensor"
    if wanted is None:
        return f"took a result {expected.dtype} {tuple(expected.shape)} for {x.dtype} {case.args[0].shape}"
    if found is not x:
        return "did not return its tensor"
    wrong = gap(innermost(x), wanted, 1e-12)
    if wrong is not None:
        return wrong
    if not shares and x._version == version:
        return "the write was not counted"
    different = first_gap(_gradients(case, x, leaves), wanted_gradients, 1e-10)
    return None if different is None else f"gradient of {case.input_name(case.moving[different[0]])}: {different[1]}"


def _of_method(args: list, x: Any) -> list:
    """Return a function's arguments as the method takes them, the tensor first: ``polygamma(n, x)`` is ``x.polygamma(n)``."""
    return [x, *[a for a in args if a is not x]]


def _raises(call: Callable) -> bool:
    try:
        call()
    except RuntimeError:
        return True
    return False


# -- out= --------------------------------------------------------------------------------------------------------------


@law("out= = the function")
def out_is_the_function(case: Case) -> str | None:
    """Check that ``out=`` gets the function's values, empty or with gaps in memory, and refuses operands that require grad."""
    public = public_functions(case)
    if not public:
        return NO_FUNCTION
    if not any(f.out for f in public):
        return NO_OUT
    for f in public:
        wrong = _into_out(case, f) if f.out else None
        if wrong is not None:
            return wrong if wrong.__class__ is Silent else f"{f.name}: {wrong}"
    return None


def _into_out(case: Case, f: Function) -> str | None:
    args, kwargs = _arguments(case, case.tensors())
    try:
        plain = f.call(*args, **kwargs)
    except RuntimeError:
        return RAISES
    several = isinstance(plain, (tuple, list))
    expected = list(plain) if several else [plain]
    arrays = [np.array(innermost(e)) for e in expected]
    for make in (_empty, _gappy):
        outs = [make(a) for a in arrays]
        given = f.call(*args, **kwargs, out=tuple(outs) if several else outs[0])
        for i, (g, o, a) in enumerate(zip(given if several else [given], outs, arrays, strict=True)):
            if g is not o:
                return f"result {i} is not what was given as out="
            if o.dtype.numpy != a.dtype:
                return f"result {i}: dtype {o.dtype} against {a.dtype}"
            wrong = gap(innermost(o), a, 0)
            if wrong is not None:
                return f"result {i}, {make.__name__[1:]}: {wrong}"
    return _refused_for_grad(case, f, arrays, several)


def _refused_for_grad(case: Case, f: Function, arrays: list, several: bool) -> str | None:
    tensors = case.tensors()
    floating = [t for t in tensors if isinstance(t, Tensor) and is_floating(t)]
    if not floating:
        return None
    for t in floating:
        t.requires_grad_()
    args, kwargs = _arguments(case, tensors)
    outs = [_empty(a) for a in arrays]
    kwargs = {**kwargs, "out": tuple(outs) if several else outs[0]}
    try:
        f.call(*args, **kwargs)
    except RuntimeError as error:
        if WORDS not in str(error):
            return f"of operands that require grad it raised {error}"
    else:
        return "operands that require grad were taken"
    with no_grad():
        f.call(*args, **kwargs)
    different = first_gap([innermost(o) for o in outs], arrays, 0)
    return None if different is None else f"under no_grad: result {different[0]}: {different[1]}"


def _empty(a: np.ndarray) -> Tensor:
    return wrap(np.empty(0, a.dtype))


def _gappy(a: np.ndarray) -> Tensor:
    """Return a tensor of another memory layout, that holds nothing yet."""
    return wrap(np.zeros((*a.shape, 2), a.dtype))[..., 0]  # type: ignore[index]
