"""Drawn programs as text: calls of the whole table on each other's results, views, writes, branches, hooks, passes.

A text runs under either library: its lines are those of a function of ``lib`` and ``given`` (`tests.drawn.given`).
"""

from __future__ import annotations

import functools
import math
import random
from typing import NamedTuple

from hypothesis import strategies as st
from tests.drawn import calls

LEAVES = ("float64", "float64", "float64", "complex128", "float32")
SHAPES = ((3,), (2, 3), (3, 4), (), (2, 1, 3), (4, 4))
ENDS = ("grad", "grad", "backward", "twice")


class Program(NamedTuple):
    """A program.

    Attributes
    ----------
    lines : tuple of str
    seed : int
        Of its numbers.
    end : str
        What it ends with: gradients by ``autograd.grad`` or ``backward``, or those and, ``"twice"``, gradients of theirs.
    calls : tuple of str
        The functions it calls.
    """

    lines: tuple
    seed: int
    end: str
    calls: tuple

    @property
    def excuses(self):
        """The functions among those it calls of which not all is compared."""
        return tuple(sorted(set(self.calls) & (calls.COARSE | calls.KEEPING | calls.WRONG_TWICE)))

    def __str__(self):
        """Return the program as a script, which prints what both libraries make of it."""
        return self.script("tests.drawn.running")

    def script(self, module):
        """Return the program as a script that a module shows."""
        body = "".join(f"    {line}\n" for line in self.lines)
        excuses = f", excuses={self.excuses}" if self.excuses else ""
        return (
            f"from {module} import Program, flat, inf, nan, show\n\n\n"
            f"def program(lib, given):\n{body}    return locals()\n\n\n"
            f'show(program, seed={self.seed}, end="{self.end}"{excuses})\n'
        )


# Views of a shape: the base's shape, and how the view is written; None where it has no such view.
VIEWS = {
    "row": lambda s: ((2, *s), "[1]"),
    "column": lambda s: ((*s, 2), "[..., 0]"),
    "inner": lambda s: ((*s[:-1], s[-1] + 2), "[..., 1:-1]") if s else None,
    "steps": lambda s: ((*s[:-1], 2 * s[-1]), "[..., ::2]") if s else None,
    "turned": lambda s: (s[::-1], f".permute({tuple(range(len(s)))[::-1]})") if s else None,
    "transposed": lambda s: ((*s[1:], s[0]), ".movedim(-1, 0)") if s else None,
    "viewed": lambda s: ((math.prod(s),), f".view({s})"),
    "selected": lambda s: ((*s, 3), ".select(-1, 2)"),
    "narrowed": lambda s: ((s[0] + 2, *s[1:]), f".narrow(0, 1, {s[0]})") if s else None,
    "diagonal": lambda s: ((s[-1], s[-1], *s[:-1]), ".diagonal()") if s else None,
    "more": lambda s: (s[1:], ".unsqueeze(0)") if s[:1] == (1,) else None,
    "less": lambda s: ((*s, 1), ".squeeze(-1)"),
    "whole": lambda s: (s, "[...]"),
    "strided": lambda s: ((s[0] * 2 + 1,), f".as_strided({s}, (2,), 1)") if len(s) == 1 else None,
    "unfolded": lambda s: ((s[0] * s[1],), f".unfold(0, {s[1]}, {s[1]})") if len(s) == 2 and s[1] else None,
}
# Of any tensor.
PLAIN = (
    "{}.reshape(-1)", "{}.flatten()", "{}[...]", "{}[None]", "{}.transpose(0, -1)", "{}.unsqueeze(-1)", "{}.squeeze()",
    "{0}.expand(2, *{0}.shape)", "{}.movedim(0, -1)", "{}.detach()", "{}.contiguous()", "{}.clone()", "{}.conj()",
    "{0}.view_as({0})", "{}.split(1)[0]", "{0}.repeat(2, *[1] * {0}.ndim)", "{}.mT", "{0}.expand_as({0})", "{}.unbind(0)[0]",
    "-{}", "{0} * {0}", "{}.sum()", "{}.mean(0)", "{}.cumsum(-1)", "{}.flip(0)", "{0}[{0}.abs() > 0.5173]", "{}.tril()",
)  # fmt: skip
# Of some shapes they raise, alike in both.
ERRING = {"{}.mT", "{}.unbind(0)[0]", "{}.split(1)[0]", "{}.tril()", "{}.flip(0)", "{}.mean(0)"}
# To a base or a view, `{0}`; `{1}` is a value that broadcasts with it.
WRITES = (
    "{0}.copy_({1})", "{0}.fill_(0.5)", "{0}.zero_()", "{0}[...] = {1}", "{0}[..., -1:] = 0.25",
    "{0}[{0}.abs() > 0.5173] = 1.5", "{0} += {1}", "{0} *= {1}", "{0} -= 0.5", "{0} /= 2 + {1} * {1}", "{0}.neg_()",
    "{0}.tanh_()", "{0}.addcmul_({1}, {1}, value=0.5)", "{0}.masked_fill_({0}.abs() < 0.7173, -1)", "{0}.lerp_({1}, 0.3)",
    "{0}.mul_({0})", "{0}.swapaxes(0, -1).mul_({1})",
)  # fmt: skip


