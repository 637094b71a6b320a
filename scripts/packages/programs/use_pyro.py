"""pyro: densities and gradients of models, inference that draws nothing step by step, and that which draws by its moments."""

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import pytest
import torch
from agreement import agree, begin, drawn
from pyro.distributions import constraints
from pyro.infer import HMC, MCMC, NUTS, SVI, Predictive, Trace_ELBO, TraceEnum_ELBO, TraceMeanField_ELBO, config_enumerate
from pyro.infer.autoguide import AutoDelta, AutoDiagonalNormal, AutoMultivariateNormal, init_to_value
from pyro.infer.mcmc.util import initialize_model
from pyro.nn import PyroModule, PyroSample
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")
X = drawn(40, 2)
Y = X @ torch.tensor([1.0, -2.0]) + 0.5 + 0.1 * drawn(40, seed=1)


@pytest.fixture(autouse=True)
def fresh():
    pyro.clear_param_store()
    pyro.set_rng_seed(0)


def regression(x, y=None):
    weight = pyro.sample("weight", dist.Normal(torch.zeros(2), 2.0).to_event(1))
    bias = pyro.sample("bias", dist.Normal(0.0, 2.0))
    noise = pyro.sample("noise", dist.HalfNormal(1.0))
    with pyro.plate("data", len(x)):
        return pyro.sample("y", dist.Normal(x @ weight + bias, noise), obs=y)


def mixture(data):
    share = pyro.sample("share", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("parts", 2):
        place = pyro.sample("place", dist.Normal(0.0, 10.0))
    with pyro.plate("data", len(data)):
        part = pyro.sample("part", dist.Categorical(share), infer={"enumerate": "parallel"})
        pyro.sample("x", dist.Normal(place[part], 1.0), obs=data)


@config_enumerate
def chain(data):
    steps = pyro.param("steps", torch.tensor([[0.8, 0.2], [0.3, 0.7]]), constraint=constraints.simplex)
    places = pyro.param("places", torch.tensor([-1.0, 1.0]))
    state = torch.tensor(0)
    for t in pyro.markov(range(len(data))):
        state = pyro.sample(f"state{t}", dist.Categorical(steps[state]))
        pyro.sample(f"x{t}", dist.Normal(places[state], 1.0), obs=data[t])


def trained(name, model, guide, loss, *arguments, steps=30):
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), loss)
    losses = [svi.step(*arguments) for _ in range(steps)]
    agree(name, {"losses": losses} | {k: v.clone() for k, v in pyro.get_param_store().items()}, 1e-3, 1e-3)


def test_densities_of_conditioned_models():
    held = {"weight": torch.tensor([1.0, -1.0]), "bias": torch.tensor(0.3), "noise": torch.tensor(0.5)}
    trace = poutine.trace(poutine.condition(regression, held)).get_trace(X, Y)
    weight = held["weight"].clone().requires_grad_()
    moved = poutine.trace(poutine.condition(regression, held | {"weight": weight})).get_trace(X, Y)
    (grad,) = torch.autograd.grad(moved.log_prob_sum(), weight)
    trace.compute_log_prob()
    found = {name: site["log_prob"] for name, site in trace.nodes.items() if "log_prob" in site}
    agree("densities", found | {"sum": trace.log_prob_sum(), "gradient": grad}, 1e-4, 1e-3)


def test_maximum_a_posteriori():
    guide = AutoDelta(regression, init_loc_fn=init_to_value(values={
        "weight": torch.zeros(2), "bias": torch.tensor(0.0), "noise": torch.tensor(1.0)}))  # fmt: skip
    trained("map", regression, guide, Trace_ELBO(), X, Y)


def test_enumerated_mixture():
    data = torch.cat([drawn(10) - 3, drawn(14, seed=1) + 3])
    start = {"share": torch.tensor([0.5, 0.5]), "place": torch.tensor([-1.0, 1.0])}
    model = poutine.block(mixture, hide=["part"])
    guide = AutoDelta(model, init_loc_fn=init_to_value(values=start))
    trained("mixture", mixture, guide, TraceEnum_ELBO(max_plate_nesting=1), data)


def test_enumerated_chain():
    trained("chain", chain, lambda data: None, TraceEnum_ELBO(max_plate_nesting=0), drawn(8))


def test_families_by_closed_divergences():
    def model():
        pyro.sample("z", dist.Normal(torch.tensor([1.0, 2.0]), 0.5).to_event(1))

    def guide():
        loc = pyro.param("loc", torch.zeros(2))
        scale = pyro.param("scale", torch.ones(2), constraint=constraints.positive)
        pyro.sample("z", dist.Normal(loc, scale).to_event(1))

    trained("closed", model, guide, TraceMeanField_ELBO())


