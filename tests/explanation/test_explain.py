"""`explain` names cause, line and element of NaN, infinite, zero and missing gradients, in each form that it is called in."""

from __future__ import annotations

import html
import inspect

import numpy as np
import pytest
from tests.explanation.programs import PROGRAMS, leaf

import chainrule as cr
from chainrule import nn
from chainrule.autograd.graph import noting
from chainrule.utils.checkpoint import checkpoint, within


def marked_line(f):
    text, start = inspect.getsourcelines(f)
    return next((start + i for i, line in enumerate(text) if line.rstrip().endswith("# here")), None)


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize(("f", "kind", "cause", "element"), PROGRAMS, ids=[f.__name__ for f, *_ in PROGRAMS])
def test_cause_line_and_element_are_named(f, kind, cause, element):
    (found,) = cr.explain(f)
    line = marked_line(f)
    assert (found.kind, found.cause) == (kind, cause)
    assert line is None or found.line == line
    assert element is None or found.element == element
    assert found.remedy
    assert cause in str(found)


def test_the_mask_that_sent_the_zero_is_named_with_the_arithmetic():
    def f(x):
        root = x.sqrt()
        return cr.where(x > 0, root, 0.0).sum()

    found = cr.explain(f, leaf(4.0, 0.0))
    assert found.arithmetic == "0.0 * inf = nan"
    assert found.forward.text == "root = x.sqrt()"
    assert found.backward.text == "return cr.where(x > 0, root, 0.0).sum()"
    assert "That 0 was sent by WhereBackward0" in str(found)


# -- forms -------------------------------------------------------------------------------------------------------------


def test_a_loss_is_explained_by_what_its_nodes_saved():
    x = leaf(4.0, 0.0)
    loss = cr.where(x > 0, x.sqrt(), 0.0).sum()
    found = cr.explain(loss, x)
    assert (found.kind, found.cause, found.op, found.element, found.name) == ("nan", "masked", "sqrt", (1,), "x")
    assert found.forward is None
    assert x.grad is None


def test_values_that_no_node_kept_are_computed_once_more():
    x = cr.tensor([0.5, 120.0], requires_grad=True)
    assert cr.explain(((x * 1).exp() - 3 * x).mean(), x).cause == "overflow"
    gap = cr.tensor([1.0, float("nan")])
    losses = (x - gap) ** 2
    found = cr.explain(cr.where(gap.isnan(), 0.0, losses).sum(), x)
    assert (found.cause, found.op) == ("bad data", "sub")
    y = x * -1 + 2
    assert "log gave nan at self = -118.0" in str(cr.explain((y.log() * y.log().sqrt()).sum(), x))


def test_a_loss_can_still_be_differentiated_afterwards():
    x = leaf(4.0, 1.0)
    loss = x.sqrt().sum()
    cr.explain(loss, x)
    loss.backward()
    assert x.grad.tolist() == [0.25, 0.5]


def test_a_loss_that_was_noted_is_explained_with_lines_after_its_pass():
    x = leaf(4.0, 0.0)
    with noting(values=True):
        root = x.sqrt()
        loss = cr.where(x > 0, root, 0.0).sum()
    loss.backward()
    found = cr.explain(x.grad)
    assert (found.cause, found.forward.text, found.name) == ("masked", "root = x.sqrt()", "x")
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()  # what was filled in for the explanation is gone again


def test_a_gradient_is_explained_where_the_graph_was_kept():
    x = leaf(4.0, 0.0)
    loss = x.sqrt().sum()
    loss.backward(retain_graph=True)
    found = cr.explain(x.grad)
    assert (found.kind, found.cause, found.op) == ("inf", "infinite derivative", "sqrt")
    held = {"the gradient": x.grad}
    assert cr.explain(held["the gradient"]).cause == "infinite derivative"


def test_a_gradient_of_a_freed_graph_says_what_is_missing():
    x = leaf(4.0, 0.0)
    loss = (x.sqrt() * cr.tensor([1.0, 2.0], dtype=cr.float64)).sum()
    loss.backward()
    found = cr.explain(x.grad)
    assert (found.kind, found.cause, found.element, found.count, found.size) == ("inf", "freed", (1,), 1, 2)
    assert "retain_graph=True" in found.missing
    assert cr.explain(loss, x).cause == "freed"
    del loss
    assert cr.explain(x.grad).cause == "unknown"


