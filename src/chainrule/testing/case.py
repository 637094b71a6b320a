"""Case: one op, one of its samples, one dtype, and what laws need of them: arrays, tensors, the op as a function.

Random numbers depend on the seed, the op's name and the sample's place only, so a failure repeats.
"""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.core.op.declaration import TABLE, Op
from chainrule.core.op.samples import Matrices, Sample, samples_of
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import is_inexact
from chainrule.functions import late
from chainrule.testing import ways

late.load()  # laws look at every function

OF_KIND = {"b": "bool", "i": "int64", "f": "float64", "c": "complex128"}
_KIND_OF = {"b": "b", "i": "i", "u": "i", "f": "f", "c": "c", "V": "f"}


class OpError(AssertionError):
    """An op breaks a law.

    Parameters
    ----------
    law : str
        What should have held.
    case : Case
        Where it did not: op, sample, dtype.
    detail : str
        The input or result concerned, and both numbers.
    """

    def __init__(self, law: str, case: Case, detail: str):
        self.law, self.case, self.detail = law, case, detail
        super().__init__(
            f"{case.op.name}: '{law}' fails on sample {case.index}, {case.sample!r}, in {case.dtype.name}: {detail}"
        )


class Case:
    """One op, one sample, one dtype.

    Parameters
    ----------
    op : Op
    index : int
        The sample's place among the op's.
    sample : Sample
    dtype : numpy.dtype or str
        What the sample's arrays are drawn in.
    seed : int

    Attributes
    ----------
    args, params : list, dict
        The drawn positional arguments and the static parameters.
    moving : tuple of int
        Positions of the inputs in which the op is differentiable here; a `Fixed` one stays.
    """

    __slots__ = ("_drawn", "_run", "dtype", "index", "op", "sample", "seed")

    def __init__(self, op: Op, index: int, sample: Sample, dtype: Any, seed: int = 0):
        self.op, self.index, self.sample, self.dtype, self.seed = op, index, sample, np.dtype(dtype), seed
        self._drawn: tuple[list, dict] | None = None
        self._run: tuple[str | None, Callable] | None = None

    def _draw(self) -> tuple[list, dict]:
        if self._drawn is None:
            self._drawn = self.sample.draw(self.rng("inputs"), self.dtype, self.op.about.domain)
        return self._drawn

    def rng(self, purpose: str) -> np.random.Generator:
        """Return random numbers of their own for one purpose."""
        return np.random.default_rng([self.seed, self.index, zlib.crc32(f"{self.op.name} {purpose}".encode())])

    @property
    def args(self) -> list:
        """The positional arguments, arrays drawn."""
        return self._draw()[0]

    @property
    def params(self) -> dict:
        """The static parameters."""
        return self._draw()[1]

    @property
    def moving(self) -> tuple[int, ...]:
        """Positions of the inputs in which the op is differentiable here."""
        specs = self.sample.args
        rules = self.op.rules * len(specs) if self.op.variadic else self.op.rules
        return tuple(i for i, (spec, r) in enumerate(zip(specs, rules, strict=False)) if r is not None and self._moves(spec))

    def _moves(self, spec: Any) -> bool:
        """Tell whether what a sample says of an argument draws floating numbers, without drawing them."""
        if spec.__class__ is tuple or isinstance(spec, Matrices):
            return self.dtype.kind in "fcV"
        return is_floating(spec)

    def input_name(self, i: int) -> str:
        """Return the name of an input, as the declaration has it."""
        return f"{self.op.inputs[0]}[{i}]" if self.op.variadic else self.op.inputs[i]

    def raw(self, values: Sequence[Any] = (), at: Sequence[int] = ()) -> list:
        """Return the floating results of the op on arrays, the inputs at some positions replaced."""
        return floating(self.call(filled(self.args, values, at)))

    def call(self, args: Iterable[Any]) -> Any:
        """Call the op on these arguments with the case's parameters."""
        with np.errstate(all="ignore"):
            return self.run(*args)

    def run(self, *args: Any) -> Any:
        """Call the op on these arguments; on tensors compiled, where laws are to see it so (`ways`)."""
        if not any(isinstance(a, Tensor) for a in args):
            return self.op.call(*args, **self.params)
        if self._run is None or self._run[0] != ways.chosen():
            self._run = ways.chosen(), ways.call(lambda *given: self.op.call(*given, **self.params))
        return self._run[1](*args)

    def tensors(self) -> list:
        """Return fresh tensors of the arrays among the arguments."""
        return [tensor_of(a) for a in self.args]

    def function(self, at: Sequence[int], result: int | None = None) -> Callable:
        """Return the op as a function of tensors at some positions: a tuple of its floating results, or one of them."""

        def f(*values: Tensor) -> Any:
            outs = tuple(floating(self.run(*filled(self.tensors(), values, at))))
            return outs if result is None else outs[result]

        return f

    def directions(self, at: Sequence[int], purpose: str = "directions") -> list[np.ndarray]:
        """Return random directions for the inputs at some positions."""
        rng = self.rng(purpose)
        drawn = [like(rng, a) if is_floating(a) else None for a in self.args]
        for i, spec in enumerate(self.sample.args):
            if isinstance(spec, Matrices):
                drawn[i] = spec.direction(drawn[i])  # type: ignore[arg-type]
        return [drawn[i] for i in at]  # type: ignore[misc]

    def weights(self, purpose: str = "weights") -> list[np.ndarray]:
        """Return random cotangents for the floating results."""
        rng = self.rng(purpose)
        return [like(rng, out) for out in self.raw()]

    def is_supported(self) -> bool:
        """Tell whether the kernel computes in the case's dtype; some libraries, such as LAPACK, have no half precision."""
        try:
            self.call(self.args)
        except (TypeError, ValueError, NotImplementedError):
            return self.dtype.itemsize > 2
        return True

    def __repr__(self) -> str:
        return f"{self.op.name}-{self.index}-{self.dtype.name}"