@pytest.mark.parametrize("family", [AutoDiagonalNormal, AutoMultivariateNormal])
def test_families_that_are_drawn_from(family):
    guide = family(regression)
    svi = SVI(regression, guide, pyro.optim.ClippedAdam({"lr": 0.03}), Trace_ELBO(num_particles=2))
    losses = [svi.step(X, Y) for _ in range(500)]
    assert losses[-1] < losses[0] / 4
    found = guide.median()
    torch.testing.assert_close(found["weight"], torch.tensor([1.0, -2.0]), atol=0.15, rtol=0)
    samples = Predictive(regression, guide=guide, num_samples=50)(X)
    assert samples["y"].shape == (50, 40)
    torch.testing.assert_close(samples["y"].mean(0), Y, atol=0.6, rtol=0)


@pytest.mark.parametrize("kernel", [NUTS, lambda model: HMC(model, step_size=0.05, num_steps=8)], ids=["nuts", "hmc"])
def test_hamiltonian_sampling(kernel):
    mcmc = MCMC(kernel(regression), num_samples=150, warmup_steps=100, disable_progbar=True)
    mcmc.run(X, Y)
    samples = mcmc.get_samples()
    torch.testing.assert_close(samples["weight"].mean(0), torch.tensor([1.0, -2.0]), atol=0.1, rtol=0)
    assert 0.05 < samples["noise"].mean() < 0.2
    assert set(mcmc.diagnostics()) >= {"weight", "bias", "noise"}


def test_potential_and_its_gradient():
    start, potential, transforms, _ = initialize_model(regression, (X, Y))
    at = {"weight": torch.tensor([0.5, -1.0]), "bias": torch.tensor(0.1), "noise": torch.tensor(-0.7)}
    at = {name: value.requires_grad_() for name, value in at.items()}
    energy = potential(at)
    grads = torch.autograd.grad(energy, list(at.values()))
    agree("potential", {"energy": energy} | dict(zip(at, grads, strict=True)), 1e-4, 1e-3)
    assert set(start) == set(at) == {*transforms, "weight", "bias"}


def test_networks_with_drawn_weights():
    class Drawn(PyroModule):
        def __init__(self):
            super().__init__()
            self.inner = PyroModule[nn.Linear](2, 3)
            self.outer = PyroModule[nn.Linear](3, 1)
            self.outer.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 3]).to_event(2))

        def forward(self, x, y=None):
            mean = self.outer(torch.tanh(self.inner(x)))[:, 0]
            with pyro.plate("data", len(x)):
                return pyro.sample("y", dist.Normal(mean, 0.5), obs=y)

    model = Drawn()
    begin("pyro-network", model)
    guide = AutoDelta(model, init_loc_fn=init_to_value(values={"outer.weight": torch.tensor([[0.3, -0.2, 0.1]])}))
    trained("network", model, guide, Trace_ELBO(), X, Y)


def test_modules_that_are_registered():
    net = nn.Linear(2, 1)
    begin("pyro-module", net)

    def model(x, y):
        inner = pyro.module("net", net)
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(inner(x)[:, 0], 0.3), obs=y)

    trained("module", model, lambda x, y: None, Trace_ELBO(), X, Y)


FAMILIES = {
    "stable": (lambda: dist.Stable(1.5, 0.2), None),
    "beta binomial": (lambda: dist.BetaBinomial(2.0, 3.0, 5), torch.arange(6.0)),
    "zero inflated": (lambda: dist.ZeroInflatedPoisson(torch.tensor(2.0), gate=torch.tensor(0.3)), torch.arange(5.0)),
    "masked mixture": (lambda: dist.MaskedMixture(torch.tensor([True, False]), dist.Normal(0, 1), dist.Normal(2, 3)), torch.ones(2)),
    "von mises 3d": (lambda: dist.VonMises3D(torch.tensor([1.0, 2.0, 2.0])), torch.tensor([0.0, 0.6, 0.8])),
    "discrete chain": (lambda: dist.DiscreteHMM(
        torch.tensor([0.0, 0.1]), drawn(2, 2), dist.Normal(torch.tensor([-1.0, 1.0]), 1.0)), drawn(7)),
    "gaussian chain": (lambda: dist.GaussianHMM(
        dist.MultivariateNormal(torch.zeros(2), torch.eye(2)), drawn(2, 2),
        dist.MultivariateNormal(torch.zeros(2), torch.eye(2)), drawn(2, 3, seed=1),
        dist.MultivariateNormal(torch.zeros(3), torch.eye(3))), drawn(6, 3, seed=2)),
    "flow": (lambda: dist.TransformedDistribution(dist.Normal(torch.zeros(3), 1).to_event(1), [_flow()]), drawn(4, 3)),
}  # fmt: skip


def _flow():
    flow = dist.transforms.affine_autoregressive(3, hidden_dims=[5])
    begin("pyro-flow", flow)
    return flow


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name][1] is not None])
def test_densities_of_families(name):
    family, value = FAMILIES[name]
    agree(f"family {name}", {"log_prob": family().log_prob(value)}, 1e-4, 1e-4)


def test_stable_draws():
    draws = FAMILIES["stable"][0]().sample((4000,))
    assert abs(draws.median().item()) < 0.3