def test_what_leaves_alone_tell_is_computed_once_more_where_the_graph_was_freed():
    x = leaf(4.0, 0.0)
    loss = x.sqrt().sum()
    loss.backward()
    assert cr.explain(x.grad).cause == "infinite derivative"
    with cr.no_grad():
        x += 1.0
    assert cr.explain(x.grad).cause == "freed"  # it was computed of other values


def test_a_sound_gradient_of_a_freed_graph_is_fine():
    x = leaf(4.0, 1.0)
    loss = (x.sqrt() * cr.tensor([1.0, 2.0], dtype=cr.float64)).sum()
    loss.backward()
    assert cr.explain(loss, x).kind == "fine"


def test_a_gradient_that_is_none_is_read_from_the_expression():
    x, w = leaf(1.0), leaf(2.0)
    y = x * 2
    loss = (w * x.detach()).sum()
    frozen = cr.tensor([1.0])
    assert cr.explain(frozen.grad).cause == "frozen"
    with pytest.warns(UserWarning, match="not a leaf"):
        assert cr.explain(y.grad).cause == "not a leaf"
    assert cr.explain(w.grad).cause == "no pass"
    assert loss is not None
    layers = [nn.Linear(1, 1)]
    assert cr.explain(layers[0].weight.grad).cause == "not in the graph"


def test_none_itself_says_how_to_ask():
    nothing = None
    with pytest.raises(TypeError, match=r"explain\(loss, x\).*explain\(f, x\)"):
        cr.explain(nothing)
    with pytest.raises(TypeError, match="a collection of tensors as inputs, not int"):
        cr.explain(cr.ones(1, requires_grad=True).sum(), 3)
    with pytest.raises(TypeError, match="not int"):
        cr.explain(3)


def test_a_loss_without_its_run_names_the_constant_that_shares_the_memory():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    with noting():
        loss = (w * x.detach()).sum()
    found = cr.explain(loss, x)
    assert (found.cause, found.op) == ("detach", "mul")
    assert "explain(f, inputs)" in found.missing
    assert cr.explain((w * 2).sum(), x).cause == "not in the graph"


def test_plain_inputs_of_a_function_are_differentiated_as_func_grad_would():
    x = cr.tensor([4.0, 0.0])
    found = cr.explain(lambda x: x.sqrt().sum(), x)
    assert (found.kind, found.cause) == ("inf", "infinite derivative")
    assert not x.requires_grad


def test_several_inputs_have_an_explanation_each():
    a, b = leaf(1.0), leaf(0.0)
    found = cr.explain(lambda a, b: (a * 2 + b.sqrt()).sum(), [a, b])
    assert [e.kind for e in found] == ["fine", "inf"]
    assert [e.name for e in found] == ["a", "b"]
    assert str(found) == str(found[1])
    named = cr.explain(lambda first, second: (first * 2 + second.sqrt()).sum(), {"first": a, "second": b})
    assert [e.name for e in named] == ["first", "second"]


def test_a_function_may_close_over_what_is_asked():
    net = nn.Linear(2, 1)
    x = cr.ones(3, 2)
    found = cr.explain(lambda: net(x).mul(-1).exp().neg().sqrt().sum(), list(net.parameters()))
    assert [e.kind for e in found] == ["nan", "nan"]
    assert [e.name for e in found] == ["net.weight", "net.bias"]


def test_a_script_that_calls_backward_itself_is_explained():
    x = leaf(1.0, 0.0)

    def step():
        loss = x.sqrt().sum()
        loss.backward()

    assert cr.explain(step, x).cause == "infinite derivative"


def test_another_element_can_be_asked_for():
    x = leaf(0.0, -2.0, 3.0)
    f = lambda x: (x.relu() + x.clamp(-1, 1) * 0).sum()
    assert cr.explain(f, x).element == (0,)
    found = cr.explain(f, x, element=1)
    assert (found.element, found.count) == ((1,), 2)
    assert cr.explain(f, x, element=2).kind == "fine"


def test_a_gradient_with_nothing_to_explain_is_fine():
    found = cr.explain(lambda x: (x * x).sum(), leaf(1.0, 2.0))
    assert (found.kind, found.cause, found.remedy) == ("fine", "", "")
    assert "finite and nowhere 0" in str(found)


def test_all_ways_that_end_are_told():
    def f(x):
        return (x.relu() + x.round()).sum()

    found = cr.explain(f, leaf(-1.0))
    assert {found.cause, *(e.cause for e in found.also)} == {"dead relu", "rounding"}
    assert "along another way" in str(found)


