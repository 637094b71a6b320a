"""Sequences of several lengths: packed, padded, run through recurrent modules; PyTorch's results, gradients and errors."""

from __future__ import annotations

import importlib
import pickle

import numpy as np
import pytest
from tests.oracle import agree, outcome

import chainrule as cr
from chainrule.nn.utils import rnn

RNG = np.random.default_rng(3)
X = RNG.normal(size=(4, 3, 2))
LENGTHS = [2, 4, 1]


def of(lib):
    return importlib.import_module(f"{lib.__name__}.nn.utils.rnn")


def plain(value):
    return [*value] if hasattr(value, "batch_sizes") else value


def both(torch, program, **options):
    agree(outcome(cr, program)[0], outcome(torch, program)[0], **options)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("lengths", [LENGTHS, [3, 3, 3], [1, 1, 4], [2, 4]])
def test_packing_and_padding_are_pytorch_s(torch, first, lengths):
    def program(lib):
        x = lib.tensor(X.swapaxes(0, 1) if first else X, requires_grad=True)
        packed = of(lib).pack_padded_sequence(x, lib.tensor(lengths), first, enforce_sorted=False)
        padded, found = of(lib).pad_packed_sequence(packed, first, -2.0, total_length=5)
        (g,) = lib.autograd.grad((padded**3).sum(), x, create_graph=True)
        (h,) = lib.autograd.grad((g**2).sum(), x)
        return plain(packed), padded, found, g.detach(), h, of(lib).unpack_sequence(packed)

    both(torch, program)


def test_packing_is_moved_by_transforms():
    def f(x):
        packed = rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
        return rnn.pad_packed_sequence(packed)[0]

    x, t = cr.tensor(X), cr.ones(X.shape, dtype=cr.float64)
    y, y_dot = cr.func.jvp(f, (x,), (t,))
    assert cr.equal(y, x * y_dot)
    batched = cr.func.vmap(f)(cr.stack([x, 2 * x]))
    assert cr.equal(batched, cr.stack([y, 2 * y]))


SEQUENCES = [RNG.normal(size=(n, 2)) for n in LENGTHS]
CALLS = {
    "pad": lambda lib, t: of(lib).pad_sequence([t(s) for s in SEQUENCES]),
    "pad left": lambda lib, t: of(lib).pad_sequence(map(t, SEQUENCES), True, 7.0, padding_side="left"),
    "pad a tensor": lambda lib, t: of(lib).pad_sequence(t(X)),
    "pad integers": lambda lib, t: of(lib).pad_sequence([t([1, 2]), t([3.5])]),
    "pad with infinity": lambda lib, t: of(lib).pad_sequence([t([1.0, 2.0]), t([3.5])], padding_value=float("inf")),
    "pack": lambda lib, t: plain(of(lib).pack_sequence([t(s) for s in SEQUENCES], enforce_sorted=False)),
    "pack sorted": lambda lib, t: plain(of(lib).pack_sequence([t(SEQUENCES[i]) for i in (1, 0, 2)])),
    "pack scalars": lambda lib, t: repr(of(lib).pack_sequence([t([1, 2]), t([3])])),
    "pack, list of lengths": lambda lib, t: plain(of(lib).pack_padded_sequence(t(X), [4, 2, 2])),
    "unpad": lambda lib, t: of(lib).unpad_sequence(t(X.swapaxes(0, 1)), t(LENGTHS), True),
    "fields": lambda lib, t: plain(of(lib).PackedSequence(t([1.0, 2.0]), t([2]), t([1, 0]))),
    "fields as a pair": lambda lib, t: plain(of(lib).PackedSequence((t([1.0, 2.0]), t([2])))),
    "convert": lambda lib, t: [plain(getattr(packed(lib, t), k)()) for k in ("half", "int", "byte", "char", "short", "long")],
    "move": lambda lib, t: [plain(packed(lib, t).to(lib.float32)), plain(packed(lib, t).cpu().double().float())],
    "where": lambda lib, t: [packed(lib, t).is_cuda, packed(lib, t).is_pinned()],
    "invert": lambda lib, t: of(lib).invert_permutation(t([2, 0, 1])),
    "invert none": lambda lib, t: of(lib).invert_permutation(None),
    "pad nothing": lambda lib, t: of(lib).pad_sequence([]),
    "pad a number": lambda lib, t: of(lib).pad_sequence(3),
    "pad wrong side": lambda lib, t: of(lib).pad_sequence([t(X)], padding_side="x"),
    "pad misfits": lambda lib, t: of(lib).pad_sequence([t(X), t(X[:, :2])]),
    "pack unsorted": lambda lib, t: of(lib).pack_padded_sequence(t(X), LENGTHS),
    "pack too few lengths": lambda lib, t: of(lib).pack_padded_sequence(t(X), [4, 2]),
    "pack length 0": lambda lib, t: of(lib).pack_padded_sequence(t(X), [4, 2, 0]),
    "pack lengths of two axes": lambda lib, t: of(lib).pack_padded_sequence(t(X), [[4, 2, 1]]),
    "pack empty": lambda lib, t: of(lib).pack_padded_sequence(t(X[:0]), [1, 1, 1]),
    "pack one axis": lambda lib, t: of(lib).pack_padded_sequence(t([1.0]), [1]),
    "pad shorter": lambda lib, t: of(lib).pad_packed_sequence(packed(lib, t), total_length=2),
    "one field": lambda lib, t: of(lib).PackedSequence(t([1.0])),
}


