"""Reverse mode: PyTorch's state, arguments and errors."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import chainrule as cr


def leaf(*values, dtype=None):
    return cr.tensor(list(values) if len(values) > 1 else values[0], dtype=dtype, requires_grad=True)


def test_seed_example():
    x, y = leaf(2.0), leaf(3.0)
    z = x * y + y**2
    z.backward()
    assert str(x.grad) == "tensor(3.)"
    assert str(y.grad) == "tensor(8.)"


def test_graph_is_named_and_linked_as_pytorchs():
    x, y = leaf(2.0), leaf(3.0)
    z = x * y + y**2
    assert z.grad_fn.name() == type(z.grad_fn).__name__ == "AddBackward0"
    (mul, i), (power, j) = z.grad_fn.next_functions
    assert (mul.name(), i, power.name(), j) == ("MulBackward0", 0, "PowBackward0", 0)
    assert mul.next_functions[0][0].name() == "torch::autograd::AccumulateGrad"
    assert mul.next_functions[0][0].variable is x
    assert (x * 2).grad_fn.next_functions[1] == (None, 0)
    assert z.grad_fn is z.grad_fn
    assert x.grad_fn is None
    assert x.is_leaf
    assert not z.is_leaf


def test_grad_accumulates_in_place_in_the_same_object():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert x.grad is first
    assert first.tolist() == [4.0, 8.0]
    x.grad = None
    assert x.grad is None


def test_gradients_of_two_leaves_never_share_memory():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = cr.tensor([1.0, 1.0])
    (x + y).backward(g)
    x.grad.zero_()
    assert y.grad.tolist() == [1.0, 1.0]
    assert g.tolist() == [1.0, 1.0]


def test_gradient_argument_is_the_cotangent():
    x = leaf(1.0, 2.0)
    (x * x).backward(cr.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]


def test_second_backward_raises_unless_retained():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.backward()
    z = x + 1  # saves nothing, so there is nothing to miss
    z.backward()
    z.backward()


def test_inputs_limit_accumulation():
    x, w = leaf(2.0), leaf(3.0)
    h = x * w
    (h * h).backward(inputs=[x, h])
    assert x.grad.item() == 36.0
    assert w.grad is None
    assert (h.retains_grad, h.grad.item()) == (True, 12.0)  # as PyTorch: results among the inputs retain from now on
    with pytest.raises(RuntimeError, match=r"`inputs` argument to `backward\(\)` cannot be empty"):
        (x * w).backward(inputs=[])


def test_retain_grad_keeps_a_non_leafs_gradient():
    x = leaf(3.0)
    y = x * x
    y.retain_grad()
    (y * 2).backward()
    assert y.grad.item() == 2.0
    with pytest.warns(UserWarning, match="The .grad attribute of a Tensor that is not a leaf"):
        assert (x * 1).grad is None
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad=False"):
        cr.ones(2).retain_grad()


def test_detach_cuts_the_graph_and_shares_memory():
    x = leaf(1.0, 2.0)
    d = (x * 1).detach()
    assert not d.requires_grad
    assert (x * d).sum().grad_fn is not None
    y = x * 1
    d = y.detach()
    d.zero_()
    assert y.tolist() == [0.0, 0.0]
    assert y._version == d._version == 1


def test_higher_derivatives_of_any_order():
    x = leaf(1.5, dtype=cr.float64)
    y = cr.sin(x)
    values = []
    for _ in range(6):
        (y,) = cr.autograd.grad(y, x, create_graph=True)
        values.append(y.item())
    s, c = np.sin(1.5), np.cos(1.5)
    np.testing.assert_allclose(values, [c, -s, -c, s, c, -s], rtol=1e-12)


def test_create_graph_in_backward_warns_and_gives_a_differentiable_grad():
    x = leaf(3.0)
    with pytest.warns(UserWarning, match="Using backward\\(\\) with create_graph=True will create a reference cycle"):
        (x**3).backward(create_graph=True)
    (second,) = cr.autograd.grad(x.grad, x)
    assert second.item() == 18.0
    x.grad = None


class TestGrad:
    def test_returns_a_tuple_and_leaves_grad_alone(self):
        x, y = leaf(2.0), leaf(3.0)
        gx, gy = cr.autograd.grad(x * y, (x, y))
        assert (gx.item(), gy.item()) == (3.0, 2.0)
        assert x.grad is None

    def test_of_a_non_leaf(self):
        x = leaf(2.0)
        h = x * x
        assert cr.autograd.grad(h * h, h)[0].item() == 8.0

    def test_mapping_of_inputs_gives_a_dict(self):
        x, y = leaf(2.0), leaf(3.0)
        found = cr.autograd.grad(x * y, {"x": x, "y": y})
        assert {k: g.item() for k, g in found.items()} == {"x": 3.0, "y": 2.0}

    def test_several_outputs_sum(self):
        x = leaf(2.0)
        assert cr.autograd.grad([x * 2, x * x], x)[0].item() == 6.0

    def test_unused_inputs(self):
        x, y = leaf(2.0), leaf(3.0)
        with pytest.raises(
            RuntimeError, match="The differentiated Tensor at index 1 appears to not have been used in the graph"
        ):
            cr.autograd.grad(x * x, (x, y))
        assert cr.autograd.grad(x * x, (x, y), allow_unused=True)[1] is None
        assert cr.autograd.grad(x * x, (x, y), materialize_grads=True)[1].item() == 0.0
        with pytest.raises(ValueError, match="Expected allow_unused to be True or not passed when materialize_grads=True"):
            cr.autograd.grad(x * x, y, allow_unused=False, materialize_grads=True)

    def test_batched_cotangents_give_a_jacobian(self):
        x = leaf(1.0, 2.0, 3.0)
        (jacobian,) = cr.autograd.grad(x * x, x, cr.eye(3), is_grads_batched=True)
        assert jacobian.tolist() == [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]]

    def test_only_runs_what_leads_to_the_inputs(self):
        x, w = leaf(2.0), leaf(3.0)
        a = x * x
        b = w * w
        y = a * b
        cr.autograd.grad(y, x)  # frees what lies between y and x
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()
        b.backward()  # never visited, hence not freed
        assert w.grad.item() == 6.0


class TestErrors:
    def test_non_scalar_root(self):
        with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
            (leaf(1.0, 2.0) * 2).backward()

    def test_complex_root(self):
        with pytest.raises(
            RuntimeError, match="grad can be implicitly created only for real scalar outputs but got chainrule.complex64"
        ):
            (cr.tensor(1 + 1j, requires_grad=True) * 2).backward()

    def test_root_without_graph(self):
        with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad and does not have a grad_fn"):
            cr.tensor(1.0).backward()

    def test_input_that_is_not_tracked(self):
        with pytest.raises(RuntimeError, match="One of the differentiated Tensors does not require grad"):
            cr.autograd.grad(leaf(1.0) * 2, cr.tensor(1.0))

    def test_cotangent_of_another_shape(self):
        with pytest.raises(RuntimeError, match=r"Mismatch in shape: grad_output\[0\] has a shape of chainrule.Size\(\[3\]\)"):
            (leaf(1.0, 2.0) * 2).backward(cr.ones(3))

    def test_cotangent_of_another_kind(self):
        with pytest.raises(
            RuntimeError, match="For complex Tensors, both grad_output and output are required to have the same dtype"
        ):
            (leaf(1.0, 2.0) * 2).backward(cr.tensor([1j, 1j]))

    def test_integers_cannot_require_grad(self):
        with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require gradients"):
            cr.tensor([1, 2]).requires_grad_()
        with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype can require gradients"):
            cr.tensor([1, 2], requires_grad=True)

    def test_requires_grad_of_a_result_cannot_be_unset(self):
        with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
            (leaf(1.0) * 2).requires_grad = False

    def test_assigned_grads_are_checked(self):
        x = leaf(1.0, 2.0)
        with pytest.raises(RuntimeError, match=r"attempting to assign a gradient of size '\[3\]' to a tensor of size '\[2\]'"):
            x.grad = cr.ones(3)
        with pytest.raises(RuntimeError, match="attempting to assign a gradient with dtype"):
            x.grad = cr.ones(2, dtype=cr.float64)
        with pytest.raises(TypeError, match="assigned grad expected to be a Tensor or None"):
            x.grad = 1.0

    def test_in_place_on_a_leaf(self):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
            leaf(1.0, 2.0).add_(1)

    def test_saved_value_modified(self):
        x = leaf(1.0, 2.0)
        y = cr.exp(x)
        y.add_(1)
        with pytest.raises(
            RuntimeError, match="one of the variables needed for gradient computation has been modified by an inplace"
        ):
            y.sum().backward()

    def test_numpy_of_a_tensor_that_requires_grad(self):
        with pytest.raises(
            RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad. Use tensor.detach\(\).numpy\(\) instead."
        ):
            leaf(1.0).numpy()

    def test_numbers_of_many_elements(self):
        with pytest.raises(RuntimeError, match="a Tensor with 2 elements cannot be converted to Scalar"):
            leaf(1.0, 2.0).item()
        with pytest.raises(RuntimeError, match="Boolean value of Tensor with more than one value is ambiguous"):
            bool(leaf(1.0, 2.0))


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_many_operations_differentiate_and_are_freed_without_the_collector(count):
    x = leaf(0.5)
    gc.disable()
    try:
        y = x
        middle = None
        for i in range(count):
            y = -y
            if i == count // 2:
                middle = weakref.ref(y.grad_fn)
        y.backward()
        assert x.grad.item() == 1.0
        del y
        assert middle() is None
    finally:
        gc.enable()


def test_a_long_chain_that_is_never_differentiated_is_freed():
    gc.disable()
    try:
        y = first = leaf(0.5) * 1.0
        node = weakref.ref(first.grad_fn)
        del first
        for _ in range(200_000):
            y = cr.sin(y)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_two_threads_differentiate_separate_graphs():
    errors = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(1000):
            values = rng.normal(size=3)
            x = cr.tensor(values, requires_grad=True)
            (cr.sin(x) * x).sum().backward()
            if not np.allclose(x.grad.numpy(), np.cos(values) * values + np.sin(values), rtol=1e-12):
                errors.append(values)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_two_threads_accumulate_into_one_leaf():
    x = leaf(1.0, 2.0)

    def work():
        for _ in range(500):
            (x * x).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert x.grad.tolist() == [2000.0, 4000.0]


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh"])
def test_second_derivative_of_linear_pieces_is_zero_not_absent(torch, name):
    for lib in (torch, cr):
        x = lib.tensor([0.3, -1.2, 7.0], dtype=lib.float64, requires_grad=True)
        (g,) = lib.autograd.grad(getattr(lib.nn.functional, name)(x).sum(), x, create_graph=True)
        assert lib.autograd.grad(g.sum(), x)[0].tolist() == [0.0, 0.0, 0.0]
        assert g.grad_fn.name() == ("ThresholdBackwardBackward0" if name == "relu" else "HardtanhBackwardBackward0")
