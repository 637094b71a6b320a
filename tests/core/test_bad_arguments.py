"""Bad arguments raise PyTorch's error: none crashes, hangs, or takes memory without bound.

The arguments are derived: from each sample of a public function one argument at a time is spoiled, in dtype, shape, size or
value. Where PyTorch raises, ours raises an error of its type; where PyTorch does not, neither does ours. The words of errors
are compared where samples declare them (tests/ops/test_torch.py).
"""

from __future__ import annotations

import copy
import re
import resource
import subprocess
import sys
import warnings

import numpy as np
import pytest
from tests.core.test_signatures import RANDOM, home_of, made

import chainrule as cr
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.case import load_modules

load_modules("chainrule")
HUGE = 2**60


# -- sizes -------------------------------------------------------------------------------------------------------------

# Of M = 2^42 elements, which no memory holds, and H = 2^60, which no address reaches.
SIZES = """
cr.zeros(M)
cr.empty(H)
cr.full((M,), 1.0)
cr.arange(M)
cr.arange(0, 1e30)
cr.linspace(0, 1, H)
cr.eye(2**31)
cr.randn(M)
cr.randperm(M)
cr.empty_strided((2,), (M,))
x.new_zeros(M)
x.resize_(M)
x.repeat(M, 1)
x.tile(H)
x.expand(M, 2, 3) + 1
x.repeat_interleave(M)
cr.repeat_interleave(cr.tensor([M]))
F.pad(x, (M, 0))
F.one_hot(i, H)
F.one_hot(cr.tensor([M]))
cr.bincount(cr.tensor([M]))
cr.bincount(i, minlength=H)
cr.nonzero_static(x, size=M)
F.interpolate(im, size=(M, 2))
F.interpolate(im, scale_factor=1e9, mode="bilinear")
F.conv2d(im, cr.ones(1, 2, 3, 3), padding=M)
F.conv2d(im, cr.ones(1, 2, 3, 3), padding=H)
F.conv_transpose2d(im, cr.ones(2, 1, 3, 3), stride=M)
F.adaptive_avg_pool2d(im, M)
F.max_unpool2d(im, cr.zeros(1, 2, 4, 4, dtype=cr.int64), M)
F.fold(cr.ones(1, 8, 9), (M, M), 2)
F.affine_grid(cr.ones(1, 2, 3), (1, 1, M, M))
cr.histc(x, bins=M)
cr.histogram(x, H)
cr.tril_indices(M, M)
cr.combinations(x[0], H)
cr.cartesian_prod(*[cr.ones(1000)] * 12)
cr.vander(x[0], H)
cr.mvlgamma(x * 9, M)
cr.tensor_split(x, M)
cr.tensor_split(x, H)
cr.diag(x[0], M)
cr.as_strided(x, (M,), (1,))
cr.fft.fft(x, M)
cr.fft.fftfreq(H)
cr.hann_window(M)
cr.multinomial(cr.ones(3), M, True)
cr.ones(2**21, 1) + cr.ones(2**21)
cr.meshgrid(*[cr.ones(1000)] * 12)
cr.ones(2**21, 1) @ cr.ones(1, 2**21)
cr.cdist(cr.ones(2**21, 1), cr.ones(2**21, 1))
cr.vmap(lambda y: cr.ones(2**40) * y)(cr.ones(4))
cr.block_diag(cr.ones(2**21, 1), cr.ones(1, 2**21))
""".strip().splitlines()
SMALL = """
cr.polygamma(H, x)
cr.linalg.matrix_power(cr.eye(2), H)
cr.diagonal(x, H)
cr.tril(x, -H)
x.roll(H)
x.unfold(0, 1, H)
cr.chunk(x, H)
x.expand(M, 2, 3)
x[-9:H]
cr.tensor(float("nan")).long()
cr.tensor(float("inf")).int()
""".strip().splitlines()
RUN = """
import sys, warnings
import chainrule as cr
F = cr.nn.functional
M, H = 2**42, 2**60
warnings.simplefilter("ignore")
for line in sys.stdin.read().splitlines():
    x, i, im = cr.ones(2, 3), cr.tensor([1, 0]), cr.ones(1, 2, 4, 4)
    try:
        eval(line)
    except RuntimeError:
        print("RuntimeError", line)
    except Exception as error:
        print(type(error).__name__, line)
    else:
        print("value", line)
"""


