"""Every module class of nn: PyTorch's constructor, text, state, results, gradients and buffers, over random configurations.

The fast set asks without PyTorch what holds of every module: its copies, pickles and states make the same of the same inputs.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import warnings
import zlib

import numpy as np
import pytest
from tests.nn.configurations import ELSEWHERE, TABLE, drawn, made
from tests.oracle import agree, outcome, words

import chainrule as cr
from chainrule.nn import parameter

CASES = [(name, *configuration) for name, listed in TABLE.items() for configuration in listed]
CLASSES = [n for n in dir(cr.nn) if isinstance(getattr(cr.nn, n), type) and n not in ("Parameter", "Buffer")]
pytestmark = pytest.mark.filterwarnings(
    "ignore:The PyTorch API of nested", "ignore:enable_nested_tensor", "ignore:Lazy modules", "ignore:`NLLLoss2d`"
)


def flat(value):
    for v in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(v, (tuple, list)):
            yield from flat(v)
        elif v is not None:
            yield v


def inputs_of(name, specs, seed):
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    return [a for spec in specs for a in drawn(rng, spec, cr)]


def program(lib, name, args, options, arrays, state, training):
    """Return the text, and per call: results, gradients of inputs and parameters, buffers."""
    net = getattr(lib.nn, name)(*args, **made(lib, options)).double().train(training)
    called = ()
    if name.startswith("Lazy"):
        net(lib.tensor(arrays[0]))
    shapes = [(k, tuple(v.shape), str(v.dtype).split(".")[1]) for k, v in net.state_dict().items()]
    if not state:
        rng = np.random.default_rng(len(shapes))
        state.update({k: rng.uniform(0.2, 1, s) if "float" in d else np.zeros(s, "int64") for k, s, d in shapes})
    net.load_state_dict({k: lib.tensor(v) for k, v in state.items()})
    for p in net.parameters():
        p.grad = None
    for _ in range(2):
        leaves = [lib.tensor(a, requires_grad=a.dtype.kind == "f" and not (abs(a) == 1).all()) for a in arrays]
        if name == "CTCLoss":  # whose gradient is PyTorch's only where what comes before is the logarithm of a softmax
            results = [net(leaves[0].log_softmax(2), *leaves[1:])]
        else:
            results = list(flat(net(*leaves)))
        moved = [*[x for x in leaves if x.requires_grad], *net.parameters()]
        live = [(r * r).sum() for r in results if r.requires_grad]
        grads = lib.autograd.grad(sum(live), moved, allow_unused=True) if live else []
        if name == "CrossMapLRN2d":  # whose gradient is wrong in PyTorch: its windows are displaced by a channel
            grads = []
        called += ([r.detach() for r in results], grads, [b.clone() for b in net.buffers()])
    return [words(repr(net)), shapes, *called]


def case_id(case):
    name, args, options, _ = case
    return f"{name}{args}{options or ''}".replace(" ", "")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_module_is_pytorch_s(torch, case):
    name, args, options, specs = case
    for seed in range(2):
        arrays = inputs_of(name, specs, seed)
        for training in (True, False):
            if training and name in ("RReLU",):  # draws, and differently
                continue
            state = {}
            theirs = outcome(torch, program, name, args, options, arrays, state, training)[0]
            ours = outcome(cr, program, name, args, options, arrays, state, training)[0]
            agree(ours, theirs, rtol=1e-7)


@pytest.mark.parametrize(
    "name", [n for n in CLASSES if n not in ("RNN", "LSTM", "GRU", "RNNBase", "RNNCellBase", "NLLLoss2d", "Container")]
)
def test_signature_is_pytorch_s(torch, name):
    read = lambda lib: [(p.name, p.default) for p in inspect.signature(getattr(lib.nn, name)).parameters.values()]
    plain = lambda found: [(n, getattr(d, "__name__", d)) for n, d in found]
    assert plain(read(cr)) == plain(read(torch))


def test_classes_are_kinds_of_each_other_as_pytorch_s(torch):
    """Lazy norms apart, which are here what they become."""
    named = [n for n in CLASSES if hasattr(torch.nn, n) and not n.startswith(("Lazy", "Uninit"))]
    kinds = lambda lib: {(a, b) for a in named for b in named if issubclass(getattr(lib.nn, a), getattr(lib.nn, b))}
    assert kinds(cr) == kinds(torch)


FILES = {
    "activation": "ReLU Softmax2d MultiheadAttention", "adaptive": "AdaptiveLogSoftmaxWithLoss", "linear": "Linear Identity",
    "batchnorm": "BatchNorm1d _BatchNorm _NormBase SyncBatchNorm", "channelshuffle": "ChannelShuffle", "rnn": "LSTM RNNBase",
    "container": "Sequential ModuleList", "conv": "Conv2d _ConvNd _ConvTransposeNd LazyConv1d", "distance": "PairwiseDistance",
    "dropout": "Dropout _DropoutNd", "flatten": "Flatten Unflatten", "fold": "Fold Unfold", "instancenorm": "_InstanceNorm",
    "lazy": "LazyModuleMixin", "loss": "_Loss _WeightedLoss MSELoss CTCLoss", "module": "Module", "padding": "_ConstantPadNd",
    "normalization": "LayerNorm CrossMapLRN2d", "pixelshuffle": "PixelShuffle", "pooling": "_MaxPoolNd _AvgPoolNd",
    "sparse": "Embedding EmbeddingBag", "transformer": "Transformer", "upsampling": "Upsample",
    "utils": "_single _pair _triple _quadruple _ntuple _reverse_repeat_tuple consume_prefix_in_state_dict_if_present",
}  # fmt: skip


@pytest.mark.parametrize("file", FILES)
def test_files_of_pytorch_have_their_names(torch, file):
    ours, theirs = (importlib.import_module(f"{lib.__name__}.nn.modules.{file}") for lib in (cr, torch))
    for name in FILES[file].split():
        assert hasattr(theirs, name)
        found = getattr(ours, name)
        kinds = lambda lib, cls: {n for n in CLASSES if hasattr(torch.nn, n) and issubclass(getattr(lib.nn, n), cls)}
        if isinstance(found, type) and not name.startswith("Lazy"):
            lazy = {n for n in CLASSES if n.startswith("Lazy")}
            assert kinds(cr, found) - lazy == kinds(torch, getattr(theirs, name)) - lazy
    assert getattr(cr.nn.modules, file) is ours
    assert cr.nn.modules.Linear is cr.nn.Linear


def test_tuples_of_arguments(torch):
    def results(lib):
        u = importlib.import_module(f"{lib.__name__}.nn.modules.utils")
        state = lib.nn.DataParallel(lib.nn.Sequential(lib.nn.Linear(1, 1))).state_dict()
        u.consume_prefix_in_state_dict_if_present(state, "module.")
        sizes = [
            u._pair(3),
            u._triple([1, 2, 3]),
            u._reverse_repeat_tuple((1, 2), 2),
            u._list_with_default([None, 3], [7, 8, 9]),
        ]
        return sizes, [*state], [*state._metadata]

    agree(results(cr), results(torch))


def test_kinds_for_gpus_are_known():
    net = cr.nn.Sequential(cr.nn.Conv2d(1, 2, 1), cr.nn.BatchNorm2d(2))
    made = cr.nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert isinstance(made[1], cr.nn.SyncBatchNorm)
    assert made[1].weight is net[1].weight or made[1].weight is not None
    with pytest.raises(ValueError, match="SyncBatchNorm expected input tensor to be on GPU"):
        made(cr.ones(1, 1, 2, 2))
    assert made.eval()(cr.ones(1, 1, 2, 2)).shape == (1, 2, 2, 2)
    with pytest.raises(RuntimeError, match="Default process group has not been initialized"):
        cr.nn.parallel.DistributedDataParallel(net)
    with pytest.warns(FutureWarning, match="Container"):
        assert list(cr.nn.Container(a=cr.nn.ReLU()).state_dict()) == []
    with pytest.raises(AssertionError, match="Backend must be"), cr.nn.attention.sdpa_kernel(3.0):
        pass


def test_every_class_is_compared():
    assert sorted({*TABLE, *ELSEWHERE} - {"Parameter", "Buffer"}) == sorted(CLASSES)


def test_gradient_of_cross_map_normalisation():
    x = cr.tensor(np.random.default_rng(0).normal(size=(1, 6, 2, 1)), requires_grad=True)
    assert cr.autograd.gradcheck(cr.nn.CrossMapLRN2d(3, alpha=2.0), x)


@pytest.mark.parametrize("name", [n for n in TABLE if "Fractional" not in n])  # these draw in evaluation, too
def test_copies_pickles_and_states_make_the_same(name):
    args, options, specs = TABLE[name][0]
    arrays = [cr.tensor(a) for a in inputs_of(name, specs, 0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = getattr(cr.nn, name)(*args, **made(cr, options)).double().eval()
        first = list(flat(net(*arrays)))
        other = getattr(cr.nn, name)(*args, **made(cr, options)).double().eval()
        if name.startswith("Lazy"):
            other(*arrays)
        other.load_state_dict(net.state_dict())
        for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), other):
            again = list(flat(twin(*arrays)))
            assert all(cr.equal(a, b) for a, b in zip(first, again, strict=True))
            assert repr(twin) == repr(net)
            assert not any(parameter.is_lazy(p) for p in twin.parameters())
