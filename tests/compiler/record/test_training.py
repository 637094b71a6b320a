"""Whole training steps: recorded once their state is there, and replayed, they go on as the steps themselves do."""

from __future__ import annotations

import functools

import pytest
from tests.compiler.record.recorded import same

import chainrule as cr
from chainrule import nn, optim
from chainrule.compiler.record import record, replay
from chainrule.compiler.record.guards import GuardError
from chainrule.compiler.record.recording import Number

OPTIMIZERS = {
    "SGD": functools.partial(optim.SGD, lr=0.1),
    "SGD, momentum": functools.partial(optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "SGD, maximize": functools.partial(optim.SGD, lr=0.01, momentum=0.5, dampening=0.1, maximize=True),
    "Adam": functools.partial(optim.Adam, lr=0.01, weight_decay=0.1),
    "AMSGrad": functools.partial(optim.Adam, lr=0.01, amsgrad=True),
    "AdamW": functools.partial(optim.AdamW, lr=0.01),
    "RMSprop": functools.partial(optim.RMSprop, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": functools.partial(optim.Adagrad, lr=0.01, lr_decay=0.1),
    "Adadelta": optim.Adadelta,
    "Adamax": functools.partial(optim.Adamax, lr=0.01),
    "NAdam": functools.partial(optim.NAdam, lr=0.01),
    "RAdam": functools.partial(optim.RAdam, lr=0.01),
    "ASGD": functools.partial(optim.ASGD, lr=0.01, t0=3),
    "Adafactor": functools.partial(optim.Adafactor, lr=0.01, weight_decay=0.1),
    "Muon": lambda params: optim.Muon([p for p in params if p.ndim == 2], lr=0.01, nesterov=True),
    "Rprop": functools.partial(optim.Rprop, lr=0.01),
}


class Training:
    """A small net, its optimizer and a step."""

    def __init__(self, make, clip=False):
        cr.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.2), nn.Linear(4, 2)).double()
        self.optimizer = make(self.net.parameters())
        self.clip = clip

    def step(self, x, y):
        """Make a step; return the loss."""
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.net(x), y)
        loss.backward()
        if self.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), 0.1)
        self.optimizer.step()
        return loss.detach()

    def all(self):
        """Return all tensors of net and optimizer."""
        state = [t for held in self.optimizer.state.values() for t in held.values() if isinstance(t, cr.Tensor)]
        return [*self.net.parameters(), *[p.grad for p in self.net.parameters()], *state]


def train(ours, theirs, steps, between=lambda training, k: None):
    """Hold recorded and replayed steps to steps as they are; return the recordings, and how often they were replayed."""
    recordings, replays = [], 0
    for k in range(steps):
        x, y = cr.randn(5, 3, dtype=cr.float64), cr.randn(5, 2, dtype=cr.float64)
        state = cr.get_rng_state()
        expected = theirs.step(x, y)
        cr.set_rng_state(state)
        found = None
        for recording in recordings:
            if recording.replayable and recording.state.holds([x, y]):
                try:
                    found = replay(recording, [x, y])
                    replays += 1
                    break
                except GuardError:
                    pass
        if found is None:
            recordings.append(record(ours.step, (x, y)))
            found = recordings[-1].result
        same(found, expected, 1e-9, f"loss of step {k}")
        same(ours.all(), theirs.all(), 1e-9, f"step {k}")
        assert [t._version for t in ours.net.parameters()] == [t._version for t in theirs.net.parameters()]
        for training in (ours, theirs):
            between(training, k)
    return recordings, replays


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_replayed_steps_go_on_as_the_steps_do(make):
    recordings, replays = train(Training(make), Training(make), 8)
    assert replays >= 4, [recording.why for recording in recordings]


def test_a_learning_rate_that_a_schedule_changes_is_an_input():
    def anneal(training, k):
        training.optimizer.param_groups[0]["lr"] *= 0.9

    make = OPTIMIZERS["Adam"]
    recordings, replays = train(Training(make), Training(make), 6, anneal)
    assert replays == 4
    assert any(source.__class__ is Number for source in recordings[-1].sources)


def test_another_option_of_a_group_is_recorded_anew():
    def change(training, k):
        training.optimizer.param_groups[0]["eps"] *= 2

    make = OPTIMIZERS["Adam"]
    recordings, replays = train(Training(make), Training(make), 5, change)
    assert replays == 0
    assert len(recordings) == 5


def test_gradients_are_clipped_in_the_graph():
    make = OPTIMIZERS["SGD"]
    recordings, replays = train(Training(make, True), Training(make, True), 5)
    assert replays == 3, [recording.why for recording in recordings]


def test_a_branch_of_the_optimizer_is_a_guard():
    recordings, replays = train(Training(OPTIMIZERS["RAdam"]), Training(OPTIMIZERS["RAdam"]), 9)
    assert len([r for r in recordings if r.replayable]) == 2
    assert replays == 6
