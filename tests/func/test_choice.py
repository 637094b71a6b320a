"""How the way of a sparse derivative is chosen: by costs that neither a slow first run nor a small difference decides."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import choice, jacobian


class Clock:
    """Time that passes where a function runs: a second in its first `slow` runs, then a millisecond."""

    def __init__(self, slow):
        self.now, self.slow, self.runs = 0.0, slow, 0

    def __call__(self):
        return self.now

    def around(self, f):
        def timed(x):
            self.runs += 1
            self.now += 1.0 if self.runs <= self.slow else 1e-3
            return f(x)

        return timed


@pytest.mark.parametrize("slow", [0, 1])
def test_slow_first_runs_choose_nothing(monkeypatch, slow):
    """The first run may compile kernels: here it takes as long as a thousand others."""
    clock = Clock(slow)
    monkeypatch.setattr(choice, "perf_counter", clock)
    wide = lambda x: x.reshape(20, 40).sum(0)
    pattern = np.tile(np.eye(40), 20)
    J = jacobian(clock.around(wide), sparsity=pattern)
    x = cr.rand(800, dtype=cr.float64)
    J(x)
    assert (J.plan.mode, J.plan.sparse.colours) == ("reverse", 1)
    assert J.plan.sparse.forward_sweep == pytest.approx(1e-3)
    assert J.plan.sparse.reverse_sweep == pytest.approx(1e-3)
    assert clock.runs <= 2 + 2 * choice.MOST + 1


def test_what_interrupts_one_run_chooses_nothing(monkeypatch):
    clock = Clock(0)
    monkeypatch.setattr(choice, "perf_counter", clock)

    def f(x):
        clock.now += 0.05 * (clock.runs == 3)  # the first that counts
        return x.reshape(20, 40).sum(0)

    J = jacobian(clock.around(f), sparsity=np.tile(np.eye(40), 20))
    J(cr.rand(800, dtype=cr.float64))
    assert J.plan.sparse.forward_sweep == pytest.approx(1e-3)


def test_costs_that_are_alike_give_the_first_way():
    assert choice.cheapest([1.0, 1.0, 0.9]) == 0
    assert choice.cheapest([1.4, 1.0]) == 0
    assert choice.cheapest([2.0, 1.0, 0.9]) == 1
    assert choice.cheapest([0.0, 0.0]) == 0


def test_plans_count_in_words():
    J = jacobian(lambda x: x * x, mode="forward", sparse=True)
    J(cr.ones(70))
    assert "mode, 1 sweep: 70 entries in 1 sum of columns, at the least cost" in str(J.plan)
    assert "70 entries in 1 colour (" in str(J.plan)
    J = jacobian(lambda x: x[1:] * x[:-1], sparse=True, chunk_size=1)
    J(cr.ones(70))
    assert "2 sweeps: 138 entries in 2 sums of " in str(J.plan)


# -- wrong calls -------------------------------------------------------------------------------------------------------

differences = lambda x: x[1:] * x[:-1]


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"sparse": "yes"}, TypeError, "`sparse` is True or False, not 'yes'; a pattern is given as `sparsity`"),
        ({"sparse": 1}, TypeError, "`sparse` is True or False, not 1"),
        ({"sparse": None}, TypeError, "`sparse` is True or False, not None"),
        ({"sparsity": np.ones(70)}, ValueError, "sparsity is a matrix, .* but this has 1 axes"),
        ({"sparsity": True}, ValueError, "sparsity is a matrix, .* but this has 0 axes"),
        ({"mode": "both"}, ValueError, "mode is 'forward', 'reverse' or None, not 'both'"),
        ({"chunk_size": 0}, ValueError, "`chunk_size` should be greater than 0"),
        ({"chunk_size": 2.5}, TypeError, "`chunk_size` is a whole number or None, not 2.5"),
        ({"memory": True}, TypeError, "`memory` is a whole number or None, not True"),
        ({"randomness": "sames"}, RuntimeError, "Only allowed values for randomness are .* Got sames"),
        ({"argnums": "x"}, RuntimeError, "argnums must be int"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_options_that_mean_nothing_are_refused(options, kind, text):
    with pytest.raises(kind, match=text):
        jacobian(differences, **options)


@pytest.mark.parametrize("wrap", [lambda J: J, cr.compile], ids=["eager", "compiled"])
@pytest.mark.parametrize(
    ("options", "args", "kind", "text"),
    [
        ({"sparsity": np.ones((69, 50))}, (70,), ValueError, r"shape \(69, 50\), but the inputs have 70 elements"),
        ({"sparsity": np.ones((60, 70))}, (70,), ValueError, r"shape \(60, 70\) was given, but the results have 69 elements"),
        ({}, (cr.arange(70),), RuntimeError, "Only Tensors of floating point and complex dtype can require gradients"),
        ({}, (cr.ones(70).bool(),), RuntimeError, "Only Tensors of floating point and complex dtype"),
        ({}, ([1.0, 2.0],), ValueError, "Thing passed to transform API must be Tensor, got <class 'float'>"),
        ({}, (), RuntimeError, "Got argnum=0, but only 0 positional inputs"),
        ({"argnums": 3}, (70,), RuntimeError, "Got argnum=3, but only 1 positional inputs"),
        ({"has_aux": True}, (70,), RuntimeError, r"should be a tuple: \(output, aux\) if has_aux is True"),
    ],
    ids=["width", "height", "integers", "truths", "numbers", "nothing", "place", "aux"],
)
def test_calls_that_cannot_be_say_why(wrap, options, args, kind, text):
    derivative = wrap(jacobian(differences, sparse=True, **options))
    for _ in range(2):
        with pytest.raises(kind, match=text):
            derivative(*[cr.rand(a) if isinstance(a, int) else a for a in args])


def test_sparse_arrays_inside_of_transforms_are_refused_with_the_remedy():
    x, J = cr.rand(70), jacobian(differences, sparse=True)
    for inside in (
        lambda: cr.func.vmap(J)(cr.stack([x, x])),
        lambda: cr.func.grad(lambda x: J(x).sum())(x),
        lambda: cr.func.jvp(J, (x,), (x,)),
        lambda: jacobian(J)(x),
        lambda: J(x.clone().requires_grad_()),
    ):
        with pytest.raises(RuntimeError, match="a SciPy array holds numbers alone.* Take the dense Jacobian there, or detach"):
            inside()


def test_a_compiled_function_that_takes_sparse_ones_runs_as_it_is_and_says_what_to_compile():
    J = jacobian(differences, sparse=True).prepare(cr.rand(70))
    compiled, x = cr.compile(lambda x: J(2 * x)), cr.rand(70)
    with pytest.warns(UserWarning, match=r"makes a SciPy array.* compile the derivative itself, as in chainrule.compile\("):
        found = compiled(x)
    np.testing.assert_allclose(found.toarray(), J(2 * x).toarray())
