"""What is asked of each entry of PyTorch's database, a function a mode: it yields what is wrong, one text each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
import torch
from tests.ops.database import ENTRIES, WIDE, Call, Entry, Missing, array, difference, program, tensors, translated

import chainrule as cr

MODES: dict[str, Callable[[Entry], Iterator[str]]] = {}
NARROW = ("float32", "float16", "bfloat16", "complex64", "int32", "int16", "int8", "uint8")


def mode(check: Callable) -> Callable:
    """Add a check to the modes, under its name."""
    MODES[check.__name__] = check
    return check


class Raised(Exception):
    """An error as a result."""

    def __init__(self, error: Exception):
        super().__init__(f"{type(error).__name__}: {' '.join(str(error).split())[:150]}")
        self.error = error


def result(run: Callable, *args: Any, **kwargs: Any) -> Any:
    """Return what a call returns or raises."""
    try:
        return run(*args, **kwargs)
    except Exception as error:
        return Raised(error)


def compare(theirs: Any, ours: Any, **how: Any) -> str | None:
    """Return in what two outcomes differ, errors by their types."""
    if isinstance(theirs, Raised) and isinstance(ours, Raised):
        same = type(theirs.error).__name__ == type(ours.error).__name__
        return None if same else f"raises {ours}, not {theirs}"
    if isinstance(theirs, Raised) or isinstance(ours, Raised):
        return f"raises {ours}" if isinstance(ours, Raised) else f"does not raise {theirs}"
    return difference(theirs, ours, **how)


def run(f: Callable, call: Call) -> Any:
    """Call a function."""
    return f(*call.args, **call.kwargs)


# --- values ------------------------------------------------------------------------------------------------------------------


def is_random(entry: Entry) -> bool:
    """Return whether the entry's results are random or not set: their shapes and dtypes alone are compared."""
    return entry.name in RANDOM or entry.op.name in RANDOM


# Of these PyTorch leaves open which of several results is given: what the reader of a sample makes of them is compared, and of
# indices of equal elements their shape.
TIES = {"kthvalue", "topk", "mode", "sort", "argsort", "msort"}
GAUGE = {"linalg.eig", "linalg.eigh", "linalg.svd", "svd"}
RANDOM = {
    *("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted", "normal", "uniform"),
    *("cauchy", "exponential", "geometric", "log_normal", "rand_like", "randn", "randn_like", "randint", "randint_like"),
    *("multinomial", "bernoulli", "nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d"),
    *("nn.functional.rrelu", "nn.functional.alpha_dropout", "nn.functional.feature_alpha_dropout[with_train]"),
    *("nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d"),
    *("nn.functional.multi_head_attention_forward", "svd_lowrank", "pca_lowrank"),
}


def is_drawn(entry: Entry, call: Call) -> bool:
    """Return whether a call's result is random."""
    return is_random(entry) or call.kwargs.get("dropout_p", 0) > 0


def valued(entry: Entry, calls: list[Call]) -> Iterator[str]:
    """Compare the values of calls."""
    for call in calls:
        ours = call.translated()
        theirs, found = result(run, entry.theirs, call), result(run, entry.ours, ours)
        why = compare(theirs, found, values=not is_drawn(entry, call) and entry.op.name not in TIES | GAUGE)
        if why is None and not isinstance(theirs, Raised):
            if entry.op.name in GAUGE:
                why = compare(call.process(theirs), ours.process(found))
            elif entry.op.name in TIES and entry.op.name != "argsort":
                why = compare(tensors(theirs)[:1], tensors(found)[:1])
        if why:
            yield f"{call}: {why}"


@mode
def value(entry: Entry) -> Iterator[str]:
    """Values, shapes and dtypes in float64, complex128, int64 and bool."""
    for dtype in entry.dtypes(*WIDE):
        yield from valued(entry, entry.calls(dtype))


