"""``cuda`` without a GPU: its types are there to be named, nothing is of them, and making one raises as PyTorch does."""

import pytest
import torch

import chainrule as cr

TENSORS = [name for name in dir(torch.cuda) if name.endswith("Tensor")]


@pytest.mark.parametrize("name", TENSORS)
def test_types_of_a_gpus_tensors_are_pytorchs(name):
    theirs, ours = getattr(torch.cuda, name), getattr(cr.cuda, name)
    assert (ours.__name__, ours.__module__, ours.is_cuda) == (theirs.__name__, theirs.__module__, theirs.is_cuda)
    assert str(ours.dtype).removeprefix("chainrule.") == str(theirs.dtype).removeprefix("torch.")
    assert not isinstance(cr.zeros(2, dtype=ours.dtype), ours)
    with pytest.raises(TypeError) as raised:
        theirs(2)
    with pytest.raises(TypeError) as ours_raised:
        ours(2)
    assert str(ours_raised.value) == str(raised.value)


def test_streams_and_events_are_types_of_which_there_is_nothing():
    assert not isinstance(cr.zeros(2), (cr.cuda.Stream, cr.cuda.Event))
    with pytest.raises(RuntimeError, match=r"torch.cuda.Stream requires CUDA support"):
        cr.cuda.Stream()


def test_there_are_no_states_of_generators_to_keep():
    for lib in (torch, cr):
        assert lib.cuda.get_rng_state_all() == []
        assert lib.cuda.set_rng_state_all([]) is None
