"""The short way of a call gives way to the long one wherever something differs that the long one heeds."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

pytest.importorskip("llvmlite")
SCALE = [2.0]


def f(x, y):
    return (x * y).sin() if x.sum() > 0 else x - y * SCALE[0]


@pytest.fixture
def run():
    made = cr.compile(f)
    for _ in range(4):
        made(cr.ones(3), cr.ones(3))
    assert made._short is not None
    return made


def same(run, *args):
    found, expected = run(*args), f(*args)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-6)
    assert (found.dtype, found.shape, found.requires_grad) == (expected.dtype, expected.shape, expected.requires_grad)


def test_it_serves_what_it_was_made_for(run):
    for _ in range(3):
        same(run, cr.ones(3), cr.full((3,), 2.0))
        assert run._short((cr.ones(3), cr.ones(3))) is not None


@pytest.mark.parametrize(
    "args",
    [
        (cr.ones(4), cr.ones(4)), (cr.ones(3, dtype=cr.float64), cr.ones(3)), (cr.ones(3), 2.0), (-cr.ones(3), cr.ones(3)),
        (cr.ones(6)[::2], cr.ones(3)), (cr.ones(3, requires_grad=True), cr.ones(3)), (cr.ones(()), cr.ones(3)),
        (cr.nn.Parameter(cr.ones(3), requires_grad=False), cr.ones(3)), (cr.ones(2, 3), cr.ones(3)),
    ],
)  # fmt: skip
def test_other_arguments(run, args):
    for _ in range(3):
        same(run, *args)
        same(run, cr.ones(3), cr.ones(3))


def test_keywords_and_wrong_counts(run):
    np.testing.assert_allclose(run(cr.ones(3), y=cr.ones(3)).numpy(), f(cr.ones(3), cr.ones(3)).numpy())
    with pytest.raises(TypeError):
        run(cr.ones(3))
    with pytest.raises(TypeError):
        run(cr.ones(3), cr.ones(3), cr.ones(3))


def test_modes_transforms_and_stances(run):
    with cr.no_grad():
        same(run, cr.ones(3), cr.ones(3))
        same(run, cr.ones(3, requires_grad=True), cr.ones(3))
    with cr.inference_mode():
        assert run(cr.ones(3), cr.ones(3)).is_inference()
    x = cr.ones(3)
    for _ in range(3):
        found, expected = (cr.func.jvp(g, (x, x), (x, x))[1] for g in (run, f))
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
    for _ in range(3):
        same(run, x, cr.ones(3))
    with cr.compiler.set_stance("force_eager"):
        assert run._short((x, x)) is None
    with cr.enable_grad():
        same(run, x, x)


def test_state_of_python_that_changes(run):
    same(run, -cr.ones(3), cr.ones(3))
    same(run, -cr.ones(3), cr.ones(3))
    same(run, -cr.ones(3), cr.ones(3))
    SCALE[0] = 3.0
    try:
        same(run, -cr.ones(3), cr.ones(3))
        same(run, cr.ones(3), cr.ones(3))
    finally:
        SCALE[0] = 2.0


def test_results_as_the_function_puts_them_together():
    for g in (lambda x: (x + 1, x * 2), lambda x: {"a": [x + 1], "b": x * 2}, lambda x: [x.exp()], lambda x: (x, x + 1)):
        made = cr.compile(g)
        for _ in range(5):
            found, expected = made(cr.ones(2)), g(cr.ones(2))
            assert repr(found) == repr(expected)


@pytest.mark.parametrize("form", [list, tuple])
def test_lists_and_tuples_of_tensors(form):
    def g(params, data, scale):
        (a, b), (x,) = params, data
        return (a * x + b) * scale, a.sum()

    run, scale = cr.compile(g), cr.full((), 2.0)
    for k in range(4):
        params, data = form([cr.full((3,), float(k)), cr.ones(3)]), [cr.arange(3.0)]
        for found, expected in zip(run(params, data, scale), g(params, data, scale), strict=True):
            assert cr.allclose(found, expected)
    assert run._short is not None
    other = tuple if form is list else list
    assert run._short((params, data, scale)) is not None
    assert run._short((other(params), data, scale)) is None
    assert run._short((params, [*data, scale], scale)) is None
    assert run._short((params, data)) is None
    assert run._short((params, data[0], scale)) is None
    assert run._short((params, [2.0], scale)) is None
    with pytest.raises(ValueError, match="too many values"):
        run(params, [*data, scale], scale)
