"""Drawn programs whose way depends on their numbers: branches, loops that end early, writes in place on some ways alone.

Their calls are few and known, so that no table of PyTorch's is made for them.
"""

from __future__ import annotations

from hypothesis import strategies as st
from tests.drawn.programs import SHAPES, STEPS, Writing

LEAVES = ("float64", "float64", "float64", "float32")
ONE = (
    "{0}.sin()", "{0}.tanh()", "{0}.sigmoid()", "({0} * 0.5).exp()", "{0}.softmax(-1)", "{0}.abs()", "({0} * {0} + 1).log()",
    "({0} * {0} + 0.5).sqrt()", "{0}.sum()", "{0}.mean(-1, keepdim=True)", "{0}.sum(0)", "{0}.cumsum(-1)", "{0}.amax(-1)",
    "{0}.logsumexp(-1)", "{0}.flip(-1)", "{0}.relu()", "{0}.clamp(-0.5, 0.75)", "lib.nn.functional.gelu({0})", "{0} / 3",
    "{0}[..., None] * {0}.reshape(-1)", "2 ** {0}", "{0}.erf()", "{0}.sort(-1)[0]", "lib.nn.functional.normalize({0}, dim=-1)",
    "{0}.var(-1, correction=0)", "{0}.unsqueeze(-1) @ {0}.unsqueeze(-2)", "lib.cat([{0}.reshape(-1), {0}.reshape(-1)])",
)  # fmt: skip
TWO = (
    "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / (2 + {1} * {1})", "lib.maximum({0}, {1})",
    "lib.where({0} > {1}, {0}, {1} * 2)", "lib.atan2({0}, {1} * {1} + 1)", "({0} * {0} + 1) ** {1}", "{0}.lerp({1}, 0.3)",
    "lib.hypot({0}, {1} + 3)",
    "{0} * 2 - 3 * {1}", "lib.nn.functional.mse_loss({0}, {1}.expand({0}.shape))",
)  # fmt: skip
IN_PLACE = ("{0}.mul_({1})", "{0}[...] = {1}", "{0} += {1}", "{0}[..., :1] *= 0.5", "{0}.tanh_()", "{0}.copy_({1})")
SHRINKING = ("{0}.sin() * 0.9", "{0} * 0.6", "{0} - 0.3 * {0}.tanh()")
BOUNDS = (0.4173, 0.6173, 0.7173, 0.8173, 1.0173)  # of mean sizes of numbers that are mostly normal ones


class Branching(Writing):
    """A program as it is drawn."""

    def leaf(self):
        dtype = self.one_of(LEAVES)
        more = f', "{dtype}"' if dtype != "float64" else ""
        if self.chance(8):
            more += ", requires_grad=False"
        self.put(f"given.leaf({self.one_of(SHAPES)}{more})", dtype)

    def real(self, indent=""):
        """Return a name of real numbers."""
        name = self.pick()
        if self.dtypes[name][0] == "f":
            return name
        text = f"{name}.abs().double()" if self.dtypes[name] != "bool" else f"{name}.double()"
        return self.put(text, "float64", indent)

    def wide(self, *names):
        return "float64" if "float64" in [self.dtypes[n] for n in names] else "float32"

    def call(self, indent=""):
        x = self.real(indent)
        text = self.one_of((*ONE, *TWO))
        if text in ONE:
            self.put(text.format(f"given.tame({x})"), self.dtypes[x], indent)
        else:
            y = self.real(indent)
            beside = f"given.spread({y}, {x}, {self.draw(st.integers(0, 3))})"
            self.put(text.format(f"given.tame({x})", beside), self.wide(x, y), indent)

    direct = call

    def condition(self):
        return f"given.size({self.pick()}) {self.one_of(('<', '>'))} {self.one_of(BOUNDS)}"

    def write(self):
        """Write in place to a base or a view, on some ways alone."""
        x, y = self.real(), self.real()
        name = self.base(self.one_of(SHAPES), "float64") if self.chance(3) else self.put(f"{x} * 1", self.dtypes[x])
        value = f"given.spread({y}, {name}, {self.draw(st.integers(0, 3))}).to({name}.dtype).clone()"
        text = self.one_of(
            ("{0}.mul_({1})", "{0}[...] = {1}", "{0} += {1}", "{0}[..., :1] *= 0.5", "{0}.tanh_()", "{0}.copy_({1})")
        )
        if self.chance(2):
            self.lines.append(f"if {self.condition()}:")
            self.lines.append(f"    {text.format(name, value)}")
        else:
            self.lines.append(text.format(name, value))

    def choose(self):
        """Write one of two values, or one of two computations."""
        x, conditions = self.real(), [self.condition() for _ in range(1 + self.chance(3))]
        name = self.new(self.dtypes[x])
        for word, condition, value in zip(
            ("if", "elif"), conditions, ("given.tame({}).sin() * 2", "{}.exp().log1p()"), strict=False
        ):
            self.lines.append(f"{word} {condition}:")
            self.lines.append(f"    {name} = {value.format(x)}")
        self.lines.append("else:")
        self.lines.append(f"    {name} = {x} * {x}.detach().tanh()")

    def trips(self):
        """Write a loop whose number of trips depends on the numbers."""
        x = self.real()
        name = self.put(f"{x} * 1", self.dtypes[x])
        self.lines.append(f"for k in range({self.draw(st.integers(2, 6))}):")
        self.lines.append(f"    if given.size({name}) < {self.one_of(BOUNDS)}:")
        self.lines.append("        break")
        self.lines.append(f"    {name} = {self.one_of(SHRINKING).format(name)}")

    def rows(self):
        """Write a loop that fills in a buffer, an element at a time."""
        x = self.real()
        name = self.put(f"{x}.reshape(-1) * 1", self.dtypes[x])
        self.lines.append(f"for k in range(min(3, {name}.numel())):")
        self.lines.append(f"    {name}[k] = {name}[k].clone().sin() + {name}[-1 - k] * 0.5")

    def number(self):
        """Write a Python number that depends on the numbers."""
        x = self.real()
        self.put(f"{x} * (2.0 if {self.condition()} else -0.5)", self.dtypes[x])


WAYS = (
    *["call"] * 9, *["write"] * 5, *["view"] * 2, *["choose"] * 2, *["trips"] * 2, "rows", "number", "cast", "hook", "retain",
    "no_grad", "branch", "loop", "inner",
)  # fmt: skip
MORE_STEPS = (*STEPS, "branch", "branch", "loop")