def test_sizes_beyond_all_memory_raise_at_once():
    bound = lambda: resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    done = subprocess.run(
        [sys.executable, "-c", RUN], input="\n".join(SIZES + SMALL), capture_output=True, text=True, check=True, timeout=60,
        preexec_fn=bound,
    )  # fmt: skip
    assert done.stdout.splitlines() == [*[f"RuntimeError {s}" for s in SIZES], *[f"value {s}" for s in SMALL]]


def test_want_of_memory_is_pytorchs_error_and_pythons():
    for kind in (RuntimeError, MemoryError, cr.OutOfMemoryError):
        with pytest.raises(kind, match="DefaultCPUAllocator: can't allocate memory: Unable to allocate"):
            cr.zeros(2**45)


# -- one argument spoiled ----------------------------------------------------------------------------------------------


def spoiled(value):
    """Yield (what was done, another value) for an argument."""
    if isinstance(value, np.ndarray):
        yield from spoiled_array(value)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        yield from [(f"= {n}", n) for n in (0, 1, -1, 99, -99, HUGE, -HUGE) if n != value]
    elif isinstance(value, float):
        yield from [(f"= {n}", n) for n in (0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e300)]
    elif isinstance(value, str):
        yield "= nonsense", "nonsense"
    elif isinstance(value, (tuple, list)) and value and all(isinstance(v, int) for v in value):
        first, rest = value[0], list(value[1:])
        for other in ([*value, 0], value[:-1], [first] * len(value), *[[n] * len(value) for n in (99, -99, 0)], [HUGE, *rest]):
            yield f"= {tuple(other)}", type(value)(other)
    elif isinstance(value, (tuple, list)) and value and isinstance(value[0], np.ndarray):
        first, rest = value[0], list(value[1:])
        yield "empty", type(value)([])
        yield "of two dtypes", type(value)([first.astype("float32"), *rest])
        if first.ndim:
            yield "of two shapes", type(value)([np.concatenate([first, first[:1]]), *rest])
            yield "of two ranks", type(value)([first[None], *rest])


def spoiled_array(x):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from [(d, x.astype(d)) for d in ("bool", "int64", "uint8", "complex64", "float16", "float32") if x.dtype != d]
    if x.ndim and x.size:
        yield "longer", np.concatenate([x, x[:1]], 0)
        yield "longer at last", np.concatenate([x, x[..., :1]], -1)
        yield "of fewer axes", np.array(x[0])
    if x.ndim:
        yield "empty", x[:0]
        yield "empty at last", x[..., :0]
    yield "0-d", np.array(x.reshape(-1)[0]) if x.size else np.zeros((), x.dtype)
    yield "of more axes", np.stack([x, x])
    yield "zeros", np.zeros_like(x)
    if x.dtype.kind in "fc":
        yield from [(str(n), np.full_like(x, n)) for n in (np.nan, np.inf)]
    elif x.dtype.kind == "i":
        yield from [(str(n), np.full_like(x, n)) for n in (99, -99)]


def outcome(lib, f, args, kwargs):
    """Return the error that a call raises; None if it raises none."""
    args, kwargs = copy.deepcopy((args, kwargs))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            f(*[made(lib, a) for a in args], **{k: made(lib, v) for k, v in kwargs.items()})
        except Exception as error:
            return error
    return None


def words(error):
    return str(error).replace("chainrule", "torch").split("\n")[0]


def difference(ours, theirs):
    """Return how two outcomes differ, ours first; None if they do not."""
    if ours is None and theirs is None:
        return None
    shown = [f"{type(e).__name__}: {words(e)[:110]}" if e is not None else "no error" for e in (ours, theirs)]
    if ours is not None and theirs is not None:
        kinds = [type(e).__name__.lstrip("_").replace("OutOfMemoryError", "RuntimeError") for e in (ours, theirs)]
        if kinds[0] == kinds[1]:
            return None
    return " | ".join(shown)


