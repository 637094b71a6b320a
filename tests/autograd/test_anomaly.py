"""Anomaly mode raises and warns as PyTorch's does, and says what made a NaN."""

from __future__ import annotations

import re
import threading
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import detect_anomaly, set_detect_anomaly


def leaf(lib, *values):
    return lib.tensor(list(values), dtype=lib.float64, requires_grad=True)


def masked_root(lib, x):
    y = x.sqrt()
    return lib.where(x > 0, y, x)


def tried(lib, say, f, **options):
    """Run `f` in anomaly mode; note its error, and what the warnings say without the files and lines of the libraries."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with lib.autograd.detect_anomaly(**options):
            say.error(f)
    for w in caught:
        text = re.sub(r'  File "[^"]*(site-packages|src/chainrule)[^"]*", line .*\n.*\n', "", str(w.message))
        say(w.category.__name__, text.split(" (Triggered")[0])


def nan_of_a_masked_root(lib, say):
    tried(lib, say, lambda: masked_root(lib, leaf(lib, 0.0, 1.0)).sum().backward())


def nan_is_let_be(lib, say):
    x = leaf(lib, 0.0, 1.0)
    tried(lib, say, lambda: masked_root(lib, x).sum().backward(), check_nan=False)
    say(x.grad.isnan().tolist())


def infinity_is_let_be(lib, say):
    x = leaf(lib, 0.0, 1.0)
    tried(lib, say, lambda: x.sqrt().sum().backward())
    say(x.grad[0].item() == float("inf"))


def forward_outside_the_mode(lib, say):
    out = masked_root(lib, leaf(lib, 0.0, 1.0)).sum()
    tried(lib, say, out.backward)


def second_derivative(lib, say):
    def f():
        x = leaf(lib, 0.0, 1.0)
        (g,) = lib.autograd.grad(x.pow(1.5).sum(), x, create_graph=True)
        lib.autograd.grad((g * 0).sum(), x)

    tried(lib, say, f)


def saved_value_written_to(lib, say):
    def f():
        y = leaf(lib, 0.0, 1.0).exp()
        y.add_(1)
        y.sum().backward()

    tried(lib, say, f)


def graph_freed(lib, say):
    x = leaf(lib, 0.0, 1.0)

    def f():
        y = (x * x).sum()
        y.backward()
        y.backward()

    tried(lib, say, f)


def hook_that_fails(lib, say):
    def f():
        y = leaf(lib, 0.0, 1.0) * 2
        y.register_hook(lambda g: 3)
        y.sum().backward()

    tried(lib, say, f)


def custom_function(lib, say):
    class Bad(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g * float("nan")

    tried(lib, say, lambda: Bad.apply(leaf(lib, 0.0, 1.0)).sum().backward())


def nan_from_the_root(lib, say):
    y = leaf(lib, 0.0, 1.0) * 2
    tried(lib, say, lambda: y.backward(lib.tensor([float("nan"), 1.0], dtype=lib.float64)))


def nan_after_a_hook(lib, say):
    def f():
        y = leaf(lib, 0.0, 1.0) * 2
        y.grad_fn.register_hook(lambda to, frm: (to[0] * float("nan"), None))
        y.sum().backward()

    tried(lib, say, f)


def traceback_in_metadata(lib, say):
    x = leaf(lib, 0.0, 1.0)
    with warnings.catch_warnings(record=True), lib.autograd.detect_anomaly():
        y = x.exp()
    z = x.exp()
    lines = y.grad_fn.metadata["traceback_"]
    say(lines[-1].splitlines()[1], list(y.grad_fn.metadata), z.grad_fn.metadata)


def states(lib, say):
    def state():
        say(lib.is_anomaly_enabled(), lib.is_anomaly_check_nan_enabled())

    state()
    with lib.autograd.set_detect_anomaly(True):
        state()
        with lib.autograd.set_detect_anomaly(True, check_nan=False):
            state()
        state()
    state()
    lib.autograd.set_detect_anomaly(True, False)
    state()
    lib.autograd.set_detect_anomaly(False)
    state()


PROGRAMS = [
    nan_of_a_masked_root,
    nan_is_let_be,
    infinity_is_let_be,
    forward_outside_the_mode,
    second_derivative,
    saved_value_written_to,
    graph_freed,
    hook_that_fails,
    custom_function,
    nan_from_the_root,
    nan_after_a_hook,
    traceback_in_metadata,
    states,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_program_runs_as_under_pytorch(program, same):
    same(program)


# -- beyond PyTorch ----------------------------------------------------------------------------------------------------


def found(f, **options):
    """Return the error that `f` meets in anomaly mode, and its note."""
    with warnings.catch_warnings(), set_detect_anomaly(True, **options):
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError) as caught:
            f()
    return str(caught.value), "\n".join(getattr(caught.value, "__notes__", []))


def where_root():
    masked_root(cr, leaf(cr, 4.0, 1.0, 9.0, 0.0)).sum().backward()


def sliced_log():
    leaf(cr, 1.0, 0.0).log()[:1].sum().backward()


def broadcast_quotient():
    x, w = leaf(cr, 1.0, 0.0), cr.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=cr.float64, requires_grad=True)
    cr.where(x > 0, w / x, 0.0).sum().backward()


def summed_twice():
    x = leaf(cr, 0.0, 1.0)
    (x.sqrt() * 0).sum().mul(2).backward()


def norm_at_zero():
    x = leaf(cr, 0.0, 0.0)
    (x * x).sum().sqrt().backward()


EXPLANATIONS = [
    (where_root, "SqrtBackward0", "first at [3]", "0.0 * inf = nan", "sent by WhereBackward0", "return lib.where(x > 0, y, x)"),
    (sliced_log, "LogBackward0", "first at [1]", "at self = 0.0 is inf: 0.0 * inf = nan", "sent by SliceBackward0", "[:1]"),
    (
        broadcast_quotient,
        "DivBackward0",
        "first at [0, 1]",
        "self = 2.0, other = 0.0 is inf",
        "sent by WhereBackward0",
        "w / x",
    ),
    (summed_twice, "SqrtBackward0", "first at [0]", "0.0 * inf = nan", "sent by MulBackward0", "x.sqrt() * 0"),
    (norm_at_zero, "MulBackward0", "2 of 2 elements", "inf * 0.0 = nan", "made by SqrtBackward0", ".sum().sqrt()"),
]


@pytest.mark.parametrize(("program", "name", *"abcd"), EXPLANATIONS, ids=lambda p: getattr(p, "__name__", ""))
def test_note_says_which_element_and_which_values_made_a_nan_and_what_hid_it(program, name, a, b, c, d):
    message, note = found(program)
    assert message == f"Function '{name}' returned nan values in its 0th output."
    for words in (a, b, c, d):
        assert words in note


def test_no_note_where_it_is_not_wanted():
    assert found(where_root, explain=False)[1] == ""


def test_nan_that_came_in_is_not_blamed_on_the_node():
    y = leaf(cr, 0.0, 1.0) * 2
    _, note = found(lambda: y.backward(cr.tensor([1.0, float("nan")], dtype=cr.float64)))
    assert "the gradient that came to MulBackward0 holds nan already, first at [1]" in note


def test_infinities_are_found_on_request():
    def f():
        leaf(cr, 1.0, 0.0).sqrt().sum().backward()

    message, note = found(f, check_inf=True)
    assert message == "Function 'SqrtBackward0' returned inf values in its 0th output."
    assert "1.0 * inf = inf" in note


FORWARD = [
    (lambda x: (x * 2).log(), False, "'log' returned nan", "first at [1]", "input 0 ('self') is -2.0 there"),
    (lambda x: 1 / (x + 1), True, "'div' returned inf", "first at [1]", "input 1 ('other') is 0.0 there"),
    (
        lambda x: (x * float("inf")) @ cr.zeros(2, dtype=cr.float64),
        False,
        "returned nan",
        "in 1 of 1",
        "lies between -inf and inf",
    ),
    (lambda x: x.detach().log_(), False, "'log' returned nan", "first at [1]", "is -1.0 there"),
    (lambda x: x.detach().mul_(float("nan")), False, "'mul' returned nan", "first at [0]", "('other') holds nan already"),
]


@pytest.mark.parametrize(("f", "inf", "what", "where", "why"), FORWARD)
@pytest.mark.parametrize("grad", [True, False])
def test_first_nan_of_the_forward_pass_is_found(f, inf, what, where, why, grad):
    def program():
        with cr.set_grad_enabled(grad):
            f(leaf(cr, 1.0, -1.0))

    message, _ = found(program, check_forward=True, check_inf=inf)
    for words in (what, where, why):
        assert words in message
    assert "test_anomaly.py" in message


def test_infinities_of_the_forward_pass_are_let_be():
    with set_detect_anomaly(True, check_forward=True):
        assert (1 / leaf(cr, 0.0)).item() == float("inf")
    assert (leaf(cr, -1.0).log().isnan()).all()


def test_forward_check_finds_nans_inside_transforms():
    message, _ = found(lambda: cr.func.grad(lambda x: x.log().sum())(cr.tensor([-1.0])), check_forward=True)
    assert "'log' returned nan" in message


def root_sum(x):
    return masked_root(cr, x).sum()


TRANSFORMS = {
    "grad": lambda x: cr.func.grad(root_sum)(x),
    "vmap of grad": lambda x: cr.func.vmap(cr.func.grad(root_sum))(x),
    "grad of vmap": lambda x: cr.func.grad(lambda x: cr.func.vmap(root_sum)(x).sum())(x),
    "grad of grad": lambda x: cr.func.grad(lambda x: cr.func.grad(root_sum)(x).sum())(x),
    "jvp of grad": lambda x: cr.func.jvp(cr.func.grad(root_sum), (x,), (x,)),
    "jacrev": lambda x: cr.func.jacrev(lambda x: masked_root(cr, x))(x[0]),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_nans_of_transforms_are_found(transform):
    x = cr.tensor([[4.0, 0.0], [1.0, 1.0]])
    message, note = found(lambda: TRANSFORMS[transform](x), check_forward=True)
    assert message == "Function 'SqrtBackward0' returned nan values in its 0th output."
    assert "0.0 * inf = nan" in note
    assert "sent by WhereBackward0" in note


def test_mode_is_of_one_thread():
    seen = []
    with set_detect_anomaly(True):
        thread = threading.Thread(target=lambda: seen.append(cr.is_anomaly_enabled()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_gradients_are_the_same_in_the_mode():
    def f():
        x = leaf(cr, 0.5, 1.5)
        y = x * x
        (y.exp() * y.sum() + x.sqrt()).sum().backward()
        return x.grad.numpy()

    plain = f()
    with set_detect_anomaly(True, check_inf=True, check_forward=True):
        np.testing.assert_array_equal(f(), plain)


def test_mode_warns_that_it_is_slow():
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled. This mode will increase the runtime"):
        detect_anomaly()


class Failing(cr.autograd.Function):
    """Has a backward that raises."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        raise ValueError("its own error")


