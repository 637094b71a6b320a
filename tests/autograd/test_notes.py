"""Notes at nodes say where each was made and of which values; anomaly mode's are the same ones."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd.graph import OVERWRITTEN, note_of, noting


def leaf(*values):
    return cr.tensor(list(values), dtype=cr.float64, requires_grad=True)


def test_a_note_names_the_users_innermost_line():
    x = leaf(1.0, 4.0)
    with noting():
        y = x.softmax(0)
    note = note_of(y.grad_fn)
    assert note.file == __file__
    assert note.text == "y = x.softmax(0)"
    assert note.function == "test_a_note_names_the_users_innermost_line"
    assert f'File "{__file__}", line {note.line}' in str(note)
    assert not note.has_values


def test_nothing_is_noted_outside_of_a_block():
    x = leaf(1.0)
    with noting():
        pass
    assert note_of((x * x).grad_fn) is None
    assert note_of(None) is None


def shown(values):
    return [np.asarray(v).tolist() for v in values]


def test_values_are_those_of_the_op():
    x = leaf(1.0, 4.0)
    with noting(values=True):
        y = x * 3
        rows = y.unbind()
    assert shown(note_of(y.grad_fn).operands()) == [[1.0, 4.0], 3]
    assert shown(note_of(rows[0].grad_fn).results()) == [3.0, 12.0]


class Doubled(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        return x * factor

    @staticmethod
    def backward(ctx, g):
        return g * 2, None


def test_custom_functions_are_noted():
    x = leaf(1.0, 4.0)
    with noting(values=True):
        y = Doubled.apply(x, 2)
    note = note_of(y.grad_fn)
    assert note.text == "y = Doubled.apply(x, 2)"
    assert shown(note.operands()) == [[1.0, 4.0], 2]
    assert shown(note.results()) == [[2.0, 8.0]]


@pytest.mark.parametrize("write", [lambda y: y.zero_(), lambda y: y.view(-1)[0].fill_(7)], ids=["whole", "by a view"])
def test_a_value_that_was_overwritten_is_known_to_be_lost(write):
    x = leaf(1.0, 4.0)
    with noting(values=True):
        y = x * 2
        z = y.view(2, 1)
    notes = note_of(y.grad_fn), note_of(z.grad_fn)
    write(y)
    assert notes[0].results() == [OVERWRITTEN]
    assert notes[1].operands() == notes[1].results() == [OVERWRITTEN]
    assert repr(OVERWRITTEN) == "OVERWRITTEN"


def test_a_write_is_noted_with_what_it_left():
    x = leaf(1.0, 4.0)
    with noting(values=True):
        y = x * 2
        y[0] = 7.0
        y.mul_(3)
    assert shown(note_of(y.grad_fn).results()) == [[21.0, 24.0]]


def test_values_outlive_the_pass_that_frees_what_was_saved():
    x = leaf(1.0, 4.0)
    with noting(values=True):
        y = x.exp().sum()
    y.backward()
    below = y.grad_fn.next_functions[0][0]
    assert np.allclose(note_of(below).results()[0], np.exp([1.0, 4.0]))


def test_of_nodes_that_a_pass_makes_the_parent_is_noted():
    x = leaf(1.0, 4.0)
    with noting():
        y = x.sin()
        (g,) = cr.autograd.grad(y.sum(), x, create_graph=True)
    note = note_of(g.grad_fn)
    assert note_of(note.parent).text == "y = x.sin()"
    assert note.metadata()["parent_"] is note.parent


def test_blocks_nest_and_end():
    x = leaf(1.0)
    with noting(values=True):
        with noting():
            assert note_of((x * 2).grad_fn).has_values
        with cr.autograd.set_detect_anomaly(True):
            assert note_of((x * 2).grad_fn).has_values
    with cr.autograd.set_detect_anomaly(True):
        assert not note_of((x * 2).grad_fn).has_values
        with noting(values=True):
            assert note_of((x * 2).grad_fn).has_values
    assert note_of((x * 2).grad_fn) is None


def test_transforms_record_noted_nodes():
    seen = []

    def f(x):
        y = x.sin()
        seen.append(note_of(y.grad_fn))
        return y

    with noting(values=True):
        cr.func.grad(f)(cr.tensor(2.0))
        cr.func.vmap(cr.func.grad(f))(cr.ones(3))
    assert seen[0].text == "y = x.sin()"
    assert shown(seen[0].operands()) == [2.0]


def test_compiled_functions_run_as_written_so_that_their_ops_are_noted():
    x = leaf(1.0, 4.0)
    f = cr.compile(lambda x: (x * x).sin())
    f(x)
    with noting():
        y = f(x)
    assert "(x * x).sin()" in note_of(y.grad_fn).text


def test_a_note_keeps_no_graph_alive():
    x = leaf(1.0, 4.0)
    gc.disable()
    try:
        with noting(values=True):
            y = x.exp() * x
            y[0] = 1.0
            z = Doubled.apply(y, 2)
        gone = weakref.ref(y.grad_fn)
        del y, z
        assert gone() is None
    finally:
        gc.enable()


def test_a_gradient_is_the_same_under_notes():
    def gradient():
        x = leaf(0.5, 1.5)
        y = x * x
        y[0] = x[1]
        (y.exp() * y.sum() + x.sqrt()).sum().backward()
        return x.grad.numpy()

    plain = gradient()
    with noting(values=True):
        np.testing.assert_array_equal(gradient(), plain)


def test_the_argument_is_checked():
    with pytest.raises(TypeError, match=r"noting\(\): argument 'values' \(position 1\) must be bool, not int"):
        noting(1)
