"""What a reverse pass visits, what it frees, and whose buffers it writes to."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.mode.watch import Watcher
from chainrule.transforms.paths import Paths, edge_of, lead_on

# -- whose buffers -----------------------------------------------------------------------------------------------------

# Each passes the cotangent of its result on as it is, on one way or another.
PASSING_ON = {
    "a copy": lambda x: x.clone(),
    "a copy of a copy": lambda x: x.clone().clone(),
    "a sum with itself": lambda x: (c := x.clone()) + c,
    "a sum of copies": lambda x: x.clone() + x.clone(),
    "a sum with a copy of its own": lambda x: (c := x.clone()) + c.clone(),
    "the leaf and a copy": lambda x: x + x.clone(),
    "a view": lambda x: x.view(3, 2).view(2, 3),
    "a join": lambda x: cr.cat([x[:1], x[1:]]),
    "a join of copies": lambda x: cr.stack([(c := x.clone()), c]).sum(0),
    "rows": lambda x: cr.stack(x.clone().unbind()),
    "in place": lambda x: x.clone().add_(x),
}
WATCHING = {
    "unwatched": nullcontext,
    "watched": Watcher,
    "with anomaly mode": lambda: cr.autograd.detect_anomaly(check_nan=False),
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("watching", WATCHING)
@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("name", PASSING_ON)
def test_cotangents_given_to_a_pass_are_nobody_elses(name, hooked, watching):
    x = cr.arange(6.0).reshape(2, 3).requires_grad_()
    seen = []
    if hooked:
        x.register_hook(lambda g: seen.append((g, g.clone())))
    y = PASSING_ON[name](x)
    if hooked:
        y.register_hook(lambda g: seen.append((g, g.clone())))
    w = cr.arange(6.0).reshape(2, 3) + 1
    (expected,) = cr.autograd.grad(y, x, w, create_graph=True)
    expected = expected.detach().numpy().copy()
    with WATCHING[watching]():
        found = passes(y, x, w)
    assert w.tolist() == [[1, 2, 3], [4, 5, 6]]
    for g, times in zip(found, (1, 1, 4), strict=True):
        np.testing.assert_array_equal(g.numpy(), times * expected)
    arrays = [*[g.numpy() for g in found], w.numpy(), x.detach().numpy(), y.detach().numpy()]
    for i, a in enumerate(arrays):
        for b in arrays[:i]:
            assert not np.may_share_memory(a, b) or a is arrays[-1]  # a result may be a view of the input
    assert len(seen) == (14 if hooked else 0)  # of x and of y, in each of the passes
    for g, copy in seen:
        np.testing.assert_array_equal(g.numpy(), copy.numpy())


def passes(y, x, w):
    """Return a gradient, `.grad` of two other leaves' sums, and `.grad` after several passes."""
    (first,) = cr.autograd.grad(y, x, w, retain_graph=True)
    (second,) = cr.autograd.grad(y, x, w, retain_graph=True)
    for _ in range(4):
        y.backward(w, retain_graph=True)
    return first, second, x.grad


def test_leaves_of_one_cotangent_get_gradients_of_their_own():
    a, b = cr.zeros(3, requires_grad=True), cr.zeros(3, requires_grad=True)
    (a + b).backward(cr.ones(3))
    a.grad.mul_(5)
    assert b.grad.tolist() == [1, 1, 1]


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("watching", WATCHING)
def test_what_a_hook_gives_instead_stays_the_hooks(watching):
    x = cr.ones(3, requires_grad=True)
    m = x * 2
    e = x.exp()
    kept = cr.full((3,), 7.0)
    e.grad_fn.register_hook(lambda grad_inputs, grad_outputs: (kept,))
    with WATCHING[watching]():
        (m + e).backward(cr.ones(3))
    assert x.grad.tolist() == [9, 9, 9]
    assert kept.tolist() == [7, 7, 7]


