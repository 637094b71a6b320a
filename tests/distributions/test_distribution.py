"""What all distributions share, beside the laws of each family: checks turned off, subclasses of users', dispatch, helpers."""

from __future__ import annotations

import subprocess
import sys
import warnings
from types import MappingProxyType

import numpy as np
import pytest
from tests.distributions.calls import torch
from tests.oracle import words

import chainrule as cr

D = cr.distributions
LIBRARIES = (cr, torch)


def test_checks_are_turned_off_and_on():
    for made in (lambda: D.Normal(0.0, -1.0, validate_args=False), lambda: D.Uniform(1.0, 0.0, validate_args=False)):
        made().log_prob(cr.tensor(float("nan")))
    try:
        D.Distribution.set_default_validate_args(False)
        D.Normal(0.0, -1.0)
        with pytest.raises(ValueError, match="Expected parameter scale"):
            D.Normal(0.0, -1.0, validate_args=True)
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="Expected parameter scale"):
        D.Normal(0.0, -1.0)
    with pytest.raises(ValueError):
        D.Distribution.set_default_validate_args("yes")
    assert D.Normal(0.0, 1.0, validate_args=False).expand((2,))._validate_args is False


def test_numbers_and_tensors_of_any_kind_are_parameters():
    for lib in LIBRARIES:
        N = lib.distributions.Normal
        assert N(0, 1).loc.dtype is lib.float32
        assert N(np.float64(0), 1).loc.dtype is lib.float32
        assert N(lib.zeros(2, dtype=lib.float64), 1).scale.dtype is lib.float64
        assert N(lib.zeros(2, 1), lib.ones(3)).batch_shape == (2, 3)
        with pytest.raises(ValueError, match="Input arguments must all be instances of Number"):
            N("0", 1)


def test_a_subclass_expands_if_it_may():
    found = []
    for lib in LIBRARIES:
        Normal = lib.distributions.Normal

        class Plain(Normal):
            pass

        class Shifted(Normal):
            def __init__(self, shift):
                super().__init__(shift, 1.0)

        class Careful(Shifted):
            def expand(self, batch_shape, _instance=None):
                return super().expand(batch_shape, self._get_checked_instance(Careful, _instance))

        class Kept(lib.distributions.LogNormal):
            def __init__(self, weight, loc):
                self.weight = weight
                super().__init__(loc, loc + 1)

            def expand(self, batch_shape, _instance=None):
                new = self._get_checked_instance(Kept, _instance)
                new.weight = self.weight
                return super().expand(batch_shape, new)

        assert type(Plain(0.0, 1.0).expand((2,))) is Plain
        assert Careful(lib.tensor(1.0)).expand((2,)).loc.tolist() == [1.0, 1.0]
        assert Kept("heavy", lib.zeros(2)).expand((3, 2)).weight == "heavy"
        with pytest.raises(NotImplementedError) as caught:
            Shifted(lib.tensor(1.0)).expand((2,))
        found.append(str(caught.value))
    assert found[0] == found[1]


def test_a_subclass_without_constraints_is_warned_of():
    found = []
    for lib in LIBRARIES:

        class Bare(lib.distributions.Distribution):
            def log_prob(self, value):
                self._validate_sample(value)
                return value

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Bare(lib.Size([2])).log_prob(lib.zeros(2))
        found.append([words(str(w.message)) for w in caught])
        for name in ("mean", "variance", "stddev", "mode"):
            with pytest.raises(NotImplementedError):
                getattr(Bare(validate_args=False), name)
        for name in ("rsample", "sample", "entropy", "perplexity", "enumerate_support"):
            with pytest.raises(NotImplementedError):
                getattr(Bare(validate_args=False), name)()
        for name in ("cdf", "icdf"):
            with pytest.raises(NotImplementedError):
                getattr(Bare(validate_args=False), name)(lib.zeros(()))
    assert len(found[0]) == len(found[1]) == 2
    for ours, theirs in zip(*found, strict=True):
        assert ours.partition(" does not")[2] == theirs.partition(" does not")[2]


def test_older_names_and_derived_quantities():
    with pytest.warns(FutureWarning, match="will be deprecated"):
        assert D.Normal(cr.zeros(2), 1.0).sample_n(3).shape == (3, 2)
    np.testing.assert_allclose(D.Normal(0.0, 1.0).perplexity(), np.exp(D.Normal(0.0, 1.0).entropy()))


