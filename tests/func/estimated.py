"""The programs that `estimate` is measured by, and how: what it predicts beside what `tracemalloc` sees.

Each is a function of its first argument, as large as where it comes from runs it. Data and labels are captured.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

from examples import (
    char_transformer,
    cnn_digits,
    gaussian_process,
    hmc,
    lstm_series,
    maml,
    mlp_digits,
    neural_ode,
    physics_informed,
    vae_digits,
)

import chainrule as cr
from chainrule import nn
from chainrule.autograd import estimate
from chainrule.func import functional_call, grad, hessian, jvp, vmap

F = nn.functional
Program = tuple[Callable, Any]


class Loss(nn.Module):
    """A network and what is made of it."""

    def __init__(self, net: nn.Module, f: Callable):
        super().__init__()
        self.net, self.f = net, f

    def forward(self, *args: Any) -> Any:
        """Return the loss."""
        return self.f(self.net, *args)


def of_network(net: nn.Module, f: Callable, *data: Any) -> Program:
    """Return a loss as a function of a network's parameters, and these."""
    whole = Loss(net, f)
    params = {name: p.detach() for name, p in whole.named_parameters()}
    return lambda params: functional_call(whole, params, data), params


def digits(net: nn.Module, images: Any, smoothing: float = 0.0) -> Program:
    """Return the loss of a network that tells digits apart."""
    labels = cr.randint(0, 10, (len(images),))
    return of_network(net, lambda net, x: F.cross_entropy(net(x), labels, label_smoothing=smoothing), images)


def series() -> Program:
    """Return the loss of examples/lstm_series.py on a batch."""
    windows = cr.randn(32, lstm_series.PAST + lstm_series.AHEAD, lstm_series.CHANNELS)
    past, ahead = windows[:, : lstm_series.PAST], windows[:, lstm_series.PAST :]
    return of_network(lstm_series.Forecast(), lambda net, past: F.mse_loss(net(past), ahead), past)


def process() -> Program:
    """Return the likelihood of examples/gaussian_process.py."""
    found = gaussian_process.Process(cr.randn(331, 10, dtype=cr.float64), cr.randn(331, dtype=cr.float64))
    names = ("scales", "size", "noise")

    def likelihood(params: dict) -> Any:
        for name in names:
            setattr(found, name, params[name])
        try:
            return found.likelihood()
        finally:
            for name in names:
                setattr(found, name, None)

    return likelihood, {name: getattr(found, name).detach() for name in names}


def tasks() -> Program:
    """Return the loss of examples/maml.py, of second order and batched."""
    drawn = maml.tasks(25)
    batched = vmap(maml.before_and_after, in_dims=(None, 0, 0))
    return lambda params: batched(params, *drawn)[1].mean(), {k: p.detach() for k, p in maml.fresh().items()}


def flow() -> Program:
    """Return the loss of examples/neural_ode.py, through the solver: its `Adjoint` runs passes of its own."""
    net, labels = neural_ode.Net(), cr.randint(0, 10, (64,))

    def loss(net: Any, images: Any) -> Any:
        (end,) = neural_ode.runge_kutta(lambda t, z: (net.field(t, z),), (net.enter(images),), 0.0, 1.0, net.steps)
        return F.cross_entropy(net.leave(end), labels)

    return of_network(net, loss, cr.rand(64, 64))


def burgers() -> Program:
    """Return the loss of examples/physics_informed.py."""
    t, x = cr.rand(512), 2 * cr.rand(512) - 1
    return of_network(physics_informed.Solution(), lambda u: physics_informed.residual(u, t, x).square().mean())


def regression() -> Program:
    """Return the loss of examples/newton.py."""
    x, y = cr.randn(426, 31, dtype=cr.float64), (cr.rand(426) > 0.5).double()

    def loss(w: Any) -> Any:
        return F.binary_cross_entropy_with_logits(x @ w, y, reduction="sum") + w[:-1].square().sum() / 2

    return loss, cr.zeros(31, dtype=cr.float64)


def posterior() -> Program:
    """Return the density of examples/hmc.py."""
    density = hmc.density_of(cr.randn(442, 10, dtype=cr.float64), cr.randn(442, dtype=cr.float64))
    return density, cr.zeros(11, dtype=cr.float64)


EXAMPLES: dict[str, Callable[[], Program]] = {
    "char_transformer": lambda: of_network(
        char_transformer.Transformer(100), lambda net, tokens: net.loss(tokens), cr.randint(0, 100, (32, 65))
    ),
    "cnn_digits": lambda: digits(cnn_digits.Net(), cr.randn(64, 1, 8, 8), 0.05),
    "gaussian_process": process,
    "hmc": posterior,
    "lstm_series": series,
    "maml": tasks,
    "mlp_digits": lambda: digits(mlp_digits.model(), cr.randn(32, 64)),
    "neural_ode": flow,
    "newton": regression,
    "physics_informed": burgers,
    "vae_digits": lambda: of_network(vae_digits.Autoencoder(), lambda net, x: -net.bound(x).mean(), cr.rand(64, 64)),
}


