"""nn.utils: weights normalised by hooks and by parametrizations, pruned, fused; PyTorch's state, results and gradients."""

from __future__ import annotations

import copy
import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from tests.oracle import agree, outcome, words

import chainrule as cr

RNG = np.random.default_rng(8)
X = RNG.normal(size=(4, 3))
IMAGE = RNG.normal(size=(2, 3, 5, 5))
pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils", "ignore:Lazy modules")
LINEAR = lambda lib: lib.nn.Linear(3, 2)
CONV = lambda lib: lib.nn.Conv2d(3, 4, 2)
TRANSPOSED = lambda lib: lib.nn.ConvTranspose2d(3, 4, 2)


def utils(lib, name=""):
    return importlib.import_module(f"{lib.__name__}.nn.utils" + (f".{name}" if name else ""))


def both(torch, program, **options):
    agree(outcome(cr, program)[0], outcome(torch, program)[0], **options)


def steps(lib, net, x, train=True):
    """Two calls, with results and gradients of all parameters, and the state after them."""
    net.train(train)
    found = []
    for _ in range(2):
        y = net(lib.tensor(x))
        found.append([y.detach(), lib.autograd.grad((y**2).sum(), [p for p in net.parameters() if p.requires_grad])])
    return found, {k: v.detach() for k, v in net.state_dict().items()}


def same_start(torch, make, *others):
    """Return a maker of modules with PyTorch's first state."""
    torch.manual_seed(1)
    state = {k: v.numpy().copy() for k, v in make(torch).double().state_dict().items()}

    def made(lib):
        net = make(lib).double()
        net.load_state_dict({k: lib.tensor(v) for k, v in state.items()})
        return net

    return made


NORMED = {
    "weight_norm": lambda lib: utils(lib).weight_norm(LINEAR(lib)),
    "weight_norm, other axis": lambda lib: utils(lib).weight_norm(CONV(lib), dim=1),
    "weight_norm, whole": lambda lib: utils(lib).weight_norm(LINEAR(lib), dim=None),
    "weight_norm, bias": lambda lib: utils(lib).weight_norm(LINEAR(lib), "bias"),
    "spectral_norm": lambda lib: utils(lib).spectral_norm(CONV(lib), n_power_iterations=2),
    "spectral_norm, transposed": lambda lib: utils(lib).spectral_norm(TRANSPOSED(lib)),
    "parametrized weight_norm": lambda lib: utils(lib, "parametrizations").weight_norm(CONV(lib), dim=-2),
    "parametrized weight_norm, whole": lambda lib: utils(lib, "parametrizations").weight_norm(LINEAR(lib), dim=None),
    "parametrized spectral_norm": lambda lib: utils(lib, "parametrizations").spectral_norm(TRANSPOSED(lib)),
    "parametrized spectral_norm, vector": lambda lib: utils(lib, "parametrizations").spectral_norm(LINEAR(lib), "bias"),
    "orthogonal": lambda lib: utils(lib, "parametrizations").orthogonal(LINEAR(lib)),
    "orthogonal, tall": lambda lib: utils(lib, "parametrizations").orthogonal(lib.nn.Linear(3, 5), orthogonal_map="cayley"),
    "orthogonal, square": lambda lib: utils(lib, "parametrizations").orthogonal(lib.nn.Linear(3, 3)),
    "orthogonal, no base": lambda lib: utils(lib, "parametrizations").orthogonal(LINEAR(lib), use_trivialization=False),
    "orthogonal, exponential, no base": lambda lib: utils(lib, "parametrizations").orthogonal(
        lib.nn.Linear(3, 3), orthogonal_map="matrix_exp", use_trivialization=False
    ),
}


@pytest.mark.parametrize("make", NORMED.values(), ids=NORMED)
@pytest.mark.parametrize("train", [True, False])
def test_normed_weights_are_pytorch_s(torch, make, train):
    made = same_start(torch, make)

    def program(lib):
        net = made(lib)
        return words(repr(net)), steps(lib, net, IMAGE if hasattr(net, "stride") else X, train)

    both(torch, program, rtol=1e-7)


