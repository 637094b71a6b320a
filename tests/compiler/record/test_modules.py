"""Every module of nn, as it trains: a recorded call with its gradients inside, and replays with other inputs, are eager's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tests.compiler.record.recorded import leaves_of, same
from tests.nn.test_every_module import CASES, inputs_of, made

import chainrule as cr
from chainrule.compiler.record import record, replay
from chainrule.compiler.record.guards import GuardError
from chainrule.core.types.tree import tree_flatten

pytestmark = pytest.mark.filterwarnings(
    "ignore:The PyTorch API of nested",
    "ignore:enable_nested_tensor",
    "ignore:Lazy modules",
    "ignore:`NLLLoss2d`",
    "ignore:reduction",
)
FEW = ("Linear", "Conv2d", "BatchNorm1d", "LSTM", "MultiheadAttention", "CrossEntropyLoss", "Embedding", "Dropout", "GroupNorm")


def _step(net, name):
    def step(*inputs):
        leaves = [x.detach().requires_grad_() if x.is_floating_point() and name != "CTCLoss" else x for x in inputs]
        results = [r for r in tree_flatten(net(*leaves))[0] if isinstance(r, cr.Tensor)]
        moved = [*[x for x in leaves if x.requires_grad], *net.parameters()]
        live = [(r * r).sum() for r in results if r.requires_grad]
        grads = cr.autograd.grad(sum(live), moved, allow_unused=True) if live and moved else []
        return [r.detach() for r in results], [g for g in grads if g is not None], [b.clone() for b in net.buffers()]

    return step


def _inputs(name, specs, seed):
    return [cr.tensor(a) if isinstance(a, np.ndarray) else a for a in inputs_of(name, specs, seed)]


def _holds(name, args, options, specs):
    cr.manual_seed(0)
    ours = getattr(cr.nn, name)(*args, **made(cr, options)).double().train()
    if name.startswith("Lazy"):
        ours(_inputs(name, specs, 0)[0])
    theirs = copy.deepcopy(ours)
    recording = None
    for seed in (0, 1):
        inputs = _inputs(name, specs, seed)
        state = cr.get_rng_state()
        expected = _step(theirs, name)(*inputs)
        cr.set_rng_state(state)
        f = _step(ours, name)
        if recording is None:
            recording = record(f, tuple(inputs))
            found = recording.result
            assert recording.replayable, recording.why
        else:
            try:
                found = replay(recording, leaves_of(tuple(inputs)))
            except GuardError:
                found = f(*inputs)
        same(found, expected, 1e-10, f"{name}{args}{options} {seed}")


@pytest.mark.parametrize("name", FEW)
def test_modules_are_recorded_as_they_train(name):
    for case in [case for case in CASES if case[0] == name]:
        _holds(*case)


@pytest.mark.slow
@pytest.mark.parametrize("name", dict.fromkeys([case[0] for case in CASES if case[0] not in FEW]))
def test_other_modules_are_recorded_as_they_train(name):
    for case in [case for case in CASES if case[0] == name]:
        _holds(*case)