class Writing:
    """A program as it is drawn.

    Parameters
    ----------
    draw : callable
        hypothesis's.
    order : int
        Of the functions: hypothesis takes what stands first far more often, so that each order has its favourites.
    """

    def __init__(self, draw, order):
        self.draw, self.order = draw, order
        self.lines, self.called = [], []
        self.dtypes: dict[str, str] = {}  # of the names so far
        self.leaves = self.count = 0

    def one_of(self, items):
        return items[self.draw(st.integers(0, len(items) - 1))]

    def function(self, found):
        """Return one of the functions of a table, another one first at each place of the program."""
        names = shuffled(tuple(found), self.order)
        return names[(self.draw(st.integers(0, len(names) - 1)) + 53 * len(self.lines)) % len(names)]

    def chance(self, n):
        """Tell whether one in n; what is rare is left out first as a program shrinks."""
        return self.draw(st.integers(0, n - 1)) == n - 1

    def pick(self):
        """Return a name, of one of the last ones more often, so that programs become deep."""
        names = list(self.dtypes)
        return names[-1 - self.draw(st.integers(0, min(3, len(names) - 1) if self.draw(st.booleans()) else len(names) - 1))]

    def new(self, dtype):
        name = f"x{self.count}"
        self.count += 1
        self.dtypes[name] = dtype
        return name

    def put(self, expression, dtype, indent=""):
        """Write an assignment to a new name."""
        name = self.new(dtype)
        self.lines.append(f"{indent}{name} = {expression}")
        return name

    def filled(self, slot, indent="", detached=False):
        source = self.pick()
        return self.put(slot.text.format(source) + ".detach()" * detached, slot.dtype, indent)

    # -- steps

    def leaf(self):
        dtype = self.one_of(LEAVES)
        more = f', "{dtype}"' if dtype != "float64" else ""
        if self.chance(8):
            more += ", requires_grad=False"
        self.put(f"given.leaf({self.one_of(SHAPES)}{more})", dtype)

    def drawn(self, found):
        """Return a call of one of the table's functions, mostly in double precision."""
        name = self.function(found)
        self.called.append(name)
        dtypes = list(found[name])
        wanted = "float64"
        if self.chance(4):
            wanted = self.one_of([d for d in dtypes if d != "float32"] or dtypes)
        elif self.chance(20):
            wanted = self.one_of(dtypes)
        return self.one_of(found[name][wanted if wanted in dtypes else dtypes[0]])

    def call(self, indent=""):
        call = self.drawn(calls.table()[0])
        values = [self.filled(slot, indent, not call.is_recorded) for slot in call.slots]
        text = call.text.format(*values)
        names = [self.new(dtype or "none") for dtype in call.results]
        if not names:
            return
        if call.is_nested is None:
            self.lines.append(f"{indent}{names[0]} = {text}")
        else:
            self.lines.append(
                f"{indent}{', '.join(names)}{',' * (len(names) == 1)} = {f'flat({text})' if call.is_nested else text}"
            )
        for name, dtype in zip(names, call.results, strict=True):
            if not dtype:
                del self.dtypes[name]

    def direct(self):
        """Write an elementwise function of values of the shapes and dtypes that they have."""
        found = calls.elementwise()
        name = self.function(found)
        where, domains = found[name]
        values = [self.pick() for _ in domains]
        dtype = calls.promoted(name, *[self.dtypes[v] for v in values])
        if dtype is None:
            return self.call()
        self.called.append(name)
        args = []
        for k, (value, domain) in enumerate(zip(values, domains, strict=True)):
            more = "" if domain is None else f", {domain}"
            way = self.draw(st.integers(0, 3)) if k else 0
            args.append(f"given.beside({value}, {values[0]}, {way}{more})" if k else f"given.within({value}{more})")
        return self.put(f"{where}({', '.join(args)})", dtype)

    def view(self):
        source = self.pick()
        text = self.one_of(PLAIN)
        dtype = self.dtypes[source]
        if text in ERRING and not self.chance(4):
            text = PLAIN[0]
        if dtype == "bool" or (dtype == "int64" and "mean" in text):
            text = PLAIN[0]
        self.put(text.format(source), dtype)

    def base(self, shape, dtype, domain=""):
        """Write a new tensor, and views down to one of a shape; return the name of the last."""
        chain = []
        for _ in range(self.draw(st.integers(0, 2))):
            found = VIEWS[self.one_of(list(VIEWS))](shape)
            if found is not None:
                shape, text = found
                chain.append(text)
        name = self.put(f'given.fit({self.pick()}, {shape}, "{dtype}"{domain})', dtype)
        for text in reversed(chain):
            name = self.put(f"{name}{text}", dtype)
        return name

    def write(self):
        """Write in place to a view or a base: one of the table's functions, or an assignment."""
        if self.draw(st.booleans()):
            call = self.drawn(calls.table()[1])
            first, *rest = call.slots
            domain = first.text.partition(f'"{call.dtype}"')[2].rstrip(")")
            name = self.base(call.shape, call.dtype, domain + ")" if domain else "")
            values = [self.filled(slot, "", not call.is_recorded or call.name in calls.COMPARISONS) for slot in rest]
            if not call.is_recorded:
                name = self.put(f"{name}.detach().clone()", call.dtype)
            self.lines.append(call.text.format(name, *values))
        else:
            dtype = self.one_of(("float64", "float64", "complex128"))
            name = self.base(self.one_of(SHAPES[1:3]), dtype)
            value = self.pick()
            other = self.put(f'given.fit({value}, {self.one_of(((3,), (1, 3), ()))}, "{dtype}")', dtype)
            text = self.one_of(WRITES)
            if "{1}" in text and self.chance(2):
                text = WRITES[0]
            self.lines.append(text.format(name, f"given.beside({other}, {name}, {self.draw(st.integers(0, 3))})"))

    def multiply(self):
        """Write in place to any value."""
        self.lines.append(f"{self.pick()} *= 2")

    def cast(self):
        source = self.pick()
        dtype = self.one_of(("float64", "complex128", "float32", "int64", "bool", "complex64"))
        if self.dtypes[source][0] == "c" and dtype[0] != "c":
            dtype = "complex64"
        self.put(f"{source}.to(lib.{dtype})", dtype)

    def hook(self):
        """Write a hook; not of a view, since PyTorch forgets it when that is written to, or crashes."""
        name = self.new_of(self.pick())
        self.lines.append(f"if {name}.requires_grad:")
        self.lines.append(f"    {name}.register_hook(lambda g: {self.one_of(('g * 0.5', 'None', 'g + 1', 'g.sin()'))})")

    def retain(self):
        name = self.new_of(self.pick())
        self.lines.append(f"if {name}.requires_grad:")
        self.lines.append(f"    {name}.retain_grad()")

    def new_of(self, x):
        return self.put(f"{x} * 1", self.dtypes[x] if self.dtypes[x] != "bool" else "int64")

    def no_grad(self):
        self.lines.append("with lib.no_grad():")
        self.call("    ")

    def branch(self):
        x, y = self.pick(), self.pick()
        dtype = self.dtypes[x]
        name = self.new(dtype)
        bound, least = 1.5173 + self.draw(st.integers(0, 5)), self.chance(2)
        self.lines.append(f"if given.mass({y}) {'<>'[least]} {bound}:")
        self.lines.append(f"    {name} = given.within({x}){'.sin()' if dtype[0] in 'fc' else ''}")
        self.lines.append("else:")
        self.lines.append(f"    {name} = {x}[...]")

    def loop(self):
        x = self.pick()
        dtype = self.dtypes[x]
        if dtype[0] in "fc":
            name = self.put(f"{x} * 1", dtype)
            self.lines.append(f"while 2.0173 < given.mass({name}) < inf:")
            self.lines.append(f"    {name} = {name} * 0.5")

    def inner(self):
        """Write a gradient as a value."""
        leaf = self.one_of(list(self.dtypes)[: self.leaves])
        self.put(f"given.gradient({self.pick()}, {leaf})", self.dtypes[leaf])


STEPS = (
    *["call"] * 10, *["direct"] * 4, *["write"] * 5, *["view"] * 3, "cast", "hook", "retain", "no_grad", "branch", "loop",
    "inner", "multiply",
)  # fmt: skip


@functools.cache
def shuffled(names, order):
    return random.Random(order).sample(names, len(names))


@st.composite
def programs(draw, order=0, most=8, least=2, writing=Writing, steps=STEPS):
    """Draw a program of one to three leaves and `least` to `most` steps."""
    text = writing(draw, order)
    text.leaves = draw(st.integers(1, 3))
    for _ in range(text.leaves):
        text.leaf()
    for _ in range(draw(st.integers(least, most))):
        getattr(text, text.one_of(steps))()
    return Program(tuple(text.lines), draw(st.integers(0, 999)), text.one_of(ENDS), tuple(text.called))
