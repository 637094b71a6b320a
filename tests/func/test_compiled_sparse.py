"""Compiled prepared derivatives: they give what the prepared and the dense ones give, wherever the function then goes."""

from __future__ import annotations

import pickle
import warnings
from copy import deepcopy

import numpy as np
import pytest
import scipy.sparse as sp
from tests.func.sparse_families import FAMILIES
from tests.func.test_sparse_jacobian import FUNCTIONS, HESSIANS, arrow, differences, tensors

import chainrule as cr
from chainrule.core.types.tree import tree_flatten
from chainrule.func import hessian, jacobian


def ramp(n):
    return cr.linspace(0.1, 1, n, dtype=cr.float64)


def agree(found, expected, **tolerance):
    """Check trees of SciPy's arrays or tensors."""
    pairs = zip(tree_flatten(found)[0], tree_flatten(expected)[0], strict=True)
    for a, b in pairs:
        a, b = (t.toarray() if sp.issparse(t) else t.detach().numpy() for t in (a, b))
        np.testing.assert_allclose(a, b.reshape(a.shape), **{"rtol": 1e-9, "atol": 1e-11, **tolerance})


def paths(derivative):
    """Return how many paths each compiled function of a derivative has recorded."""
    return [len(s.paths.all) for run in derivative._take._known.values() for s in run._known.values()]


@pytest.fixture(autouse=True)
def _nothing_runs_as_it_is():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "(?s).*runs as it is.*")
        yield


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_compiled_prepared_and_dense_derivatives_are_the_same(family, dense):
    at = family.point(family.small)
    prepared = family.derivative(family.function(), sparse=not dense).prepare(cr.tensor(at))
    compiled, whole = cr.compile(prepared), family.derivative(family.function())
    for x in (at, at * 1.1, at[::-1].copy(), -at, at):
        x = cr.tensor(x)
        agree(compiled(x), prepared(x))
        agree(compiled(x), whole(x))
    assert paths(compiled) == [1]
    assert compiled.plan.sparse is prepared.plan.sparse


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_compiled_blocks_are_the_dense_ones(name):
    f, at = FUNCTIONS[name]
    x = tensors(at)
    compiled = cr.compile(jacobian(f, sparse=True))
    for _ in range(3):
        agree(compiled(x), jacobian(f)(x), rtol=2e-3 if name == "float16" else 1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(HESSIANS))
def test_compiled_hessians_are_the_dense_ones(name):
    f, at = HESSIANS[name]
    at = [cr.tensor(a) for a in at]
    argnums = 0 if name == "one of two" or len(at) == 1 else (0, 1)
    compiled = cr.compile(hessian(f, argnums, sparse=True).prepare(*at))
    for _ in range(3):
        agree(compiled(*at), hessian(f, argnums)(*at), atol=1e-10)


def test_large_members_are_what_prepared_ones_are():
    for family in FAMILIES:
        x = cr.tensor(family.point(family.large))
        prepared = family.derivative(family.function(), sparse=True).prepare(x)
        compiled = cr.compile(prepared)
        for k in (1, 1.2):
            np.testing.assert_allclose(compiled(k * x).data, prepared(k * x).data, rtol=1e-9, atol=1e-11)
        assert paths(compiled) == [1]


def test_a_complex_function_is_asked_each_time_whether_it_is_holomorphic():
    f = lambda z: z * z + cr.relu(z.real - 2) * z.conj()
    z = cr.complex(ramp(70), ramp(70))
    compiled = cr.compile(jacobian(f, sparse=True).prepare(z))
    for _ in range(3):
        agree(compiled(z), jacobian(f)(z))
    with pytest.raises(RuntimeError, match="Cauchy-Riemann"):
        compiled(3 * z)
    agree(compiled(2 * z), jacobian(f)(2 * z))


# -- what changes ------------------------------------------------------------------------------------------------------


def test_another_branch_has_its_own_pattern_and_its_own_code():
    def f(x):
        return x * x.sum() if x[0] > 0 else x * 2

    x = ramp(70)
    compiled = cr.compile(jacobian(f, sparse=True).prepare(-x))
    for k in (-1, 1, -2, 2, -1, 1):
        agree(compiled(k * x), jacobian(f)(k * x))
    assert sorted(paths(compiled)) == [1, 1]
    assert compiled(-x).nnz == 70


