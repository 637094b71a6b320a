"""Every family against PyTorch's: densities, quantities and their gradients, attributes, expansion, errors."""

from __future__ import annotations

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tests.distributions.calls import both, gradients, values_of
from tests.distributions.families import FAMILIES, QUANTITIES, RTOL, named, quantity
from tests.distributions.pairs import PAIRS
from tests.each import by_name
from tests.oracle import words

import chainrule as cr

NAMES = str
pytestmark = pytest.mark.filterwarnings("ignore:Singular sample detected")  # PyTorch's Wishart takes good draws for such
CASES = [(kind, dtype) for dtype in ("float64", "float32") for kind in ("single", "vector", "broadcast", "empty")]
cases = pytest.mark.parametrize(
    ("kind", "dtype"), [pytest.param(*c, marks=() if c == ("broadcast", "float64") else pytest.mark.slow) for c in CASES]
)


def close(ours, theirs, family, what):
    """Raise unless values, shapes and dtypes are PyTorch's."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert theirs.dtype == "int64" or str(theirs.dtype) in family.dtypes
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), what
    rtol = RTOL["float32"] if ours.dtype == "float32" else family.rtol
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol, err_msg=f"{family} {what}")


def bears(family, kind, dtype):
    """Return whether PyTorch computes with a batch: with an empty one some of its families raise."""
    if kind != "empty":
        return True
    try:
        _, (_, theirs) = both(family, family.drawn(kind, dtype))
        theirs.log_prob(torch.tensor(values_of(family, family.drawn(kind, dtype))))
        for name in QUANTITIES:
            quantity(theirs, name)
    except (RuntimeError, IndexError):
        return False
    return True


def compared(family, kind, dtype, what, call):
    """Compare ``call(lib, distribution)`` and its gradients in the parameters."""
    (ours_in, ours), (theirs_in, theirs) = both(family, family.drawn(kind, dtype))
    a, b = call(cr, ours), call(torch, theirs)
    assert (a is None) == (b is None), f"{family} {what}: {a}, PyTorch: {b}"
    if b is None:
        return
    close(a.detach().numpy(), b.detach().numpy(), family, what)
    try:
        slopes = gradients(torch, b, list(theirs_in.values()))
    except NotImplementedError:  # PyTorch has none, as of the incomplete gamma function in its order
        return
    pairs = zip(gradients(cr, a, list(ours_in.values())), slopes, strict=True)
    for name, (x, y) in zip(ours_in, pairs, strict=False):
        close(x, y, family, f"gradient of {what} in {name}")


@cases
@by_name("family", FAMILIES, NAMES)
def test_densities_and_their_gradients_are_pytorchs(family, kind, dtype):
    dtype = dtype if dtype in family.dtypes else None
    if not bears(family, kind, dtype):
        return
    values = values_of(family, family.drawn(kind, dtype))
    (ours_in, ours), (theirs_in, theirs) = both(family, family.drawn(kind, dtype))
    wants = values.dtype.kind == "f"
    x, y = cr.tensor(values, requires_grad=wants), torch.tensor(values, requires_grad=wants)
    a, b = ours.log_prob(x), theirs.log_prob(y)
    close(a.detach().numpy(), b.detach().numpy(), family, "log_prob")
    slopes = zip(gradients(cr, a, [x, *ours_in.values()]), gradients(torch, b, [y, *theirs_in.values()]), strict=True)
    for number, (ours, theirs) in enumerate(slopes):
        close(ours, theirs, family, f"gradient of log_prob, {number}")


@cases
@by_name("family", FAMILIES, NAMES)
def test_quantities_and_their_gradients_are_pytorchs(family, kind, dtype):
    dtype = dtype if dtype in family.dtypes else None
    if not bears(family, kind, dtype):
        return
    for name in QUANTITIES:
        compared(family, kind, dtype, name, lambda lib, distribution, name=name: quantity(distribution, name))


@cases
@by_name("family", FAMILIES, NAMES)
def test_distribution_functions_and_their_inverses_are_pytorchs(family, kind, dtype):
    dtype = dtype if dtype in family.dtypes else None
    if not bears(family, kind, dtype):
        return
    arrays = family.drawn(kind, dtype)
    values = values_of(family, arrays)
    shares = np.linspace(0.05, 0.95, values.size).reshape(values.shape).astype(dtype or family.dtypes[0])
    for name, given in (("cdf", values), ("icdf", shares)):

        def call(lib, distribution, name=name, given=given):
            try:
                return getattr(distribution, name)(lib.tensor(given))
            except NotImplementedError:
                return None

        compared(family, kind, dtype, name, call)


@by_name("family", FAMILIES, NAMES)
def test_attributes_are_pytorchs(family):
    for kind in ("single", "broadcast"):
        (_, ours), (_, theirs) = both(family, family.drawn(kind))
        for name in ("batch_shape", "event_shape", "has_rsample", "has_enumerate_support"):
            assert getattr(ours, name) == getattr(theirs, name), name
        for shown in (repr, lambda d: repr(d.support), lambda d: repr(d.arg_constraints), lambda d: d.support.event_dim):
            a, b = shown(ours), shown(theirs)
            assert words(str(a)).split() == words(str(b)).split()
        assert ours.support.is_discrete == theirs.support.is_discrete
        assert isinstance(ours.batch_shape, cr.Size)
        assert isinstance(ours.event_shape, cr.Size)


@by_name("family", FAMILIES, NAMES)
def test_expanded_ones_are_pytorchs(family):
    for kind in ("single", "matrix"):
        arrays = family.drawn(kind)
        (_, ours), (_, theirs) = both(family, arrays)
        shape = (2, *theirs.batch_shape)
        a, b = ours.expand(shape), theirs.expand(shape)
        assert type(a) is type(ours)
        assert (a.batch_shape, a.event_shape, words(repr(a))) == (b.batch_shape, b.event_shape, words(repr(b)))
        values = values_of(family, arrays, (2,))
        close(a.log_prob(cr.tensor(values)).detach(), b.log_prob(torch.tensor(values)).detach(), family, "log_prob")
        assert a.sample((3,)).shape == b.sample((3,)).shape
        assert a._validate_args == b._validate_args


@by_name("family", FAMILIES, NAMES)
def test_enumerated_supports_are_pytorchs(family):
    (_, ours), (_, theirs) = both(family, family.drawn("matrix"))
    for expand in (True, False):
        try:
            expected = theirs.enumerate_support(expand=expand)
        except NotImplementedError:
            with pytest.raises(NotImplementedError):
                ours.enumerate_support(expand=expand)
            continue
        close(ours.enumerate_support(expand=expand), expected, family, "enumerate_support")


def made(family, lib, arrays):
    return family.make(lib.distributions, {k: lib.tensor(v) for k, v in arrays.items()})


def raised(call):
    try:
        call()
    except Exception as error:
        text = words(str(error)).partition("invalid values")[0]
        return type(error).__name__.lstrip("_"), " ".join(text.split())  # lines break where names are longer
    return None


@by_name("family", FAMILIES, NAMES)
def test_errors_of_invalid_arguments_are_pytorchs(family):
    arrays = family.drawn("vector")
    wrong = [(name, np.nan) for name, array in arrays.items() if array.dtype.kind == "f"] + list(dict(family.invalid).items())
    for name, value in wrong:
        given = {**arrays, name: np.full_like(arrays[name], value)}
        ours, theirs = [raised(functools.partial(made, family, lib, given)) for lib in (cr, torch)]
        if family.own_errors:
            ours, theirs = [(kind, text[: len("Expected parameter")]) for kind, text in (ours, theirs)]
        assert ours == theirs, f"{name} = {value}"


@by_name("family", FAMILIES, NAMES)
def test_errors_of_invalid_values_are_pytorchs(family):
    (_, ours), (_, theirs) = both(family, family.drawn("vector"))
    shape = (*theirs.batch_shape, *theirs.event_shape)
    wrong = [np.broadcast_to(value, shape).astype("float64") for value in family.outside]
    wrong += [np.ones((*shape[:-1], shape[-1] + 1))]
    for name in ("log_prob", "cdf"):
        for value in wrong:
            a = raised(lambda value=value, name=name: getattr(ours, name)(cr.tensor(value)))
            b = raised(lambda value=value, name=name: getattr(theirs, name)(torch.tensor(value)))
            assert (a is None) == (b is None), f"{name}({value}): {a}, PyTorch: {b}"
            assert a is None or (a[0] == b[0] and a[1].startswith(b[1])), f"{name}({value}): {a}, PyTorch: {b}"
        a, b = [raised(lambda d=d, name=name: getattr(d, name)("text")) for d in (ours, theirs)]
        assert a == b


@by_name("pair", PAIRS, "-".join)
def test_divergences_and_their_gradients_are_pytorchs(pair):
    first, second = map(named, pair)
    for kind in ("single", "vector", "matrix"):
        (p_in, p), (P_in, P) = both(first, first.drawn(kind))
        (q_in, q), (Q_in, Q) = both(second, second.drawn(kind, seed=1))
        a, b = cr.distributions.kl_divergence(p, q), torch.distributions.kl_divergence(P, Q)
        close(a.detach(), b.detach(), first, f"kl of {pair}")
        ours = gradients(cr, a, [*p_in.values(), *q_in.values()])
        theirs = gradients(torch, b, [*P_in.values(), *Q_in.values()])
        for x, y in zip(ours, theirs, strict=True):
            close(x, y, first, f"gradient of kl of {pair}")
