"""Hamiltonian Monte Carlo draws from the posterior of a regression: what the diabetes data say, and how surely.

    python examples/hmc.py [--plot posterior.png]

scikit-learn's 442 patients; the outcome is linear in ten measures, with noise of unknown size. The density is written with
`distributions`, its gradient by `vmap(grad)` moves four chains at once, and `func.hessian` at the mode scales the motion. One
sees means, intervals, effective sample sizes and R-hat; the program exits with 1 unless every quantity has at least 200
effective draws, R-hat is below 1.02, and the means are those of least squares within their errors.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import numpy as np
from rich.progress import Progress
from sklearn.datasets import load_diabetes

import chainrule as cr
from chainrule.distributions import Normal
from chainrule.func import grad, grad_and_value, hessian, vmap

CHAINS = 4


def density_of(x: cr.Tensor, y: cr.Tensor):
    """Return the logarithm of the posterior density, of the weights and then the logarithm of the noise's deviation."""
    # Under `vmap`, numbers are those of all chains: no check of arguments can branch on them.
    normal = partial(Normal, validate_args=False)

    def density(q: cr.Tensor) -> cr.Tensor:
        weights, log_noise = q[:-1], q[-1]
        prior = normal(0.0, 10.0).log_prob(weights).sum() + normal(0.0, 3.0).log_prob(log_noise)
        return prior + normal(x @ weights, log_noise.exp()).log_prob(y).sum()

    return density


def mode(density, q: cr.Tensor) -> tuple[cr.Tensor, cr.Tensor]:
    """Return the highest point, which is near, by Newton's method, and the Hessian there."""
    for _ in range(5):
        q = q - cr.linalg.solve(hessian(density)(q), grad(density)(q))
    return q, hessian(density)(q)


def sample(density, start: cr.Tensor, scale: cr.Tensor, draws: int, warm: int) -> tuple[cr.Tensor, float]:
    """Return the draws of all chains (draws, chains, n), and the share of proposals taken.

    Motion runs in coordinates z in which the posterior is nearly round, ``q = start + scale @ z``; the step is adapted while
    warming up, so that four of five proposals are taken (Neal, MCMC using Hamiltonian dynamics, 2011, arXiv 1206.1901).
    """
    value = vmap(lambda z: density(start + scale @ z))
    slope = vmap(grad_and_value(lambda z: density(start + scale @ z)))
    z = cr.randn(CHAINS, len(start), dtype=start.dtype)
    step, kept, taken = 0.3, [], 0.0
    with Progress() as bar:
        task = bar.add_task("sampling", total=warm + draws)
        for i in range(warm + draws):
            momentum = cr.randn_like(z)
            new, (force, before) = z, slope(z)
            energy = before - momentum.square().sum(1) / 2
            p = momentum + step / 2 * force
            for k in range(length := int(np.random.randint(4, 9))):
                new = new + step * p
                force, after = slope(new)
                p = p + (step if k < length - 1 else step / 2) * force
            chance = (after - p.square().sum(1) / 2 - energy).clamp(max=0).exp()
            z = cr.where((cr.rand_like(chance) < chance)[:, None], new, z)
            if i < warm:
                step *= float(np.exp(0.1 * (chance.mean().item() - 0.8)))
            else:
                kept.append(z)
                taken += chance.mean().item() / draws
            bar.update(task, advance=1)
    assert value(z).isfinite().all()
    return start + cr.stack(kept) @ scale.T, taken


def effective(draws: cr.Tensor) -> tuple[cr.Tensor, cr.Tensor]:
    """Return the effective number of draws and R-hat of each quantity, from draws (n, chains, quantities).

    Autocorrelations by FFT, summed over pairs of lags while the sums are positive and fall (Geyer 1992); Gelman et al.,
    Bayesian Data Analysis, 3rd ed., sections 11.4 and 11.5.
    """
    n, chains, _ = draws.shape
    centred = draws - draws.mean(0)
    covariances = cr.fft.irfft(cr.fft.rfft(centred, 2 * n, 0).abs().square(), 2 * n, 0)[:n].mean(1) / n
    within = covariances[0] * n / (n - 1)
    total = within * (n - 1) / n + draws.mean(0).var(0)
    correlations = 1 - (within - covariances * n / (n - 1)) / total
    pairs = correlations[: n // 2 * 2].unflatten(0, (-1, 2)).sum(1)
    pairs = pairs.cummin(0).values * (pairs > 0).cumprod(0)
    return n * chains / (2 * pairs.sum(0) - 1).clamp(min=0.1), (total / within).sqrt()


def draw(path: str, draws: cr.Tensor, names: list[str]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(draws[:, :, names.index("bmi")], lw=0.4)
    left.set(xlabel="draw", ylabel="weight of bmi", title="Four chains")
    right.boxplot(draws.flatten(0, 1)[:, : len(names)].numpy(), showfliers=False)
    right.axhline(0, color="0.7")
    right.set(xticks=range(1, len(names) + 1), xticklabels=names, title="Posterior of the weights")
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="of each of four chains (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="200 draws")
    parser.add_argument("--plot", metavar="FILE", help="draw the chains and the posterior")
    given = parser.parse_args(arguments)
    cr.manual_seed(given.seed)
    np.random.seed(given.seed)
    bunch = load_diabetes()
    x, y = cr.from_numpy(bunch.data / bunch.data.std(0)), cr.from_numpy((bunch.target - 152.1) / 77.0)
    density = density_of(x, y)
    least = cr.linalg.lstsq(x, y[:, None]).solution[:, 0]
    top, curvature = mode(density, cr.cat([least, (y - x @ least).std().log()[None]]))
    scale = cr.linalg.cholesky(cr.linalg.inv(-curvature))
    draws, taken = sample(density, top, scale, 200 if given.quick else given.draws, 60)
    size, r_hat = effective(draws)
    mean, deviation = draws.mean((0, 1)), draws.flatten(0, 1).std(0)
    names = [*bunch.feature_names, "log noise"]
    for i, name in enumerate(names):
        low, high = draws[..., i].quantile(cr.tensor([0.025, 0.975], dtype=cr.float64)).tolist()
        print(f"{name:>9} {mean[i]: .3f}  in [{low: .3f}, {high: .3f}]   {size[i]:6.0f} effective draws   R-hat {r_hat[i]:.3f}")
    off = ((mean[:-1] - least).abs() / (deviation[:-1] / size[:-1].sqrt())).max().item()
    if given.plot:
        draw(given.plot, draws, list(bunch.feature_names))
    print(
        f"{taken:.0%} of proposals taken; at least {size.min():.0f} effective draws (200 are asked), R-hat at most "
        f"{r_hat.max():.3f} (1.02), means within {off:.1f} standard errors of least squares (5)"
    )
    return 0 if size.min() >= 200 and r_hat.max() < 1.02 and off < 5 else 1


if __name__ == "__main__":
    sys.exit(main())