def test_a_branch_with_the_same_pattern_is_another_path():
    def f(x):
        return x[1:] * x[:-1] if x.sum() > 0 else x[1:] * x[:-1] ** 2

    compiled = cr.compile(jacobian(f, sparsity=jacobian(f, sparse=True)(ramp(70)) != 0, sparse=True))
    for k in (1, -1, 2, -2, 1):
        agree(compiled(k * ramp(70)), jacobian(f)(k * ramp(70)))
    assert paths(compiled) == [2]


def test_other_indices_are_another_pattern():
    def f(x):
        return x[x.argsort()] ** 2

    x = cr.tensor(np.random.default_rng(0).permutation(70) + 1.0)
    compiled = cr.compile(jacobian(f, sparse=True).prepare(x))
    for at in (x, x.flip(0), x[cr.randperm(70)], x):
        agree(compiled(at), jacobian(f)(at))


def test_a_function_that_has_changed_is_doubted():
    state = {"shift": 1, "cut": 69}

    def f(x):
        return (x[:70] * cr.roll(x, state["shift"])[:70])[: state["cut"]]

    for mode in ("forward", "reverse"):
        compiled = cr.compile(jacobian(f, sparse=True, mode=mode).prepare(ramp(70)))
        for state["shift"], state["cut"] in ((1, 69), (2, 69), (2, 60), (0, 70), (1, 69)):
            for _ in range(3):
                agree(compiled(ramp(70)), jacobian(f)(ramp(70)))


def test_results_of_other_shapes_have_their_own_places():
    state = {"flat": True}

    def f(x):
        y = x * x
        return y if state["flat"] else y.reshape(7, 10)

    compiled = cr.compile(jacobian(f).prepare(ramp(70)))
    for state["flat"] in (True, False, True, False):
        for _ in range(2):
            assert compiled(ramp(70)).shape == jacobian(f)(ramp(70)).shape
            agree(compiled(ramp(70)), jacobian(f)(ramp(70)))


def test_other_shapes_and_dtypes_are_found_anew():
    compiled = cr.compile(jacobian(differences, sparse=True).prepare(ramp(70)))
    for x in (ramp(70), ramp(80), ramp(70).float(), ramp(70), ramp(80)):
        for _ in range(2):
            agree(compiled(x), jacobian(differences)(x), rtol=1e-5)


# -- other arguments ---------------------------------------------------------------------------------------------------


def test_other_arguments_are_arguments():
    def f(x, w, *, power):
        return {"y": (x["a"][1:] * w) ** power, "z": x["b"] * x["a"].sum()}, w * 2

    at = lambda k: ({"a": k * ramp(70), "b": k * ramp(3)}, k * ramp(69))
    J = jacobian(f, has_aux=True, sparse=True)
    compiled = cr.compile(J.prepare(*at(1.0), power=2))
    for k, power in ((1.0, 2), (1.5, 2), (1.5, 3), (1.0, 2)):
        (found, aux), (expected, due) = (g(*at(k), power=power) for g in (compiled, J))
        agree(found, expected)
        np.testing.assert_allclose(aux.numpy(), due.numpy())
    both = cr.compile(jacobian(lambda x, y: x[1:] * y, (0, 1), sparse=True).prepare(ramp(70), ramp(69)))
    for k in (1.0, 2.0):
        agree(both(k * ramp(70), ramp(69)), jacobian(lambda x, y: x[1:] * y, (0, 1))(k * ramp(70), ramp(69)))


def test_arrays_are_no_constants():
    compiled = cr.compile(jacobian(differences, sparse=True).prepare(ramp(70).numpy()))
    for k in range(1, 5):
        agree(compiled(k * ramp(70).numpy()), jacobian(differences)(k * ramp(70)))
    assert paths(compiled) == [1]


def into_its_argument(x):
    return x.mul_(2)[1:] * x[:-1]


