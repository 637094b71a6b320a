"""Inference mode: what is made inside stays outside of autograd. Each program runs under PyTorch as well."""

from __future__ import annotations

import copy
import pickle

import pytest

import chainrule as cr


def inside(lib, make):
    with lib.inference_mode():
        return make()


def made(lib):
    """Return an inference tensor."""
    return inside(lib, lambda: lib.ones(3))


def leaf(lib):
    return lib.ones(3, requires_grad=True)


def marks(*tensors):
    return [(t.is_inference(), t.requires_grad, t.is_leaf) for t in tensors]


PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


# -- what is an inference tensor ---------------------------------------------------------------------------------------


@program
def fresh_tensors_are_marked(lib):
    with lib.inference_mode():
        a, b = lib.ones(3), lib.ones(3, requires_grad=True)
        made = [a, b, b * 2, a.clone(), lib.zeros_like(a), a.view(3), a[0:1], a.detach(), lib.tensor(1.0, requires_grad=True)]
        return marks(*made), marks(*[leaf(lib).clone(), lib.ones(2).requires_grad_()])


@program
def memory_of_normal_tensors_stays_normal(lib):
    x, n = leaf(lib), lib.ones(3)
    with lib.inference_mode():
        same = [n.view(3), n[0:2], n.detach(), x.detach(), x.data, n.contiguous(), n.reshape(3, 1), n.expand(2, 3)]
        return marks(*same), [t.is_inference() for t in (x.view(3), x[0:1])]


@program
def memory_of_inference_tensors_stays_so(lib):
    a = made(lib)
    return marks(a, a.view(3), a[0:1], a.detach(), a.data, a.expand(2, 3), a.contiguous())


@program
def results_outside_are_normal(lib):
    a, x = made(lib), leaf(lib)
    return marks(a + 1, a.exp(), a.clone(), a + x, copy.deepcopy(a), pickle.loads(pickle.dumps(a)))


@program
def copies_inside_are_marked(lib):
    with lib.inference_mode():
        return marks(copy.deepcopy(lib.ones(2)))


@program
def function_is_inference(lib):
    return lib.is_inference(made(lib)), lib.is_inference(lib.ones(2))


@program
def setting_data_takes_the_mark(lib):
    n = lib.ones(3)
    n.data = made(lib)
    return n.is_inference()


# -- modes -------------------------------------------------------------------------------------------------------------


@program
def enable_grad_inside_records_nothing(lib):
    x = leaf(lib)
    with lib.inference_mode(), lib.enable_grad():
        return marks(x * 2), lib.is_grad_enabled(), lib.is_inference_mode_enabled()


@program
def nested_false_leaves_the_mode(lib):
    x = leaf(lib)
    with lib.inference_mode():
        with lib.inference_mode(False):
            found = marks(x * 2, lib.ones(2)), lib.is_grad_enabled(), lib.is_inference_mode_enabled()
        return found, lib.is_inference_mode_enabled(), lib.is_grad_enabled()


@program
def false_under_no_grad_enables_grad(lib):
    with lib.no_grad(), lib.inference_mode(False):
        return lib.is_grad_enabled()


@program
def decorators(lib):
    @lib.inference_mode
    def bare():
        return lib.ones(1)

    @lib.inference_mode()
    def called():
        return lib.ones(1)

    @lib.inference_mode(mode=False)
    def off():
        return lib.ones(1)

    return marks(bare(), called(), off()), bare.__name__


# -- versions, writes --------------------------------------------------------------------------------------------------


@program
def no_version(lib):
    return made(lib)._version


@program
def no_version_inside(lib):
    return inside(lib, lambda: lib.ones(2)._version)


@program
def writes_to_normal_tensors_inside_are_counted(lib):
    x, n = leaf(lib), lib.ones(3)
    with lib.inference_mode():
        x.add_(1)
        n.view(3).mul_(2)
    return x._version, n._version, x.tolist(), n.tolist()


@program
def writes_inside_reach_saved_values(lib):
    x = leaf(lib)
    h = x * 2
    y = (h * h).sum()
    with lib.inference_mode():
        h.add_(1)
    y.backward()


@program
def writes_to_inference_tensors_inside(lib):
    with lib.inference_mode():
        a = lib.ones(3)
        a.add_(1)
        a[0] = 5
        return a.tolist()


WRITES = {
    "add_": lambda lib, a: a.add_(1),
    "setitem": lambda lib, a: a.__setitem__(0, 1.0),
    "copy_": lambda lib, a: a.copy_(lib.ones(3)),
    "zero_": lambda lib, a: a.zero_(),
    "through a view": lambda lib, a: a.view(3).add_(1),
    "under no_grad": lambda lib, a: lib.no_grad()(lambda: a.add_(1))(),
}
for _name, _write in WRITES.items():
    PROGRAMS[f"write outside: {_name}"] = lambda lib, write=_write: write(lib, made(lib))


@program
def normal_tensors_take_inference_values(lib):
    n, a = lib.ones(3), made(lib)
    n.add_(a)
    n.copy_(a)
    return marks(n)


@program
def a_view_made_inside_is_frozen(lib):
    x = leaf(lib) * 2
    v = inside(lib, lambda: x.view(3))
    v.add_(1)


@program
def a_view_of_a_plain_tensor_made_inside_is_not(lib):
    n = lib.ones(3)
    v = inside(lib, lambda: n.view(3))
    v.add_(1)
    return n.tolist()