@mode
def dtypes(entry: Entry) -> Iterator[str]:
    """The same in every other dtype that both libraries know."""
    for dtype in entry.dtypes(*NARROW):
        yield from valued(entry, entry.calls(dtype, most=2))


@mode
def layouts(entry: Entry) -> Iterator[str]:
    """Values of arguments whose memory is strided."""
    for dtype in entry.dtypes("float64", "int64"):
        yield from valued(entry, [c.given({id(t): strided(t) for t in c.tensors()}) for c in entry.calls(dtype, most=3)])


def strided(t: torch.Tensor) -> torch.Tensor:
    """Return a tensor of the same values, with a step of 2 in its last dimension and a hole before it."""
    whole = torch.zeros((*t.shape[:-1], 2 * t.shape[-1] + 1) if t.ndim else (3,), dtype=t.dtype)
    view = whole[..., 1::2] if t.ndim else whole[1]
    view.copy_(t.detach())
    return view


def both(f: Callable | None) -> tuple[Callable, Callable] | None:
    """Return a callable of PyTorch's and ours, None if there is none."""
    return None if f is None else (f, program(f))


@mode
def methods(entry: Entry) -> Iterator[str]:
    """Methods, aliases and their methods give what the function gives."""
    variants = [entry.op.method_variant, *[f for a in entry.op.aliases for f in (a.op, a.method_variant)]]
    dtype = next(iter(entry.dtypes(*WIDE)), None)
    for variant in variants if dtype is not None else ():
        pair = result(both, variant)
        if isinstance(pair, Raised):
            yield str(pair)
        elif pair is not None:
            for call in entry.calls(dtype, most=2):
                ours = call.translated()
                theirs = result(run, pair[0], call)
                if why := compare(theirs, result(run, pair[1], ours), values=not is_drawn(entry, call)):
                    yield f"{pair[0]} of {call}: {why}"


@mode
def writes(entry: Entry) -> Iterator[str]:
    """In-place forms write, and give back what they wrote into; gradients pass through them."""
    for variant in [entry.op.inplace_variant, *[a.inplace_variant for a in entry.op.aliases]]:
        pair = result(both, variant)
        if isinstance(pair, Raised):
            yield str(pair)
        elif pair is not None:
            for dtype in entry.dtypes(*WIDE):
                for call in entry.calls(dtype, grad=entry.is_differentiable(dtype), most=3):
                    if isinstance(call.args[0], torch.Tensor):
                        yield from written(entry, pair, call)


def written(entry: Entry, pair: tuple[Callable, Callable], call: Call) -> Iterator[str]:
    """Compare one in-place call."""

    def write(f: Callable, call: Call) -> Any:
        target = call.args[0].clone()
        out = run(f, call.given({id(call.args[0]): target}))
        assert out is target, "does not return what it wrote into"
        return target

    ours = call.translated()
    theirs = result(write, pair[0], call)
    found = result(write, pair[1], ours)
    why = compare(theirs, found, values=not is_drawn(entry, call))
    if why:
        yield f"{call}: {why}"
    elif not isinstance(theirs, Raised) and theirs.requires_grad and not is_drawn(entry, call):
        g = [cotangent(theirs)]
        expected = result(pulled, [theirs], call, g)
        if isinstance(expected, Raised) and isinstance(expected.error, NotImplementedError):
            return  # of some in-place forms PyTorch has no derivative
        if why := compare(expected, result(pulled, [found], ours, g)):
            yield f"gradient of {call}: {why}"


