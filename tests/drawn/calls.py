"""Every call that a drawn program may make: each public function on each of its samples that PyTorch takes, as text.

What is drawn of a sample becomes a slot, filled by what the program has computed so far; the rest is written as it is.
"""

from __future__ import annotations

import functools
import operator
import warnings
from typing import NamedTuple

import numpy as np
import torch
from tests.drawn.given import Given, flat, inf, nan
from tests.drawn.nn_calls import NN, Made
from tests.ops.test_torch import HOMES

import chainrule as cr
from chainrule.core.op.declaration import ELEMENTWISE
from chainrule.core.op.samples import Bools, Fixed, Ints, Matrices
from chainrule.core.types.dtype import dtype as Dtype
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.case import load_modules

load_modules("chainrule")  # some declare their functions only when they are used

DTYPES = {"f": ("float64", "float32"), "c": ("complex128",), "i": ("int64",), "b": ("bool",)}
# Functions that programs do not call, beside those that PyTorch has not.
EXCLUDED = {
    "hash_tensor": "a digest of every bit",
    **dict.fromkeys(("gumbel_softmax", "lobpcg", "pca_lowrank", "svd_lowrank"), "it draws numbers, and has no other mode"),
}
# PyTorch's values of these have but six digits, or their gradients, by constants in single precision.
COARSE = {
    "special.airy_ai",
    "special.bessel_y0",
    "special.bessel_y1",
    "igamma",
    "igammac",
    "hardsigmoid",
    "hardswish",
    "celu",
    "celu_",
}
# 1 + erf(x), of which little is left of the last digits of single precision.
CANCELLING = {("special.ndtr", "int64"), ("special.ndtr", "bool"), ("special.ndtr", "float32")}
# Of no reflections PyTorch's result requires grad by what no gradient reaches.
OF_SOME = ("linalg.householder_product", "orgqr")
# These keep a result or an input that PyTorch does not, and so refuse a pass after it was written to.
KEEPING = {
    "ldexp", "polar", "matmul", "frexp", "conv2d", "kron", "linalg.qr", "linalg.lu_factor", "linalg.lu_factor_ex", "linalg.lu",
    "linalg.eigvalsh", "linalg.eig", "linalg.eigvals", "linalg.svd", "linalg.svdvals", "qr", "svd", "lu", "linalg.matrix_norm",
    "linalg.norm", "linalg.cond", "special.ndtr", "scaled_dot_product_attention", "instance_norm",
    "nuclear_norm", "norm", "norm_except_dim",
}  # fmt: skip
# PyTorch's gradients of their gradients are wrong: there differences decide.
WRONG_TWICE = {"group_norm"}
# In place they are not called: PyTorch leaves the result the history of what they write over, and so a wrong gradient.
FORGETFUL = ("logical_and", "logical_not", "logical_or", "logical_xor")
# In place these make PyTorch's result depend on their second input, by a derivative of zeros; ours does not.
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "less_equal", "greater", "greater_equal")
# PyTorch's gradients of these have parts for the triangle that is not read.
ONE_TRIANGLE = ("cholesky_inverse", "cholesky_solve")
# What is determined of results that are so only in part: `{}` is the call.
DETERMINED = {
    "triangular_solve": "{}[:1]",  # PyTorch's copy of the matrix requires grad by what no gradient reaches
    "linalg.eigh": "(lambda w, v: (w, v * w.sin().unsqueeze(-2) @ v.mH))(*{})",
    "linalg.eig": "(lambda w, v: ((v * w.sin().unsqueeze(-2)) @ lib.linalg.inv(v),))(*{})",
    "linalg.eigvals": "(lambda w: (w.sin().sum(-1), (w * w).sum(-1)))({})",
    "linalg.svd": "(lambda u, s, v: (s, u[..., : s.shape[-1]] * s.sin().unsqueeze(-2) @ v[..., : s.shape[-1], :]))(*{})",
    "svd": "(lambda u, s, v: (s, u[..., : s.shape[-1]] * s.sin().unsqueeze(-2) @ v[..., : s.shape[-1]].mH))(*{})",
}


class Unwritten(Exception):
    """A sample holds what has no text."""


class Slot(NamedTuple):
    """An argument that is computed from the program's values: `text`, in which `{}` is one of them."""

    text: str
    dtype: str