@pytest.mark.parametrize("watching", ["unwatched", "watched"])
def test_a_leaf_hook_is_called_once_with_all_contributions(watching):
    x = cr.ones(2, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    y = (x * 2 + x.exp() * 0 + x.clone()).sum()
    with WATCHING[watching]():
        y.backward()
    assert seen == [[3, 3], [3, 3]]


# -- what is visited ---------------------------------------------------------------------------------------------------


class Tripwire:
    """An edge that must not be followed."""

    @property
    def _kind(self):
        raise AssertionError("a pass looked at a node that is older than its targets")

    id = _kind


def wired(n=3):
    """Return a tensor whose history may not be looked at."""
    a = cr.ones(n, requires_grad=True) * 1
    a.grad_fn.edges = (Tripwire(), None)
    return a + 1


def test_a_gradient_in_a_result_does_not_look_at_its_history():
    h = wired()
    y = (h.sin() * h).sum()
    (g,) = cr.autograd.grad(y, h, create_graph=True)
    (gg,) = cr.autograd.grad(g.sum(), h)
    two = np.float32(2)
    np.testing.assert_allclose(gg.numpy(), np.full(3, 2 * np.cos(two) - two * np.sin(two)), rtol=1e-6)


def test_a_gradient_in_one_of_several_results_does_not_look_at_their_history():
    h = wired(4)
    a, b = h.split(2)
    (g,) = cr.autograd.grad((a * b).sum(), a)
    assert g.tolist() == [2, 2]


@pytest.mark.parametrize("make", [
    lambda h: h.detach().requires_grad_(),
    lambda h: cr.ones(3, requires_grad=True),
    lambda h: cr.tensor(1.0, requires_grad=True),
    lambda h: cr.nn.Parameter(cr.ones(3)),
], ids=["detached", "ones", "a number", "a parameter"])  # fmt: skip
def test_a_gradient_in_a_new_leaf_does_not_look_at_what_was_there_before(make):
    h = wired()
    z = make(h)
    (g,) = cr.autograd.grad((h * z).sum(), z)
    assert g.sum() == 6


def test_a_leaf_that_required_grad_before_keeps_what_was_recorded_with_it():
    x = cr.ones(2, requires_grad=True)
    y = (x * 3).sum()
    x.requires_grad_(False)
    x.requires_grad_(True)
    (g,) = cr.autograd.grad(y, x)
    assert g.tolist() == [3, 3]


def test_an_old_leaf_is_found_through_a_new_result():
    w = cr.ones(2, requires_grad=True)
    h = w * 2
    z = h.detach().requires_grad_()
    gz, gw = cr.autograd.grad((h * z).sum(), [z, w])
    assert gz.tolist() == [2, 2]
    assert gw.tolist() == [4, 4]


def test_targets_on_the_way_to_other_targets():
    x = cr.ones(2, requires_grad=True)
    a = x * 2
    b = a * 3
    c = (b * b).sum()
    found = cr.autograd.grad(c, [a, c, x, b])
    assert [g.tolist() for g in found] == [[36, 36], 1, [72, 72], [12, 12]]


def test_what_leads_elsewhere_keeps_its_saved_values_and_its_hooks_silent():
    x, w = cr.ones(2, requires_grad=True), cr.ones(2, requires_grad=True)
    aside = w.exp()
    called = []
    aside.register_hook(lambda g: called.append("aside"))
    w.register_hook(lambda g: called.append("w"))
    y = (x * x * aside).sum()
    (g,) = cr.autograd.grad(y, x)
    assert g.tolist() == pytest.approx([2 * np.e] * 2)
    assert called == []
    aside.sum().backward()  # it was not freed
    assert called == ["aside", "w"]


def test_nothing_is_freed_where_nothing_leads_to_the_target():
    x, other = cr.ones(2, requires_grad=True), cr.ones(2, requires_grad=True)
    y = (x * x).sum()
    assert cr.autograd.grad(y, other, allow_unused=True) == (None,)
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        cr.autograd.grad(y, other)
    y.backward()
    assert x.grad.tolist() == [2, 2]


def test_one_of_two_inputs_unused_is_said_after_the_other_was_computed():
    x, other = cr.ones((), requires_grad=True), cr.ones((), requires_grad=True)
    with pytest.raises(RuntimeError, match="at index 1 appears to not have been used"):
        cr.autograd.grad((x * x).sum(), [x, other])


def brute(roots, targets):
    """Return the nodes under the roots that lead on to a target, or are one, by looking at everything."""
    memory = {}

    def leads(edge):
        if edge is None:
            return False
        if any(edge is t for t in targets):
            return True
        if edge._kind == cr.core.graph.nodes.LEAF_EDGE:
            return False
        if edge not in memory:
            memory[edge] = any([leads(e) for e in edge.edges])
        return memory[edge]

    seen, stack = set(), list(roots)
    while stack:
        edge = stack.pop()
        if edge is not None and edge._kind == cr.core.graph.nodes.NODE and edge not in seen:
            seen.add(edge)
            stack += edge.edges
    return {node for node in seen if leads(node) or any(node is t for t in targets)}, leads


@pytest.mark.parametrize("seed", range(30))
def test_paths_are_what_looking_at_everything_finds(seed):
    rng = np.random.default_rng(seed)
    values = [cr.ones((), requires_grad=True) for _ in range(3)]
    for _ in range(25):
        a, b = values[rng.integers(len(values))], values[-1 - rng.integers(min(4, len(values)))]
        values.append([a * b, a.sin(), a + 1, cr.stack([a, b]).sum()][rng.integers(4)])
    targets = [edge_of(values[i]) for i in rng.choice(len(values) - 1, 1 + seed % 3, replace=False)]
    root = edge_of(values[-1])
    paths = Paths([root], targets)
    expected, leads = brute([root], targets)
    if paths.needed is None:
        everything = brute([root], values[:3])[0]
        assert expected == everything
    else:
        assert paths.needed == expected
        for node in expected:
            mask = tuple([leads(e) for e in node.edges])
            alive = [e is not None for e in node.edges]
            ends = not any(mask)
            assert (node in paths.ends) == ends
            assert (node in paths.mixed) == (not ends and mask != tuple(alive))
            assert ends or paths.mask(node) == mask


@pytest.mark.parametrize("seed", range(40))
def test_short_graphs_have_no_paths_to_seek_where_all_of_them_leads_to_targets(seed):
    rng = np.random.default_rng(seed)
    leaves = [cr.ones((), requires_grad=True) for _ in range(3)]
    y = leaves[0]
    for _ in range(rng.integers(0, 10)):
        other = [*leaves, cr.ones(()), y][rng.integers(5)]
        y = [y * other, other * y, y.sin(), cr.stack([y, other]).sum()][rng.choice(4, p=[0.3, 0.3, 0.3, 0.1])]
    targets = [*[t for t in leaves if rng.random() < 0.7], *([edge_of(y)] if rng.random() < 0.2 else [])]
    if lead_on(edge_of(y), targets):
        assert all(t._kind == cr.core.graph.nodes.LEAF_EDGE for t in targets)
        assert Paths([edge_of(y)], targets).needed is None


def test_paths_of_short_chains_are_not_sought(monkeypatch):
    x, w = cr.ones((), requires_grad=True), cr.ones((), requires_grad=True)
    y = (x.sin() * w).exp()
    monkeypatch.setattr("chainrule.transforms.reverse.Paths", None)
    monkeypatch.setattr("chainrule.transforms.reverse.USER_CODE", [])
    assert [g.shape for g in cr.autograd.grad(y, (w, x))] == [(), ()]


def test_paths_are_sought_where_a_target_is_no_leaf():
    x = cr.tensor(0.5, requires_grad=True)
    y = x.sin()
    assert [g.item() for g in cr.autograd.grad(y.exp(), (x, y))] == pytest.approx(
        [np.exp(np.sin(0.5)) * np.cos(0.5), np.exp(np.sin(0.5))]
    )


def simulated(lib, steps, potential):
    """Return the gradient of a path's end in the stiffness, through forces that are gradients taken at each step."""
    k = lib.tensor(2.0, requires_grad=True)
    x, v = lib.tensor([1.0, 0.5]), lib.zeros(2)
    x = x * 1.0
    for _ in range(steps):
        x = x if x.requires_grad else x.requires_grad_()
        (slope,) = lib.autograd.grad(potential(x, k), x, create_graph=True)
        v = v - 0.1 * slope
        x = x + 0.1 * v
    (g,) = lib.autograd.grad((x * x).sum(), k)
    return g


def test_forces_taken_as_gradients_at_each_step_are_differentiated_whole():
    potential = lambda x, k: 0.5 * k * (x * x).sum()
    g = simulated(cr, 20, potential)

    def end(k):
        x, v = np.array([1.0, 0.5]), np.zeros(2)
        for _ in range(20):
            v = v - 0.1 * k * x
            x = x + 0.1 * v
        return (x * x).sum()

    numeric = (end(2 + 1e-5) - end(2 - 1e-5)) / 2e-5
    assert g.item() == pytest.approx(numeric, rel=1e-4)
