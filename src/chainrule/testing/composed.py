"""Public functions as laws see ops: a call's arrays taken out of their lists and keywords, its results laid in a row.

Functions that are one op each are not here: the op's own laws are theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np

from chainrule.core.op.declaration import About
from chainrule.core.op.results import DYNAMIC
from chainrule.core.op.samples import Bools, Fixed, Ints, Matrices, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost
from chainrule.functions.adapt import FUNCTIONS, Function
from chainrule.testing.case import OF_KIND, Case, is_floating, load_modules


class Place:
    """Where the array of a number stands among a call's arguments."""

    __slots__ = ("i",)

    def __init__(self, i: int):
        self.i = i


class Composed:
    """A public function, called as one sample calls it, in the place of an op.

    Attributes
    ----------
    function : Function
    template : tuple
        The positional arguments and keywords, with a `Place` for each array.
    rules : tuple
        Of each array, whether a result has a derivative in it: a rule in an op's sense is True or None.
    carries : list of bool
        Of each result, whether it has a derivative.
    of_derivatives : bool
        Whether a call gives these results alone.
    """

    __slots__ = ("about", "carries", "function", "inputs", "kinds", "name", "of_derivatives", "rules", "template")
    kind, promotion, variadic, pure = "function", "free", False, True
    params: tuple = ()

    def __init__(self, function: Function, template: tuple, inputs: int):
        self.function, self.template = function, template
        self.name, self.kinds = function.name, function.kinds
        self.about = About(domain=function.domain)
        self.inputs = tuple([f"array {i}" for i in range(inputs)])
        self.rules: tuple = (None,) * inputs
        self.carries: list[bool] = []
        self.of_derivatives = False

    def look(self, case: Case) -> None:
        """Find out what has a derivative, by recording the call, where its results are finite."""
        if not all(np.isfinite(r).all() for r in case.raw()):
            return
        moving = [is_floating(a) and a.size > 0 for a in case.args]
        found = []
        for i in range(len(moving)):
            tensors = case.tensors()
            if moving[i]:
                tensors[i].requires_grad_()
            out = case.call(tensors) if moving[i] else ()
            found.append([r.requires_grad for r in (out if isinstance(out, tuple) else (out,))])
        self.rules = tuple([any(results) or None for results in found])
        self.carries = [any(each) for each in zip(*[f for f in found if f], strict=True)]

    @staticmethod
    def batch(*args: Any) -> Any:
        """Stand for the rules of its ops, any of which may refuse to be batched."""
        raise NotImplementedError

    def result(self, *given: Any) -> list:
        """Say that values may decide the shape of its result: what its ops say decides."""
        return [(DYNAMIC, None)]

    @property
    def is_differentiable(self) -> bool:
        """Whether a result has a derivative in any array."""
        return any(self.rules)

    def call(self, *arrays: Any) -> Any:
        """Call the function; of raw arrays the results are raw."""
        args, kwargs = self.arguments([a if isinstance(a, Tensor) else wrap(a) for a in arrays])
        found = self.function.call(*args, **kwargs)
        results: list[Any] = list(tensors_in(found))
        if self.of_derivatives:
            results = [r for r, carried in zip(results, self.carries, strict=True) if carried]
        if not any(isinstance(a, Tensor) for a in arrays):
            results = [np.asarray(innermost(r)) for r in results]
        return results[0] if len(results) == 1 else tuple(results)

    def arguments(self, tensors: Sequence[Any]) -> tuple[list, dict]:
        """Return the positional arguments and keywords with these tensors in their places."""
        return _filled(self.template[0], tensors), _filled(self.template[1], tensors)


Composed.batch.refuses = True  # type: ignore[attr-defined]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Go through the tensors in nested results; a Python bool or number is made one."""
    if isinstance(value, (tuple, list)):
        for v in value:
            yield from tensors_in(v)
    elif isinstance(value, Tensor):
        yield value
    elif isinstance(value, (bool, int, float)):
        yield wrap(np.asarray(value))


def _filled(value: Any, tensors: Sequence[Any]) -> Any:
    if value.__class__ is Place:
        return tensors[value.i]
    if isinstance(value, dict):
        return {k: _filled(v, tensors) for k, v in value.items()}
    return [_filled(v, tensors) for v in value] if value.__class__ is list else value


def _template(spec: Any, arrays: list) -> Any:
    """Return an argument with places for arrays, whose specifications are added to `arrays`."""
    if spec.__class__ is list:
        return [_template(s, arrays) for s in spec]
    fixed = spec.value if isinstance(spec, Fixed) else spec
    given = isinstance(fixed, np.ndarray)
    if not given and spec.__class__ is not tuple and not isinstance(spec, (Ints, Bools, Matrices)):
        return fixed
    arrays.append(Fixed(fixed) if given else spec)  # one that is given is a point apart: of ties, or a kink
    return Place(len(arrays) - 1)


def composed(function: Function, sample: Sample) -> tuple[Composed, Sample]:
    """Return a function as one sample calls it, and the sample of its arrays."""
    arrays: list = []
    args = [_template(a, arrays) for a in sample.args]
    kwargs = {k: _template(Fixed(v), arrays) for k, v in sample.params.items()}
    return Composed(function, (args, kwargs), len(arrays)), Sample(*arrays, domain=sample.domain, kinds=sample.kinds)


def differentiated(case: Case) -> Case:
    """Return the case with those results alone that have a derivative: singular values of lstsq have none, as in PyTorch."""
    if not isinstance(case.op, Composed) or all(case.op.carries):
        return case
    op = copy(case.op)
    op.of_derivatives = True
    return Case(op, case.index, case.sample, case.dtype, case.seed)  # type: ignore[arg-type]


def functions(names: Iterable[str] = ()) -> list[Function]:
    """Return the public functions that are not one op each, or those of some names."""
    load_modules("chainrule.functions")
    chosen = [FUNCTIONS[name] for name in names] if names else FUNCTIONS.values()
    return [f for f in chosen if getattr(f.call, "op", None) is None]


def function_cases(of: Iterable[Function], kinds: str = "bifc", seed: int = 0) -> list[Case]:
    """Return the cases of public functions, as `cases` returns those of ops."""
    found = []
    for function in of:
        for index, sample in enumerate(function.samples()):
            if sample.error is not None:
                continue
            names = [OF_KIND[k] for k in reversed(kinds) if k in (sample.kinds or function.kinds or "i")]
            for name in names:
                op, arrays = composed(function, sample)
                case = Case(op, index, arrays, name, seed)  # type: ignore[arg-type]
                op.look(case)
                found.append(case)
                if all(isinstance(a, Fixed) for a in arrays.args):
                    break  # no dtype makes a difference
    return found
