"""Selective checkpoints: the ops that a policy names do not run again, and the gradients are right."""

from __future__ import annotations

import functools

import pytest
from tests.utils.programs import TRANSFORMS, F, close, kept, layers, leaf

import chainrule as cr
from chainrule.core.mode.watch import Watcher
from chainrule.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts


def selective(policy, f, **options):
    return lambda x: kept(f, x, context_fn=functools.partial(create_selective_checkpoint_contexts, policy, **options))


class Tally(Watcher):
    """Counts what kernels ran."""

    def __init__(self):
        super().__init__()
        self.ran = []

    def around(self, op, payloads, params, proceed):
        self.ran.append(op.name)
        return proceed()

    def __enter__(self):
        super().__enter__()
        return self.ran


@pytest.mark.parametrize(
    ("policy", "again"),
    [
        (["mm"], ["sin", "exp"]),
        ([cr.sin, "mm"], ["exp"]),
        ([], ["sin", "mm", "exp"]),
        (lambda ctx, op, *args, **params: op.name == "exp", ["sin", "mm"]),
        (lambda ctx, op, *args, **params: CheckpointPolicy.PREFER_SAVE, []),
        (lambda ctx, op, *args, **params: CheckpointPolicy.MUST_CPU_OFFLOAD, []),
        (lambda ctx, op, *args, **params: CheckpointPolicy.MUST_RECOMPUTE, ["sin", "mm", "exp"]),
    ],
    ids=["list", "function", "none", "bool", "save all", "offload all", "recompute all"],
)
def test_ops_whose_results_are_kept_do_not_run_again(policy, again):
    def f(w):
        return (w.sin() @ w).exp().sum()

    w = cr.rand(3, 3, dtype=cr.float64, requires_grad=True)
    y = selective(policy, f)(w)
    with Tally() as ran:
        y.backward()
    assert [name for name in ran if name in ("sin", "mm", "exp")] == again
    found, w.grad = w.grad, None
    f(w).backward()
    close(found, w.grad)


def test_a_policy_sees_ops_arguments_parameters_and_results():
    seen = []

    def policy(ctx, op, *args, **params):
        seen.append((op.name, [tuple(a.shape) for a in args], params, tuple(ctx.op_output.shape), ctx.is_recompute))
        assert not ctx.op_output.requires_grad
        return CheckpointPolicy.PREFER_RECOMPUTE

    x = cr.rand(2, 3, requires_grad=True)
    selective(policy, lambda x: x.exp().sum(1))(x).sum().backward()
    assert [s[0] for s in seen] == ["exp", "sum"]
    assert seen[0] == ("exp", [(2, 3)], {}, (2, 3), False)
    assert seen[1][2]["axis"] == (1,)


def test_a_policy_must_return_one():
    with pytest.raises(TypeError, match="must return a CheckpointPolicy"):
        selective(lambda ctx, op, *args, **params: None, cr.exp)(leaf())


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_selective_checkpoints_under_transforms(name):
    take = TRANSFORMS[name]
    policy = lambda ctx, op, *args, **params: op.name in ("exp", "mm")
    close(take(selective(policy, layers)), take(layers))


def test_kept_results_serve_one_pass_and_others_compute_them():
    x = leaf()
    y = selective(["sin"], lambda x: (x.sin() * x).exp().sum())(x)
    for again in ([], ["sin"], ["sin"]):
        with Tally() as ran:
            y.backward(retain_graph=True)
        assert [name for name in ran if name == "sin"] == again
    close(x.grad, 3 * F.grad(lambda x: (x.sin() * x).exp().sum())(x.detach()))


def test_kept_results_that_were_written_to():
    def written(x):
        y = x.exp()
        z = (y * x).sum()
        return z, y

    x = leaf()
    for allowed in (False, True):
        z, y = selective(["exp"], written, allow_cache_entry_mutation=allowed)(x)
        with cr.no_grad():
            y.add_(1)
        if allowed:
            z.backward()
        else:
            with pytest.raises(RuntimeError, match="Tensor cached during selective activation checkpoint has been mutated"):
                z.backward()


def test_selective_errors():
    with pytest.raises(ValueError, match="Expected op in `op_list` to be an OpOverload but got"):
        create_selective_checkpoint_contexts([len])
    with pytest.raises(TypeError, match="policy_fn_or_list must be either a function or a list of ops"):
        create_selective_checkpoint_contexts(3)
