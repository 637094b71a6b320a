"""A variational autoencoder draws digits: it learns two numbers that say how an image was written.

    python examples/vae_digits.py [--plot digits.png]

scikit-learn's 1,797 images of 8×8 pixels. The encoder gives a `Normal` distribution of the two numbers, the decoder a
`Bernoulli` one of the pixels; `rsample` lets gradients through the draw, `kl_divergence` holds the first near its prior
(Kingma & Welling, arXiv 1312.6114). One sees the bound on the held-out images' likelihood rise above that of a model that
knows each pixel's mean alone, by 1.7 nats at least, or the program exits with 1. The plot shows images drawn from all over the
plane. It is a PyTorch program: change `chainrule` to `torch` in the imports and it runs there.
"""

from __future__ import annotations

import argparse
import sys

from rich.progress import Progress
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import chainrule as cr
from chainrule import nn
from chainrule.distributions import Bernoulli, Independent, Normal, kl_divergence

ENOUGH = 1.7


class Autoencoder(nn.Module):
    def __init__(self, hidden: int = 128, latent: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, hidden), nn.SiLU(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, 64))

    def encode(self, images: cr.Tensor) -> Independent:
        mean, log_spread = self.encoder(images).chunk(2, -1)
        return Independent(Normal(mean, log_spread.exp()), 1)

    def decode(self, z: cr.Tensor) -> Independent:
        return Independent(Bernoulli(logits=self.decoder(z), validate_args=False), 1)  # of grey values too

    def bound(self, images: cr.Tensor) -> cr.Tensor:
        """Return a lower bound of each image's log likelihood, in nats."""
        written = self.encode(images)
        prior = Independent(Normal(cr.zeros_like(written.mean), cr.ones_like(written.mean)), 1)
        return self.decode(written.rsample()).log_prob(images) - kl_divergence(written, prior)


def step(net: Autoencoder, optimizer: cr.optim.Optimizer, images: cr.Tensor) -> cr.Tensor:
    loss = -net.bound(images).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def train(net: Autoencoder, images: cr.Tensor, epochs: int) -> None:
    """Raise the bound by Adam on batches of 64."""
    optimizer = cr.optim.Adam(net.parameters(), lr=1e-2)
    schedule = cr.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    with Progress() as bar:
        task = bar.add_task("training", total=epochs)
        for _ in range(epochs):
            for batch in cr.randperm(len(images)).split(64):
                loss = step(net, optimizer, images[batch])
            schedule.step()
            bar.update(task, advance=1, description=f"bound {-loss.item():.2f} nats")


def draw(path: str, net: Autoencoder) -> None:
    from matplotlib.figure import Figure

    at = Normal(0.0, 1.0).icdf(cr.linspace(0.03, 0.97, 16))
    plane = cr.cartesian_prod(-at, at).flip(1)
    with cr.no_grad():
        images = net.decode(plane).mean.view(16, 16, 8, 8).permute(0, 2, 1, 3).reshape(128, 128)
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(images.numpy(), cmap="gray_r")
    axes.set(title="Digits drawn from all over the plane of the two numbers", xticks=[], yticks=[])
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60, help="passes over the images (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="20 epochs, and 1.2 nats will do")
    parser.add_argument("--plot", metavar="FILE", help="draw digits from all over the plane")
    given = parser.parse_args(arguments)
    cr.manual_seed(given.seed)
    images = load_digits().data / 16
    x, held = (cr.from_numpy(part).float() for part in train_test_split(images, test_size=0.2, random_state=given.seed))
    net = Autoencoder()
    train(net, x, 20 if given.quick else given.epochs)
    with cr.no_grad():
        bound = net.bound(held.repeat(10, 1)).mean().item()
        means = Independent(Bernoulli(x.mean(0).clamp(1e-3, 1 - 1e-3), validate_args=False), 1)
        plain = means.log_prob(held).mean().item()
    if given.plot:
        draw(given.plot, net)
    enough = 1.2 if given.quick else ENOUGH
    print(f"held out {bound:.2f} nats an image, {plain:.2f} by mean pixels: a gain of {bound - plain:.2f} (at least {enough})")
    return 0 if bound - plain >= enough else 1


if __name__ == "__main__":
    sys.exit(main())