@pytest.mark.parametrize("make", NORMED.values(), ids=NORMED)
def test_first_weights_are_what_they_were(make):
    """All but the scale of those divided by a norm; and orthogonal matrices are so."""
    net = make(cr).double()
    name = "weight"
    w = getattr(net, name).detach()
    if "Orthogonal" in repr(net):
        q = w.T if w.shape[0] < w.shape[1] else w
        assert cr.allclose(q.T @ q, cr.eye(q.shape[1], dtype=cr.float64), atol=1e-6)
    elif "SpectralNorm" in repr(net):
        x = cr.tensor(X if w.ndim == 2 else IMAGE)
        for _ in range(30):
            net(x)
        matrix = net.weight.detach().movedim(1 if "Transpose" in repr(net) else 0, 0).flatten(1)
        assert w.ndim == 2 or cr.allclose(cr.linalg.matrix_norm(matrix, 2), cr.tensor(1.0, dtype=cr.float64), atol=1e-2)


@pytest.mark.parametrize("key", ["spectral_norm", "parametrized spectral_norm"])
def test_two_calls_have_one_gradient(torch, key):
    made = same_start(torch, NORMED[key])

    def program(lib):
        net = made(lib)
        x = lib.tensor(IMAGE)
        return lib.autograd.grad((net(x) * net(2 * x)).sum(), list(net.parameters()))

    both(torch, program, rtol=1e-7)


def removed(lib, make, name, remove):
    net = make(lib)
    x = lib.tensor(IMAGE if hasattr(net, "stride") else X)
    net.eval()
    before = net(x)
    remove(net, name)
    return lib.allclose(net(x), before), type(net).__name__, [*net.state_dict()], len(net._forward_pre_hooks), repr(net)


REMOVED = {
    "weight_norm": ("weight_norm", lambda lib: utils(lib).remove_weight_norm),
    "spectral_norm": ("spectral_norm", lambda lib: utils(lib).remove_spectral_norm),
    "parametrized weight_norm": ("parametrized weight_norm", lambda lib: utils(lib, "parametrize").remove_parametrizations),
    "parametrized spectral_norm": ("parametrized spectral_norm", lambda lib: utils(lib, "parametrize").remove_parametrizations),
    "orthogonal": ("orthogonal", lambda lib: utils(lib, "parametrize").remove_parametrizations),
}


@pytest.mark.parametrize(("key", "remove"), REMOVED.values(), ids=REMOVED)
def test_norms_are_removed_as_by_pytorch(torch, key, remove):
    made = same_start(torch, NORMED[key])
    both(torch, lambda lib: [words(str(v)) for v in removed(lib, made, "weight", remove(lib))])


# -- parametrizations --------------------------------------------------------------------------------------------------


def functions(lib):
    class Symmetric(lib.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).T

        def right_inverse(self, a):
            return a.triu()

    class Scaled(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x * 2

    class RankOne(lib.nn.Module):
        def forward(self, x, y):
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, z):
            return z[:, 0].clone(), z[0].clone()

    class Pick(lib.nn.Module):
        def forward(self, x):
            return x[:2].long()

    return Symmetric, Scaled, RankOne, Pick


def square(lib):
    net = lib.nn.Linear(3, 3).double()
    net.load_state_dict({"weight": lib.tensor(X[:3]), "bias": lib.tensor(X[3])})
    return net


def one_and_another(lib):
    P, (Symmetric, Scaled, *_) = utils(lib, "parametrize"), functions(lib)
    net = P.register_parametrization(square(lib).eval(), "weight", Symmetric())
    found = [net.weight.detach(), P.is_parametrized(net), P.is_parametrized(net, "bias"), words(repr(net))]
    P.register_parametrization(net, "weight", Scaled())
    found += [net.weight.detach(), [*net.state_dict()], net.parametrizations.weight[1].training]
    found += [P.type_before_parametrizations(net).__name__, type(net).__name__, isinstance(net, lib.nn.Linear)]
    with P.cached():
        a, b = net.weight, net.weight
        net(lib.tensor(X))
    found += [a is b, net.parametrizations.weight[1].calls]
    twin = copy.deepcopy(net)
    P.remove_parametrizations(net, "weight", leave_parametrized=False)
    found += [net.weight.detach(), type(net).__name__, [*net.state_dict()], hasattr(net, "parametrizations")]
    return found, twin.weight.detach(), steps(lib, twin, X)


