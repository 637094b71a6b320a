"""Random small programs under chainrule and PyTorch: every step has the same outcome.

A program is a list of steps drawn from a seed. Each takes tensors that earlier steps made, so views, in-place writes,
detached parts, branches on values, partial and repeated backward passes meet in orders that nobody wrote down. After a
step its result is compared: value, dtype, `requires_grad`, `is_leaf`, the name of `grad_fn`, or the type of the error;
after each pass, all gradients.
"""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest

import chainrule as cr

pytestmark = pytest.mark.slow

PROGRAMS, STEPS = 300, 30
ERRORS = (RuntimeError, IndexError, ValueError, TypeError)
# Where PyTorch gives up and chainrule need not: it knows the write as a function, or copies what overlaps
STRICTER = ("modified by an inplace operation", "detached in-place", "refer to a single memory location")
SHAPES = ((3,), (2, 3), (2, 3), (1, 3), (), (2, 1), (3, 3), (0, 3))

UNARY = {
    "sin": lambda lib, x: lib.sin(x),
    "tanh": lambda lib, x: x.tanh(),
    "sigmoid": lambda lib, x: lib.sigmoid(x),
    "square": lambda lib, x: x**2,
    "abs": lambda lib, x: x.abs(),
    "relu": lambda lib, x: lib.relu(x),
    "neg": lambda lib, x: -x,
    "scaled": lambda lib, x: 0.5 * x + 1,
    "exp": lambda lib, x: lib.exp(-x.abs()),
    "root": lambda lib, x: (x * x + 1).sqrt(),
    "clamp": lambda lib, x: x.clamp(-1, 1),
    "log1p": lambda lib, x: x.abs().log1p(),
    "clone": lambda lib, x: x.clone(),
    "softmax": lambda lib, x: x.softmax(-1),
    "cumsum": lambda lib, x: x.cumsum(-1),
    "flip": lambda lib, x: x.flip(0),
    "reciprocal": lambda lib, x: (2 + x.sin()).reciprocal(),
}
BINARY = {
    "add": lambda lib, x, y: x + y,
    "sub": lambda lib, x, y: x - y,
    "mul": lambda lib, x, y: x * y,
    "div": lambda lib, x, y: x / (y * y + 1),
    "maximum": lambda lib, x, y: lib.maximum(x, y),
    "where": lambda lib, x, y: lib.where(x > 0, x, y),
    "matmul": lambda lib, x, y: (x @ y) * 1,
    "cat": lambda lib, x, y: lib.cat((x, y)),
    "stack": lambda lib, x, y: lib.stack((x, y)),
    "atan2": lambda lib, x, y: lib.atan2(x, y.abs() + 1),
}
REDUCTIONS = {
    "sum": lambda lib, x: x.sum(),
    "mean": lambda lib, x: x.mean(),
    "sum_0": lambda lib, x: x.sum(0),
    "sum_1": lambda lib, x: x.sum(-1, keepdim=True),
    "amax": lambda lib, x: x.amax(0),
    "max": lambda lib, x: x.max(0).values,
    "logsumexp": lambda lib, x: x.logsumexp(-1),
    "prod": lambda lib, x: x.reshape(-1).prod(),
    "var": lambda lib, x: x.var(-1, correction=0),
    "norm": lambda lib, x: x.norm(),
}
VIEWS = {
    "first": lambda lib, x: x[0],
    "last": lambda lib, x: x[..., -1],
    "stepped": lambda lib, x: x[..., ::2],
    "t": lambda lib, x: x.t(),
    "flat": lambda lib, x: x.reshape(-1),
    "unsqueeze": lambda lib, x: x.unsqueeze(0),
    "squeeze": lambda lib, x: x.squeeze(),
    "expand": lambda lib, x: x.expand(2, *x.shape),
    "transpose": lambda lib, x: x.transpose(0, -1),
    "view": lambda lib, x: x.view(-1),
    "narrow": lambda lib, x: x.narrow(0, 0, 1),
    "unbind": lambda lib, x: x.unbind(0)[0].clone(),
    "diagonal": lambda lib, x: x.diagonal(),
    "split": lambda lib, x: x.split(2)[0].clone(),
    "detach": lambda lib, x: x.detach(),
    "none": lambda lib, x: x[None, ..., None],
    "array": lambda lib, x: x[lib.tensor([0, 1, 0])],
    "mask": lambda lib, x: x[x > 0],
    "all": lambda lib, x: x[...],
}
WRITES = {
    "add_": lambda lib, x, y: x.add_(y),
    "mul_": lambda lib, x, y: x.mul_(y),
    "number": lambda lib, x, y: x.mul_(2),
    "sin_": lambda lib, x, y: x.sin_(),
    "zero_": lambda lib, x, y: x.zero_(),
    "copy_": lambda lib, x, y: x.copy_(y),
    "fill_": lambda lib, x, y: x.fill_(0.5),
    "set_first": lambda lib, x, y: x.__setitem__(0, y),
    "set_last": lambda lib, x, y: x.__setitem__((..., -1), 0.25),
    "set_all": lambda lib, x, y: x.__setitem__(..., y),
    "add_first": lambda lib, x, y: x[0].add_(y),
    "tanh_": lambda lib, x, y: x[..., :1].tanh_(),
    "set_array": lambda lib, x, y: x.__setitem__(lib.tensor([1]), y),
    "set_mask": lambda lib, x, y: x.__setitem__(x > 0, 1.5),
    "clamp_": lambda lib, x, y: x.clamp_(-0.5, 0.5),
    "sub_": lambda lib, x, y: x.__isub__(y),
    "detach_": lambda lib, x, y: x.detach_(),
}
KINDS = (
    *["unary"] * 5,
    *["binary"] * 5,
    *["reduce"] * 2,
    *["view"] * 5,
    *["write"] * 5,
    "leaf",
    "branch",
    "retain",
    "no_grad",
    "detached",
    *["backward"] * 3,
    *["grad"] * 2,
    *["second"] * 2,
    "clear",
    "seeded",
)


