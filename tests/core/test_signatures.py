"""Every form in which PyTorch's signatures let a function be called: by position, by keyword, by NumPy's names, as a method.

The forms are derived: from the samples of a public function, and from the schemas that PyTorch has of it. Whatever PyTorch
makes of a form, the same value or an error of the same type, chainrule makes of it.
"""

from __future__ import annotations

import inspect
import re
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.tensor.tensor import wrap
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.case import load_modules
from chainrule.testing.compare import gap

pytestmark = pytest.mark.slow
load_modules("chainrule")

NUMPYS = {"dim": ("axis",), "keepdim": ("keepdims",), "input": ("x", "a", "x1"), "other": ("x2",)}
HOMES = ("", "linalg", "fft", "special", "nn.functional")


class Parameter:
    """A parameter of PyTorch's: its name, its default if it has one."""

    def __init__(self, name, default, keyword_only):
        self.name, self.default, self.keyword_only = name, default, keyword_only


REQUIRED = inspect.Parameter.empty


def read(argument):
    """Return the parameter that an argument of a schema is."""
    default = argument.default_value if argument.has_default_value() else REQUIRED
    return Parameter("input" if argument.name == "self" else argument.name, default, argument.kwarg_only)


def signatures(torch, name, theirs):
    """Return the parameter lists of PyTorch's overloads."""
    packet = getattr(torch.ops.aten, name, None)
    found = []
    for overload in packet.overloads() if hasattr(packet, "overloads") else ():
        schema = getattr(packet, overload)._schema
        arguments = schema.arguments
        is_script = any(a.name == "a" for a in arguments)  # TorchScript's, of Python numbers
        if is_script or "Dimname" in str(schema) or any(a.is_out or a.type.kind() == "GeneratorType" for a in arguments):
            continue
        found.append([read(argument) for argument in arguments])
    try:
        python = inspect.signature(theirs).parameters.values()
    except (ValueError, TypeError):
        return found
    if all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in python):
        found.append([Parameter(p.name, p.default, p.kind is p.KEYWORD_ONLY) for p in python])
    return found


def forms(args, kwargs, signature):
    """Yield (what it is, positional arguments, keyword arguments) of one call in one signature's forms."""
    positional = [p.name for p in signature if not p.keyword_only]
    names = [p.name for p in signature]
    if len(args) > len(positional) or not set(kwargs) <= set(names):
        return
    given = {**dict(zip(positional, args, strict=False)), **kwargs}
    yield "keywords", (), given
    for k in range(1, len(positional) + 1):
        if all(n in given for n in positional[:k]):
            rest = {n: v for n, v in given.items() if n not in positional[:k]}
            yield f"{k} by position", tuple(given[n] for n in positional[:k]), rest
    for name, others in NUMPYS.items():
        for other in others if name in given else ():
            yield f"{other} for {name}", (), {other if n == name else n: v for n, v in given.items()}
    for p in signature:
        if p.name not in given and p.default is not REQUIRED:
            yield f"{p.name} as by default", (), {**given, p.name: p.default}
        elif p.name in given and p.default is not REQUIRED:
            yield f"without {p.name}", (), {n: v for n, v in given.items() if n != p.name}
            if p.default is None:
                yield f"{p.name} None", (), {**given, p.name: None}
        if p.name in given:
            for what, other in variants(given[p.name]):
                yield f"{p.name} {what}", (), {**given, p.name: other}
    yield "an unknown keyword", args, {**kwargs, "nonesuch": 1}
    yield "one argument too many", (*args, *[None] * (len(positional) - len(args) + 1)), kwargs


