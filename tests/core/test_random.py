"""Random numbers: distributions, dtypes, generators, in-place filling, gradients, PyTorch's errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr

N = 40_000


def moments(t):
    a = t.detach().numpy().astype(np.complex128 if t.is_complex() else np.float64)
    return a.mean(), a.std()


def near(found, expected, spread, n=N):
    """Tell whether a mean lies within 6 standard errors."""
    return abs(found - expected) < 6 * spread / n**0.5 + 1e-3


CASES = {  # name: (draw, mean, standard deviation)
    "rand": (lambda d: cr.rand(N, dtype=d), 0.5, 12**-0.5),
    "randn": (lambda d: cr.randn(N, dtype=d), 0, 1),
    "rand_like": (lambda d: cr.rand_like(cr.empty(N, dtype=d)), 0.5, 12**-0.5),
    "randn_like": (lambda d: cr.randn_like(cr.empty(N, dtype=d)), 0, 1),
    "normal": (lambda d: cr.normal(2.0, 3.0, (N,), dtype=d), 2, 3),
    "uniform_": (lambda d: cr.empty(N, dtype=d).uniform_(-1, 3), 1, 16**0.5 / 12**0.5),
    "normal_": (lambda d: cr.empty(N, dtype=d).normal_(2, 0.5), 2, 0.5),
    "exponential_": (lambda d: cr.empty(N, dtype=d).exponential_(2), 0.5, 0.5),
    "log_normal_": (
        lambda d: cr.empty(N, dtype=d).log_normal_(0, 0.25), np.exp(1 / 32), (np.expm1(1 / 16) * np.exp(1 / 16)) ** 0.5),
    "geometric_": (lambda d: cr.empty(N, dtype=d).geometric_(0.5), 2, 2**0.5),
    "bernoulli_": (lambda d: cr.empty(N, dtype=d).bernoulli_(0.25), 0.25, (3 / 16) ** 0.5),
    "bernoulli": (lambda d: cr.bernoulli(cr.full((N,), 0.25, dtype=d)), 0.25, (3 / 16) ** 0.5),
    "poisson": (lambda d: cr.poisson(cr.full((N,), 4.0, dtype=d)), 4, 2),
    "random_": (lambda d: cr.empty(N, dtype=d).random_(0, 5), 2, 2**0.5),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [cr.float32, cr.float64, cr.float16], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_moments_and_dtype(name, dtype):
    cr.manual_seed(1)
    draw, mean, spread = CASES[name]
    t = draw(dtype)
    assert t.dtype is dtype
    found, found_spread = moments(t)
    assert near(found, mean, spread)
    assert abs(found_spread - spread) < 0.05 * spread + 1e-3


@pytest.mark.parametrize("dtype", [cr.complex64, cr.complex128], ids=str)
def test_complex_normals_have_variance_one(dtype):
    cr.manual_seed(2)
    mean, spread = moments(cr.randn(N, dtype=dtype))
    assert abs(mean) < 0.05
    assert abs(spread - 1) < 0.02
    z = cr.rand(N, dtype=dtype).numpy()
    assert z.real.min() >= 0
    assert z.imag.max() < 1


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_uniform_numbers_stay_below_one(name):
    values = cr.rand(300_000, dtype=getattr(cr, name)).numpy().astype(np.float64)
    assert values.min() >= 0
    assert values.max() < 1


def test_cauchy_has_the_quartiles_of_a_cauchy():
    cr.manual_seed(0)
    q = np.quantile(cr.empty(N).cauchy_(1, 2).numpy(), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(q, [-1, 1, 3], atol=0.15)


def test_integers():
    cr.manual_seed(0)
    t = cr.randint(-2, 3, (1000,))
    assert t.dtype is cr.int64
    assert set(t.tolist()) == {-2, -1, 0, 1, 2}
    assert cr.randint(3, (5,), dtype=cr.float32).dtype is cr.float32
    assert cr.randint_like(cr.ones(2, 2), 1).tolist() == [[0, 0], [0, 0]]
    assert sorted(cr.randperm(20).tolist()) == list(range(20))
    assert set(cr.empty(50, dtype=cr.bool).random_().tolist()) == {True, False}
    assert cr.empty(100, dtype=cr.int8).random_().min().item() >= 0
    assert cr.empty(10, dtype=cr.int64).random_(7).max().item() < 7


def test_multinomial_follows_its_weights():
    cr.manual_seed(0)
    weights = cr.tensor([[1.0, 2.0, 5.0], [1.0, 0.0, 1.0]])
    drawn = cr.multinomial(weights, N, replacement=True)
    assert drawn.shape == (2, N)
    assert drawn.dtype is cr.int64
    shares = np.stack([np.bincount(row, minlength=3) for row in drawn.numpy()]) / N
    np.testing.assert_allclose(shares, [[0.125, 0.25, 0.625], [0.5, 0, 0.5]], atol=0.02)
    for row in cr.multinomial(weights, 2).tolist():
        assert len(set(row)) == 2
    firsts = [cr.multinomial(weights[0], 2).tolist()[0] for _ in range(2000)]
    np.testing.assert_allclose(np.bincount(firsts, minlength=3) / 2000, [0.125, 0.25, 0.625], atol=0.06)


# -- generators --------------------------------------------------------------------------------------------------------


def test_the_seed_decides():
    def draw():
        return [cr.rand(3).tolist(), cr.randn(2).tolist(), cr.randperm(5).tolist(), cr.empty(2).exponential_().tolist()]

    cr.manual_seed(7)
    a = draw()
    cr.manual_seed(7)
    assert draw() == a
    cr.manual_seed(8)
    assert draw() != a
    assert cr.initial_seed() == 8
    assert cr.seed() == cr.initial_seed()


def test_the_state_can_be_kept_and_restored():
    cr.rand(3)
    cr.rand(1)  # an odd number of 32-bit draws leaves half a word in the state
    state = cr.get_rng_state()
    a = cr.rand(5).tolist()
    cr.set_rng_state(state)
    assert cr.rand(5).tolist() == a


def test_a_state_of_the_wrong_size_is_refused():
    with pytest.raises(RuntimeError, match="RNG state is wrong size"):
        cr.set_rng_state(cr.zeros(3, dtype=cr.uint8))


def test_generators_are_independent():
    g, h = cr.Generator().manual_seed(1), cr.Generator().manual_seed(1)
    a = cr.randn(4, generator=g)
    cr.manual_seed(3)
    assert cr.randn(4, generator=h).tolist() == a.tolist()
    assert cr.Generator().initial_seed() == 67280421310721
    assert g.device == cr.device("cpu")
    for twin in (copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        state = g.get_state()
        assert cr.rand(3, generator=twin).tolist() == cr.rand(3, generator=g).tolist()
        g.set_state(state)


# -- autograd ----------------------------------------------------------------------------------------------------------


def test_normal_carries_gradients_to_mean_and_std():
    mean, std = cr.zeros(3, requires_grad=True), cr.ones(2, 1, requires_grad=True)
    cr.manual_seed(5)
    out = cr.normal(mean, std)
    assert out.shape == (2, 3)
    out.sum().backward()
    assert mean.grad.tolist() == [2, 2, 2]
    noise = out.detach().numpy()  # mean 0, standard deviation 1
    np.testing.assert_allclose(std.grad.numpy()[:, 0], noise.sum(1), rtol=1e-5)


def test_normal_takes_a_tensor_and_a_number():
    assert cr.normal(cr.zeros(3, dtype=cr.float64), 0.0).tolist() == [0, 0, 0]
    assert cr.normal(5.0, cr.zeros(2)).tolist() == [5, 5]


def test_filling_in_place_cuts_the_history():
    x = cr.ones(3, requires_grad=True)
    y = x * 2
    y.normal_()
    (y * x).sum().backward()
    assert x.grad.tolist() == y.tolist()
    z = x * 1
    z[:1].uniform_()
    z.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy() + np.array([0, 1, 1]), rtol=1e-6)


def test_filling_a_leaf_that_requires_grad_raises():
    x = cr.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        x.uniform_()
    with cr.no_grad():
        assert x.uniform_(2, 2) is x
    assert x.tolist() == [2, 2, 2]


def test_filling_is_seen_by_the_version_counter():
    x = cr.ones(3, requires_grad=True)
    y = x.exp()
    z = y * y
    y.normal_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_samples_have_the_gradient_zero_as_pytorchs():
    p = cr.full((3,), 0.5, requires_grad=True)
    for draw in (cr.bernoulli, cr.poisson):
        assert cr.autograd.grad(draw(p).sum(), p)[0].tolist() == [0, 0, 0]
    assert cr.bernoulli(cr.ones(2), 0.0).tolist() == [0, 0]
    assert cr.ones(2, dtype=cr.int64).bernoulli(1.0).dtype is cr.int64


ERRORS = """
L.randint(5, 5, (2,))
L.randperm(-1)
L.normal(0.0, -1.0, (2,))
L.normal(L.zeros(2), L.tensor([1.0, -1.0]))
L.normal(L.zeros(2), L.ones(3))
L.normal(L.zeros(2, dtype=L.int64), 1.0)
L.bernoulli(L.tensor([2.0]))
L.bernoulli(L.ones(2, dtype=L.int64))
L.ones(2).bernoulli_(2)
L.ones(2).uniform_(3, 1)
L.ones(2, dtype=L.int64).uniform_()
L.ones(2, dtype=L.int64).normal_()
L.ones(2).normal_(0, -1)
L.ones(2).exponential_(0)
L.ones(2).cauchy_(0, -1)
L.ones(2).log_normal_(0, -1)
L.ones(2).geometric_(0)
L.ones(2, dtype=L.bool).geometric_(0.5)
L.ones(2, dtype=L.int64).exponential_()
L.ones(2, dtype=L.int64).cauchy_()
L.ones(2, dtype=L.int64).random_(5, 5)
L.ones(2, dtype=L.int8).random_(0, 500)
L.ones(2, dtype=L.complex64).random_()
L.multinomial(L.tensor([-1.0, 1.0]), 1)
L.multinomial(L.tensor([0.0, 1.0]), 3)
L.multinomial(L.tensor([0.0, 0.0]), 1)
L.multinomial(L.tensor([1, 1]), 1)
L.multinomial(L.ones(2, 2, 2), 1)
L.multinomial(L.ones(2), 0)
L.poisson(L.tensor([-1.0]))
L.poisson(L.tensor([1]))
L.rand_like(L.ones(2, dtype=L.int64))
L.randn(2, dtype=L.int64)
L.rand(2, dtype=L.int64)
L.manual_seed(2**64)
L.set_rng_state(L.zeros(3))
""".strip().splitlines()


@pytest.mark.parametrize("text", ERRORS)
def test_errors_equal_torch(text):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:
        eval(text, {"L": torch})
    with pytest.raises(Exception) as ours:
        eval(text, {"L": cr})
    assert ours.type is theirs.type
    words = str(theirs.value).replace("torch.", "chainrule.").split()[:4]
    assert str(ours.value).split()[: len(words)] == words


def test_fork_rng_puts_the_default_generator_back():
    cr.manual_seed(3)
    with cr.random.fork_rng():
        first = cr.rand(2)
    assert first.tolist() == cr.rand(2).tolist()
    with cr.random.fork_rng(enabled=False):
        third = cr.rand(2)
    assert third.tolist() != cr.rand(2).tolist()
    with pytest.raises(RuntimeError, match="no other devices"), cr.random.fork_rng(devices=[0]):
        pass


@pytest.mark.parametrize("d", [cr.float32, cr.float64, cr.float16, cr.complex64])
def test_many_normals_are_the_same_on_any_number_of_threads(d):
    before, found = cr.get_num_threads(), []
    try:
        for number in (1, 2, 5):
            cr.set_num_threads(number)
            g = cr.Generator().manual_seed(3)
            found.append((cr.randn(300, 1000, dtype=d, generator=g).numpy(), cr.rand(2, generator=g).tolist()))
    finally:
        cr.set_num_threads(before)
    for values, after in found[1:]:
        np.testing.assert_array_equal(values, found[0][0])
        assert after == found[0][1]


def test_many_normals_are_normal_and_independent():
    g = cr.Generator().manual_seed(0)
    x, y = cr.randn(4, 1 << 16, generator=g).numpy(), cr.randn(4, 1 << 16, generator=g).numpy()
    rows = np.concatenate([x, y])
    assert np.abs(np.corrcoef(rows) - np.eye(8)).max() < 0.02
    assert np.abs(rows.mean(1)).max() < 0.02
    assert np.abs(np.mean(rows**4, 1) - 3).max() < 0.15