def program(seed):
    """Return a program: steps of (kind, which function, two operands, a flag, a seed for values)."""
    draw = random.Random(seed)
    steps = [("leaf", "", 0, 0, k != 2, draw.randrange(2**31)) for k in range(3)]
    tables = {"unary": UNARY, "binary": BINARY, "reduce": REDUCTIONS, "view": VIEWS, "write": WRITES, "branch": BINARY}
    for _ in range(STEPS):
        kind = draw.choice(KINDS)
        name = draw.choice(list(tables.get(kind, ("",))))
        near = draw.random() < 0.7  # a late operand makes deep graphs, any other makes shared ones
        i = draw.randrange(4) if near else draw.randrange(1000)
        steps.append((kind, name, i, draw.randrange(1000), draw.random() < 0.5, draw.randrange(2**31)))
    return steps


def array(x):
    return None if x is None else np.array(x.detach().numpy())


def described(x):
    """What two libraries must agree on about a fresh tensor (names without the number of PyTorch's overload)."""
    name = x.grad_fn.name().rstrip("0123456789") if x.grad_fn is not None else None
    return array(x), x.requires_grad, x.is_leaf, name


def run(lib, steps):
    """Return what each step gave: a description, or an error's type and text."""
    pool, leaves, kept, log = [], [], [], []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for step in steps:
            try:
                log.append(execute(lib, step, pool, leaves, kept))
            except ERRORS as error:
                log.append(error)
                if step[0] in ("backward", "seeded"):  # what a failed pass had stored by then is nobody's promise
                    for x in leaves + kept:
                        x.grad = None
            log.append([array(x.grad) for x in leaves + kept])
    return log