def bad_calls(name):
    """Yield (what was done, arguments, keywords) for two samples of a function, each spoiled in one way only once."""
    function, seen = FUNCTIONS[name], set()
    for k, sample in enumerate([s for s in function.samples() if s.error is None][:2]):
        kinds = sample.kinds or function.kinds or "f"
        dtype = {"f": "float64", "i": "int64", "b": "bool", "c": "complex128"}["f" if "f" in kinds else kinds[0]]
        args, kwargs = sample.draw(np.random.default_rng(k), dtype, function.domain)
        for place, value in [*enumerate(args), *kwargs.items()]:
            for how, other in spoiled(np.asarray(value) if isinstance(value, np.generic) else value):
                what = f"argument {place} {how}"
                if what not in seen:
                    seen.add(what)
                    at_place = isinstance(place, int)
                    yield (
                        what,
                        [other if at_place and i == place else a for i, a in enumerate(args)],
                        kwargs if at_place else {**kwargs, place: other},
                    )


# Of these PyTorch ends the process, or does not end, of a bad argument; ours do not.
CRASHING = {"linalg.eig", "linalg.eigvals", "lu_unpack", "max_pool1d"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in RANDOM | CRASHING])
def test_bad_arguments_raise_as_pytorchs_do(torch, name):
    found = home_of(torch, name)
    if found is None:
        pytest.skip(f"PyTorch has no {name}")
    wrong = []
    for what, args, kwargs in bad_calls(name):
        how = difference(outcome(cr, found[1], args, kwargs), outcome(torch, found[0], args, kwargs))
        if how is not None and not is_excused(name, what, how):
            wrong.append(f"{what}: {how}")
    assert not wrong, "\n".join([f"{len(wrong)} differ", *wrong])


@pytest.mark.parametrize("name", sorted(CRASHING))
def test_what_ends_pytorch_does_not_end_ours(torch, name):
    ours = home_of(torch, name)[1]
    assert any([outcome(cr, ours, args, kwargs) is not None for _, args, kwargs in bad_calls(name)])


def is_excused(name, what, how):
    return any(
        re.search(f"^(?:{names})$", name) and re.search(calls, what) and re.search(hows, how)
        for names, calls, hows, _ in EXCEPTIONS
    )


ANY = ".*"
DTYPES = " (bool|int64|uint8|complex64|float16|float32)$"
# (names, spoiled arguments, differences, why); patterns.
EXCEPTIONS = [
    (ANY, DTYPES, r"^no error \| NotImplementedError", "ours computes in dtypes of which PyTorch has no kernel"),
    (ANY, DTYPES, r"^(NotImplemented|Runtime)Error.* \| (NotImplemented|Runtime)Error", "a dtype is unfit in two ways"),
    ("isin|gradient|linalg.vander", DTYPES, "^no error", "likewise"),
    ("linalg.solve_triangular|conv.*|view_as_complex", DTYPES, "no error$", "PyTorch casts, or takes one for the other"),
    (ANY, "0-d|of fewer axes", r"Error.* \| (Index|Runtime)Error", "an axis is wrong, or how many there are: which is first"),
    ("index_(select|add|copy|fill|put)", ANY, "Error.* |no error$", "PyTorch looks at sizes, at memory, or at nothing, first"),
    ("unravel_index", ANY, "out of bounds", "PyTorch does not look whether an index is in the shape"),
    ("adjoint|cholesky|fft.rfftfreq|conv_tbc", ANY, "no error$", "PyTorch takes what it says elsewhere that it does not take"),
    (ANY, str(HUGE)[:8], r"(OutOfMemory|Overflow)Error.* \| no error$", "NumPy has no strides and shapes of that size"),
    (".*pool.*", str(HUGE), r"^no error \| RuntimeError: value cannot be converted", "an int of C has 32 bits"),
    ("pixel_shuffle", str(HUGE), "upscale", "that its square overflows is no concern of Python's ints"),
    (ANY, " (nan|inf)$", "LinAlgError", "which algorithm of LAPACK ends of what is not finite; ours gives NaN or says so"),
    ("linalg.lstsq", ANY, "no error", "batches broadcast, and NaN goes through"),
    ("cartesian_prod|combinations|fft.i?fftshift|conv_transpose.*|stft|norm_except_dim|as_strided_scatter|view_as_complex", ANY,
     "^no error", "ours takes scalars, and what is empty"),
    ("stft", "0-d|of fewer axes", ANY, "PyTorch pads first"),
    ("masked_fill", "complex64$", "no error$", "PyTorch takes a complex number whose imaginary part is 0"),
]  # fmt: skip