class Call(NamedTuple):
    """A call as text.

    Attributes
    ----------
    name : str
    slots : list of Slot
    text : str
        With ``{0}``, ``{1}``, … for the slots' values.
    writes : bool
        The first slot is written to.
    results : list of str
        Their dtypes, "" of what is no tensor.
    is_nested : bool
        Whether the results are to be flattened.
    is_recorded : bool
        Whether PyTorch has a derivative; else it is called on detached values.
    """

    name: str
    slots: list
    text: str
    shape: tuple
    dtype: str
    writes: bool = False
    results: tuple = ()
    is_nested: bool = False
    is_recorded: bool = True


def path(name):
    """Return where PyTorch has a function, as text; None if nowhere."""
    for home in ("nn.functional", *HOMES) if name in NN else HOMES:
        where = f"{home}.{name}" if home else name
        try:
            operator.attrgetter(where)(torch)
        except AttributeError:
            continue
        return f"lib.{where}"
    return None


class Writer:
    """Writes the arguments of one sample in one dtype."""

    def __init__(self, name, sample, dtype, domain):
        self.dtype, self.slots = dtype, []
        self.part = ""
        if name in ONE_TRIANGLE:
            self.part = ".triu()" if True in (*sample.args, *sample.params.values()) else ".tril()"
        domain = sample.domain or domain
        self.domains = iter(domain) if isinstance(domain, list) else None
        self.domain = None if self.domains else domain

    def slot(self, text):
        self.slots.append(Slot(text, self.dtype))
        return f"{{{len(self.slots) - 1}}}"

    def fit(self, shape):
        domain = next(self.domains) if self.domains else self.domain
        more = "" if domain is None else f", {tuple(domain)}"
        if self.dtype == "bool":
            return f"given.bools({shape})"
        if self.dtype == "int64":
            return f"given.ints({shape}, -4, 5)"
        return self.slot(f'given.fit({{}}, {shape}, "{self.dtype}"{more})')

    def spec(self, value):
        """Return the text of a sample's argument."""
        if isinstance(value, list):
            return f"[{', '.join(map(self.spec, value))}]"
        if isinstance(value, Made):
            return self.slot(value.text.replace("{}", f'given.fit({{}}, {value.shape}, "{self.dtype}")'))
        if isinstance(value, Fixed):
            return self.literal(value.value)
        if isinstance(value, Ints):
            return f"given.ints({value.shape}, {value.low}, {value.high})"
        if isinstance(value, Bools):
            return f"given.bools({value.shape})"
        if isinstance(value, Matrices):
            return self.slot(f'given.matrices({{}}, {value.shape}, "{self.dtype}", "{value.kind}"){self.part}')
        if value.__class__ is tuple:
            return self.fit(value)
        return self.literal(value)

    def literal(self, value):
        """Return the text of a value given as it is."""
        if isinstance(value, (np.ndarray, np.generic)):
            if value.dtype.kind not in "bifc" or not np.isfinite(value).all():
                raise Unwritten  # NaN would hide what follows
            return f'given.array({value.tolist()}, "{value.dtype}")'
        if isinstance(value, Dtype):
            return f"lib.{value.name}"
        if isinstance(value, Made):
            return self.spec(value)
        if isinstance(value, (tuple, list)):
            inner = ", ".join(map(self.literal, value))
            return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
        if value is None or value.__class__ in (bool, int, float, complex, str):
            return repr(value)
        raise Unwritten


def written(function, sample, dtype, writes=False):
    """Return a sample's call as text."""
    writer = Writer(function.name, sample, dtype, function.domain)
    args = [writer.spec(a) for a in sample.args] + [f"{k}={writer.literal(v)}" for k, v in sample.params.items()]
    shape = sample.args[0] if sample.args and sample.args[0].__class__ is tuple else ()
    if writes:
        if not args or args[0] != "{0}":
            raise Unwritten
        return Call(function.name, writer.slots, f"{{0}}.{function.name}_({', '.join(args[1:])})", shape, dtype, True)
    if function.name in OF_SOME and any("(0,)" in slot.text for slot in writer.slots):
        raise Unwritten
    text = f"{path(function.name)}({', '.join(args)})"
    return Call(function.name, writer.slots, DETERMINED.get(function.name, "{}").replace("{}", text), shape, dtype)


