"""Transforms: values, inverses and volume changes as PyTorch's and by their own derivatives; spaces, caches, registries."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from tests.distributions.calls import gradients, torch
from tests.each import by_name
from tests.oracle import words

import chainrule as cr
from chainrule import func

LIBRARIES = (cr, torch)
# Of each transform: how to make it in a library, and an argument's shape.
TRANSFORMS = {
    "Exp": (lambda D: D.ExpTransform(), (3,)),
    "Softplus": (lambda D: D.SoftplusTransform(), (3,)),
    "Sigmoid": (lambda D: D.SigmoidTransform(), (2, 3)),
    "Tanh": (lambda D: D.TanhTransform(), (3,)),
    "Abs": (lambda D: D.AbsTransform(), (3,)),
    "Power": (lambda D: D.PowerTransform(2.0), (3,)),
    "Power of a falling": (lambda D: D.PowerTransform(-0.5), (3,)),
    "Affine": (lambda D: D.AffineTransform(1.0, -2.0), (3,)),
    "Affine of 1": (lambda D: D.AffineTransform(1, 3, event_dim=1), (2, 3)),
    "Affine that rises": (lambda D: D.AffineTransform(0, 3.5, cache_size=1), (2, 3)),
    "Compose": (lambda D: D.ComposeTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0)]), (3,)),
    "Compose of 2": (lambda D: D.ComposeTransform([D.AffineTransform(0.0, 2.0), D.StickBreakingTransform()]), (2, 3)),
    "Compose of 0": (lambda D: D.identity_transform, (3,)),
    "Inverse": (lambda D: D.ExpTransform().inv, (3,)),
    "Inverse of a sequence": (lambda D: D.ComposeTransform([D.ExpTransform(), D.AffineTransform(0.0, 2.0)]).inv, (3,)),
    "Independent": (lambda D: D.IndependentTransform(D.ExpTransform(), 1), (2, 3)),
    "Reshape": (lambda D: D.ReshapeTransform((2, 3), (6,)), (4, 2, 3)),
    "Softmax": (lambda D: D.SoftmaxTransform(), (2, 3)),
    "StickBreaking": (lambda D: D.StickBreakingTransform(), (2, 3)),
    "CorrCholesky": (lambda D: D.CorrCholeskyTransform(), (2, 6)),
    "LowerCholesky": (lambda D: D.LowerCholeskyTransform(), (2, 3, 3)),
    "PositiveDefinite": (lambda D: D.PositiveDefiniteTransform(), (2, 3, 3)),
    "CumulativeDistribution": (lambda D: D.CumulativeDistributionTransform(D.Normal(0.5, 2.0)), (3,)),
    "Cat": (lambda D: D.CatTransform([D.ExpTransform(), D.AffineTransform(0.0, 2.0)], -1, [1, 2]), (2, 3)),
    "Cat of vectors": (lambda D: D.CatTransform([D.IndependentTransform(D.ExpTransform(), 1), D.ExpTransform()], 0), (2, 3)),
    "Stack": (lambda D: D.StackTransform([D.ExpTransform(), D.SigmoidTransform()], -1), (3, 2)),
}
POSITIVE = {"Power", "Power of a falling", "Inverse"}


def argument(name):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.5, 1.5, TRANSFORMS[name][1])
    return np.abs(x) + 0.3 if name in POSITIVE or name == "Inverse of a sequence" else x


def made(name, lib):
    return TRANSFORMS[name][0](lib.distributions)


def close(ours, theirs):
    np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-9, atol=1e-9)


def tried(call):
    try:
        return call()
    except Exception as error:
        return type(error).__name__, words(str(error)).replace("'chainrule.distributions.", "'").split(".")[-1]


@by_name("name", TRANSFORMS, str)
def test_values_inverses_volumes_and_their_gradients_are_pytorchs(name):
    found = []
    for lib in LIBRARIES:
        t = made(name, lib)
        x = lib.tensor(argument(name), requires_grad=True)
        y = t(x)
        again = lib.tensor(y.detach().numpy(), requires_grad=True)
        results = [(y, x), (t.inv(again), again)]
        change = tried(lambda t=t, x=x, y=y: t.log_abs_det_jacobian(x, y))
        if not isinstance(change, tuple):
            results.append((change, x))
        found.append((results, isinstance(change, tuple)))
    (ours, ours_failed), (theirs, theirs_failed) = found
    assert ours_failed == theirs_failed
    for (a, x), (b, z) in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        close(a, b)
        for g, h in zip(gradients(cr, a, [x]), gradients(torch, b, [z]), strict=True):
            np.testing.assert_allclose(g, h, rtol=1e-8, atol=1e-9)


@by_name("name", TRANSFORMS, str)
def test_attributes_shapes_and_texts_are_pytorchs(name):
    ours, theirs = made(name, cr), made(name, torch)
    asked = {
        "bijective": lambda t, lib: t.bijective, "event_dim": lambda t, lib: t.event_dim, "sign": lambda t, lib: float(t.sign),
        "domain": lambda t, lib: words(repr(t.domain)), "codomain": lambda t, lib: words(repr(t.codomain)),
        "shape": lambda t, lib: tuple(t.forward_shape(lib.Size(TRANSFORMS[name][1]))),
        "back": lambda t, lib: tuple(t.inverse_shape(t.forward_shape(lib.Size(TRANSFORMS[name][1])))),
        "short": lambda t, lib: tuple(t.forward_shape(lib.Size([]))),
        "low": lambda t, lib: tuple(t.inverse_shape(lib.Size([]))),
        "repr": lambda t, lib: repr(t), "inverse": lambda t, lib: repr(t.inv), "twice": lambda t, lib: t.inv.inv is t,
        "equal": lambda t, lib: t == made(name, lib), "unequal": lambda t, lib: t != made(name, lib),
        "other": lambda t, lib: t == lib.distributions.AffineTransform(2.0, 2.0),
        "cache": lambda t, lib: t.with_cache()._cache_size,
        "inverses": lambda t, lib: t.inv == made(name, lib).inv, "same": lambda t, lib: t.with_cache(t._cache_size) is t,
        "cached": lambda t, lib: t.inv.with_cache(1)._cache_size,
    }  # fmt: skip
    for what, ask in asked.items():
        a, b = [tried(lambda t=t, lib=lib, ask=ask: ask(t, lib)) for t, lib in ((ours, cr), (theirs, torch))]
        assert (a[0] if isinstance(a, tuple) and a and isinstance(a[0], str) else a) == (
            b[0] if isinstance(b, tuple) and b and isinstance(b[0], str) else b
        ), what


@by_name("name", [name for name in TRANSFORMS if name not in ("Abs", "Softmax", "LowerCholesky", "PositiveDefinite")], str)
def test_a_volume_change_is_that_of_the_jacobian(name):
    t = made(name, cr)
    x = cr.tensor(argument(name))
    change = t.log_abs_det_jacobian(x, t(x))
    if name.startswith(("Cat", "Stack")):
        return
    batch = x.dim() - t.domain.event_dim
    for i in np.ndindex(*x.shape[:batch]):
        one, shape = x[i].reshape(-1), x[i].shape

        def mapped(v, shape=shape):
            y = t(v.reshape(shape))
            if name.endswith("StickBreaking") or name == "Compose of 2":
                return y[..., :-1].reshape(-1)
            return y[np.tril_indices(y.shape[-1], -1)] if name == "CorrCholesky" else y.reshape(-1)

        known = cr.linalg.slogdet(func.jacrev(mapped)(one))[1]
        np.testing.assert_allclose(change[i], known, rtol=1e-9, atol=1e-9)


def test_a_cache_returns_the_argument_itself():
    for name in ("Exp", "Tanh", "Power", "Affine", "Compose", "Independent", "Reshape", "StickBreaking", "Cat", "Stack"):
        t = made(name, cr).with_cache()
        x = cr.tensor(argument(name))
        y = t(x)
        if name not in ("Cat", "Stack", "Independent"):
            assert t.inv(y) is x, name
        assert t(x) is y or name in ("Compose", "Cat", "Stack"), name
    with pytest.raises(ValueError, match="cache_size must be 0 or 1"):
        cr.distributions.ExpTransform(cache_size=2)


def test_transforms_are_copied_and_pickled():
    for name in TRANSFORMS:
        t = made(name, cr)
        x = cr.tensor(argument(name))
        _ = t.inv
        for again in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
            close(again(x), t(x))


CONSTRAINTS = {
    "real": lambda c, lib: c.real, "positive": lambda c, lib: c.positive, "nonnegative": lambda c, lib: c.nonnegative,
    "greater_than": lambda c, lib: c.greater_than(2.0), "greater_than_eq": lambda c, lib: c.greater_than_eq(lib.tensor([1.0])),
    "less_than": lambda c, lib: c.less_than(-1), "unit": lambda c, lib: c.unit_interval,
    "interval": lambda c, lib: c.interval(-1, 3),
    "half_open": lambda c, lib: c.half_open_interval(0.0, 2.0), "simplex": lambda c, lib: c.simplex,
    "lower_cholesky": lambda c, lib: c.lower_cholesky, "corr_cholesky": lambda c, lib: c.corr_cholesky,
    "definite": lambda c, lib: c.positive_definite, "semidefinite": lambda c, lib: c.positive_semidefinite,
    "independent": lambda c, lib: c.independent(c.positive, 1), "vector": lambda c, lib: c.real_vector,
    "cat": lambda c, lib: c.cat([c.positive, c.unit_interval], -1, [1, 2]), "boolean": lambda c, lib: c.boolean,
    "stack": lambda c, lib: c.stack([c.positive, c.real, c.unit_interval], -1), "one_hot": lambda c, lib: c.one_hot,
}  # fmt: skip


@by_name("name", CONSTRAINTS, str)
def test_registries_lead_into_the_constraint_as_pytorchs(name):
    shape = {"lower_cholesky": (3, 3), "corr_cholesky": (3,), "definite": (3, 3), "semidefinite": (3, 3)}.get(name, (2, 3))
    x = np.random.default_rng(1).standard_normal(shape)
    for registry in ("biject_to", "transform_to"):
        found = []
        for lib in LIBRARIES:
            constraint = CONSTRAINTS[name](lib.distributions.constraints, lib)
            try:
                t = getattr(lib.distributions, registry)(constraint)
                found.append((t(lib.tensor(x)), words(repr(t)), t.bijective, constraint))
            except NotImplementedError as error:
                found.append(str(error))
        ours, theirs = found
        if isinstance(theirs, str):
            assert ours == theirs
            continue
        close(ours[0], theirs[0])
        assert ours[1:3] == theirs[1:3]
        assert ours[3].check(ours[0]).all()


def test_a_registry_takes_constraints_of_others():
    D = cr.distributions

    class Even(D.constraints.Constraint):
        pass

    registry = D.constraint_registry.ConstraintRegistry()

    @registry.register(Even)
    def factory(constraint):
        return D.ExpTransform()

    assert registry(Even()) == D.ExpTransform()
    registry.register(Even(), lambda constraint: D.TanhTransform())
    assert registry(Even()) == D.TanhTransform()
    with pytest.raises(TypeError, match="Expected constraint to be either a Constraint subclass or instance, but got 3"):
        registry.register(3, factory)
    with pytest.raises(NotImplementedError, match="Cannot transform _Real constraints"):
        registry(D.constraints.real)


ERRORS = {
    "sizes": lambda D, lib: D.ReshapeTransform((2, 3), (5,)),
    "other shape": lambda D, lib: D.ReshapeTransform((2,), (2, 1)).forward_shape(lib.Size([3])),
    "no shape": lambda D, lib: D.ReshapeTransform((2,), (2, 1)).inverse_shape(lib.Size([3])),
    "no triangle": lambda D, lib: D.CorrCholeskyTransform().forward_shape(lib.Size([4])),
    "no square": lambda D, lib: D.CorrCholeskyTransform().inverse_shape(lib.Size([4, 3])),
    "few axes": lambda D, lib: D.IndependentTransform(D.ExpTransform(), 2)(lib.zeros(2)),
    "few axes back": lambda D, lib: D.IndependentTransform(D.ExpTransform(), 2).inv(lib.zeros(2)),
    "lengths": lambda D, lib: D.CatTransform([D.ExpTransform()], lengths=[1, 2]),
    "no transform": lambda D, lib: D.CatTransform([3]),
    "no transforms": lambda D, lib: D.StackTransform([3]),
    "length": lambda D, lib: D.CatTransform([D.ExpTransform()], lengths=[2])(lib.zeros(3)),
    "length back": lambda D, lib: D.CatTransform([D.ExpTransform()], lengths=[2]).inv(lib.zeros(3)),
    "length of both": lambda D, lib: D.CatTransform([D.ExpTransform()], lengths=[2]).log_abs_det_jacobian(
        lib.zeros(2), lib.zeros(3)),
    "axis": lambda D, lib: D.StackTransform([D.ExpTransform()], dim=2)(lib.zeros(3)),
    "count": lambda D, lib: D.StackTransform([D.ExpTransform()])(lib.zeros(3)),
    "event_dim": lambda D, lib: D.ReshapeTransform((4,), (2, 2)).event_dim,
    "base": lambda D, lib: D.TransformedDistribution(D.Normal(0.0, 1.0), [3]),
    "no list": lambda D, lib: D.TransformedDistribution(D.Normal(0.0, 1.0), 3),
    "event": lambda D, lib: D.TransformedDistribution(D.Normal(0.0, 1.0), D.StickBreakingTransform()),
    "too many": lambda D, lib: D.Independent(D.Normal(0.0, 1.0), 1),
    "abstract": lambda D, lib: D.Transform()(lib.zeros(2)),
    "no volume": lambda D, lib: D.SoftmaxTransform().log_abs_det_jacobian(lib.zeros(2), lib.zeros(2)),
    "no cache": lambda D, lib: D.TransformedDistribution(D.Uniform(0.0, 1.0), D.AbsTransform()).cdf(lib.tensor(0.5)),
}  # fmt: skip


@by_name("name", ERRORS, str)
def test_errors_are_pytorchs(name):
    found = []
    for lib in LIBRARIES:
        with pytest.raises(Exception) as caught:
            ERRORS[name](lib.distributions, lib)
        found.append((caught.type, words(str(caught.value))))
    assert found[0] == found[1]


def test_a_transform_that_is_a_module_too_holds_its_parameters():
    class Shift(cr.distributions.Transform, cr.nn.Module):
        domain = codomain = cr.distributions.constraints.real
        bijective = True
        __hash__ = cr.nn.Module.__hash__

        def __init__(self):
            super().__init__(cache_size=1)
            self.inner = cr.nn.Linear(1, 1)

        def _call(self, x):
            return x + self.inner.bias

    shift = Shift()
    assert [name for name, _ in shift.named_parameters()] == ["inner.weight", "inner.bias"]
    assert shift.inv(shift(cr.zeros(1))) == 0
    assert dict(cr.distributions.ComposeTransform([shift]).parts[0].named_children()) == {"inner": shift.inner}