def assigned(lib):
    P, (Symmetric, _, RankOne, _) = utils(lib, "parametrize"), functions(lib)
    net = P.register_parametrization(square(lib), "weight", Symmetric())
    net.weight = lib.ones(3, 3).double()
    found = [net.weight.detach(), net.parametrizations.weight.original.detach()]
    other = P.register_parametrization(square(lib), "weight", RankOne())
    found += [other.weight.detach(), [*other.state_dict()], other.parametrizations.weight.is_tensor]
    other.weight = lib.ones(3, 3).double() * 2
    found.append(steps(lib, other, X))
    P.remove_parametrizations(other, "weight")
    return found, other.weight.requires_grad, type(other.weight).__name__


def buffers(lib):
    P, (_, Scaled, *_) = utils(lib, "parametrize"), functions(lib)
    net = lib.nn.BatchNorm1d(3).double()
    P.register_parametrization(net, "running_mean", Scaled())
    net.running_var.fill_(3)
    found = [net.running_mean, [*net.state_dict()], net.eval()(lib.tensor(X)).detach()]
    P.remove_parametrizations(net, "running_mean")
    return found, [n for n, _ in net.named_buffers()]


def unsafe(lib):
    P, (*_, Pick) = utils(lib, "parametrize"), functions(lib)
    return P.register_parametrization(square(lib), "weight", Pick(), unsafe=True).weight


def transferred(lib):
    P, (Symmetric, *_) = utils(lib, "parametrize"), functions(lib)
    net = P.register_parametrization(square(lib), "weight", Symmetric())
    other = P.transfer_parametrizations_and_params(net, lib.nn.Linear(3, 3).double())
    return other.weight.detach(), other.parametrizations.weight.original is net.parametrizations.weight.original


def older_state(lib):
    P = utils(lib, "parametrizations")
    old = utils(lib).weight_norm(square(lib))
    new = P.weight_norm(lib.nn.Linear(3, 3).double())
    return str(new.load_state_dict(old.state_dict())), (new.weight - old.weight).abs().max().detach() < 1e-12


def older_spectral_state(lib):
    net = utils(lib).spectral_norm(square(lib))
    for _ in range(60):
        net(lib.tensor(X))
    state = net.eval().state_dict()
    old = {k: v for k, v in state.items() if k != "weight_v"} | {"weight": net.weight.detach()}
    other = utils(lib).spectral_norm(lib.nn.Linear(3, 3).double()).eval()
    said = str(other.load_state_dict(old))
    other(lib.tensor(X))
    return said, lib.allclose(other.weight, net.weight, atol=1e-6), dict(state._metadata[""])