def packed(lib, t):
    return of(lib).pack_padded_sequence(t(X), t(LENGTHS), enforce_sorted=False)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call_is_pytorch_s(torch, call):
    both(torch, lambda lib: call(lib, lib.tensor), full_text=True)


def test_lengths_beyond_the_input_are_refused():
    with pytest.raises(RuntimeError, match="at most the 4 steps"):
        rnn.pack_padded_sequence(cr.tensor(X), [5, 2, 1])
    with pytest.raises(RuntimeError, match="Expected batch_sizes that decrease"):
        rnn.pad_packed_sequence(rnn.PackedSequence(cr.ones(3), cr.tensor([1, 2])))


def test_same_data_is_the_same_object_and_pickles():
    p = packed(cr, cr.tensor)
    assert p.double() is p
    assert repr(pickle.loads(pickle.dumps(p))) == repr(p)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("options", [
    {}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"bidirectional": True, "bias": False}])  # fmt: skip
@pytest.mark.parametrize("given", [False, True])
def test_modules_run_packed_sequences_as_pytorch_s(torch, name, options, given):
    compared(torch, name, options, given)


@pytest.mark.parametrize("given", [False, True])
def test_projected_states_of_packed_sequences(torch, given):
    compared(torch, "LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True}, given)


def compared(torch, name, options, given):
    source = getattr(torch.nn, name)(2, 3, **options).double()
    rows = source.num_layers * (2 if source.bidirectional else 1)
    sizes = [getattr(source, "proj_size", 0) or 3, 3][: 2 if name == "LSTM" else 1]
    states = [RNG.normal(size=(rows, 3, n)) for n in sizes]

    def program(lib):
        net = getattr(lib.nn, name)(2, 3, **options).double()
        net.load_state_dict({k: lib.tensor(v.numpy()) for k, v in source.state_dict().items()})
        x, *hx = leaves = [lib.tensor(a, requires_grad=True) for a in (X, *states)]
        p = of(lib).pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
        out, last = net(p, None if not given else tuple(hx) if name == "LSTM" else hx[0])
        last = list(last) if name == "LSTM" else [last]
        leaves = [*net.parameters(), *(leaves if given else [x])]
        grads = lib.autograd.grad(sum((v * v).sum() for v in (out.data, *last)), leaves)
        return [v.detach() if hasattr(v, "detach") else v for v in (*out, *last)], grads

    both(torch, program, rtol=1e-10)


def test_dropout_between_layers_of_packed_sequences():
    net = cr.nn.GRU(2, 3, 2, dropout=0.9).double()
    p = packed(cr, cr.tensor)
    assert not cr.equal(net(p)[0].data, net(p)[0].data)
    net.eval()
    assert cr.equal(net(p)[0].data, net(p)[0].data)


MISFITS = {
    "state's batch": lambda m, lib: m(of(lib).pack_sequence([lib.ones(3, 2).double()]), lib.ones(1, 2, 3).double()),
    "state's axes": lambda m, lib: m(lib.ones(4, 2).double(), lib.ones(1, 1, 3).double()),
    "state's axes, batched": lambda m, lib: m(lib.ones(4, 1, 2).double(), lib.ones(1, 3).double()),
}


@pytest.mark.parametrize("call", MISFITS.values(), ids=MISFITS)
def test_misfit_is_told_as_by_pytorch(torch, call):
    both(torch, lambda lib: call(lib.nn.GRU(2, 3).double(), lib))


CHECKS = {
    "dtype": lambda m, lib: m(lib.ones(4, 1, 2)),
    "size": lambda m, lib: m(lib.ones(4, 1, 3).double()),
    "axes, packed": lambda m, lib: m.check_input(lib.ones(4).double(), lib.tensor([4])),
    "one state": lambda m, lib: m.check_hidden_size(lib.ones(1), (1, 2, 3)),
    "shapes": lambda m, lib: [m.get_expected_hidden_size(lib.ones(4, 5, 2), b) for b in (None, lib.tensor([3]))],
    "order": lambda m, lib: m.permute_hidden(lib.tensor(X), lib.tensor([2, 0, 1])),
    "weights": lambda m, lib: [tuple(w.shape) for w in m._flat_weights] + m._flat_weights_names,
}


@pytest.mark.parametrize("call", CHECKS.values(), ids=CHECKS)
def test_checks_for_subclasses_are_pytorch_s(torch, call):
    both(torch, lambda lib: call(lib.nn.GRU(2, 3, num_layers=2).double(), lib))
    if call not in (CHECKS["order"],):
        both(torch, lambda lib: call(lib.nn.LSTM(2, 3, proj_size=1).double(), lib))


def test_lstm_s_states_are_checked_each(torch):
    def program(lib, *shapes):
        lib.nn.LSTM(2, 3, proj_size=1)(lib.ones(4, 5, 2), tuple(lib.ones(s) for s in shapes))

    for shapes in (((1, 5, 1), (1, 5, 1)), ((1, 5, 3), (1, 5, 3)), ((1, 1, 1), (1, 5, 3))):
        agree(outcome(cr, program, *shapes)[0], outcome(torch, program, *shapes)[0])
