"""A small transformer learns English, character by character, from the help texts that Python ships.

    python examples/char_transformer.py [--steps 1000] [--plot loss.png]

The text is `pydoc_data.topics`, what `help('while')` prints. A decoder of two layers (causal attention, layer norm, GELU)
guesses each next character; the last tenth of the text is held out. One sees the loss fall below that of a table of pairs
of characters (its entropy, counted, is the mark to beat: the program exits with 1 otherwise), and then what the network
writes by itself. It is a PyTorch program: change `chainrule` to `torch` in the imports and it runs there.
"""

from __future__ import annotations

import argparse
import sys
from pydoc_data.topics import topics

from rich.progress import Progress

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    def __init__(self, characters: int, width: int = 64, heads: int = 4, layers: int = 2, context: int = 64) -> None:
        super().__init__()
        self.context = context
        self.token, self.place = nn.Embedding(characters, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, characters)
        for table in (self.token, self.place):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, tokens: cr.Tensor) -> cr.Tensor:
        x = self.token(tokens) + self.place(cr.arange(tokens.shape[1]))
        return self.head(self.norm(self.blocks(x)))

    def loss(self, tokens: cr.Tensor) -> cr.Tensor:
        """Return the mean cross entropy of each next character, in nats."""
        return F.cross_entropy(self(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    def write(self, tokens: cr.Tensor, count: int) -> cr.Tensor:
        """Lengthen a row of tokens by draws from what the network expects next."""
        with cr.no_grad():
            for _ in range(count):
                expected = self(tokens[:, -self.context :])[:, -1].softmax(-1)
                tokens = cr.cat([tokens, cr.multinomial(expected, 1)], 1)
        return tokens


def step(net: Transformer, optimizer: cr.optim.Optimizer, tokens: cr.Tensor) -> cr.Tensor:
    loss = net.loss(tokens)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    return loss


def rows(text: cr.Tensor, count: int, length: int) -> cr.Tensor:
    """Return rows of a text, drawn anywhere in it."""
    return text[cr.randint(0, len(text) - length, (count, 1)) + cr.arange(length)]


def pairs_entropy(text: cr.Tensor, held: cr.Tensor, characters: int) -> float:
    """Return the cross entropy, on a held-out text, of the counts of pairs of characters."""
    counts = cr.full((characters, characters), 0.1)
    counts.index_put_((text[:-1], text[1:]), cr.ones(len(text) - 1), accumulate=True)
    return -(counts / counts.sum(1, keepdim=True)).log()[held[:-1], held[1:]].mean().item()


def draw(path: str, losses: list[float], mark: float) -> None:
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.plot(losses, label="transformer, each batch")
    axes.axhline(mark, color="tab:red", label="pairs of characters, held out")
    axes.set(xlabel="step", ylabel="cross entropy [nats]")
    axes.legend()
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="batches of 32 rows (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="150 steps")
    parser.add_argument("--plot", metavar="FILE", help="draw the loss")
    given = parser.parse_args(arguments)
    cr.manual_seed(given.seed)
    text = "\n".join(topics.values())
    alphabet = sorted(set(text))
    number = {c: i for i, c in enumerate(alphabet)}
    tokens = cr.tensor([number[c] for c in text])
    text, held = tokens[: -len(tokens) // 10], tokens[-len(tokens) // 10 :]
    net = Transformer(len(alphabet))
    optimizer = cr.optim.AdamW(net.parameters(), lr=4e-3, betas=(0.9, 0.98), weight_decay=0.01)
    steps = 150 if given.quick else given.steps
    schedule = cr.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.1)
    losses = []
    with Progress() as bar:
        task = bar.add_task("training", total=steps)
        for _ in range(steps):
            losses.append(step(net, optimizer, rows(text, 32, net.context + 1)).item())
            schedule.step()
            bar.update(task, advance=1, description=f"loss {losses[-1]:.3f}")
    mark = pairs_entropy(text, held, len(alphabet))
    with cr.no_grad():
        loss = net.loss(rows(held, 256, net.context + 1)).item()
    written = net.write(cr.tensor([[number["\n"]]]), 300)
    print("".join(alphabet[i] for i in written[0].tolist()))
    if given.plot:
        draw(given.plot, losses, mark)
    print(f"\nheld out: {loss:.3f} nats a character; a table of pairs has {mark:.3f}, which is to be beaten")
    return 0 if loss < mark else 1


if __name__ == "__main__":
    sys.exit(main())
