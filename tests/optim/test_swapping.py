"""Swapping parameters and state into an optimizer, as PyTorch does."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr


def stepped(lib, steps=2):
    """Return an optimizer of two groups that has taken steps, and its parameters."""
    parameters = [lib.tensor([1.0, -2.0], requires_grad=True), lib.tensor([3.0], requires_grad=True)]
    optimizer = lib.optim.Adam([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.1}], lr=0.5)
    for _ in range(steps):
        for p in parameters:
            p.grad = p.detach() * 0.5
        optimizer.step()
    return optimizer, parameters


def test_steps_within_are_of_what_was_swapped_in_and_leave_the_rest(torch):
    def run(lib):
        optimizer, own = stepped(lib)
        before = copy.deepcopy(optimizer.state_dict())
        others = {"a": lib.tensor([5.0, 6.0], requires_grad=True), "b": lib.tensor([7.0], requires_grad=True)}
        for p in others.values():
            p.grad = lib.ones_like(p)
        given = copy.deepcopy(optimizer.state_dict())
        given["param_groups"][0]["lr"] = 0.25
        with lib.optim.swap_in_optimizer_params_and_state(optimizer, others, given):
            optimizer.step()
            assert optimizer.param_groups[0]["params"][0] is others["a"]
        after = optimizer.state_dict()
        assert after["param_groups"] == before["param_groups"]
        assert optimizer.param_groups[1]["params"][0] is own[1]
        for n in (0, 1):
            assert all(bool((after["state"][n][k] == before["state"][n][k]).all()) for k in ("step", "exp_avg", "exp_avg_sq"))
        return [
            *(p.detach().numpy() for p in others.values()),
            given["state"][0]["step"].item(),
            given["state"][1]["exp_avg"].numpy(),
        ]

    for ours, theirs in zip(run(cr), run(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("spoil", [
    lambda state: [], lambda state: {}, lambda state: state | {"param_groups": None},
    lambda state: state | {"param_groups": []},
    lambda state: state | {"param_groups": [1, 2]}, lambda state: state | {"state": state["state"] | {7: {}}},
    lambda state: state | {"param_groups": [g | {"more": 1} for g in state["param_groups"]]},
    lambda state: state | {"param_groups": [g | {"params": [0, 1]} for g in state["param_groups"]]},
])  # fmt: skip
def test_what_does_not_fit_raises(torch, spoil):
    for lib in (torch, cr):
        optimizer, own = stepped(lib)
        swap = lib.optim.swap_in_optimizer_params_and_state
        parameters = dict(enumerate(own))
        with pytest.raises(RuntimeError), swap(optimizer, parameters, spoil(optimizer.state_dict())):
            pass
        with pytest.raises(RuntimeError), swap(optimizer, {}, optimizer.state_dict()):
            pass
        fresh, _ = stepped(lib, 0)
        with pytest.raises(RuntimeError, match="requires initialized optimizer state"), swap(fresh, parameters, {}):
            pass