@mode
def out(entry: Entry) -> Iterator[str]:
    """Results are written into `out=`, resized where they do not fit, and refused where the dtype does not."""
    if not entry.op.supports_out:
        return
    for dtype in entry.dtypes("float64", "complex128", "int64")[:2]:
        for call in entry.calls(dtype, most=2):
            expected = result(run, entry.theirs, call)
            if isinstance(expected, Raised) or not tensors(expected):
                continue
            kinds = {"fits": lambda t: torch.full_like(t, 7), "is empty": lambda t: t.new_empty(0)}
            kinds["is strided"] = lambda t: strided(torch.full_like(t, 7))
            kinds["has another dtype"] = lambda t: t.new_zeros(t.shape, dtype=torch.int16)
            for kind, make in kinds.items():
                into = [make(t) for t in tensors(expected)]
                mine = [translated(t, {}) for t in into]
                theirs = result(run_out, entry.theirs, call, expected, into)
                found = result(run_out, entry.ours, call.translated(), expected, mine)
                values = not is_drawn(entry, call) and entry.op.name not in TIES | GAUGE
                if why := compare(theirs, found, values=values):
                    yield f"out= that {kind}, {call}: {why}"
                    break


def run_out(f: Callable, call: Call, expected: Any, into: list) -> Any:
    """Call a function with `out=`; return what it wrote into."""
    f(*call.args, **call.kwargs, out=into[0] if isinstance(expected, torch.Tensor) else tuple(into))
    return into


# --- derivatives -------------------------------------------------------------------------------------------------------------


def cotangent(t: torch.Tensor) -> np.ndarray:
    """Return numbers of a tensor's shape and kind."""
    rng = np.random.default_rng(prod(t.shape))
    real = rng.normal(size=tuple(t.shape))
    return np.asarray(real + 1j * rng.normal(size=real.shape) if t.is_complex() else real)


def like(lib: Any, g: np.ndarray, t: Any) -> Any:
    """Return numbers as a tensor of another's dtype."""
    return lib.as_tensor(g).to(t.dtype)


def outputs(entry: Entry, f: Callable, call: Call) -> list:
    """Return the results of the function that the database says is to be differentiated, a list of tensors."""
    wrapper = entry.op.gradcheck_wrapper
    process = call.process
    if call.lib is cr:
        wrapper = translated(wrapper, {})
    return tensors(process(wrapper(f, *call.args, **call.kwargs)))


def pulled(results: list, call: Call, gs: list[np.ndarray], **how: Any) -> list:
    """Return the gradients of a call's leaves, zeros where there are none."""
    pairs = [(r, like(call.lib, g, r)) for r, g in zip(results, gs, strict=True) if r.requires_grad]
    how.setdefault("allow_unused", True)
    leaves = call.leaves()
    found = (
        call.lib.autograd.grad([r for r, _ in pairs], leaves, [g for _, g in pairs], **how) if pairs else [None] * len(leaves)
    )
    return [call.lib.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True)]


def differentiable(entry: Entry, most: int, *names: str) -> Iterator[tuple[Call, Call, Any, Any, list[np.ndarray]]]:
    """Yield calls that PyTorch differentiates: both calls, both results, cotangents."""
    for dtype in entry.dtypes(*names):
        if entry.is_differentiable(dtype):
            for call in entry.calls(dtype, grad=True, most=most):
                if is_drawn(entry, call) or not call.leaves():
                    continue
                theirs = result(outputs, entry, entry.theirs, call)
                if isinstance(theirs, Raised) or not any(t.requires_grad for t in theirs):
                    continue
                ours = call.translated()
                found = result(outputs, entry, entry.ours, ours)
                yield call, ours, theirs, found, [cotangent(t) for t in theirs]


@mode
def gradient(entry: Entry) -> Iterator[str]:
    """Gradients, and which results require them."""
    for call, ours, theirs, found, gs in differentiable(entry, SAMPLED, "float64", "complex128"):
        why = compare(theirs, found, values=False)
        if why is None and (which := [t.requires_grad for t in theirs]) != (those := [t.requires_grad for t in found]):
            why = f"requires_grad {those}, not {which}"
        expected = result(pulled, theirs, call, gs)
        if why is None and not isinstance(expected, Raised):
            why = compare(expected, result(pulled, found, ours, gs), factor=10)
        if why:
            yield f"{call}: {why}"