def test_the_most_specific_divergence_is_taken_and_doubt_is_told():
    class P(D.Normal):
        pass

    class Q(D.Normal):
        pass

    D.register_kl(P, D.Normal)(lambda p, q: cr.tensor(1.0))
    assert D.kl_divergence(P(0.0, 1.0), Q(0.0, 1.0)) == 1
    D.register_kl(D.Normal, Q)(lambda p, q: cr.tensor(2.0))
    assert D.kl_divergence(D.Normal(0.0, 1.0), Q(0.0, 1.0)) == 2
    with pytest.warns(RuntimeWarning, match=r"Ambiguous kl_divergence\(P, Q\). Please register_kl\(P, Q\)"):
        D.kl_divergence(P(0.0, 1.0), Q(0.0, 1.0))
    D.register_kl(P, Q)(lambda p, q: cr.tensor(3.0))
    assert D.kl_divergence(P(0.0, 1.0), Q(0.0, 1.0)) == 3
    with pytest.raises(TypeError, match="Expected type_p to be a Distribution subclass but got"):
        D.register_kl(3, Q)

    class Theirs:
        """No class of distributions, as Pyro's own base is none."""

    class Mine(D.Distribution, Theirs):
        arg_constraints = MappingProxyType({})

    D.register_kl(P, Theirs)(lambda p, q: cr.tensor(4.0))
    assert D.kl_divergence(P(0.0, 1.0), Mine()) == 4

    class Other(D.Distribution):
        arg_constraints = MappingProxyType({})

    with pytest.raises(NotImplementedError, match=r"No KL\(p \|\| q\) is implemented for p type Other and q type Normal"):
        D.kl_divergence(Other(), D.Normal(0.0, 1.0))


def test_triangles_and_vectors_are_pytorchs():
    rng = np.random.default_rng(0)
    for diag in (-2, -1, 0, 1):
        matrix = rng.standard_normal((2, 4, 4))
        ours, theirs = [lib.distributions.utils.tril_matrix_to_vec(lib.tensor(matrix), diag) for lib in LIBRARIES]
        np.testing.assert_array_equal(ours, theirs)
        a, b = [lib.distributions.utils.vec_to_tril_matrix(v, diag) for lib, v in ((cr, ours), (torch, theirs))]
        np.testing.assert_array_equal(a, b)
    for lib in LIBRARIES:
        utils = lib.distributions.utils
        with pytest.raises(ValueError, match=r"diag \(4\) provided is outside \[-4, 3\]"):
            utils.tril_matrix_to_vec(lib.zeros(4, 4), 4)
        with pytest.raises(ValueError, match="The size of last dimension is 5 which cannot be expressed as the lower triang"):
            utils.vec_to_tril_matrix(lib.zeros(5))


def test_logits_and_probabilities_are_pytorchs():
    x = np.array([[0.0, 0.2, 1.0], [0.5, 0.25, 0.25]])
    for name in ("logits_to_probs", "probs_to_logits", "clamp_probs"):
        for more in ((), (True,)) if name != "clamp_probs" else ((),):
            ours, theirs = [getattr(lib.distributions.utils, name)(lib.tensor(x), *more) for lib in LIBRARIES]
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_an_entropy_by_the_log_normaliser_is_that_of_the_formula_with_its_gradients():
    for family, parameters in ((D.Normal, (0.5, 2.0)), (D.Gamma, (1.5, 2.5)), (D.Exponential, (0.7,))):
        tensors = [cr.tensor([p, p + 1], dtype=cr.float64, requires_grad=True) for p in parameters]
        distribution = family(*tensors)
        found, known = D.ExponentialFamily.entropy(distribution), distribution.entropy()
        np.testing.assert_allclose(found.detach(), known.detach(), rtol=1e-12)
        slopes = [cr.autograd.grad(entropy.sum(), tensors, allow_unused=True) for entropy in (found, known)]
        for a, b in zip(*slopes, strict=True):
            np.testing.assert_allclose(a, 0 if b is None else b, rtol=1e-10, atol=1e-12)


PROGRAM = """
import torch
from torch import distributions as dist
from torch.distributions import Normal, constraints, kl_divergence, register_kl, transforms
from torch.distributions.beta import Beta
from torch.distributions.kl import kl_divergence
from torch.distributions.normal import Normal as N
from torch.distributions.transforms import AffineTransform, Transform
from torch.distributions.transformed_distribution import TransformedDistribution
from torch.distributions.studentT import StudentT
from torch.distributions.utils import broadcast_all, clamp_probs, lazy_property, logits_to_probs, probs_to_logits
from torch.distributions.constraint_registry import biject_to, transform_to
from torch.distributions.exp_family import ExponentialFamily
from torch.distributions.independent import Independent

assert N is Normal
posterior = Independent(Normal(torch.zeros(3, requires_grad=True), torch.ones(3)), 1)
z = posterior.rsample((4,))
loss = kl_divergence(posterior, Independent(Normal(0.0, torch.ones(3)), 1)) - posterior.log_prob(z).mean()
loss.backward()
import pickle
again = pickle.loads(pickle.dumps(dist.Gumbel(torch.zeros(2), 1.0).expand((3, 2))))
assert again.batch_shape == (3, 2) and again.log_prob(torch.zeros(())).shape == (3, 2)
print(posterior, z.shape, torch.distributions.Normal.__name__)
"""


def test_an_unmodified_program_runs(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    done = subprocess.run([sys.executable, "-m", "chainrule", "run", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Independent(Normal(loc: torch.Size([3]), scale: torch.Size([3])), 1) torch.Size([4, 3]) Normal\n"
