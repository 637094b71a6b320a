"""Programs as data, and the interpreter that runs one under PyTorch or chainrule and notes what every step gives.

A program is a list of steps ``(kind, name, i, j, k)``: what to do, which function of the kind's table, and three numbers that
choose operands among the tensors made so far, flags and values. Any list of steps is a program, so one that fails can
be cut down step by step; each step that raises is noted and passed over. `write` turns a program to text.
"""

from __future__ import annotations

import random
import warnings

import numpy as np

ERRORS = (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError)
EDGE = 0.0173  # where programs branch and functions have kinks: not at 0, where rounding decides what a value is
EITHER = {RuntimeError, IndexError, NotImplementedError}
SHAPES = ((3,), (2, 3), (2, 3), (1, 3), (), (2, 1), (3, 3), (0, 3), (4,), (2, 2, 2))
DTYPES = ("float64", "float64", "float64", "float32", "complex128")

# Where PyTorch refuses and chainrule gives the right result; what follows in the program is then not compared.
STRICTER = (
    "one of the variables needed for gradient computation",  # it knows the write as a function, or kept a copy
    "unsupported operation: some elements of the input tensor",  # overlapping memory: the input is copied first
    "is a view and its base or another view of its base",  # several outputs, none written to: their gradients are known
    "its base or another view of its base has been modified inplace with grad mode",  # raised by backward, not by every use
    "Tensor must have a storage_offset divisible by 2",
    "source tensor shape must match self tensor shape",  # index_add_ of a 0-d tensor to one element
    "Trying to use a saved tensor that has been detached in-place",
    "Tensor must have a stride divisible by 2",  # of no elements
    "leaf variable has been moved into the graph interior",
    "Number of elements of source < number of ones in mask",  # PyTorch writes some before it raises
    "Tensor must have a last dimension with stride 1",  # the gradient of view_as_real, expanded
    "Expected isFloatingType(grad.scalar_type())",  # where() of real and complex numbers
)


def ends(lib, x):
    """Return the positions of the first and the last row."""
    return lib.tensor(sorted({0, max(x.shape[0] - 1, 0)}))


