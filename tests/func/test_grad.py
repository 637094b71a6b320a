"""`grad`, `vjp`, `jvp`, `linearize`: PyTorch's signatures, results and errors, and the arguments that PyTorch's users miss."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.types.tree import tree_flatten

X = np.array([0.3, -1.2, 2.0])


def leaves(tree, library):
    flat = tree_flatten(tree)[0] if library is cr else library.utils._pytree.tree_flatten(tree)[0]
    return [leaf.detach().numpy() if hasattr(leaf, "detach") else leaf for leaf in flat]


def same(call, torch):
    """Check that a program gives the same leaves under both libraries, or raises errors of the same type and opening words."""
    outcomes = []
    for library in (torch, cr):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                outcomes.append(leaves(call(library, library.tensor(X)), library))
            except Exception as error:
                outcomes.append(error)
    expected, found = outcomes
    if isinstance(expected, Exception):
        assert type(found) is type(expected), found
        assert str(found)[:20] == str(expected)[:20]
        return
    assert not isinstance(found, Exception), found
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


PROGRAMS = {
    "scalar": lambda t, x: t.func.grad(lambda x: (x.sin() * x).sum())(x),
    "negative argnum": lambda t, x: t.func.grad(lambda x, y: (x * y**2).sum(), argnums=-1)(x, x),
    "several argnums": lambda t, x: t.func.grad(lambda x, y: (x * y**2).sum(), argnums=(1, 0))(x, x + 1),
    "a tuple of one": lambda t, x: t.func.grad(lambda x: (x**2).sum(), argnums=(0,))(x),
    "a pytree": lambda t, x: t.func.grad(lambda p: (p["a"] * p["b"][0]).sum())({"a": x, "b": (x, x)}),
    "aux": lambda t, x: t.func.grad(lambda x: ((x**2).sum(), {"twice": 2 * x}), has_aux=True)(x),
    "value": lambda t, x: t.func.grad_and_value(lambda x: (x**2).sum())(x),
    "value and aux": lambda t, x: t.func.grad_and_value(lambda x: ((x**2).sum(), x), has_aux=True)(x),
    "keyword arguments": lambda t, x: t.func.grad(lambda x, *, s: (s * x).sum())(x, s=x),
    "independent": lambda t, x: t.func.grad(lambda x: t.tensor(1.0))(x),
    "the input itself": lambda t, x: t.func.grad(lambda x: x)(x[0]),
    "unused argument": lambda t, x: t.func.grad(lambda x, y: x.sum(), argnums=1)(x, x),
    "no such argument": lambda t, x: t.func.grad(lambda x: x.sum(), argnums=1)(x),
    "no such negative argument": lambda t, x: t.func.grad(lambda x: x.sum(), argnums=-2)(x),
    "only keywords": lambda t, x: t.func.grad(lambda x: x.sum())(x=x),
    "argnums empty": lambda t, x: t.func.grad(lambda x: x.sum(), argnums=())(x),
    "argnums twice": lambda t, x: t.func.grad(lambda x: x.sum(), argnums=(0, 0))(x),
    "argnums twice, once negative": lambda t, x: t.func.grad(lambda x: x.sum(), argnums=(0, -1))(x),
    "argnums of a list": lambda t, x: t.func.grad(lambda x: x.sum(), argnums=[0])(x),
    "argnums of text": lambda t, x: t.func.grad(lambda x: x.sum(), argnums="x")(x),
    "a number": lambda t, x: t.func.grad(lambda x: x)(3.0),
    "a number in a pytree": lambda t, x: t.func.grad(lambda p: p["a"].sum())({"a": x, "b": 1}),
    "value a number": lambda t, x: t.func.grad(lambda x: 3.0)(x),
    "value a tuple": lambda t, x: t.func.grad(lambda x: (x.sum(),))(x),
    "value with axes": lambda t, x: t.func.grad(lambda x: x)(x),
    "value of one element": lambda t, x: t.func.grad(lambda x: x[:1])(x),
    "value complex": lambda t, x: t.func.grad(lambda x: x.sum() * 1j)(x),
    "no aux": lambda t, x: t.func.grad(lambda x: x.sum(), has_aux=True)(x),
    "three for aux": lambda t, x: t.func.grad(lambda x: (x.sum(), x, x), has_aux=True)(x),
    "vjp": lambda t, x: t.func.vjp(lambda x: {"y": x * x}, x)[1]({"y": x}),
    "vjp twice": lambda t, x: (lambda pull: (pull(x), pull(2 * x)))(t.func.vjp(lambda x: x.exp(), x)[1]),
    "vjp of several": lambda t, x: t.func.vjp(lambda x, y: (x * y, x + y), x, x)[1]((x, x)),
    "vjp of a constant": lambda t, x: t.func.vjp(lambda x: t.ones(2, dtype=t.float64), x)[1](t.ones(2, dtype=t.float64)),
    "vjp aux": lambda t, x: t.func.vjp(lambda x: (x * x, x + 1), x, has_aux=True)[2],
    "vjp no aux": lambda t, x: t.func.vjp(lambda x: x, x, has_aux=True),
    "vjp of a number": lambda t, x: t.func.vjp(lambda x: 3.0, x),
    "vjp at a number": lambda t, x: t.func.vjp(lambda x: x, 3.0),
    "vjp of another structure": lambda t, x: t.func.vjp(lambda x: (x, x), x)[1](x),
    "vjp of another shape": lambda t, x: t.func.vjp(lambda x: x, x)[1](x[:2]),
    "vjp along a number": lambda t, x: t.func.vjp(lambda x: x, x)[1](3.0),
    "jvp": lambda t, x: t.func.jvp(lambda x, y: {"y": x * y}, (x, x), (x, 2 * x)),
    "jvp of a constant": lambda t, x: t.func.jvp(lambda x: t.ones(2), (x,), (x,)),
    "jvp strict": lambda t, x: t.func.jvp(lambda x: t.ones(2), (x,), (x,), strict=True),
    "jvp aux": lambda t, x: t.func.jvp(lambda x: (x * x, x + 1), (x,), (x,), has_aux=True),
    "jvp no aux": lambda t, x: t.func.jvp(lambda x: x, (x,), (x,), has_aux=True),
    "jvp not a tuple": lambda t, x: t.func.jvp(lambda x: x, x, x),
    "jvp of another structure": lambda t, x: t.func.jvp(lambda x: x, (x,), (x, x)),
    "jvp of another shape": lambda t, x: t.func.jvp(lambda x: x, (x,), (x[:2],)),
    "jvp of nothing": lambda t, x: t.func.jvp(lambda: 0, (), ()),
    "jvp at a number": lambda t, x: t.func.jvp(lambda x: x, (3.0,), (3.0,)),
    "jvp along a number": lambda t, x: t.func.jvp(lambda x: x, (x,), (3.0,)),
    "jvp of a number": lambda t, x: t.func.jvp(lambda x: 3.0, (x,), (x,)),
}  # fmt: skip


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_programs_give_what_they_give_in_pytorch(name, torch):
    same(PROGRAMS[name], torch)


def test_value_and_grad_has_jaxs_order():
    value, gradient = cr.func.value_and_grad(lambda x: x**3)(cr.tensor(2.0))
    assert (value.item(), gradient.item()) == (8, 12)
    (value, aux), gradient = cr.func.value_and_grad(lambda x: (x**3, "aux"), has_aux=True)(cr.tensor(2.0))
    assert (value.item(), aux, gradient.item()) == (8, "aux", 12)


def test_argnames_find_arguments_by_position_and_by_keyword():
    def f(x, y, *, z=None):
        return x * y**2 if z is None else x * y**2 * z

    x, y, z = cr.tensor(2.0), cr.tensor(3.0), cr.tensor(5.0)
    assert cr.func.grad(f, argnames="y")(x, y).item() == 12
    assert cr.func.grad(f, argnames="y")(x, y=y).item() == 12
    assert [g.item() for g in cr.func.grad(f, argnames=("z", "x"))(x, y, z=z)] == [18, 45]
    assert cr.func.jacrev(f, argnames="y")(x, y).item() == 12
    assert cr.func.hessian(f, argnames="y")(x, y=y).item() == 4
    with pytest.raises(RuntimeError, match="Got argname='w', but the call's arguments are 'x', 'y', 'z'"):
        cr.func.grad(f, argnames="w")(x, y, z=z)
    with pytest.raises(RuntimeError, match="give argnums or argnames, not both"):
        cr.func.grad(f, argnums=1, argnames="y")
    with pytest.raises(RuntimeError, match="argnames must be non-empty"):
        cr.func.grad(f, argnames=())
    with pytest.raises(RuntimeError, match=r"argnames must be str or Tuple\[str, ...\]"):
        cr.func.grad(f, argnames=0)


def test_no_grad_outside_does_not_stop_a_transform_and_inside_does():
    x = cr.tensor(2.0)

    def part(x):
        with cr.no_grad():
            c = x**2
        return x**3 - c

    with cr.no_grad():
        assert cr.func.grad(lambda x: x**3)(x).item() == 12
        assert cr.func.grad(lambda x: cr.func.grad(lambda x: x**3)(x))(x).item() == 12
    with cr.inference_mode():
        assert cr.func.grad(lambda x: x**3)(x).item() == 12
    assert cr.func.grad(part)(x).item() == 12
    assert cr.func.jvp(part, (x,), (cr.tensor(1.0),))[1].item() == 8  # forward mode sees through no_grad, as PyTorch's

    def inner(x):
        with cr.no_grad():
            return cr.func.grad(lambda y: x * y * y)(x) + x

    assert cr.func.grad(inner)(x).item() == 0


def test_a_mode_set_inside_ends_with_the_transform():
    def f(x):
        cr.set_grad_enabled(False)
        return x * x

    assert cr.func.grad(f)(cr.tensor(2.0)).item() == 0
    assert cr.is_grad_enabled()


def test_captured_tensors_stay_differentiable():
    w = cr.tensor(3.0, requires_grad=True)
    slope = cr.func.grad(lambda x: x * x * w)(cr.tensor(2.0))
    assert cr.autograd.grad(slope, w)[0].item() == 4
    x = cr.tensor(2.0, requires_grad=True)
    slope = cr.func.grad(lambda x: x**3)(x)
    assert cr.autograd.grad(slope, x)[0].item() == 12
    with cr.no_grad():
        assert not cr.func.grad(lambda x: x * x * w)(cr.tensor(2.0)).requires_grad
    push = cr.func.linearize(lambda x: x * x * w, cr.tensor(2.0))[1]
    assert cr.autograd.grad(push(cr.tensor(1.0)), w)[0].item() == 4


def test_gradients_are_nobody_elses_memory():
    x = cr.tensor([1.0, 2.0])
    g = cr.ones(2)
    _, pull = cr.func.vjp(lambda x: x, x)
    pull(g)[0].mul_(3)
    assert g.tolist() == [1, 1]
    first = cr.func.grad(lambda x: x.sum())(x)
    first.mul_(2)
    assert cr.func.grad(lambda x: x.sum())(x).tolist() == [1, 1]


def test_linearize_runs_its_function_once_and_nests():
    runs = []

    def f(x):
        runs.append(1)
        return cr.sin(x) * x

    x = cr.tensor([0.5, 1.0], dtype=cr.float64)
    _, push = cr.func.linearize(f, x)
    for scale in (1.0, 2.0):
        t = cr.full((2,), scale, dtype=cr.float64)
        np.testing.assert_allclose(push(t).numpy(), cr.func.jvp(f, (x,), (t,))[1].numpy())
    assert len(runs) == 3
    batch = cr.eye(2, dtype=cr.float64)
    np.testing.assert_allclose(cr.func.vmap(push)(batch).T.numpy(), cr.func.jacfwd(f)(x).numpy())
    second = cr.func.jacfwd(lambda x: cr.func.linearize(f, x)[1](cr.ones_like(x)))(x)
    np.testing.assert_allclose(second.numpy(), np.diag(2 * np.cos(x.numpy()) - x.numpy() * np.sin(x.numpy())))


def test_linearize_of_complex_functions_is_the_jvp():
    z = cr.tensor([1 + 2j, 0.5 - 1j])
    t = cr.tensor([1 - 1j, 2 + 0.5j])
    for f in (lambda z: z**2, lambda z: z.conj() * z, lambda z: z.abs(), lambda z: z.real * z):
        np.testing.assert_allclose(cr.func.linearize(f, z)[1](t).numpy(), cr.func.jvp(f, (z,), (t,))[1].numpy(), rtol=1e-5)


def test_linearize_raises_pytorchs_errors():
    x = cr.tensor(X)
    _, push = cr.func.linearize(cr.sin, x)
    with pytest.raises(RuntimeError, match=r"Expected the tangents .* to have the same argspec as the primals"):
        push(x, x)
    with pytest.raises(RuntimeError, match=r"tangent:0 with shape .* in flattened pytree doesn't match the shape"):
        push(x[:2])
    with pytest.raises(RuntimeError, match="tangent:0 with dtype chainrule.float32 in flattened pytree doesn't match"):
        push(x.float())
    y, push = cr.func.linearize(lambda x, p: {"y": x * p["a"], "c": cr.ones(2)}, x, {"a": x})
    found = push(x, {"a": 2 * x})
    assert (list(found), found["c"].tolist()) == (["y", "c"], [0, 0])
    np.testing.assert_allclose(found["y"].numpy(), 3 * X * X)
    np.testing.assert_allclose(y["y"].numpy(), X * X)


def test_tangents_take_the_primals_dtype():
    x = cr.tensor([1.0], dtype=cr.float32)
    assert cr.func.jvp(lambda x: x * x, (x,), (cr.ones(1, dtype=cr.float64),))[1].dtype is cr.float32
    z = cr.tensor([1j])
    assert cr.func.jvp(lambda z: z * z, (z,), (cr.ones(1),))[1].tolist() == [2j]