SAMPLED = 8


@mode
def double(entry: Entry) -> Iterator[str]:
    """Gradients of gradients."""
    for call, ours, theirs, found, gs in differentiable(entry, 3, "float64", "complex128"):
        first = result(pulled, theirs, call, gs, create_graph=True)
        if isinstance(first, Raised) or not any(t.requires_grad for t in first):
            continue
        hs = [cotangent(t) for t in first]
        expected = result(pulled, first, call, hs)
        if not isinstance(expected, Raised):
            again = result(pulled, found, ours, gs, create_graph=True)
            second = again if isinstance(again, Raised) else result(pulled, again, ours, hs)
            if why := compare(expected, second, factor=1000):
                yield f"{call}: {why}"


@mode
def forward(entry: Entry) -> Iterator[str]:
    """Forward mode gives PyTorch's tangents; where it has none, the transpose of the gradients."""
    for call, ours, theirs, found, gs in differentiable(entry, 3, "float64", "complex128"):
        found = result(pushed, entry, entry.ours, ours)
        expected = result(pushed, entry, entry.theirs, call) if entry.op.supports_forward_ad else None
        if expected is None or isinstance(expected, Raised):
            back = result(pulled, theirs, call, gs)
            if isinstance(back, Raised) or isinstance(found, Raised):
                why = None if isinstance(back, Raised) else f"raises {found}"
            else:
                forth = sum(inner(g, array(t)) for g, t in zip(gs, found, strict=True))
                expected = sum(inner(array(b), cotangent(leaf)) for b, leaf in zip(back, call.leaves(), strict=True))
                why = None if np.isclose(forth, expected, rtol=1e-6, atol=1e-6) else f"<g, Jt> = {forth}, <J'g, t> = {expected}"
        else:
            why = compare(expected, found, factor=10)
        if why:
            yield f"{call}: {why}"


def inner(a: np.ndarray, b: np.ndarray) -> float:
    """Return the real inner product."""
    return float(np.sum(np.real(np.conj(a) * b)))


def pushed(entry: Entry, f: Callable, call: Call) -> list:
    """Return the tangents of a call's results, zeros where there are none."""
    fw = call.lib.autograd.forward_ad
    rows = {}
    with fw.dual_level():
        for leaf in call.leaves():
            rows[id(leaf)] = fw.make_dual(leaf.detach(), like(call.lib, cotangent(leaf), leaf))
        parts = [fw.unpack_dual(t) for t in outputs(entry, f, call.given(rows))]
        return [call.lib.zeros_like(p.primal) if p.tangent is None else p.tangent for p in parts]


@mode
def conjugates(entry: Entry) -> Iterator[str]:
    """Values and gradients of arguments that are conjugated lazily."""
    for dtype in entry.dtypes("complex128"):
        grad = entry.is_differentiable(dtype)
        for call in entry.calls(dtype, grad=grad, most=3):
            lazy = {id(t): t.detach().conj().requires_grad_(t.requires_grad) for t in call.tensors() if t.is_complex()}
            call = call.given(lazy)
            ours = call.translated()
            theirs, found = result(outputs, entry, entry.theirs, call), result(outputs, entry, entry.ours, ours)
            if is_drawn(entry, call) or isinstance(theirs, Raised):
                continue
            why = compare(theirs, found)
            if why is None and any(t.requires_grad for t in theirs):
                gs = [cotangent(t) for t in theirs]
                why = compare(result(pulled, theirs, call, gs), result(pulled, found, ours, gs), factor=10)
            if why:
                yield f"{call}: {why}"