@program
def nor_may_it_take_a_recorded_value(lib):
    n = lib.ones(3)
    v = inside(lib, lambda: n.view(3))
    v.add_(leaf(lib))


# -- autograd ----------------------------------------------------------------------------------------------------------

SAVES = {
    "mul": lambda x, a: x * a,
    "mul reflected": lambda x, a: a * x,
    "pow": lambda x, a: x**a,
    "div": lambda x, a: x / a,
    "matmul": lambda x, a: x @ a,
    "view": lambda x, a: x * a.view(3),
    "detach": lambda x, a: x * a.detach(),
    "in place": lambda x, a: x.clone().mul_(a),
    "where": lambda x, a: x.where(a > 0, x * 2),  # the comparison made a normal tensor
    "add": lambda x, a: x + a,
    "add in place": lambda x, a: x.clone().add_(a),
    "clone": lambda x, a: x * a.clone(),
    "under no_grad": lambda x, a: a * x.detach(),
}
for _name, _use in SAVES.items():
    PROGRAMS[f"save: {_name}"] = lambda lib, use=_use: marks(use(leaf(lib), made(lib)))


ALONE = {
    "multiplied by itself": lambda b, a: b * b,
    "by another": lambda b, a: b * a,
    "added": lambda b, a: b + a,
    "by a number": lambda b, a: b * 2,
    "a power": lambda b, a: b**2,
    "sine": lambda b, a: b.sin(),
    "exponential": lambda b, a: b.exp(),
    "sum": lambda b, a: b.sum(),
    "product": lambda b, a: b.prod(),
    "matrix product": lambda b, a: b @ a,
    "clone": lambda b, a: b.clone(),
    "largest": lambda b, a: b.max(),
    "softmax": lambda b, a: b.softmax(0),
    "part": lambda b, a: b[0],
    "parts": lambda b, a: b.unbind()[0],
}
for _name, _use in ALONE.items():
    PROGRAMS[f"alone: {_name}"] = lambda lib, use=_use: marks(use(inside(lib, lambda: leaf(lib)), made(lib)))


@program
def with_normal_tensors_leaves_made_inside_are_recorded(lib):
    b, n = inside(lib, lambda: leaf(lib)), lib.ones(3)
    return marks(b * n, n * b, b + n, lib.dot(n, b), lib.where(n > 0, b, n), lib.cat([b, n]))


@program
def requires_grad_outside(lib):
    made(lib).requires_grad_()


@program
def requires_grad_outside_by_assignment(lib):
    made(lib).requires_grad = True


@program
def requires_grad_may_be_taken_back(lib):
    b = inside(lib, lambda: lib.ones(3, requires_grad=True))
    before = marks(b)
    return before, marks(b.requires_grad_(False))


@program
def parameter_outside(lib):
    lib.nn.Parameter(made(lib))


@program
def leaves_made_inside(lib):
    b = inside(lib, lambda: lib.ones(3, requires_grad=True))
    x = leaf(lib)
    (x + b).sum().backward()
    (b * 2).sum().backward()
    return marks(b, b * 2, x + b, b.clone()), b.grad.tolist(), x.grad.tolist()


@program
def backward_inside(lib):
    x = leaf(lib)
    with lib.inference_mode():
        (x * 2).sum().backward()


@program
def backward_inside_of_a_graph_made_outside(lib):
    x = leaf(lib)
    y = (x * x).sum()
    with lib.inference_mode():
        y.backward()
    return x.grad.tolist()


@program
def cotangents_and_gradients(lib):
    x = leaf(lib)
    one = inside(lib, lambda: lib.ones(()))
    (g,) = lib.autograd.grad((x * 3).sum(), x, one)
    (h,) = lib.autograd.grad((x * x).sum(), x, one, create_graph=True)
    x.grad = made(lib)
    return marks(g), g.tolist(), h.requires_grad, h.tolist()


@program
def accumulating_an_inference_cotangent(lib):
    x = lib.ones((), requires_grad=True)
    (x * 2).backward(inside(lib, lambda: lib.ones(())))
    (x * 2).backward()
    return x.grad.tolist(), x.grad.is_inference()


def outcome(lib, f):
    """Return the result, or the error's type and first words."""
    try:
        return f(lib)
    except (RuntimeError, TypeError, ValueError) as error:
        return type(error).__name__, str(error)[:50]


def test_gradients_that_get_lost_are_told():
    b = inside(cr, lambda: leaf(cr))
    for f in (cr.sin, cr.exp, lambda b: b * b, cr.prod):
        with pytest.warns(UserWarning, match="were all made in inference mode is not recorded"):
            f(b)


@pytest.mark.filterwarnings("ignore:\\w+.. of tensors that were all made in inference mode")
@pytest.mark.parametrize("name", list(PROGRAMS))
def test_as_pytorch(torch, name):
    assert outcome(cr, PROGRAMS[name]) == outcome(torch, PROGRAMS[name])


def test_transforms_work_inside():
    with cr.inference_mode():
        assert cr.func.grad(lambda x: (x**3).sum())(cr.tensor([2.0])).tolist() == [12.0]
        _, tangent = cr.func.jvp(lambda x: x**3, (cr.tensor(2.0),), (cr.tensor(1.0),))
    assert tangent.tolist() == 12.0