def called(lib, name):
    P, S = utils(lib, "parametrize"), functions(lib)
    calls = {
        "no such name": lambda: P.register_parametrization(square(lib), "w", S[0]()),
        "other dtype": lambda: P.register_parametrization(square(lib), "weight", S[3]()),
        "other shape": lambda: P.register_parametrization(square(lib), "weight", lib.nn.Flatten(0)),
        "no inverse": lambda: setattr(P.register_parametrization(square(lib), "weight", S[1]()), "weight", lib.ones(3, 3)),
        "not parametrized": lambda: P.remove_parametrizations(square(lib), "weight"),
        "several left": lambda: P.remove_parametrizations(
            P.register_parametrization(square(lib), "weight", S[2]()), "weight", False
        ),
        "pickle": lambda: pickle.dumps(P.register_parametrization(square(lib), "weight", S[0]())),
        "twice weight_norm": lambda: utils(lib).weight_norm(utils(lib).weight_norm(square(lib))),
        "twice spectral_norm": lambda: utils(lib).spectral_norm(utils(lib).spectral_norm(square(lib))),
        "no weight_norm": lambda: utils(lib).remove_weight_norm(square(lib)),
        "no spectral_norm": lambda: utils(lib).remove_spectral_norm(square(lib)),
        "iterations": lambda: utils(lib).spectral_norm(square(lib), n_power_iterations=0),
        "lazy": lambda: utils(lib).weight_norm(lib.nn.LazyLinear(2)),
        "lazy, spectral": lambda: utils(lib).spectral_norm(lib.nn.LazyLinear(2)),
        "orthogonal vector": lambda: utils(lib, "parametrizations").orthogonal(square(lib), "bias"),
        "orthogonal map": lambda: utils(lib, "parametrizations").orthogonal(square(lib), orthogonal_map="x"),
        "spectral of nothing": lambda: utils(lib, "parametrizations").spectral_norm(square(lib), "w"),
        "skip_init": lambda: utils(lib).skip_init(lib.nn.ReLU),
        "fuse in training": lambda: utils(lib).fuse_conv_bn_eval(CONV(lib), lib.nn.BatchNorm2d(4)),
        "prune amount": lambda: utils(lib, "prune").l1_unstructured(square(lib), "weight", 1.5),
        "prune too much": lambda: utils(lib, "prune").l1_unstructured(square(lib), "weight", 10),
        "prune a vector": lambda: utils(lib, "prune").ln_structured(square(lib), "bias", 1, 2, 0),
        "prune along no axis": lambda: utils(lib, "prune").ln_structured(square(lib), "weight", 1, 2, 2),
        "prune by a mask of another shape": lambda: utils(lib, "prune").custom_from_mask(square(lib), "weight", lib.ones(2)),
        "not pruned": lambda: utils(lib, "prune").remove(square(lib), "weight"),
        "amount's type": lambda: utils(lib, "prune").random_unstructured(square(lib), "weight", "1"),
    }
    return calls[name]() if name else list(calls)


PROGRAMS = [one_and_another, assigned, buffers, unsafe, transferred, older_state, older_spectral_state]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_parametrized_modules_are_pytorch_s(torch, program):
    both(torch, program, rtol=1e-9)


@pytest.mark.parametrize("name", called(cr, None))
def test_error_is_pytorch_s(torch, name):
    ours, theirs = outcome(cr, called, name)[0], outcome(torch, called, name)[0]
    agree(ours, theirs, full_text=False)
    assert words(ours.text).split()[:6] == words(theirs.text).split()[:6]


# -- pruning, fusion, and the rest -------------------------------------------------------------------------------------


def pruned(lib):
    p = utils(lib, "prune")
    a, b = square(lib), CONV(lib).double()
    b.load_state_dict({"weight": lib.tensor(IMAGE.ravel()[:48].reshape(4, 3, 2, 2)), "bias": lib.tensor(IMAGE.ravel()[48:52])})
    p.l1_unstructured(a, "weight", 0.3)
    first = a.weight_mask.clone()
    p.ln_structured(a, "weight", 1, 2, 0)
    p.custom_from_mask(a, "bias", lib.tensor([1, 0, 1]))
    p.identity(b, "bias")
    p.ln_structured(b, "weight", 0.5, float("inf"), 1, importance_scores=lib.tensor(IMAGE.ravel()[60:108].reshape(4, 3, 2, 2)))
    hooks = list(a._forward_pre_hooks.values())
    found = [
        first,
        p.is_pruned(lib.nn.Sequential(a)),
        [type(h).__name__ for h in hooks],
        len(hooks[0]),
        type(hooks[0][1]).__name__,
    ]
    found += [steps(lib, a, X), steps(lib, b, IMAGE), [n for n, _ in a.named_parameters()], [n for n, _ in a.named_buffers()]]
    p.remove(a, "weight")
    return found, a.weight.detach(), type(a.weight).__name__, [*a.state_dict()], p.is_pruned(a), p.is_pruned(square(lib))


