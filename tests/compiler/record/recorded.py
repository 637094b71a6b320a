"""What the tests of recordings share: a call recorded and replayed, beside the call itself."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule.compiler.record import record, replay
from chainrule.core.types.tree import tree_flatten
from chainrule.testing.compare import first_gap


def leaves_of(args):
    """Return the flattened positional arguments."""
    return tree_flatten((args, {}))[0]


def values_of(result):
    """Return the arrays and other leaves of a result."""
    return [_value(t) for t in tree_flatten(result)[0]]


def _value(leaf):
    if isinstance(leaf, cr.Tensor):
        return np.array(leaf.detach().resolve_conj().resolve_neg().numpy())
    return np.asarray(0 if leaf is None else leaf)


def same(found, expected, tolerance=1e-12, what=""):
    """Hold two results equal, leaf by leaf."""
    found, expected = values_of(found), values_of(expected)
    assert len(found) == len(expected), what
    gap = first_gap(found, expected, tolerance)
    assert gap is None, f"{what}: {gap}"


def alike(f, *draws, tolerance=1e-12):
    """Hold a recorded call, and its replays on other arguments, to the function itself: results, arguments, random numbers.

    Each of `draws` returns a tuple of fresh arguments, the same each time; the first is recorded. Return the recording.
    """
    recording = None
    for draw in draws:
        ours, theirs = draw(), draw()
        state = cr.get_rng_state()
        expected = f(*theirs)
        after = cr.get_rng_state()
        cr.set_rng_state(state)
        if recording is None:
            recording = record(f, ours)
            found = recording.result
        else:
            assert recording.state.holds(leaves_of(ours))
            found = replay(recording, leaves_of(ours))
        what = "recorded" if recording.result is found else "replayed"
        same(found, expected, tolerance, what)
        same(ours, theirs, tolerance, f"{what}, the arguments")
        assert [t._version for t in leaves_of(ours) if isinstance(t, cr.Tensor)] == [
            t._version for t in leaves_of(theirs) if isinstance(t, cr.Tensor)
        ], what
        assert cr.get_rng_state().tolist() == after.tolist(), what
    assert recording.replayable, recording.why
    return recording


def drawn(*shapes, dtype="float64", requires_grad=False):
    """Return two draws of tensors of these shapes for `alike`."""

    def draw(seed):
        rng = np.random.default_rng(seed)
        return tuple(cr.tensor(rng.normal(size=s), dtype=getattr(cr, dtype), requires_grad=requires_grad) for s in shapes)

    return lambda: draw(0), lambda: draw(1)
