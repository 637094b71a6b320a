"""Modules against PyTorch's: names, order, text, state, errors."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from tests.oracle import outcome

import chainrule as cr
from chainrule import nn
from chainrule.func import functional_call
from chainrule.nn.modules.conversions import parse_to


def both(torch, build):
    """Return the module that `build` makes of each library."""
    return build(cr), build(torch)


def small_net(lib):
    nn = lib.nn

    class Block(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.lin = nn.Linear(n, n)
            self.register_buffer("seen", lib.zeros(2))
            self.register_buffer("passing", lib.zeros(1), persistent=False)
            self.scale = nn.Parameter(lib.ones(()))
            self.nothing = None
            self.register_parameter("empty", None)

        def forward(self, x):
            return self.scale * self.lin(x).tanh()

    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), Block(4), nn.ModuleDict({"a": nn.ModuleList([Block(2), nn.Tanh()])}))
    net[3].a_shared = net[0]
    return net


MODULES = [
    lambda nn: nn.Sequential(),
    lambda nn: nn.Sequential(OrderedDict(first=nn.Linear(2, 3, bias=False), act=nn.GELU("tanh"))),
    lambda nn: nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU(True), nn.Sequential(nn.Tanh())]),
    lambda nn: nn.ModuleList(),
    lambda nn: nn.ModuleDict({"a": nn.Sequential(nn.Sigmoid(), nn.Softmax(dim=1)), "b": nn.LogSoftmax(-1)}),
    lambda nn: nn.Sequential(nn.LeakyReLU(0.2, True), nn.ELU(), nn.CELU(), nn.SELU(True), nn.SiLU(), nn.Mish(), nn.GELU()),
    lambda nn: nn.Sequential(nn.Hardtanh(), nn.ReLU6(), nn.Hardsigmoid(), nn.Hardswish(), nn.Hardshrink(), nn.Softshrink()),
    lambda nn: nn.Sequential(
        nn.Softplus(), nn.Threshold(0.5, 7.0, True), nn.PReLU(3), nn.GLU(), nn.Softmin(1), nn.Tanhshrink()
    ),
    lambda nn: nn.Sequential(nn.Flatten(), nn.Identity(3), nn.LogSigmoid(), nn.Softsign(), nn.Tanhshrink()),
    lambda nn: nn.Sequential(nn.CrossEntropyLoss(), nn.MSELoss(), nn.BCELoss(), nn.HuberLoss(), nn.KLDivLoss()),
]


@pytest.mark.parametrize("build", MODULES)
def test_text_is_pytorchs(torch, build):
    assert repr(build(nn)) == repr(build(torch.nn))


def test_parameter_containers_print_as_pytorchs(torch):
    for build in (
        lambda lib: lib.nn.ParameterList([lib.ones(2), lib.zeros(2, 3), 3]),
        lambda lib: lib.nn.ParameterDict({"a": lib.ones(2), "b": lib.zeros(())}),
    ):
        ours, theirs = both(torch, build)
        assert repr(ours) == repr(theirs).replace("torch.", "chainrule.")


def test_parameter_text_is_pytorchs(torch):
    assert repr(nn.Parameter(cr.ones(2))) == repr(torch.nn.Parameter(torch.ones(2)))
    assert repr(nn.Parameter(cr.ones(2), False)) == repr(torch.nn.Parameter(torch.ones(2), False))


def test_traversal_and_state_follow_pytorchs_order(torch):
    ours, theirs = both(torch, small_net)
    for ask in (
        lambda m: [name for name, _ in m.named_parameters()],
        lambda m: [name for name, _ in m.named_parameters("p", recurse=False)],
        lambda m: [name for name, _ in m.named_parameters(remove_duplicate=False)],
        lambda m: [name for name, _ in m.named_buffers()],
        lambda m: [name for name, _ in m.named_modules()],
        lambda m: [name for name, _ in m.named_modules(remove_duplicate=False)],
        lambda m: [name for name, _ in m.named_children()],
        lambda m: [len(list(f())) for f in (m.parameters, m.buffers, m.modules, m.children)],
        lambda m: list(m.state_dict()),
        lambda m: list(m.state_dict(prefix="x.")),
        lambda m: m.state_dict()._metadata,
        lambda m: [tuple(t.shape) for t in m.state_dict().values()],
    ):
        assert ask(ours) == ask(theirs)


def test_state_dict_shares_memory_and_is_detached():
    net = nn.Linear(2, 2)
    state = net.state_dict()
    assert not state["weight"].requires_grad
    state["weight"].zero_()
    assert (net.weight == 0).all()
    assert net.state_dict(keep_vars=True)["weight"] is net.weight


def test_load_state_dict_copies_into_the_same_parameters():
    a, b = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    weight = b[0].weight
    assert repr(b.load_state_dict(a.state_dict())) == "<All keys matched successfully>"
    assert b[0].weight is weight
    assert (weight == a[0].weight).all()
    assert weight.data_ptr() != a[0].weight.data_ptr()
    b.load_state_dict(a.state_dict(), assign=True)
    assert isinstance(b[0].weight, nn.Parameter)
    assert b[0].weight.requires_grad
    assert b[0].weight.data_ptr() == a[0].weight.data_ptr()


def test_load_state_dict_errors_are_pytorchs(torch):
    def broken(lib):
        net = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.Linear(3, 1))
        state = net.state_dict()
        del state["0.bias"]
        state["1.weight"] = lib.zeros(7)
        state["2.more"] = lib.zeros(1)
        state["extra"] = lib.zeros(1)
        with pytest.raises(RuntimeError) as error:
            net.load_state_dict(state)
        del state["1.weight"]
        return str(error.value), repr(net.load_state_dict(state, strict=False)), tuple(net.load_state_dict(state, strict=False))

    ours, theirs = broken(cr), broken(torch)
    assert ours == (theirs[0].replace("torch.Size", "chainrule.Size"), *theirs[1:])
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like"):
        nn.Linear(1, 1).load_state_dict([])


def bad_calls(lib):
    nn = lib.nn

    class Unready(nn.Module):
        def __init__(self, value):
            self.value = value

    def assign(name, value):
        net = nn.Linear(2, 2)
        net.register_buffer("known", lib.zeros(1))
        net.child = nn.ReLU()
        setattr(net, name, value)

    return [
        lambda: Unready(nn.Parameter(lib.ones(1))),
        lambda: Unready(nn.Linear(1, 1)),
        lambda: assign("weight", lib.ones(1)),
        lambda: assign("weight", 3),
        lambda: assign("child", 3),
        lambda: assign("known", "text"),
        lambda: nn.Linear(1, 1).register_parameter("a.b", nn.Parameter(lib.ones(1))),
        lambda: nn.Linear(1, 1).register_parameter("", nn.Parameter(lib.ones(1))),
        lambda: nn.Linear(1, 1).register_parameter("forward", nn.Parameter(lib.ones(1))),
        lambda: nn.Linear(1, 1).register_parameter("p", lib.ones(1)),
        lambda: nn.Linear(1, 1).register_parameter(3, None),
        lambda: nn.Linear(1, 1).register_buffer("a.b", None),
        lambda: nn.Linear(1, 1).register_buffer("weight", None),
        lambda: nn.Linear(1, 1).register_buffer("b", 3),
        lambda: nn.Linear(1, 1).add_module("a.b", nn.ReLU()),
        lambda: nn.Linear(1, 1).add_module("a", 3),
        lambda: nn.Linear(1, 1).missing,
        lambda: nn.Linear(1, 1).train(1),
        lambda: nn.Linear(1, 1).to(lib.int64),
        lambda: nn.Linear(1, 1).get_submodule("a"),
        lambda: nn.Linear(1, 1).get_submodule("weight"),
        lambda: nn.Linear(1, 1).get_parameter("forward"),
        lambda: nn.Linear(1, 1).get_buffer("nothing"),
        lambda: nn.Module()(1),
        lambda: nn.Sequential(nn.ReLU())[1],
        lambda: nn.Sequential(nn.ReLU()).insert(3, nn.ReLU()),
        lambda: nn.Sequential(nn.ReLU()) * 0,
        lambda: nn.Sequential(nn.ReLU()) * "a",
        lambda: nn.ModuleList([nn.ReLU()])[-2],
        lambda: nn.ModuleDict(3),
        lambda: nn.ModuleDict([("a",)]),
        lambda: nn.Parameter(lib.ones(1, dtype=lib.int64)),
        lambda: nn.HuberLoss(delta="a"),
    ]


@pytest.mark.parametrize("index", range(33))
def test_errors_are_pytorchs(torch, index):
    with pytest.raises(Exception) as theirs:
        bad_calls(torch)[index]()
    with pytest.raises(theirs.type) as ours:
        bad_calls(cr)[index]()
    first = 24 if theirs.type is RuntimeError else 400
    wanted = str(theirs.value).replace("torch.", "chainrule.").replace("chainrule chainrule", "chainrule")
    wanted = wanted.replace("torch Tensor", "chainrule Tensor")
    assert str(ours.value)[:first] == wanted[:first]


def test_assignment_moves_a_name_between_registers(torch):
    def build(lib):
        m = lib.nn.Module()
        m.x = 3
        m.x = lib.nn.Parameter(lib.ones(1))
        m.y = lib.nn.ReLU()
        m.y = lib.nn.Parameter(lib.ones(1))
        m.z = lib.nn.Buffer(lib.ones(1), persistent=False)
        m.z = lib.zeros(1)
        m.w = lib.nn.Parameter(lib.ones(1))
        m.w = None
        m.w = lib.nn.Parameter(lib.ones(1))
        m.v = lib.nn.Parameter(lib.ones(1))
        del m.v
        return m

    ours, theirs = both(torch, build)
    for m in (ours, theirs):
        assert "x" not in m.__dict__
        assert not hasattr(m, "v")
    assert list(ours._parameters) == list(theirs._parameters) == ["x", "y", "w"]
    assert list(ours._buffers) == list(theirs._buffers)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_same_parameters_same_results_and_gradients_as_pytorch(torch):
    def build(lib):
        return lib.nn.Sequential(lib.nn.Linear(3, 5), lib.nn.Tanh(), lib.nn.Linear(5, 2), lib.nn.GELU()).double()

    ours, theirs = both(torch, build)
    ours.load_state_dict({k: cr.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((4, 3))
    a, b = ours(cr.from_numpy(x)), theirs(torch.from_numpy(x))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)
    nn.MSELoss()(a, cr.zeros(4, 2)).backward()
    torch.nn.MSELoss()(b, torch.zeros(4, 2, dtype=torch.float64)).backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_to_converts_parameters_in_place_with_their_gradients(dtype):
    net = nn.Linear(2, 1)
    net.register_buffer("count", cr.tensor([3]))
    weight = net.weight
    net(cr.ones(2)).sum().backward()
    assert net.to(getattr(cr, dtype)) is net
    assert net.weight is weight
    assert weight.dtype is getattr(cr, dtype)
    assert weight.grad.dtype is weight.dtype
    assert net.count.dtype is cr.int64
    assert weight.is_leaf
    assert weight.requires_grad
    (net.float(), net.double(), net.half())
    assert net.bias.dtype is cr.float16
    assert net.count.dtype is cr.int64


def test_train_eval_requires_grad_zero_grad_apply():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 1)))
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    net(cr.ones(2)).sum().backward()
    grad = net[0].weight.grad
    net.zero_grad(set_to_none=False)
    assert net[0].weight.grad is grad
    assert (grad == 0).all()
    net.zero_grad()
    assert net[0].weight.grad is None
    net.requires_grad_(False)
    assert not net(cr.ones(2)).requires_grad
    seen = []
    net.apply(seen.append)
    assert seen == [net[0], net[1][0], net[1], net]


def test_pickle_and_deepcopy_keep_structure_sharing_and_values():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    net.register_buffer("b", cr.ones(1), persistent=False)
    net(cr.ones(2)).sum().backward()
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert repr(other) == repr(net)
        assert other[1].weight is other[0].weight
        assert isinstance(other[0].weight, nn.Parameter)
        assert other[0].weight.requires_grad
        assert other[0].weight.grad is None  # as in PyTorch
        assert (other[0].weight == net[0].weight).all()
        assert other[0].weight.data_ptr() != net[0].weight.data_ptr()
        assert list(other.state_dict()) == list(net.state_dict())
        assert (other(cr.ones(2)) == net(cr.ones(2))).all()


def test_parameter_shares_memory_and_data_is_a_plain_tensor():
    t = cr.zeros(2)
    p = nn.Parameter(t)
    t[0] = 5
    assert p[0].item() == 5
    assert type(p.data) is cr.Tensor
    p.data = cr.ones(3)
    assert p.shape == (3,)
    p.mark = "own"
    assert pickle.loads(pickle.dumps(p)).mark == "own"
    assert type(p + 1) is cr.Tensor


def test_sequential_edits(torch):
    def build(lib):
        nn = lib.nn
        s = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
        s.append(nn.Tanh()).insert(0, nn.Sigmoid()).extend([nn.GELU(), nn.ELU()])
        s[2] = nn.SiLU()
        del s[0]
        s.pop(-1)
        s += nn.Sequential(nn.Softplus())
        return nn.ModuleList([s, s[1:3], s[-1], s + s, s * 2, nn.ModuleList([s[0], s[1]])[:1]])

    ours, theirs = both(torch, build)
    assert repr(ours) == repr(theirs)


LOSSES = [
    ("L1Loss", {}),
    ("MSELoss", {"reduction": "sum"}),
    ("SmoothL1Loss", {"beta": 0.3}),
    ("HuberLoss", {"delta": 0.2, "reduction": "none"}),
    ("BCEWithLogitsLoss", {"pos_weight": [0.5, 2.0, 3.0]}),
    ("KLDivLoss", {"reduction": "batchmean", "log_target": True}),
    ("CrossEntropyLoss", {"weight": [0.5, 2.0, 3.0], "label_smoothing": 0.1}),
]


@pytest.mark.parametrize(("name", "options"), LOSSES)
def test_losses_are_pytorchs(torch, name, options):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((4, 3)), rng.random((4, 3))

    def loss(lib):
        made = {k: lib.tensor(v, dtype=lib.float64) if isinstance(v, list) else v for k, v in options.items()}
        a = lib.tensor(x, requires_grad=True)
        value = getattr(lib.nn, name)(**made)(a, lib.tensor(y))
        value.sum().backward()
        return value.detach().numpy(), a.grad.numpy()

    for ours, theirs in zip(loss(cr), loss(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
def test_class_losses_ignore_an_index(torch, name):
    x, y = np.random.default_rng(1).standard_normal((4, 3)), np.array([0, 2, 1, 2])
    ours = getattr(nn, name)(ignore_index=2)(cr.tensor(x), cr.tensor(y)).item()
    assert ours == pytest.approx(getattr(torch.nn, name)(ignore_index=2)(torch.tensor(x), torch.tensor(y)).item(), rel=1e-12)


def test_old_reduction_arguments_are_understood():
    with pytest.warns(UserWarning, match="please use reduction='sum'"):
        assert nn.MSELoss(size_average=False).reduction == "sum"


def test_functional_call_is_a_function_of_the_parameters():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1))
    weight = net[0].weight
    x = cr.ones(2)
    direct = cr.autograd.grad(net(x).sum(), weight)[0]
    gradient = cr.func.grad(lambda w: functional_call(net, {"0.weight": w}, x).sum())(weight.detach())
    assert (direct == gradient).all()
    assert net[0].weight is weight
    net[1].bias = None
    net[0].tied = net[0].weight
    with pytest.raises(RuntimeError, match="Missing key"):
        functional_call(net, {"0.weight": weight}, x, strict=True)
    with pytest.raises(ValueError, match="tied"):
        functional_call(net, {"0.weight": weight, "0.tied": weight.detach()}, x)
    with pytest.raises(ValueError, match="multiple dictionaries"):
        functional_call(net, ({"0.weight": weight}, {"0.weight": weight}), x)


def test_vector_of_parameters_and_back(torch):
    net = nn.Linear(2, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    other = nn.Linear(2, 2)
    nn.utils.vector_to_parameters(vector.detach(), other.parameters())
    assert (other.weight == net.weight).all()
    assert isinstance(other.weight, nn.Parameter)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("limit", [0.1, 100.0])
def test_gradients_are_clipped_as_pytorchs(torch, p, limit):
    rng = np.random.default_rng(2)
    grads = [rng.standard_normal(shape).astype(np.float32) for shape in [(3, 2), (5,), ()]]

    def clipped(lib, clip, *arguments):
        params = [lib.zeros(g.shape, requires_grad=True) for g in grads]
        for q, g in zip(params, grads, strict=True):
            q.grad = lib.tensor(g)
        found = clip(params, *arguments)
        return [np.asarray(q.grad) for q in params] + ([] if found is None else [np.asarray(found)])

    for name, arguments in (("clip_grad_norm_", (limit, p)), ("clip_grad_value_", (limit,))):
        ours = clipped(cr, getattr(nn.utils, name), *arguments)
        theirs = clipped(torch, getattr(torch.nn.utils, name), *arguments)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_norm_that_is_not_finite_raises_if_asked():
    p = cr.ones(1, requires_grad=True)
    p.grad = cr.tensor([float("inf")])
    with pytest.raises(RuntimeError, match="non-finite, so it cannot be clipped"):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)


def test_to_refuses_what_pytorch_refuses(torch):
    layer = cr.nn.Linear(2, 2)
    for args, kwargs in (
        ([[1]], {}), [[()], {}], [[], {"a": 1}], [[], {"dtype": 3}], [[], {"device": 3.5}], [["cpu", 3], {}],
        [["cpu", cr.float64, "a"], {}], [["cpu"], {"device": "cpu"}], [[cr.float64], {"device": "cpu"}], [[True], {}],
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"to\(\) received an invalid combination of arguments"):
            layer.to(*args, **kwargs)
    for place in (3, "a", "cuda"):
        for convert in (lambda lib, at: lib.nn.Linear(2, 2).to(at), lambda lib, at: lib.nn.Linear(2, 2).to(device=at)):
            ours, theirs = (outcome(lib, convert, place)[0] for lib in (cr, torch))
            assert (ours.kind, ours.text[:30]) == (theirs.kind, theirs.text[:30])
    assert layer.weight.dtype is cr.float32


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([cr.float64], {}), (["cpu", cr.float64], {}), ([None, cr.float64, True], {}), ([cr.float64, True, False], {}),
        ([cr.zeros(1, dtype=cr.float64)], {"non_blocking": True}), ([], {"tensor": cr.zeros(1, dtype=cr.float64)}),
        ([], {"dtype": cr.float64, "device": "cpu"}), ([cr.device("cpu")], {"dtype": cr.float64, "memory_format": None}),
    ],
)  # fmt: skip
def test_to_takes_pytorchs_three_forms(args, kwargs):
    assert cr.nn.Linear(2, 2).to(*args, **kwargs).weight.dtype is cr.float64
    plain = cr.nn.Linear(2, 2)
    assert plain.to() is plain.to(None) is plain.to("cpu") is plain
    assert plain.weight.dtype is cr.float32


def test_what_to_is_given_reads_as_in_pytorch(torch):
    ways = [
        lambda lib: (), lambda lib: ("cpu", lib.float64), lambda lib: (lib.float16, True), lambda lib: (lib.ones(1),),
        lambda lib: (None,), lambda lib: (lib.device("cpu"), lib.int64, False, True),
    ]  # fmt: skip
    for way in ways:
        found = []
        for lib, parse in ((torch, torch._C._nn._parse_to), (cr, parse_to)):
            try:
                found.append([str(part).rpartition(".")[2] for part in parse(*way(lib))])
            except RuntimeError as error:
                found.append(str(error))
        assert found[0] == found[1]


def laid_out_module(lib):
    module = lib.nn.Module()
    module.weight = lib.nn.Parameter(lib.ones(2, 3, 4, 5))
    module.bias = lib.nn.Parameter(lib.ones(3))
    module.register_buffer("counts", lib.zeros(2, 3, 2, 2, dtype=lib.int64))
    module.weight.grad = lib.ones(2, 3, 4, 5)
    return module


def strides(module):
    return [t.stride() for t in (module.weight, module.weight.grad, module.bias, module.counts)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_to_a_memory_format_lays_out_parameters_gradients_and_buffers(dtype):
    module = laid_out_module(cr)
    weight = module.weight
    assert module.to(getattr(cr, dtype), memory_format=cr.channels_last) is module
    assert module.weight is weight
    assert weight.dtype is getattr(cr, dtype)
    assert strides(module) == [(60, 1, 15, 3), (60, 1, 15, 3), (1,), (12, 1, 6, 3)]
    assert weight.is_contiguous(memory_format=cr.channels_last)
    assert strides(module.to(memory_format=cr.preserve_format))[0] == (60, 1, 15, 3)
    assert strides(module.to(memory_format=cr.contiguous_format)) == [(60, 20, 5, 1), (60, 20, 5, 1), (1,), (12, 4, 2, 1)]
    with pytest.raises(RuntimeError, match="required rank 5 tensor to use channels_last_3d format"):
        module.to(memory_format=cr.channels_last_3d)


def test_to_a_memory_format_is_as_in_pytorch(torch):
    for names in (["channels_last"], ["channels_last", "contiguous_format"], ["channels_last", "preserve_format"]):
        ours, theirs = laid_out_module(cr), laid_out_module(torch)
        for name in names:
            ours.to(memory_format=getattr(cr, name))
            theirs.to(memory_format=getattr(torch, name))
        assert strides(ours) == strides(theirs)
