"""A perceptron learns handwritten digits: the plainest training loop there is.

    python examples/mlp_digits.py [--plot digits.png]

scikit-learn's 1,797 images of 8×8 pixels, four fifths to learn from. One sees the loss fall and, at the end, the share of
the held-out images that are told right; below 96 % the program exits with 1. The plot shows the training and what the
network takes for what. It is a PyTorch program: change `chainrule` to `torch` in the imports and it runs there.
"""

from __future__ import annotations

import argparse
import sys

from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import chainrule as cr
from chainrule import nn
from chainrule.utils.data import DataLoader, TensorDataset

ENOUGH = 0.96


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 10))


def data(seed: int) -> tuple[cr.Tensor, ...]:
    """Return images in [0, 1] and labels, to learn from and held out."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.2, stratify=labels, random_state=seed)
    x, held_x, y, held_y = map(cr.from_numpy, parts)
    return x.float(), y, held_x.float(), held_y


def train(net: nn.Module, x: cr.Tensor, y: cr.Tensor, epochs: int) -> list[float]:
    """Fit the network by AdamW on batches of 32; return the mean loss of every epoch."""
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    optimizer = cr.optim.AdamW(net.parameters(), lr=3e-3)
    schedule = cr.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    losses = []
    net.train()
    for _ in track(range(epochs), "training"):
        total = 0.0
        for images, labels in loader:
            loss = nn.functional.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        schedule.step()
        losses.append(total / len(y))
    return losses


def draw(path: str, losses: list[float], said: cr.Tensor, truth: cr.Tensor) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogy(range(1, len(losses) + 1), losses)
    left.set(xlabel="epoch", ylabel="cross entropy", title="Training")
    counts = cr.zeros(10, 10)
    counts.index_put_((truth, said), cr.ones(len(truth)), accumulate=True)
    right.imshow(counts.log1p().numpy(), cmap="Blues")
    right.set(xlabel="taken for", ylabel="is", title="Held-out images", xticks=range(10), yticks=range(10))
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40, help="passes over the images (default: 40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="12 epochs")
    parser.add_argument("--plot", metavar="FILE", help="draw the training and the confusions")
    given = parser.parse_args(arguments)
    cr.manual_seed(given.seed)
    x, y, held_x, held_y = data(given.seed)
    net = model()
    losses = train(net, x, y, 12 if given.quick else given.epochs)
    net.eval()
    with cr.no_grad():
        said = net(held_x).argmax(1)
    right = (said == held_y).float().mean().item()
    if given.plot:
        draw(given.plot, losses, said, held_y)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}; right on {right:.1%} of the held-out images (at least {ENOUGH:.0%})")
    return 0 if right >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