def tried(call):
    """Return a call with what PyTorch makes of it noted; None if PyTorch does not take it."""
    given = Given(torch)
    space = {"lib": torch, "given": given, "inf": inf, "nan": nan}
    x = given.leaf((5,), call.dtype) if call.dtype in ("float64", "float32", "complex128") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            out = eval(call.text.format(*[slot.text.format("x") for slot in call.slots]), space, {"x": x})
        except (RuntimeError, TypeError, NotImplementedError, ValueError, IndexError, AttributeError):
            return None
        outs = flat(out)
        if call.writes and tuple(out.shape) != call.shape:
            return None  # PyTorch's addbmm_ resizes what it writes to
        active = [o for o in outs if isinstance(o, torch.Tensor) and o.requires_grad]
        is_recorded = bool(active)
        try:
            if active:
                torch.autograd.backward([o.abs().sum() for o in active])
        except (RuntimeError, NotImplementedError):
            is_recorded = False
    results = tuple(str(o.dtype)[6:] if isinstance(o, torch.Tensor) else "" for o in outs)
    is_nested = isinstance(out, (tuple, list)) and any(isinstance(o, (tuple, list)) for o in out)
    if not isinstance(out, (tuple, list)):
        is_nested = None
    return call._replace(results=results, is_nested=is_nested, is_recorded=is_recorded or x is None)


class Declared(NamedTuple):
    """A function of nn.functional as `Function` is for the others."""

    name: str
    domain: None = None
    kinds: str = "f"
    inplace: bool = False


def functions():
    """Yield (function, its samples): the whole table, and nn.functional."""
    for function in FUNCTIONS.values():
        yield function, function.samples()
    for name, samples in NN.items():
        yield Declared(name if name not in FUNCTIONS else f"nn.functional.{name}"), samples


@functools.cache
def table():
    """Return the calls that PyTorch takes: {function: {dtype: calls}}, and the same of those in place."""
    plain: dict[str, dict] = {}
    writing: dict[str, dict] = {}
    for function, samples in functions():
        if function.name in EXCLUDED or path(function.name) is None:
            continue
        for found, writes in ((plain, False), (writing, True)):
            if writes and (not function.inplace or function.name in FORGETFUL):
                continue
            calls: dict[str, list] = {}
            for sample in samples:
                kinds = (function.kinds if sample.kinds is None else sample.kinds) or "f"  # of no tensors, once
                for dtype in [
                    d for k in kinds for d in DTYPES[k] if sample.error is None and (function.name, d) not in CANCELLING
                ]:
                    try:
                        call = tried(written(function, sample, dtype, writes))
                    except Unwritten:
                        continue
                    if call is not None:
                        calls.setdefault(dtype, []).append(call)
            if calls:
                found[function.name] = calls
    return plain, writing


@functools.cache
def elementwise():
    """Return the elementwise functions of tensors alone: {name: (path, domains)}; they take any shapes and dtypes."""
    found = {}
    for function in FUNCTIONS.values():
        op = getattr(function.call, "op", None)
        if op is None or op.kind != ELEMENTWISE or op.params or function.name in EXCLUDED or function.name not in table()[0]:
            continue
        domain = function.domain
        domains = domain if isinstance(domain, list) else [domain] * len(op.inputs)
        found[function.name] = (path(function.name), [None if d is None else tuple(d) for d in domains])
    return found


@functools.cache
def promoted(name, *dtypes):
    """Return the dtype of an elementwise function of tensors of these dtypes; None if PyTorch does not take them."""
    if (name, dtypes[0]) in CANCELLING or (name.startswith("special.") and {"int64", "bool"} & {*dtypes}):
        return None  # of large integers these are beyond single precision, in which PyTorch computes them
    try:
        ones = [torch.ones(2, dtype=getattr(torch, d)) for d in dtypes]
        ones = [x / 2 if x.is_floating_point() or x.is_complex() else x for x in ones]
        for x in ones:
            x.requires_grad_(x.is_floating_point() or x.is_complex())
        out = operator.attrgetter(elementwise()[name][0][4:])(torch)(*ones)
        if out.requires_grad:
            out.abs().sum().backward()
    except (RuntimeError, TypeError, NotImplementedError):
        return None
    if not out.requires_grad and any(x.requires_grad for x in ones) and out.is_floating_point():
        return None  # a derivative that PyTorch drops
    return str(out.dtype)[6:]


def missing():
    """Return which public functions no call is made of, and why."""
    plain, _ = table()
    home = cr.nn.functional
    found = {}
    for name in [*FUNCTIONS, *[n for n in dir(home) if not n.startswith("_") and callable(getattr(home, n))]]:
        if name not in plain and f"nn.functional.{name}" not in plain:
            found[name] = EXCLUDED.get(name, "PyTorch has none" if path(name) is None else "no sample that PyTorch takes")
    return found