UNARY = {
    "sin": lambda lib, x: lib.sin(x),
    "tanh": lambda lib, x: x.tanh(),
    "sigmoid": lambda lib, x: lib.sigmoid(x),
    "square": lambda lib, x: x**2,
    "abs": lambda lib, x: (x + EDGE).abs(),
    "relu": lambda lib, x: lib.relu(x.real - EDGE),
    "neg": lambda lib, x: -x,
    "scaled": lambda lib, x: 0.5 * x + 1,
    "exp": lambda lib, x: lib.exp(-(x + EDGE).abs()),
    "root": lambda lib, x: (x * x + 1).sqrt(),
    "clamp": lambda lib, x: x.real.clamp(-1, 1),
    "log1p": lambda lib, x: (x + EDGE).abs().log1p(),
    "clone": lambda lib, x: x.clone(),
    "softmax": lambda lib, x: x.real.softmax(-1),
    "cumsum": lambda lib, x: x.cumsum(-1),
    "flip": lambda lib, x: x.flip(0),
    "reciprocal": lambda lib, x: (2 + x.sin()).reciprocal(),
    "complex": lambda lib, x: x * (0.5 + 0.5j),
    "conj": lambda lib, x: x.conj() * 1,
    "float": lambda lib, x: x.float(),
    "double": lambda lib, x: x.double(),
    "tril": lambda lib, x: x.tril(),
    "gather": lambda lib, x: x.gather(0, lib.zeros(tuple(x.shape), dtype=lib.int64)),
}
BINARY = {
    "add": lambda lib, x, y: x + y,
    "sub": lambda lib, x, y: x - y,
    "mul": lambda lib, x, y: x * y,
    "div": lambda lib, x, y: x / (y * y + 2),
    "maximum": lambda lib, x, y: lib.maximum(x.real, y.real + EDGE),
    "where": lambda lib, x, y: lib.where(x.real > EDGE, x, y),
    "matmul": lambda lib, x, y: (x.real @ y.real) * 1,
    "cat": lambda lib, x, y: lib.cat((x, y)),
    "stack": lambda lib, x, y: lib.stack((x, y)),
    "atan2": lambda lib, x, y: lib.atan2(x.real, (y + EDGE).abs() + 1),
    "masked_fill": lambda lib, x, y: x.masked_fill(y.real > EDGE, 0.5),
}
REDUCTIONS = {
    "sum": lambda lib, x: x.sum(),
    "mean": lambda lib, x: x.mean(),
    "sum_0": lambda lib, x: x.sum(0),
    "sum_1": lambda lib, x: x.sum(-1, keepdim=True),
    "amax": lambda lib, x: x.real.amax(0),
    "max": lambda lib, x: x.real.max(0).values,
    "logsumexp": lambda lib, x: x.real.logsumexp(-1),
    "prod": lambda lib, x: x.reshape(-1).prod(),
    "var": lambda lib, x: x.var(-1, correction=0),
    "norm": lambda lib, x: x.norm(),
    "squares": lambda lib, x: (x * x.conj()).real.sum(),
}
VIEWS = {
    "first": lambda lib, x, k: x[0],
    "last": lambda lib, x, k: x[..., -1],
    "rest": lambda lib, x, k: x[1:],
    "stepped": lambda lib, x, k: x[..., ::2],
    "t": lambda lib, x, k: x.t(),
    "T": lambda lib, x, k: x.mT,
    "unsqueeze": lambda lib, x, k: x.unsqueeze(k % (x.ndim + 1)),
    "squeeze": lambda lib, x, k: x.squeeze(),
    "expand": lambda lib, x, k: x.expand(2, *x.shape),
    "transpose": lambda lib, x, k: x.transpose(0, -1),
    "movedim": lambda lib, x, k: x.movedim(0, -1),
    "permute": lambda lib, x, k: x.permute(tuple(reversed(range(x.ndim)))),
    "view": lambda lib, x, k: x.view(-1),
    "narrow": lambda lib, x, k: x.narrow(0, 0, 1),
    "select": lambda lib, x, k: x.select(-1, k % 2),
    "diagonal": lambda lib, x, k: x.diagonal(),
    "unfold": lambda lib, x, k: x.unfold(-1, 2, 2),
    "unbind": lambda lib, x, k: x.unbind(0)[k % 2],
    "split": lambda lib, x, k: x.split(2)[0],
    "chunk": lambda lib, x, k: x.chunk(2, -1)[-1],
    "as_strided": lambda lib, x, k: x.view(-1).as_strided((min(2, x.numel()),), (1,)),
    "real": lambda lib, x, k: x.real,
    "imag": lambda lib, x, k: x.imag,
    "view_as_real": lambda lib, x, k: lib.view_as_real(x),
    "view_as_complex": lambda lib, x, k: lib.view_as_complex(x),
    "none": lambda lib, x, k: x[None, ..., None],
    "all": lambda lib, x, k: x[...],
    "detach": lambda lib, x, k: x.detach(),
    "data": lambda lib, x, k: x.data.clone(),  # writes to it would go unseen
    "array": lambda lib, x, k: x[lib.tensor([0, -1, 0])],
    "mask": lambda lib, x, k: x[x.real > EDGE],
    "contiguous": lambda lib, x, k: x.clone().contiguous(),
}
WRITES = {
    "add_": lambda lib, x, y: x.add_(y),
    "mul_": lambda lib, x, y: x.mul_(y),
    "number": lambda lib, x, y: x.mul_(0.5),
    "plus": lambda lib, x, y: x.__iadd__(1.5),
    "sin_": lambda lib, x, y: x.sin_(),
    "tanh_": lambda lib, x, y: x.tanh_(),
    "exp_": lambda lib, x, y: x.neg_().exp_(),
    "zero_": lambda lib, x, y: x.zero_(),
    "copy_": lambda lib, x, y: x.copy_(y),
    "fill_": lambda lib, x, y: x.fill_(0.5),
    "fill_with": lambda lib, x, y: x.fill_(y),
    "div_": lambda lib, x, y: x.div_(2 + y * y),
    "clamp_": lambda lib, x, y: x.real.clamp_(-0.5, 0.5),
    "sub_": lambda lib, x, y: x.__isub__(y),
    "gt_": lambda lib, x, y: x.real.gt_(y.detach().real + EDGE),
    "masked_fill_": lambda lib, x, y: x.masked_fill_(x.real > EDGE, -0.25),
    "masked_scatter_": lambda lib, x, y: x.masked_scatter_(x.real > EDGE, y.clone()),
    "index_put_": lambda lib, x, y: x.index_put_((ends(lib, x),), y),
    "index_add_": lambda lib, x, y: x.index_add_(0, ends(lib, x), y),
    "scatter_": lambda lib, x, y: x.scatter_(0, lib.zeros(tuple(y.shape), dtype=lib.int64), y),
    "addcmul_": lambda lib, x, y: x.addcmul_(y, y, value=0.5),
    "set_first": lambda lib, x, y: x.__setitem__(0, y),
    "set_last": lambda lib, x, y: x.__setitem__((..., -1), 0.25),
    "set_all": lambda lib, x, y: x.__setitem__(..., y),
    "set_slice": lambda lib, x, y: x.__setitem__(slice(None, None, 2), y),
    "set_array": lambda lib, x, y: x.__setitem__(lib.tensor([-1]), y),
    "set_mask": lambda lib, x, y: x.__setitem__(x.real > EDGE, 1.5),
    "add_first": lambda lib, x, y: x[0].add_(y),
    "tanh_part": lambda lib, x, y: x[..., :1].tanh_(),
    "mul_row": lambda lib, x, y: x[1].mul_(y),
    "diagonal": lambda lib, x, y: x.diagonal().mul_(y),
    "t_": lambda lib, x, y: x.t_(),
    "unsqueeze_": lambda lib, x, y: x.unsqueeze_(0),
    "squeeze_": lambda lib, x, y: x.squeeze_(),
    "transpose_": lambda lib, x, y: x.transpose_(0, -1),
    "detach_": lambda lib, x, y: x.detach_(),
    "detached": lambda lib, x, y: x.detach().mul_(0.5),
    "requires_grad_": lambda lib, x, y: x.requires_grad_() if not x._version else None,  # PyTorch then ties views to it
    "no_requires_grad_": lambda lib, x, y: x.requires_grad_(False),
}
RESHAPING = ("t_", "unsqueeze_", "squeeze_", "transpose_")
TABLES = {
    "unary": UNARY, "binary": BINARY, "reduce": REDUCTIONS, "view": VIEWS, "write": WRITES, "branch": BINARY,
    "no_grad view": VIEWS,
    # Under no_grad PyTorch leaves a result its node as it changes its shape: a later pass meets gradients that do not fit.
    "no_grad write": [name for name in WRITES if name not in RESHAPING],
}  # fmt: skip
KINDS = (
    "leaf", *["unary"] * 4, *["binary"] * 4, *["reduce"] * 2, *["view"] * 7, *["write"] * 8, "branch", "retain", "detached",
    "no_grad view", "no_grad write", *["backward"] * 3, *["grad"] * 2, *["second"] * 2, "clear", "seeded", "hook", "look",
)  # fmt: skip
# Names of nodes that say how chainrule composes a function, or how it casts the result of a mixed write.
OWN_NAMES = {"WhereBackward": "MaskedFillBackward"}