def execute(lib, step, pool, leaves, kept):
    kind, name, i, j, flag, seed = step
    if kind == "leaf":
        rng = np.random.default_rng(seed)
        x = lib.tensor(rng.uniform(-1.5, 1.5, SHAPES[seed % len(SHAPES)]), requires_grad=flag)
        leaves.append(x)
        return added(pool, x)
    x, y = pool[-1 - i % len(pool)], pool[j % len(pool)]
    if kind == "unary":
        return added(pool, UNARY[name](lib, x))
    if kind == "binary":
        return added(pool, BINARY[name](lib, x, y))
    if kind == "reduce":
        return added(pool, REDUCTIONS[name](lib, x))
    if kind == "view":
        return added(pool, VIEWS[name](lib, x))
    if kind == "write":
        # PyTorch lets some functions write to repeated elements, chainrule none; strides of nothing mean nothing
        if not x.numel() or any(step == 0 and n > 1 for step, n in zip(x.stride(), x.shape, strict=True)):
            return None
        before = x._version
        WRITES[name](lib, x, y)
        return array(x), array(y), x.requires_grad, x.is_leaf, x._version > before or x is y
    if kind == "branch":
        return added(pool, BINARY[name](lib, x, y) if x.sum() > 0 else x * 3)
    if kind == "no_grad":
        with lib.no_grad():
            return added(pool, x * y if flag else x.detach()[...])
    if kind == "detached":
        z = x.detach().clone().requires_grad_()
        leaves.append(z)
        return added(pool, z)
    if kind == "retain":
        x.retain_grad()
        kept.append(x)
        return None
    if kind == "clear":
        for leaf in leaves:
            leaf.grad = None
        return None
    if kind == "backward":
        x.sum().backward(retain_graph=flag)
        return None
    if kind == "seeded":
        g = lib.tensor(np.random.default_rng(seed).uniform(-1, 1, tuple(x.shape)))
        x.backward(g, retain_graph=flag, inputs=leaves[:2] if seed % 2 else None)
        return None
    if kind == "grad":
        g = lib.autograd.grad(
            x.sum(), (y, leaves[seed % len(leaves)]), retain_graph=flag or not seed % 3, allow_unused=seed % 3 > 0
        )
        return [array(part) for part in g]
    (g,) = lib.autograd.grad(x.sum(), leaves[seed % len(leaves)], create_graph=True)
    pool.append(g)
    return array(g), g.requires_grad


def added(pool, x):
    pool.append(x)
    return described(x)


def same(ours, theirs):
    """Compare two logs, part by part."""
    if isinstance(theirs, (Exception, type(None), bool, str, int)) or isinstance(ours, (Exception, type(None), bool, str, int)):
        if isinstance(theirs, Exception) and isinstance(ours, Exception):
            assert type(ours) is type(theirs), f"chainrule raises {ours!r}, PyTorch {theirs!r}"
        else:
            assert not isinstance(theirs, Exception), f"PyTorch raises {theirs!r}, chainrule gives {ours}"
            assert not isinstance(ours, Exception), f"chainrule raises {ours!r}, PyTorch gives {theirs}"
            assert ours is theirs or (isinstance(ours, (str, int)) and ours == theirs), f"{ours}, PyTorch: {theirs}"
    elif isinstance(theirs, np.ndarray):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        tolerance = 2e-4 if theirs.dtype == np.float32 else 1e-6
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    else:
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)


@pytest.mark.parametrize("seed", list(range(PROGRAMS)))
def test_a_program_gives_what_it_gives_in_pytorch(torch, seed):
    steps = program(seed)
    theirs, ours = run(torch, steps), run(cr, steps)
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if isinstance(b, RuntimeError) and any(words in str(b) for words in STRICTER):
            return
        try:
            same(a, b)
        except AssertionError as error:
            done = "\n".join(map(str, steps[: k // 2 + 1]))
            raise AssertionError(f"{'gradients after ' if k % 2 else ''}step {k // 2} of\n{done}\n{error}") from None