def is_floating(value: Any) -> bool:
    """Tell whether a value is an array, NumPy scalar or tensor of floating point or complex numbers."""
    if isinstance(value, Tensor):
        return is_inexact(value)
    return isinstance(value, (np.ndarray, np.generic)) and is_inexact(value)


def floating(out: Any) -> list:
    """Return the floating results among an op's results."""
    return [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if is_floating(o)]


def filled(args: Sequence[Any], values: Sequence[Any], at: Sequence[int]) -> list:
    """Return the arguments with those at some positions replaced."""
    args = list(args)
    for i, value in zip(at, values, strict=True):
        args[i] = value
    return args


def like(rng: np.random.Generator, value: Any) -> np.ndarray:
    """Return normal random numbers of a value's shape and dtype."""
    drawn = rng.normal(size=value.shape) + (1j * rng.normal(size=value.shape) if value.dtype.kind == "c" else 0)
    return np.asarray(drawn).astype(value.dtype)


def tensor_of(value: Any) -> Any:
    """Return a fresh tensor of an array; anything else as it is."""
    return wrap(value.copy()) if isinstance(value, (np.ndarray, np.generic)) else value


def load_modules(package: str) -> list[str]:
    """Import every module of a package, so that all they declare is declared; return their names."""
    found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    names = [module.name for module in found if not module.name.endswith("__main__")]
    for name in names:
        importlib.import_module(name)
    return names


def load_table() -> dict[str, Op]:
    """Return the op table with every module of the rule book imported."""
    load_modules("chainrule.ops")
    return TABLE


def cases(
    ops: Iterable[Op] | None = None,
    kinds: str = "fc",
    dtypes: Iterable[Any] | None = None,
    *,
    samples: Sequence[Sample] | None = None,
    differentiable: bool = False,
    inputs: int = 1,
    errors: bool = False,
    seed: int = 0,
) -> list[Case]:
    """Return the cases of some ops, or of the whole table.

    Parameters
    ----------
    ops : iterable of Op, optional
        All that are pure if not given: of the others no two runs are alike.
    kinds : str
        Which of the kinds "b", "i", "f", "c" to try, in their widest dtypes, where op and sample allow it.
    dtypes : iterable of dtypes, optional
        Try these instead, where op and sample allow their kind.
    samples : sequence of Sample, optional
        In place of the ops' own.
    differentiable : bool
        Only cases with a differentiable input.
    inputs : int
        Only cases with at least so many differentiable inputs.
    errors : bool
        The samples that raise, instead of those that do not.
    seed : int
        Of the random numbers.

    Returns
    -------
    list of Case
        Whose `repr` reads ``mul-0-float64``.
    """
    names = [OF_KIND[k] for k in kinds] if dtypes is None else [np.dtype(getattr(d, "numpy", d)).name for d in dtypes]
    found = []
    for op in [op for op in load_table().values() if op.pure] if ops is None else ops:
        if (differentiable or inputs > 1) and not op.is_differentiable:
            continue
        for index, sample in enumerate(samples_of(op) if samples is None else samples):
            if (sample.error is not None) != errors:
                continue
            for name in names:
                kind = _KIND_OF[np.dtype(name).kind]
                if kind not in (op.kinds if sample.kinds is None else sample.kinds):
                    continue
                case = Case(op, index, sample, name, seed)
                if not (differentiable or inputs > 1) or len(case.moving) >= inputs:
                    found.append(case)
    return found