@pytest.mark.parametrize("seen", [True, False], ids=["forward pass seen", "not seen"])
@pytest.mark.parametrize(
    ("f", "kind", "words"),
    [(Failing.apply, ValueError, "its own error"), (cr.sqrt, RuntimeError, "'SqrtBackward0' returned nan values")],
    ids=["function", "nan"],
)
def test_warnings_that_are_errors_do_not_hide_the_backwards_own(f, kind, words, seen):
    x = leaf(cr, -1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with set_detect_anomaly(seen):
            y = f(x)
        with set_detect_anomaly(True), pytest.raises(kind, match=words) as caught:
            y.backward()
    assert caught.value.__cause__ is caught.value.__context__ is None
    told = "\n".join(caught.value.__notes__)
    assert ("y = f(x)" in told) is seen
    assert ("No forward pass information" in told) is not seen


def test_it_is_set_by_a_function_as_pytorchs_is():
    cr.set_anomaly_enabled(True, check_nan=False)
    try:
        assert cr.is_anomaly_enabled()
        assert not cr.is_anomaly_check_nan_enabled()
    finally:
        cr.set_anomaly_enabled(False)
    assert not cr.is_anomaly_enabled()
    with pytest.raises(TypeError, match=r"set_anomaly_enabled\(\): argument 'enabled' \(position 1\) must be bool, not int"):
        cr.set_anomaly_enabled(1)