def made(draw, length):
    """Return a program of `length` steps, after its first three leaves; ``draw(n)`` returns an integer below n."""
    steps = [("leaf", "", draw(1000), draw(1000), draw(1000)) for _ in range(3)]
    for _ in range(length):
        kind = KINDS[draw(len(KINDS))]
        names = list(TABLES.get(kind, ("",)))
        near = draw(10) < 7  # a late operand makes deep graphs, any other makes shared ones
        steps.append((kind, names[draw(len(names))], draw(4 if near else 1000), draw(1000), draw(1000)))
    return steps


def from_seed(seed, length=30):
    """Return the program of a seed."""
    return made(random.Random(seed).randrange, length)


def write(steps):
    """Return a program as text."""
    return "[\n" + "".join(f"    {step!r},\n" for step in steps) + "]"


class Run:
    """A program's run under one library: its tensors, and what each step gave."""

    def __init__(self, lib):
        self.lib = lib
        self.pool, self.leaves, self.kept, self.handles, self.called = [], [], [], [], []
        self.log = []
        self.hooked = set()
        self.has_written = False
        self.has_dead_end = False  # a view made under no_grad, which no gradient passes
        self.born = set()  # ids of gradients

    def step(self, step):
        """Do one step and note what it gives, warnings included."""
        with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            try:
                found = getattr(self, step[0].replace(" ", "_"))(*step[1:])
            except ERRORS as error:
                found = error
                if step[0] in ("backward", "seeded"):  # what a failed pass had stored by then is nobody's promise
                    for x in self.leaves + self.kept:
                        x.grad = None
        # of one place, warned of several times by chainrule, once by PyTorch
        told = sorted({str(w.message)[:40] for w in caught})
        self.log.append((found, told, [self.gradient(x) for x in self.leaves + self.kept], list(self.called)))

    def pick(self, i, j):
        """Return the two operands of a step."""
        x, y = self.pool[-1 - i % len(self.pool)], self.pool[j % len(self.pool)]
        if self.lib.__name__ == "torch":
            x.grad_fn  # noqa: B018 - until someone looks, PyTorch takes a view of what was a constant for a leaf
        return x, y

    def keep(self, x):
        self.pool.append(x)
        return self.described(x)

    def gradient(self, x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                g = x.grad
            except RuntimeError:  # a view that may not be used any more
                return None
        return None if g is None else (array(g), g.requires_grad and x.is_leaf)

    def described(self, x):
        """Return what can be seen of a tensor."""
        is_view = None if id(x) in self.born else x._is_view()
        return array(x), x.requires_grad, x.is_leaf, self.name(x), x._version, is_view, x.output_nr

    def name(self, x):
        """Return the name of a tensor's node; not of a gradient's, which are composed in ways of their own."""
        return None if x.grad_fn is None or id(x) in self.born else name_of(x.grad_fn)

    # -- kinds of steps

    def leaf(self, _, i, j, k):
        values = np.random.default_rng(k).uniform(-1.5, 1.5, (2, *SHAPES[j % len(SHAPES)]))
        dtype = DTYPES[i % len(DTYPES)]
        data = values[0] + 1j * values[1] if dtype[0] == "c" else values[0]
        x = self.lib.tensor(data, dtype=getattr(self.lib, dtype), requires_grad=k % 4 > 0)
        self.leaves.append(x)
        return self.keep(x)

    def unary(self, name, i, j, k):
        return self.keep(UNARY[name](self.lib, self.pick(i, j)[0]))

    def binary(self, name, i, j, k):
        return self.keep(BINARY[name](self.lib, *self.pick(i, j)))

    def reduce(self, name, i, j, k):
        return self.keep(REDUCTIONS[name](self.lib, self.pick(i, j)[0]))

    def view(self, name, i, j, k):
        x, _ = self.pick(i, j)
        if name == "as_strided" and is_dead_end(x):
            return None
        return self.keep(VIEWS[name](self.lib, x, k))

    def write(self, name, i, j, k):
        x, y = self.pick(i, j)
        # Of repeated elements PyTorch writes some in some order; chainrule fills them, and refuses the rest.
        if overlaps(x) or (name in (*RESHAPING, "detach_") and (x.retains_grad or id(x) in self.hooked)):
            return None
        self.has_written = True
        # PyTorch reads some of what it has written where the operands overlap, or raises: STRICTER.
        WRITES[name](self.lib, x, y.clone() if meet(x, y) else y)
        return self.described(x), self.described(y)

    def branch(self, name, i, j, k):
        x, y = self.pick(i, j)
        return self.keep(BINARY[name](self.lib, x, y) if x.real.sum() > EDGE else x * 3)

    def no_grad_view(self, name, i, j, k):
        with self.lib.no_grad():
            found = self.view(name, i, j, k)
        self.has_dead_end = self.has_dead_end or is_dead_end(self.pool[-1])
        return found

    def no_grad_write(self, name, i, j, k):
        with self.lib.no_grad():
            return self.write(name, i, j, k)

    def detached(self, _, i, j, k):
        x = self.pick(i, j)[0].detach().clone().requires_grad_()
        self.leaves.append(x)
        return self.keep(x)

    def retain(self, _, i, j, k):
        x, _ = self.pick(i, j)
        if id(x) in self.born or is_dead_end(x):
            return None
        x.retain_grad()
        self.kept.append(x)
        return x.retains_grad

    def hook(self, _, i, j, k):
        x, _ = self.pick(i, j)
        if id(x) in self.born or x._is_view():  # PyTorch forgets the hooks of a view that is written to
            return
        if k % 5 == 4 and self.handles:
            self.handles.pop().remove()
        number = len(self.called)

        def note(g):
            self.called.append((number, array(g)))
            return g * 2 if k % 2 else None

        self.handles.append(x.register_hook(note))
        self.hooked.add(id(x))
        return

    def clear(self, _, i, j, k):
        for x in self.leaves:
            x.grad = None

    def look(self, _, i, j, k):
        return [self.described(x) for x in self.pool]

    def scalar(self, x):
        """Return a real scalar of a tensor."""
        return (x.real + x.imag * 2).sum() if x.is_complex() else x.sum()

    def backward(self, _, i, j, k):
        self.scalar(self.pick(i, j)[0]).backward(retain_graph=k % 2 > 0)

    def seeded(self, _, i, j, k):
        x, _ = self.pick(i, j)
        g = self.lib.tensor(np.random.default_rng(k).uniform(-1, 1, tuple(x.shape)))
        # Of a root that no input depends on PyTorch calls the hooks nevertheless.
        x.backward(
            g, retain_graph=k % 2 > 0, inputs=self.leaves[:2] if k % 3 == 0 and not (self.kept or self.handles) else None
        )

    def grad(self, _, i, j, k):
        x, y = self.pick(i, j)
        targets = (y, self.leaves[k % len(self.leaves)])
        found = self.lib.autograd.grad(self.scalar(x), targets, retain_graph=k % 2 > 0, allow_unused=k % 5 > 0)
        return [None if g is None else array(g) for g in found]

    def second(self, _, i, j, k):
        x, y = self.pick(i, j)
        target = y if k % 3 == 0 else self.leaves[k % len(self.leaves)]
        (g,) = self.lib.autograd.grad(self.scalar(x), target, create_graph=True)
        if overlaps(g) or g._version:  # PyTorch's engine writes to some before it returns them
            g = g.clone()
        self.pool.append(g)
        self.born.add(id(g))
        return array(g), g.requires_grad


def is_dead_end(x):
    """Tell whether a tensor is a view, made under no_grad, of what requires grad: no gradient passes it."""
    return x._is_view() and x.requires_grad and x.is_leaf


def overlaps(x):
    """Tell whether two elements of a strided tensor may lie in one place."""
    if not x.numel():
        return False
    reach = 0
    for step, n in sorted((s, n) for s, n in zip(x.stride(), x.shape, strict=True) if n > 1):
        if step <= reach:
            return True
        reach += step * (n - 1)
    return False


def meet(x, y):
    """Tell whether two tensors lie in one stretch of memory, but do not show the same elements."""
    ends = []
    for t in (x, y):
        reach = sum(step * (n - 1) for step, n in zip(t.stride(), t.shape, strict=True)) if t.numel() else -1
        ends.append((t.data_ptr(), t.data_ptr() + (reach + 1) * t.element_size()))
    (a, b), (c, d) = ends
    return a < d and c < b and (x.data_ptr(), x.stride(), x.shape, x.dtype) != (y.data_ptr(), y.stride(), y.shape, y.dtype)


def array(x):
    x = x.detach()
    return (x.resolve_conj() if hasattr(x, "resolve_conj") else x).numpy(force=True).copy()


def name_of(node):
    name = node.name().rpartition("::")[2].rstrip("0123456789")
    return OWN_NAMES.get(name, name)


def run_both(torch, cr, steps):
    """Run a program under both; raise AssertionError at the first difference, with the program up to there."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        theirs, ours = Run(torch), Run(cr)
        for n, step in enumerate(steps):
            theirs.step(step)
            ours.step(step)
            if excused(theirs, ours, step[0]):
                return
            try:
                same(ours.log[-1], theirs.log[-1])
            except AssertionError as error:
                raise AssertionError(f"after step {n} of\n{write(steps[: n + 1])}\n{error}") from None
    finally:
        torch.set_warn_always(before)


def excused(theirs, ours, kind):
    """Tell whether a step's outcomes may differ, for a reason; what follows cannot be compared then."""
    (found, *_), (mine, *_) = theirs.log[-1], ours.log[-1]
    if isinstance(found, RuntimeError) and any(part in str(found) for part in STRICTER):
        return True
    # The memory of a result may have another order of axes than PyTorch's.
    if ("view size is not compatible" in str(mine)) is not ("view size is not compatible" in str(found)):
        return True
    if theirs.has_dead_end and "backward through the graph a second time" in str(mine):  # PyTorch saves nothing there
        return True
    if theirs.has_written and "backward through the graph a second time" in str(found):
        return not isinstance(mine, Exception)  # a node of a write through a view saves nothing here
    # The derivative of a piecewise linear function is a constant, which PyTorch records nevertheless.
    return kind == "second" and isinstance(mine, tuple) and isinstance(found, tuple) and mine[1] is not found[1]


def same(ours, theirs, where=""):
    """Compare two notes, part by part."""
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        assert isinstance(ours, Exception), f"PyTorch raises {theirs!r}, chainrule gives {ours}"
        assert isinstance(theirs, Exception), f"chainrule raises {ours!r}, PyTorch gives {theirs}"
        # Of two faults either may be found first: a dtype's, a shape's, an index's.
        assert type(ours) is type(theirs) or {type(ours), type(theirs)} <= EITHER, (
            f"chainrule raises {ours!r}, PyTorch {theirs!r}"
        )
    elif isinstance(theirs, np.ndarray):
        assert isinstance(ours, np.ndarray), f"{where}: {ours}, PyTorch: {theirs}"
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), f"{where}: {ours!r}, PyTorch: {theirs!r}"
        tolerance = 5e-4 if theirs.dtype in (np.float32, np.complex64) else 1e-6
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=where)
    elif isinstance(theirs, (list, tuple)):
        assert isinstance(ours, (list, tuple)), f"{where}: {ours}, PyTorch: {theirs}"
        assert len(ours) == len(theirs), f"{where}: {ours}, PyTorch: {theirs}"
        for n, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            same(a, b, f"{where}.{n}")
    else:
        assert type(ours) is type(theirs), f"{where}: {ours!r}, PyTorch: {theirs!r}"
        # A write that casts is recorded as such; PyTorch casts inside of the node of the write.
        assert ours == theirs or ours == "ToCopyBackward", f"{where}: {ours!r}, PyTorch: {theirs!r}"


def cut(torch, cr, steps):
    """Return the shortest failing program that leaving out steps of a failing one leads to."""
    whole = False
    while not whole:
        whole = True
        for n in range(len(steps) - 1, 2, -1):
            shorter = steps[:n] + steps[n + 1 :]
            try:
                run_both(torch, cr, shorter)
            except Exception:
                steps, whole = shorter, False
    return steps
