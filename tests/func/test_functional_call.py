"""Modules as functions of their parameters, ensembles of them; `functionalize` and `debug_unwrap`."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import (
    debug_unwrap,
    functional_call,
    functionalize,
    grad,
    replace_all_batch_norm_modules_,
    stack_module_state,
    vmap,
)


def network(library):
    net = library.nn.Sequential(library.nn.Linear(3, 4), library.nn.Tanh(), library.nn.Linear(4, 2))
    rng = np.random.default_rng(0)
    with library.no_grad():
        for p in net.parameters():
            p.copy_(library.tensor(rng.normal(size=tuple(p.shape)).astype(np.float32)))
    return net


X = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
Y = np.random.default_rng(2).integers(0, 2, size=5)


def gradients(library):
    """The tutorials' way: detached parameters, a loss of them, its gradient."""
    net = network(library)
    params = {k: v.detach() for k, v in net.named_parameters()}
    x, y = library.tensor(X), library.tensor(Y)

    def loss(params, x, y):
        return library.nn.functional.cross_entropy(library.func.functional_call(net, params, (x,)), y)

    return library.func.grad(loss)(params, x, y)


def test_gradients_in_parameters_are_pytorchs(torch):
    expected, found = gradients(torch), gradients(cr)
    assert list(found) == list(expected)
    for name, g in expected.items():
        np.testing.assert_allclose(found[name].numpy(), g.numpy(), rtol=1e-4, atol=1e-6)


def test_the_module_is_left_as_it_was():
    net = network(cr)
    before = dict(net.named_parameters())
    grad(lambda w: functional_call(net, {"0.weight": w}, cr.tensor(X)).sum())(cr.zeros(4, 3))
    assert all(v is before[k] for k, v in net.named_parameters())
    with pytest.raises(RuntimeError):
        functional_call(net, {"0.weight": cr.zeros(4, 3)}, cr.zeros(5, 7))
    assert all(v is before[k] for k, v in net.named_parameters())


def test_hessian_vector_products_and_jacobians_of_a_module():
    net = network(cr).double()
    params = {k: v.detach() for k, v in net.named_parameters()}
    x = cr.tensor(X, dtype=cr.float64)
    loss = lambda p: (functional_call(net, p, x) ** 2).sum()
    direction = {k: cr.ones_like(v) for k, v in params.items()}
    product = cr.func.hvp(loss, params, direction)
    h = 1e-5
    moved = lambda s: grad(loss)({k: v + s * direction[k] for k, v in params.items()})
    for name, row in product.items():
        numeric = (moved(h)[name] - moved(-h)[name]) / (2 * h)
        np.testing.assert_allclose(row.numpy(), numeric.numpy(), rtol=1e-6, atol=1e-6)
    J = cr.func.jacobian(lambda p: functional_call(net, p, x))(params)
    assert {k: tuple(v.shape) for k, v in J.items()} == {k: (5, 2, *v.shape) for k, v in params.items()}


def test_an_ensemble_runs_under_vmap():
    nets = [network(cr) for _ in range(3)]
    with cr.no_grad():
        for i, net in enumerate(nets):
            for p in net.parameters():
                p.mul_(i + 1.0)
    params, buffers = stack_module_state(nets)
    assert buffers == {}
    assert all(p.is_leaf and p.requires_grad and p.shape[0] == 3 for p in params.values())
    out = vmap(lambda p, x: functional_call(nets[0], p, (x,)), (0, None))(params, cr.tensor(X))
    np.testing.assert_allclose(out.detach().numpy(), np.stack([net(cr.tensor(X)).detach().numpy() for net in nets]), rtol=1e-5)
    out.sum().backward()
    nets[1](cr.tensor(X)).sum().backward()
    for name, p in nets[1].named_parameters():
        np.testing.assert_allclose(params[name].grad[1].numpy(), p.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_per_example_gradients_under_vmap():
    net = network(cr)
    params = {k: v.detach() for k, v in net.named_parameters()}
    loss = lambda p, x, y: ((functional_call(net, p, (x,)) - y) ** 2).sum()
    targets = cr.tensor(X[:, :2])
    found = vmap(grad(loss), (None, 0, 0))(params, cr.tensor(X), targets)
    for i in range(5):
        one = grad(loss)(params, cr.tensor(X[i]), targets[i])
        for name in params:
            np.testing.assert_allclose(found[name][i].numpy(), one[name].numpy(), rtol=1e-4, atol=1e-5)


ERRORS = {
    "none": lambda nn: [],
    "modes": lambda nn: [nn.Linear(1, 1), nn.Linear(1, 1).eval()],
    "classes": lambda nn: [nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 1))],
    "shapes": lambda nn: [nn.Linear(1, 1), nn.Linear(2, 1)],
    "requires_grad": lambda nn: [nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False)],
}


@pytest.mark.parametrize("name", list(ERRORS))
def test_modules_that_differ_do_not_stack(name, torch):
    with pytest.raises(RuntimeError) as expected:
        torch.func.stack_module_state(ERRORS[name](torch.nn))
    with pytest.raises(RuntimeError) as found:
        stack_module_state(ERRORS[name](cr.nn))
    assert str(found.value)[:40] == str(expected.value)[:40]


def test_batch_norms_lose_their_running_statistics():
    class BatchNorm1d(cr.nn.Module):
        def __init__(self):
            super().__init__()
            self.track_running_stats = True
            self.register_buffer("running_mean", cr.zeros(1))
            self.register_buffer("running_var", cr.ones(1))
            self.register_buffer("num_batches_tracked", cr.tensor(0))

    net = cr.nn.Sequential(cr.nn.Linear(1, 1), BatchNorm1d())
    assert replace_all_batch_norm_modules_(net) is net
    assert net[1].running_mean is None
    assert not net[1].track_running_stats
    assert dict(net.named_buffers()) == {}


@pytest.mark.parametrize("remove", ["mutations", "mutations_and_views"])
def test_functionalize_gives_what_the_function_gives(remove, torch):
    def f(x):
        y = x.clone()
        y[0].mul_(3)
        y.add_(1)
        return y * x

    expected, found = [
        t.func.grad(lambda x, t=t: t.func.functionalize(f, remove=remove)(x).sum())(t.ones(3)) for t in (torch, cr)
    ]
    assert found.tolist() == expected.tolist()
    with pytest.raises(RuntimeError, match="received invalid argument for remove=views"):
        functionalize(abs, remove="views")


def test_debug_unwrap_looks_inside():
    seen = []

    def f(x):
        seen.append((debug_unwrap(x), debug_unwrap(x, recurse=False)))
        return x * x

    grad(grad(f))(cr.tensor(3.0))
    whole, one = seen[0]
    assert (whole.item(), whole._level) == (3, 0)
    assert one._level > 0
    x = cr.ones(2)
    assert debug_unwrap(x) is x
    vmap(f)(x)
    assert seen[-1][0].tolist() == [1, 1]