@mode
def batches(entry: Entry) -> Iterator[str]:
    """A batch axis more gives what a loop over it gives, or the error that PyTorch gives."""
    for dtype in entry.dtypes(*WIDE)[:2]:
        for i, call in enumerate(entry.calls(dtype, most=4)):
            if is_drawn(entry, call):
                continue
            ours = call.translated()
            those, mine = ([t for t in c.tensors() if i % 2 or is_inexact(t)] for c in (call, ours))
            if not mine:
                continue
            steps = [[t, t * 0.9 if is_inexact(t) else t] for t in mine]
            rows = [dict(zip(map(id, mine), row, strict=True)) for row in zip(*steps, strict=True)]
            each = [result(run, entry.ours, ours.given(row)) for row in rows]
            if any(isinstance(e, Raised) or not tensors(e) for e in each):
                continue
            if any(a.shape != b.shape for a, b in zip(*map(tensors, each), strict=False)):
                continue
            expected = [in_torch(cr.stack(list(pair))) for pair in zip(*map(tensors, each), strict=True)]
            found = result(batched, cr, entry.ours, ours, mine, [cr.stack(s) for s in steps])
            if isinstance(found, Raised):
                stacks = [torch.stack([t, t]) for t in those]
                if isinstance(result(batched, torch, entry.theirs, call, those, stacks), Raised):
                    continue
            if why := compare(expected, found):
                yield f"{call}: {why}"


def in_torch(t: Any) -> torch.Tensor:
    """Return a tensor of ours as PyTorch's."""
    return torch.as_tensor(array(t)).to(getattr(torch, str(t.dtype).split(".")[-1]))


def batched(lib: Any, f: Callable, call: Call, ts: list, stacks: list) -> Any:
    """Map a call over an axis added to some of its tensors."""
    return tensors(lib.func.vmap(lambda *rows: run(f, call.given(dict(zip(map(id, ts), rows, strict=True)))))(*stacks))


def is_inexact(t: Any) -> bool:
    """Return whether a tensor holds floating-point or complex numbers."""
    return t.is_floating_point() or t.is_complex()


# --- errors ------------------------------------------------------------------------------------------------------------------


@mode
def errors(entry: Entry) -> Iterator[str]:
    """Bad arguments raise PyTorch's error, in its opening words."""
    if entry.op.error_inputs_func is None:
        return
    for bad in entry.op.error_inputs_func(entry.op, "cpu"):
        call = Call(torch, bad.sample_input)
        theirs = result(run, entry.theirs, call)
        if not isinstance(theirs, Raised):
            continue
        ours = result(call.translated)
        found = ours if isinstance(ours, Raised) else result(run, entry.ours, ours)
        if not isinstance(found, Raised) and any(re.search(words, str(theirs)) for words in WIDER):
            continue
        if isinstance(found, Raised) and isinstance(found.error, Missing):
            continue  # an argument of sparse layout, which chainrule cannot even name
        if why := compare(theirs, found):
            yield f"{call}: {why}"
        elif opening(found) != opening(theirs) and "invalid combination of arguments" not in str(theirs):
            yield f"{call}: says {str(found)!r}, not {str(theirs)!r}"


# What PyTorch refuses, and chainrule takes: numbers for tensors, and results written over arguments, which it reads before.
WIDER = (
    r"must be Tensor, not (int|float)",
    r"invalid combination of arguments - got \((int|float), (int|Tensor)|invalid combination of arguments - got \(Tensor, int",
    r"for 'torch._C.TensorBase' objects doesn't apply to a 'int' object|'int' object has no attribute 'reciprocal'",
    r"some elements of the input tensor and the written-to tensor refer to a single memory location",
)


def opening(raised: Raised) -> list[str]:
    """Return the first words of an error."""
    return str(raised.error).replace("torch.", "chainrule.").split()[:3]


def works_not(entry: Entry) -> Iterator[bool]:
    """Yield True if an entry does not exist in chainrule, or its values are not right."""
    try:
        yield bool(entry.ours) and any(value(entry))
    except Missing:
        yield True


__all__ = ["ENTRIES", "MODES", "works_not"]
