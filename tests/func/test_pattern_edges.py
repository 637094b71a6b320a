"""What a pattern is at its edges: trees, shared sets, guards on indices and shapes, masks, custom functions, complex, empty."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule.func import grad
from chainrule.transforms.sparsity import sparsity_of


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def test_results_and_inputs_are_stacked_in_the_order_of_their_trees():
    found = sparsity_of(
        lambda x, more: {"a": x * more["b"], "c": more["d"].sum()}, (cr.ones(2), {"b": cr.ones(2), "d": cr.ones(3)})
    )
    assert (found.sizes_out, found.sizes_in, found.shape) == ([2, 1], [2, 2, 3], (3, 7))
    assert found.tosparse().toarray().tolist() == [
        [True, False, True, False, False, False, False],
        [False, True, False, True, False, False, False],
        [False, False, False, False, True, True, True],
    ]


def test_a_value_on_which_all_depends_takes_no_table_of_squares():
    found = sparsity_of(lambda x: cr.softmax(x, 0), (cr.randn(5000),))
    assert found.nnz == 25_000_000
    assert found._results[0].columns.size == 5000


def test_a_branch_in_the_gradient_is_a_guard():
    found = sparsity_of(grad(lambda x: x[0] * x[1] if x[0] > 0 else (x**2).sum()), (cr.ones(2),))
    assert found.holds(cr.tensor([3.0, -1.0]))
    assert not found.holds(-cr.ones(2))


def test_an_index_computed_from_inputs_is_a_guard():
    found = sparsity_of(lambda x: x[cr.argsort(x)], (cr.tensor([3.0, 1.0, 2.0]),))
    assert found.holds(cr.tensor([5.0, 1.0, 2.0]))
    assert not found.holds(cr.tensor([1.0, 3.0, 2.0]))


def test_a_shape_that_values_decide_is_a_guard():
    found = sparsity_of(lambda x: x[x > 0], (cr.tensor([3.0, -1.0, 2.0]),))
    assert not found.holds(cr.tensor([3.0, 1.0, 2.0]))


def test_a_mask_that_values_decide_is_no_guard_and_links_both_sides():
    found = sparsity_of(lambda x: cr.where(x > 0, x, 2 * x.flip(0)), (cr.tensor([3.0, -1.0]),))
    assert found.holds(-cr.ones(2))
    assert found.tosparse().toarray().all()


def test_an_index_drawn_at_random_never_holds():
    state = cr.get_rng_state()
    found = sparsity_of(lambda x: x[cr.randint(0, 3, (2,))], (cr.ones(3),))
    cr.set_rng_state(state)
    drawn = cr.get_rng_state()
    assert not found.holds(cr.ones(3))
    assert (cr.get_rng_state() == drawn).all()


def test_a_hessian_pattern_is_symmetric():
    found = sparsity_of(grad(rosenbrock), (cr.randn(5),)).tosparse()
    assert found.indptr.tolist() == [0, 2, 5, 8, 11, 13]
    assert found.indices.tolist() == [0, 1, 0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4]


def test_a_custom_function_depends_on_all_it_is_given():
    class Twice(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    found = sparsity_of(lambda x: Twice.apply(x[:2]) + x[2], (cr.ones(3),))
    assert found.tosparse().toarray().all()


def test_complex_elements_are_one_row_or_column():
    z = cr.randn(3, dtype=cr.complex128)
    assert (sparsity_of(lambda z: z.conj() * z.real, (z,)).tosparse().toarray() == np.eye(3)).all()


def test_empty_inputs_and_results():
    assert sparsity_of(lambda x: x * 2, (cr.ones(0),)).tosparse().shape == (0, 0)
    assert sparsity_of(lambda x: cr.ones(2), (cr.ones(3),)).nnz == 0


def test_a_loop_over_elements_has_the_pattern_of_its_vectors():
    def loop(x):
        total = 0.0
        for i in range(len(x) - 1):
            total = total + 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
        return total

    x = cr.rand(40, dtype=cr.float64)
    shown = [sparsity_of(grad(f), (x,)).tosparse().toarray() for f in (loop, rosenbrock)]
    np.testing.assert_array_equal(*shown)
    found = sparsity_of(lambda x: cr.stack([x[i] * x[i - 1] for i in range(0, 40, 3)], 0)[None], (x,))
    assert found.nnz == 28