def test_a_function_that_fails_raises_its_own_error():
    with pytest.raises(ZeroDivisionError):
        cr.explain(lambda x: x * (1 / 0), leaf(1.0))


def test_random_numbers_are_left_as_they_were():
    cr.manual_seed(3)
    first = cr.rand(2)
    cr.manual_seed(3)
    cr.explain(lambda x: (x * cr.rand(2)).sum(), leaf(1.0, 2.0))
    assert cr.rand(2).tolist() == first.tolist()


def test_nothing_is_accumulated():
    x = leaf(1.0, 0.0)
    cr.explain(lambda x: x.sqrt().sum(), x)
    assert x.grad is None


def test_a_loss_of_many_elements_takes_a_gradient():
    x = leaf(4.0, 0.0)
    assert cr.explain(x.sqrt(), x, gradient=cr.tensor([1.0, 0.0], dtype=cr.float64)).arithmetic == "0.0 * inf = nan"
    assert cr.explain(x.sqrt(), x).kind == "inf"


def test_second_derivatives_are_explained():
    def f(x):
        (g,) = cr.autograd.grad((x**1.5).sum(), x, create_graph=True)
        return g.sum()

    found = cr.explain(f, leaf(0.0, 1.0))
    assert (found.kind, found.element) == ("inf", (0,))


def test_a_long_chain_is_followed_without_recursion():
    def f(x):
        y = x
        for _ in range(3000):
            y = y + y * 0.001
        return y.relu().sum()

    assert cr.explain(f, leaf(-1.0)).cause == "dead relu"


def test_a_pass_that_fails_for_a_write_in_place_names_the_op_that_needs_the_value():
    def f(x):
        y = x.exp()
        y.add_(1)
        return y.sum()

    found = cr.explain(f, leaf(1.0, 2.0))
    assert (found.cause, found.op, found.forward.text) == ("overwritten", "exp", "y = x.exp()")


def test_notebooks_show_it_as_it_is_printed():
    found = cr.explain(lambda x: x.sqrt().sum(), [leaf(0.0)])
    for each in (found, found[0]):
        assert each._repr_html_() == f"<pre>{html.escape(str(each))}</pre>"


def trap(x):
    root = x.sqrt()
    return cr.where(x > 0, root, 0.0).sum()


def test_a_compiled_loss_says_how_to_look_inside():
    compiled = cr.compile(trap)
    for _ in range(3):
        x = leaf(4.0, 0.0)
        loss = compiled(x)
    assert cr.explain(loss, x).cause == "compiled"
    found = cr.explain(compiled, x)
    assert (found.cause, found.forward.text) == ("masked", "root = x.sqrt()")


@pytest.mark.parametrize("again", [lambda x: checkpoint(trap, x, use_reentrant=False), within(1 << 20)(trap)])
def test_what_is_computed_once_more_is_looked_at(again):
    found = cr.explain(again, leaf(4.0, 0.0))
    assert (found.cause, found.forward.text) == ("masked", "root = x.sqrt()")
    assert cr.explain(lambda x: checkpoint(trap, x, use_reentrant=True), leaf(4.0, 0.0)).cause == "checkpoint"


class Strange(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone(), x * 2

    @staticmethod
    def backward(ctx, g, h):
        return g * np.nan


@pytest.mark.parametrize(
    "f",
    [
        lambda x: Strange.apply(x)[0].sum(),
        lambda x: cr.linalg.svd(x.outer(x))[1].sum(),
        lambda x: cr.fft.fft(x).abs().sum(),
        lambda x: x.std(),
        lambda x: x.norm(),
        lambda x: x.sort().values[0],
        lambda x: (x.to(cr.complex128) * 1j).abs().sum(),
        lambda x: x[:0].sum(),
        lambda x: cr.func.vmap(lambda v: v.sqrt())(x).sum(),
        lambda x: cr.func.grad(lambda v: v.sqrt().sum())(x).sum(),
        lambda x: cr.compile(lambda v: v.sqrt().sum())(x),
        lambda x: 3.0,
        lambda x: None,
        lambda x: cr.tensor(1.0),
        lambda x: cr.utils.checkpoint.checkpoint(lambda v: v.sqrt().sum(), x, use_reentrant=False),
        lambda x: cr.nn.functional.cross_entropy(x[None].log(), cr.tensor([0])),
        lambda x: x.requires_grad_(False).sum(),
    ],
)
def test_it_never_crashes(f):
    assert str(cr.explain(f, leaf(0.0, 0.0)))
