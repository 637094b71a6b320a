"""Which tensor a gradient is of is read from the call, and its loss is found, wherever the program keeps it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.explanation.programs import leaf

import chainrule as cr
from chainrule import nn

CUT = """
import chainrule as cr
x = cr.tensor([1.0, 2.0], requires_grad=True)
w = cr.tensor([3.0, 4.0], requires_grad=True)
loss = (w * x.detach()).sum()
loss.backward(retain_graph=True)
"""


def run(source, **given):
    """Run a program that has no source text, and return what it calls `found`."""
    space = {"cr": cr, **given}
    exec(compile(source, "<no source>", "exec"), space)
    return space["found"]


# -- whose gradient is None, where no source tells ---------------------------------------------------------------------


def test_a_gradient_that_is_none_is_read_from_bytecode_where_there_is_no_source():
    found = run(CUT + "found = cr.explain(x.grad)")
    assert (found.kind, found.cause, found.op, found.name) == ("none", "detach", "mul", "x")
    found = run(CUT + "held = {'w': [w, x]}\ndef why(held, i): return cr.explain(held['w'][i].grad)\nfound = why(held, -1)")
    assert (found.cause, found.op) == ("detach", "mul")
    found = run(CUT + "found = [cr.explain(t.grad) for t in (x,)][0]")
    assert (found.cause, found.name) == ("detach", "t")
    assert run(CUT + "found = cr.explain(what=x.grad, element=0)").cause == "detach"


def test_a_gradient_that_is_none_is_read_in_a_program_given_as_text():
    ask = "print(cr.explain(x.grad))"
    for args, text in ((["-c", CUT + ask], None), (["-"], CUT + ask), (["-i", "-q"], CUT + ask)):
        done = subprocess.run([sys.executable, *args], input=text, capture_output=True, text=True, check=True)
        assert "the gradient of x is None: detach" in done.stdout, done.stderr


class Trainer:
    __slots__ = ("_net", "asked", "net")

    def __init__(self, net):
        self.net, self.asked = net, 0

    @property
    def weight(self):
        self.asked += 1
        return self.net[0].weight


def test_what_holds_a_tensor_is_looked_at_without_running_the_programs_code():
    trainer = Trainer(nn.Sequential(nn.Linear(1, 1), nn.ModuleDict({"a": nn.ParameterList([leaf(1.0)])})))
    optimizer = cr.optim.SGD(trainer.net.parameters(), 0.1)
    assert cr.explain(trainer.net[0].weight.grad).name == "trainer.net[0].weight"
    assert cr.explain(trainer.net[1]["a"][0].grad).kind == "none"
    assert cr.explain(trainer.net[-2].bias.grad).kind == "none"
    assert cr.explain(optimizer.param_groups[0]["params"][1].grad).name == "optimizer.param_groups[0]['params'][1]"
    with pytest.raises(TypeError, match="of which tensor's gradient"):
        cr.explain(trainer.weight.grad)
    assert trainer.asked == 1  # by the program itself


class Endless(dict):
    def __missing__(self, key):
        return leaf(1.0)


class Odd(list):
    def __getitem__(self, i):
        return leaf(1.0)


@pytest.mark.parametrize(
    "text",
    ["odd[0].grad", "endless['a'].grad", "x.clone().grad", "(x if x is None else None)", "nobody.grad", "tensors[y].grad"],
)
def test_what_cannot_be_told_is_an_error_that_says_how_to_ask(text):
    given = {"odd": Odd([leaf(1.0)]), "endless": Endless(), "x": leaf(1.0), "y": cr.tensor(0), "tensors": [leaf(1.0)]}
    given["nobody"] = Trainer(None)
    with pytest.raises((TypeError, AttributeError), match="explain.loss, x.|no attribute 'grad'"):
        run(f"import warnings\nwarnings.simplefilter('ignore')\nfound = cr.explain({text})", **given)


def test_another_tensor_that_has_the_name_by_now_is_not_taken_for_it():
    x = leaf(0.0, 4.0)
    x.sqrt().sum().backward()
    kept, x = x, leaf(1.0)
    assert cr.explain((x, kept)[1].grad, element=0).cause == "unknown"
    with pytest.raises(TypeError, match="of which tensor's gradient"):
        run("held = [x]\ndef put(): held[0] = y\nfound = cr.explain(held[0].grad, put())", x=x, y=kept)


# -- where the loss is -------------------------------------------------------------------------------------------------


class Fit:
    """A trainer that keeps its losses to itself."""

    def __init__(self, x):
        self.x, self.history = x, []

    def step(self, power=0.5):
        root = self.x**power
        self.history.append({"loss": root.sum()})
        self.history[-1]["loss"].backward(retain_graph=True)


def test_the_loss_is_found_in_an_object_that_the_caller_has_no_name_for():
    x = leaf(4.0, 0.0)
    fit = [Fit(x)]
    fit[0].step()
    found = cr.explain(x.grad)
    assert (found.kind, found.cause, found.op, found.element) == ("inf", "infinite derivative", "pow", (1,))


def test_a_loss_whose_gradient_is_another_is_passed_over():
    x = leaf(4.0, 0.0)
    fit = [Fit(x)]
    fit[0].step()
    fit[0].history.append({"loss": (x * x).sum()})  # of a validation, say, whose gradient is 0 where that of the root is inf
    assert cr.explain(x.grad).cause == "infinite derivative"


def test_the_callers_own_loss_comes_first():
    x = leaf(4.0, 0.0)
    kept = [(x * 0).sum()]
    loss = (x.detach() * leaf(1.0)).sum()
    loss.backward(retain_graph=True)
    assert cr.explain(x.grad).cause == "detach"
    del loss
    assert cr.explain(x.grad).cause == "no pass"
    kept.clear()
    assert cr.explain(x.grad).cause == "not in the graph"


def test_a_graph_of_thousands_is_searched_once():
    x = leaf(1.0)
    y, kept = x, []
    for _ in range(3000):
        y = y * 1.0
        kept.append(y)
    kept.append((y * 0).sum())
    kept[-1].backward(retain_graph=True)
    assert cr.explain(x.grad).cause == "zero factor"