class Writing(cr.autograd.Function):
    """2 x by rules that write to what they are given."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * 2

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, g):
        return g.mul_(2)

    @staticmethod
    def jvp(ctx, t):
        return t.mul_(2)


@pytest.mark.parametrize(
    ("f", "mode"),
    [
        (into_its_argument, "forward"),
        (lambda x: differences(Writing.apply(x)), "forward"),
        (lambda x: Writing.apply(differences(x)), "reverse"),
    ],
    ids=["in place", "jvp", "backward"],
)
def test_seeds_are_not_spoilt_by_what_writes_to_them(f, mode):
    J, expected = jacobian(f, sparse=True, mode=mode), jacobian(f, mode=mode)(ramp(70))
    for derivative in (J, cr.compile(J)):
        for _ in range(4):
            agree(derivative(ramp(70)), expected)


def test_writes_to_other_arguments_reach_them_once():
    def f(x, count):
        count += 1
        return x[1:] * x[:-1] * count

    count, compiled = cr.zeros(()).double(), cr.compile(jacobian(f, sparsity=jacobian(differences, sparse=True)(ramp(70)) != 0))
    for n in range(1, 5):
        expected = jacobian(f)(ramp(70), count.clone())
        agree(compiled(ramp(70), count), expected)
        assert count.item() == n


def test_copies_compile_for_themselves():
    compiled = cr.compile(jacobian(cr.sin, sparse=True).prepare(ramp(70)))
    for again in (pickle.loads(pickle.dumps(compiled)), deepcopy(compiled), compiled.prepare(ramp(70))):
        for _ in range(3):
            agree(again(ramp(70)), jacobian(cr.sin)(ramp(70)))
    compiled(ramp(70))
    assert pickle.loads(pickle.dumps(compiled))(ramp(70)).nnz == 70


# -- inside of others --------------------------------------------------------------------------------------------------


def test_what_is_differentiated_again_is_taken_as_it_is():
    dense = jacobian(differences, mode="reverse")
    compiled = cr.compile(jacobian(differences).prepare(ramp(70)))
    loss = lambda J: lambda x: (J(x) ** 2).sum()
    agree(cr.func.grad(loss(compiled))(ramp(70)), cr.func.grad(loss(dense))(ramp(70)))
    agree(cr.func.vmap(compiled)(cr.stack([ramp(70), 2 * ramp(70)])), cr.func.vmap(dense)(cr.stack([ramp(70), 2 * ramp(70)])))
    for _ in range(3):
        y = ramp(70).requires_grad_()
        (g,) = cr.autograd.grad((compiled(y) ** 2).sum(), y)
        agree(g, cr.func.grad(loss(dense))(ramp(70)))


def test_dense_derivatives_without_a_pattern_are_compiled_whole():
    compiled = cr.compile(jacobian(differences))
    agree(compiled(ramp(20)), jacobian(differences)(ramp(20)))
    assert type(compiled).__name__ == "Compiled"
    assert compiled.graph.equations


def test_what_cannot_be_recorded_says_so_and_is_right():
    def f(x):
        cr.get_rng_state()
        return differences(x)

    J = jacobian(f, sparsity=jacobian(differences, sparse=True)(ramp(70)) != 0, sparse=True)
    compiled = cr.compile(J)
    agree(compiled(ramp(70)), jacobian(differences)(ramp(70)))  # makes what its code needs
    with pytest.warns(UserWarning, match="runs as it is, not compiled: it uses the state of a generator"):
        agree(compiled(2 * ramp(70)), jacobian(differences)(2 * ramp(70)))
    with pytest.raises(RuntimeError, match="<compiled derivative of .*f> cannot be compiled whole: it uses the state"):
        cr.compile(J, fullgraph=True)(ramp(70))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_random_numbers_are_drawn_as_in_one_run(mode):
    f = lambda x: differences(x) * cr.rand(x.numel() - 1, dtype=cr.float64)
    J = jacobian(f, mode=mode, sparsity=jacobian(differences, sparse=True)(ramp(70)) != 0)
    compiled, found = cr.compile(J), []
    for derivative in (J, compiled):
        derivative(ramp(70))
        cr.manual_seed(0)
        found.append([*[derivative(ramp(70)) for _ in range(3)], cr.rand(1)])
    agree(*found)


def test_both_modes_of_a_random_function_draw_alike_or_say_that_they_run_as_they_are():
    f = lambda x: arrow(x) * cr.rand(x.numel(), dtype=cr.float64)
    J = jacobian(f, sparsity=jacobian(arrow, sparse=True)(ramp(70)) != 0)
    compiled, found = cr.compile(J), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for derivative in (jacobian(f, mode="reverse", chunk_size=70), J, compiled):
            derivative(ramp(70))
            cr.manual_seed(0)
            found.append([*[derivative(ramp(70)) for _ in range(3)], cr.rand(1)])
    assert J.plan.mode == "both"
    agree(found[0], found[1])
    agree(found[0], found[2])
