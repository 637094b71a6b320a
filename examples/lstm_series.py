"""An LSTM foretells a brain's waves: the electroencephalogram that matplotlib ships, four channels of 800 samples.

    python examples/lstm_series.py [--plot waves.png]

The network reads 64 samples of all channels and says the next 4; it learns from the first three quarters of the record and
is judged on the last. One sees its error there beside that of the guess "as it is now": at most 0.9 of it, or the program
exits with 1. The plot lays what it says over what came. It is a PyTorch program: change `chainrule` to `torch` in the
imports and it runs there.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from matplotlib.cbook import get_sample_data
from rich.progress import Progress

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn

PAST, AHEAD, CHANNELS = 64, 4, 4
ENOUGH = 0.9


class Forecast(nn.Module):
    """Says what is added to the last sample in each of the next steps."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.lstm = nn.LSTM(CHANNELS, hidden, batch_first=True)
        self.head = nn.Linear(hidden, AHEAD * CHANNELS)

    def forward(self, past: cr.Tensor) -> cr.Tensor:
        states, _ = self.lstm(past)
        return past[:, -1:] + self.head(states[:, -1]).view(-1, AHEAD, CHANNELS)


def data() -> tuple[cr.Tensor, cr.Tensor]:
    """Return every window of the record, standardised, as rows of past and future: to learn from and held out."""
    with get_sample_data("eeg.dat") as file:
        record = cr.from_numpy(np.frombuffer(file.read(), np.float64).reshape(-1, CHANNELS).copy()).float()
    cut = len(record) * 3 // 4
    record = (record - record[:cut].mean(0)) / record[:cut].std(0)
    return tuple(part.unfold(0, PAST + AHEAD, 1).transpose(1, 2) for part in (record[:cut], record[cut:]))


def step(net: nn.Module, optimizer: cr.optim.Optimizer, windows: cr.Tensor) -> cr.Tensor:
    loss = F.mse_loss(net(windows[:, :PAST]), windows[:, PAST:])
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    return loss


def train(net: nn.Module, windows: cr.Tensor, epochs: int) -> None:
    """Fit the network by Adam on batches of 32 windows with a little noise, which keeps it from learning them by heart."""
    optimizer = cr.optim.Adam(net.parameters(), lr=5e-3)
    schedule = cr.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    with Progress() as bar:
        task = bar.add_task("training", total=epochs)
        for _ in range(epochs):
            for batch in cr.randperm(len(windows)).split(32):
                chosen = windows[batch]
                loss = step(net, optimizer, chosen + 0.05 * cr.randn_like(chosen))
            schedule.step()
            bar.update(task, advance=1, description=f"loss {loss.item():.3f}")


def draw(path: str, windows: cr.Tensor, said: cr.Tensor) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    for channel, axes in enumerate(figure.subplots(CHANNELS, 1, sharex=True)):
        axes.plot(windows[:, PAST, channel].numpy(), color="0.6", label="record")
        for start in range(0, len(windows), AHEAD):
            axes.plot(range(start, start + AHEAD), said[start, :, channel].numpy(), color="tab:blue")
        axes.set_ylabel(f"channel {channel + 1}")
    axes.set_xlabel("held-out sample; in blue what is said 4 samples ahead")
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15, help="passes over the windows (default: 15)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="5 epochs")
    parser.add_argument("--plot", metavar="FILE", help="draw forecasts over the record")
    given = parser.parse_args(arguments)
    cr.manual_seed(given.seed)
    windows, held = data()
    net = Forecast()
    train(net, windows, 5 if given.quick else given.epochs)
    with cr.no_grad():
        said = net(held[:, :PAST])
    error = (said - held[:, PAST:]).square().mean().sqrt().item()
    still = (held[:, PAST - 1 : PAST] - held[:, PAST:]).square().mean().sqrt().item()
    if given.plot:
        draw(given.plot, held, said)
    print(f"error {error:.3f}, of 'as it is now' {still:.3f}: ratio {error / still:.2f} (at most {ENOUGH})")
    return 0 if error <= ENOUGH * still else 1


if __name__ == "__main__":
    sys.exit(main())