def pruned_together(lib):
    p, a, b = utils(lib, "prune"), square(lib), square(lib)
    p.l1_unstructured(a, "weight", 2)
    p.global_unstructured([(a, "weight"), (b, "bias")], p.L1Unstructured, amount=0.4)
    return a.weight_mask, b.bias_mask, p.L1Unstructured(3).prune(lib.tensor(X))


def fused(lib):
    found = []
    for make, norm, x, options in (
        (CONV, lib.nn.BatchNorm2d(4), IMAGE, {}), (TRANSPOSED, lib.nn.BatchNorm2d(4, affine=False), IMAGE, {"transpose": True}),
        (lambda lib: lib.nn.Linear(3, 2, bias=False), lib.nn.BatchNorm1d(2), X, None),
    ):  # fmt: skip
        layer, norm = make(lib).double().eval(), norm.double()
        norm.running_mean.fill_(0.3)
        norm.running_var.fill_(2.0)
        norm.eval()
        fuse = utils(lib).fuse_linear_bn_eval if options is None else utils(lib).fuse_conv_bn_eval
        made = fuse(layer, norm, **(options or {}))
        found.append(
            [lib.allclose(made(lib.tensor(x)), norm(layer(lib.tensor(x)))), type(made).__name__, made.bias.requires_grad]
        )
    return found


def skipped(lib):
    m = utils(lib).skip_init(lib.nn.Linear, 3, 2, bias=False, dtype=lib.float64)
    return m.weight.shape, str(m.weight.dtype).split(".")[1], m.bias, m.weight.requires_grad, type(m.weight).__name__


def stateless(lib):
    net = square(lib)
    given = {"weight": lib.ones(3, 3).double(), "bias": lib.zeros(3).double()}
    return importlib.import_module(f"{lib.__name__}.nn.utils.stateless").functional_call(net, given, lib.tensor(X))


def clipped(lib):
    found = []
    for norm, limit in ((2.0, 1.0), (float("inf"), 0.1), (1.0, 100.0)):
        p = [lib.tensor(X, requires_grad=True), lib.tensor(IMAGE, requires_grad=True), lib.ones(1)]
        sum((q**2).sum() for q in p[:2]).backward()
        total = utils(lib).get_total_norm([q.grad for q in p[:2]], norm)
        found += [total, utils(lib).clip_grad_norm_(p, limit, norm, foreach=True), p[0].grad]
        utils(lib).clip_grads_with_norm_(p, 0.5, lib.tensor(2.0))
        utils(lib).clip_grad_value_(p, 0.01)
        found += [p[1].grad, utils(lib).clip_grad_norm(p[0], 1.0)]
    return found


def laid_out(lib):
    net = lib.nn.Sequential(lib.nn.Conv2d(4, 3, 2), lib.nn.Conv3d(4, 3, 2))
    utils(lib).convert_conv2d_weight_memory_format(net, lib.channels_last)
    utils(lib).convert_conv3d_weight_memory_format(net, lib.channels_last_3d)
    return [m.weight.stride() for m in net], net[0].weight.is_leaf


@pytest.mark.parametrize(
    "program", [pruned, pruned_together, fused, skipped, stateless, clipped, laid_out], ids=lambda f: f.__name__
)
def test_program_is_pytorch_s(torch, program):
    both(torch, program, rtol=1e-9)


def test_random_pruning_takes_as_many():
    p = cr.nn.utils.prune
    net = p.random_unstructured(cr.nn.Linear(5, 4), "weight", 0.25)
    assert net.weight_mask.sum() == 15
    p.random_structured(net, "weight", 2, dim=0)
    assert (net.weight_mask.sum(1) == 0).sum() >= 2


def test_functions_stand_where_modules_of_their_names_do():
    read = "import chainrule.nn as nn, chainrule.nn.utils.parametrizations"
    code = f"{read}; print(callable(nn.utils.spectral_norm), callable(nn.utils.weight_norm))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
