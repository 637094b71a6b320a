"""The programs of PyTorch's tutorials on `torch.func`, run under both libraries with only the name of the library changed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import chainrule as cr

D = 16
RNG = np.random.default_rng(0)
SHAPES = {
    "weight": (D, D), "bias": (D,), "x": (D,), "X": (6, D), "Y": (4, D), "w1": (8, D), "b1": (8,), "w2": (3, 8), "b2": (3,),
}  # fmt: skip
ARRAYS = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
LABELS = RNG.integers(0, 3, 6)


class Program:
    """What the tutorials share, in one library."""

    def __init__(self, t):
        self.t, self.func = t, t.func
        self.nn = t.nn
        for name, array in ARRAYS.items():
            setattr(self, name, t.tensor(array))
        self.y = t.tensor(LABELS)
        self.net = t.nn.Sequential(t.nn.Linear(D, 8), t.nn.ReLU(), t.nn.Linear(8, 3))
        with t.no_grad():
            for p, name in zip(self.net.parameters(), ("w1", "b1", "w2", "b2"), strict=True):
                p.copy_(t.tensor(ARRAYS[name]))
        self.params = {k: v.detach() for k, v in self.net.named_parameters()}

    def predict(self, weight, bias, x):
        return self.nn.functional.linear(x, weight, bias).tanh()

    def net_of_one(self, params, x):
        return self.func.functional_call(self.net, params, (x.unsqueeze(0),)).squeeze(0)

    def loss(self, params, x, y):
        return self.nn.functional.cross_entropy(self.net_of_one(params, x).unsqueeze(0), y.unsqueeze(0))


def jacobian_by_vmap_of_vjp(p):
    _, pull = p.func.vjp(lambda x: p.predict(p.weight, p.bias, x), p.x)
    return p.func.vmap(pull)(p.t.eye(D))


def jacobians(p):
    modes = (p.func.jacrev, p.func.jacfwd)
    return [mode(p.predict, argnums=i)(p.weight, p.bias, p.x) for mode in modes for i in (0, 2)]


def hessians(p):
    compositions = (p.func.hessian, lambda f, argnums: p.func.jacrev(p.func.jacfwd(f, argnums), argnums))
    return [h(p.predict, argnums=2)(p.weight, p.bias, p.x) for h in compositions]


def batches_of_jacobians_and_hessians(p):
    transforms = (p.func.jacrev, p.func.jacfwd, p.func.hessian)
    return [p.func.vmap(f(p.predict, argnums=2), in_dims=(None, None, 0))(p.weight, p.bias, p.X) for f in transforms]


def jacobians_with_values(p):
    both = lambda weight, bias, x: (p.predict(weight, bias, x),) * 2
    return p.func.vmap(p.func.jacrev(both, argnums=2, has_aux=True), in_dims=(None, None, 0))(p.weight, p.bias, p.X)


def hessian_vector_product(p):
    return p.func.jvp(p.func.grad(lambda x: x.sin().sum()), (p.x,), (p.t.ones(D),))[1]


def neural_tangent_kernel_by_jacobians(p):
    parts = []
    for x in (p.X, p.Y):
        jacobian = p.func.vmap(p.func.jacrev(p.net_of_one), (None, 0))(p.params, x)
        parts.append([j.flatten(2) for j in jacobian.values()])
    return p.t.stack([p.t.einsum("Naf,Mbf->NMab", a, b) for a, b in zip(*parts, strict=True)]).sum(0)


def neural_tangent_kernel_by_products(p):
    def kernel(x1, x2):
        _, pull = p.func.vjp(lambda params: p.net_of_one(params, x1), p.params)
        row = lambda vec: p.func.jvp(lambda params: p.net_of_one(params, x2), (p.params,), pull(vec))[1]
        return p.func.vmap(row)(p.t.eye(3))

    return p.func.vmap(p.func.vmap(kernel, (None, 0)), (0, None))(p.X, p.Y)


def per_sample_gradients(p):
    return list(p.func.vmap(p.func.grad(p.loss), in_dims=(None, 0, 0))(p.params, p.X, p.y).values())


def a_step_of_meta_learning(p):
    def after(rate):
        gradient = p.func.grad(p.loss)(p.params, p.X[0], p.y[0])
        moved = {k: v - rate * gradient[k] for k, v in p.params.items()}
        return p.loss(moved, p.X[1], p.y[1])

    return p.func.grad(after)(p.t.tensor(0.1))


TUTORIALS = [
    jacobian_by_vmap_of_vjp, jacobians, hessians, batches_of_jacobians_and_hessians, jacobians_with_values,
    hessian_vector_product, neural_tangent_kernel_by_jacobians, neural_tangent_kernel_by_products, per_sample_gradients,
    a_step_of_meta_learning,
]  # fmt: skip


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda f: f.__name__)
def test_tutorial_gives_what_it_gives_in_pytorch(tutorial, torch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = tutorial(Program(torch))
    found = tutorial(Program(cr))
    for a, b in zip(*[r if isinstance(r, (list, tuple)) else [r] for r in (found, expected)], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-4)


def test_every_name_of_torch_func_is_here(torch):
    assert {name for name in dir(torch.func) if name[0] != "_"} <= set(cr.func.__all__)