def variants(value):
    """Yield (what it is, the value in another guise)."""
    if isinstance(value, bool):
        yield "int", int(value)
    elif isinstance(value, int):
        yield "list", [value]
        yield "tuple", (value,)
        yield "float", float(value)
        yield "0-d tensor", np.array(value)
        yield "NumPy integer", np.int64(value)
    elif isinstance(value, float):
        yield "0-d tensor", np.array(value)
    elif isinstance(value, (tuple, list)) and value and all(isinstance(v, int) for v in value):
        yield "list", list(value)
        yield "tuple", tuple(value)
        yield "first alone", value[0]
        yield "Size", SIZE(value)
    elif isinstance(value, np.ndarray):
        yield "number", 2
        yield "float", 1.5
        yield "bool", True
        yield "list", value.tolist()


class SIZE(tuple):
    """A tuple to be a torch.Size or chainrule's."""


def made(lib, value):
    """Return an argument as a library takes it."""
    if isinstance(value, SIZE):
        return lib.Size(value)
    if isinstance(value, (list, tuple)):
        return type(value)(made(lib, v) for v in value)
    if isinstance(value, cr.dtype):
        return getattr(lib, value.name)
    if isinstance(value, np.ndarray) or (isinstance(value, np.generic) and not isinstance(value, np.int64)):
        return wrap(np.array(value)) if lib is cr else lib.tensor(np.array(value))
    return value


def outcome(lib, f, args, kwargs):
    """Return the results as a flat list, or the error."""

    def flat(out):
        return [leaf for o in out for leaf in flat(o)] if isinstance(out, (tuple, list)) else [out]

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return flat(f(*[made(lib, a) for a in args], **{k: made(lib, v) for k, v in kwargs.items()}))
        except Exception as error:
            return error


def difference(torch, ours, theirs):
    """Return how two outcomes differ; None if they do not."""
    if isinstance(theirs, Exception):
        named = f"PyTorch raises {type(theirs).__name__}: {str(theirs)[:100]!r}"
        if not isinstance(ours, Exception):
            return f"ours accepts; {named}"
        return None if type(ours).__name__ == type(theirs).__name__ else f"{ours!r}; {named}"
    if isinstance(ours, Exception):
        return f"ours raises {ours!r}"
    if len(ours) != len(theirs):
        return f"{len(ours)} results, PyTorch's are {len(theirs)}"
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, torch.Tensor):
            a, b = (np.asarray(t.detach().resolve_conj().resolve_neg().numpy()) for t in (a, b))
            how = f"dtype {a.dtype} against {b.dtype}" if a.dtype != b.dtype else gap(a, b, 1e-5)
            if how is not None:
                return how
        elif str(a).replace("chainrule", "torch") != str(b):
            return f"{a!r} against {b!r}"
    return None


def tried(torch, name, theirs):
    """Yield (what it is, function or method, positional arguments, keywords) of all forms of all samples."""
    function, seen = FUNCTIONS[name], set()
    for k, sample in enumerate([s for s in function.samples() if s.error is None][:6]):
        kinds = sample.kinds or function.kinds or "f"
        dtype = {"f": "float64", "i": "int64", "b": "bool", "c": "complex128"}["f" if "f" in kinds else kinds[0]]
        args, kwargs = sample.draw(np.random.default_rng(k), dtype, function.domain)
        for signature in signatures(torch, name, theirs):
            for what, positional, named in forms(args, kwargs, signature):
                key = (what, repr(positional), repr(sorted(named.items(), key=lambda item: item[0])))
                if key in seen:
                    continue
                seen.add(key)
                yield f"sample {k}, {what}", None, positional, named
                first = named["input"] if "input" in named else positional[0] if positional else None
                if isinstance(first, np.ndarray) and hasattr(torch.Tensor, name):
                    rest = {n: v for n, v in named.items() if n != "input"}
                    after = positional if "input" in named else positional[1:]
                    yield f"sample {k}, method, {what}", name, (first, *after), rest


RANDOM = {
    "alpha_dropout", "bernoulli", "binomial", "dropout", "empty", "empty_like", "empty_permuted", "empty_strided",
    "feature_alpha_dropout", "feature_dropout", "multinomial", "normal", "poisson", "rand", "rand_like", "randint",
    "randint_like", "randn", "randn_like", "randperm", "rrelu",
}  # fmt: skip