# -- held out ----------------------------------------------------------------------------------------------------------
# Written after the models of what kernels take, which were not changed for them.


def pictures() -> Program:
    """Return the loss of a convolutional network with strides, groups, a mean over space and label smoothing."""
    net = nn.Sequential(
        nn.Conv2d(3, 24, 5, stride=2, padding=2), nn.GELU(), nn.GroupNorm(4, 24), nn.Conv2d(24, 48, 3, groups=4),
        nn.SiLU(), nn.AvgPool2d(2), nn.Conv2d(48, 64, 1), nn.ELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 20),
    )  # fmt: skip
    labels = cr.randint(0, 20, (16,))
    return of_network(net, lambda net, x: F.cross_entropy(net(x), labels, label_smoothing=0.1), cr.randn(16, 3, 48, 48))


def attention() -> Program:
    """Return the loss of a block of cross attention, written out, with a gated layer behind it."""
    parts = nn.ModuleDict({
        "q": nn.Linear(96, 96), "kv": nn.Linear(96, 192), "gate": nn.Linear(96, 384), "back": nn.Linear(192, 96),
        "norm": nn.LayerNorm(96),
    })  # fmt: skip
    here, there = cr.randn(8, 48, 96), cr.randn(8, 80, 96)

    def heads(x: Any) -> Any:
        return x.unflatten(-1, (6, 16)).transpose(1, 2)

    def loss(net: Any, x: Any, y: Any) -> Any:
        k, v = net["kv"](y).chunk(2, -1)
        weights = (heads(net["q"](x)) @ heads(k).mT / 4).softmax(-1)
        h = net["norm"](x + (weights @ heads(v)).transpose(1, 2).flatten(2))
        a, b = net["gate"](h).chunk(2, -1)
        return (h + net["back"](F.silu(a) * b)).square().mean()

    return of_network(parts, loss, here, there)


def pendulums() -> Program:
    """Return the energy of coupled pendulums after an ODE loop, of where they start."""
    couplings = cr.randn(400, 400, dtype=cr.float64) / 100

    def energy(y: Any) -> Any:
        p = cr.zeros_like(y)
        for _ in range(30):
            p = p - 0.05 * (cr.sin(y) + couplings @ y)
            y = y + 0.1 * p
        return (p * p).sum() / 2 + (1 - y.cos()).sum()

    return energy, cr.randn(400, 60, dtype=cr.float64)


def covariance() -> Program:
    """Return a penalised Gaussian likelihood by determinants, inverses and a norm of eigenvalues, of a factor's entries."""
    x = cr.randn(500, 120, dtype=cr.float64)
    seen = x.T @ x / 500

    def loss(factor: Any) -> Any:
        matrix = factor @ factor.T + cr.eye(120, dtype=cr.float64)
        inside = cr.linalg.solve(matrix, seen).diagonal().sum()
        return inside + cr.linalg.slogdet(matrix).logabsdet + cr.linalg.eigvalsh(matrix).log().square().sum().sqrt()

    return loss, cr.randn(120, 40, dtype=cr.float64)


def table() -> Program:
    """Return the loss of embeddings that are looked up, gathered in bags and ranked."""
    rows, bags = cr.randint(0, 5000, (256, 30)), cr.randint(0, 400, (256,))

    def loss(params: dict) -> Any:
        bag = params["rows"][rows].mean(1)
        scores = bag @ params["bags"].T
        best = scores.topk(5, 1).values.logsumexp(1)
        return (best - scores.gather(1, bags[:, None])[:, 0]).relu().mean() + 1e-3 * params["rows"].square().mean()

    return loss, {"rows": cr.randn(5000, 32), "bags": cr.randn(400, 32)}


HELD_OUT: dict[str, Callable[[], Program]] = {
    "convolutions": pictures, "attention": attention, "ODE loop": pendulums, "linear algebra": covariance, "embeddings": table,
}  # fmt: skip


def ways(f: Callable, x: Any) -> dict[str, Callable]:
    """Return how to run a function and its derivatives; the Hessian of one tensor, or of few numbers, alone."""
    leaves = list(x.values()) if isinstance(x, dict) else [x]
    ones = {k: cr.ones_like(v) for k, v in x.items()} if isinstance(x, dict) else cr.ones_like(x)
    found: dict[str, Callable] = {
        "value": lambda: f(x), "gradient": lambda: grad(f)(x), "jvp": lambda: jvp(f, (x,), (ones,)),
    }  # fmt: skip
    if sum([t.numel() for t in leaves]) < 100:
        found["hessian"] = lambda: hessian(f)(x)
    return found


def peak(run: Callable[[], Any]) -> int:
    """Return the most bytes that a call has beyond what lived before it."""
    run()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        result = run()
        most = tracemalloc.get_traced_memory()[1] - before
        del result
        return most
    finally:
        tracemalloc.stop()


def peaks(program: Program) -> dict[str, tuple[int, int]]:
    """Return, for each way, the predicted and the measured peak."""
    f, x = program
    found = estimate(f, x)
    return {way: (getattr(found, way).peak, peak(run)) for way, run in ways(f, x).items()}