def home_of(torch, name):
    """Return PyTorch's function of a name and ours; None where PyTorch has none."""
    for home in HOMES:
        theirs, ours = torch, cr
        for part in filter(None, f"{home}.{name}".split(".")):
            theirs, ours = getattr(theirs, part, None), getattr(ours, part, None)
        if theirs is not None and ours is not None:
            return theirs, ours
    return None


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in RANDOM])
def test_every_form_of_a_call_does_what_pytorchs_does(torch, name):
    found = home_of(torch, name)
    if found is None:
        pytest.skip(f"PyTorch has no {name}")
    wrong = []
    for what, method, args, kwargs in tried(torch, name, found[0]):
        theirs, ours = (getattr(torch.Tensor, name), getattr(cr.Tensor, name, None)) if method else found
        how = difference(torch, outcome(cr, ours, args, kwargs), outcome(torch, theirs, args, kwargs))
        if how is not None and not is_excused(name, what, how):
            wrong.append(f"{what}: {how}")
    assert not wrong, "\n".join([f"{len(wrong)} forms differ", *wrong[:6]])


def is_excused(name, what, how):
    return any(
        re.search(f"^(?:{names})$", name) and re.search(forms, what) and re.search(hows, how)
        for names, forms, hows, _ in EXCEPTIONS
    )


ANY = ".*"

# (names, forms, differences, why); patterns.
GUISES = r" (number|float|bool|list|tuple|int|0-d tensor|NumPy integer|Size|first alone)$"
OVERLOADED = (
    "bucketize|cumulative_trapezoid|dsplit|gradient|histogram|hsplit|isin|max|mean|median|min|nanmedian|norm|nuclear_norm|prod|scatter|"
    "searchsorted|split|squeeze|std|std_mean|sum|tensor_split|trapezoid|trapz|unflatten|unique_consecutive|var|var_mean|vsplit|"
    "where|.*_window"
)
EXCEPTIONS = [
    (ANY, GUISES, "PyTorch raises", "PyTorch looks at types first; here numbers are tensors, and what can be read is"),
    (ANY, r"\b(x|a|x1|x2) for (input|other)$", "unexpected keyword", "NumPy's names would cost each call of the hottest"),
    (OVERLOADED, "^(?!.*unknown)", "ours accepts", "one function takes what PyTorch divides among overloads, in any mixture"),
    ("add|sub|subtract|rsub", "3 by position", "2 positional arguments", "add(x, alpha, y), of which PyTorch warns"),
    ("selu|celu|threshold", "one argument too many", "ours accepts", "inplace=, as those of nn.functional have it"),
    ("[dhv]split", "method", "'(sections|indices)'", "a method has the name that ours has for both, indices_or_sections"),
    (r".*_window|signal\.windows\..*", "layout", "must be chainrule.strided", "PyTorch's own layout is no layout of ours"),
    ("svd|linalg.svd", ANY, "differ", "vectors are determined up to their signs"),
    ("cdist", "compute_mode as by default", "ours accepts", "two of PyTorch's signatures have two defaults"),
    ("pixel_unshuffle", ANY, r"shape \(0, ", "PyTorch returns an empty input as it is, whatever its shape should be"),
    ("histogram|histogramdd", "bins 0-d tensor", "one dimension", "a tensor of bins is one of edges"),
    ("tensor_split", "tensor_indices_or_sections", "unexpected", "the same: one name for all of them"),
    ("max|min", "dim 0-d tensor", "1 results", "a tensor there is the other operand"),
    ("unravel_index", "shape first alone", "out of bounds", "PyTorch's does not look whether the index is in the shape"),
    ("repeat_interleave", "sample 4", "missing 1 required|ours accepts", "counts alone are had by position, and as a method"),
    ("unique_consecutive", "2 by position", "3 results", "a flag that PyTorch's own dispatcher loses"),
]  # fmt: skip
