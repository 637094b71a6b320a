"""``chainrule demo``: a network learns handwritten digits; one of its gradients is checked three ways.

It reads scikit-learn's copy of the digits and writes nothing but text.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

import chainrule as cr
from chainrule import nn
from chainrule.func import functional_call

ENOUGH = 0.96
EXAMPLE = """\
import chainrule as cr
x = cr.tensor(2.0, requires_grad=True)
y = cr.tensor(3.0, requires_grad=True)
z = x * y + y**2
z.backward()
print(x.grad, y.grad)
"""
NEXT = (
    ("README.md", "what it is, and how to install it"),
    ("docs/tutorial.md", "from a first gradient to your own training loop"),
    ("docs/add-an-op.md", "an op of your own, declared once"),
    ("python -m benchmarks", "side by side with PyTorch, JAX and autograd"),
)
EXAMPLES = {
    "mlp_digits.py": "a perceptron, the plainest training loop",
    "cnn_digits.py": "a convolutional network with batch norm",
    "char_transformer.py": "a transformer writes like Python's help texts",
    "lstm_series.py": "an LSTM foretells a brain's waves",
    "vae_digits.py": "an autoencoder draws digits, by distributions",
    "gaussian_process.py": "length scales by gradients through Cholesky",
    "newton.py": "exact Hessians: the digits double in each step",
    "hmc.py": "a posterior by Hamiltonian Monte Carlo",
    "maml.py": "learning to learn, by gradients of gradient steps",
    "neural_ode.py": "a flow, trained by the adjoint equation",
    "physics_informed.py": "Burgers' equation solved in Taylor mode",
}
Report = Callable[[int, float, float], None]  # told of each epoch: number, mean loss, accuracy on the images held out


def run(epochs: int, seed: int, live: bool = True) -> int:
    """Run the demo; return 0 if the network learnt and the gradients agree, else 1.

    Parameters
    ----------
    epochs, seed : int
        Passes over the training images; seed of the split and of the training.
    live : bool
        Show a moving bar where the output is a terminal.
    """
    console = Console(highlight=False)
    learnt, net, images, labels = _learn(console, epochs, seed, live)
    console.print("\n[bold]The example of the README[/bold]\n")
    console.print("\n".join("  " + line for line in EXAMPLE.splitlines()), markup=False)
    exec(EXAMPLE, {"print": lambda *values: console.print("  →", *values, markup=False)})
    agree = _check(console, net, images, labels)
    console.print("\n[bold]Where to go next[/bold]\n")
    for place, what in NEXT:
        console.print(f"  {place:<22}{what}")
    console.print('\n[bold]Examples[/bold] in a clone: pip install ".\\[examples]", then python examples/…\n')
    for place, what in EXAMPLES.items():
        console.print(f"  {place:<22}{what}")
    return 0 if learnt and agree else 1


# -- training ----------------------------------------------------------------------------------------------------------


def digits(seed: int) -> tuple[Any, ...]:
    """Return scikit-learn's 1797 images as rows of 64 numbers in [0, 1], and their labels: four fifths, and one held out."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.2, stratify=labels, random_state=seed)
    train, test, train_labels, test_labels = map(cr.from_numpy, parts)
    return train.float(), train_labels, test.float(), test_labels  # type: ignore[attr-defined]


def train(net: nn.Module, images: Any, labels: Any, epochs: int, after_epoch: Callable[[int, float], None]) -> None:
    """Fit a network to labelled images by Adam on mini-batches of 32, the learning rate falling to zero.

    Fresh noise on the pixels in each epoch keeps the network from learning images by heart (98.3 % right
    instead of 98.0, the mean of 20 seeds).
    """
    loss_function = nn.CrossEntropyLoss()
    optimizer = cr.optim.Adam(net.parameters(), lr=3e-3)
    schedule = cr.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 - epoch / epochs)
    count = len(images)
    for epoch in range(epochs):
        total = 0.0
        order = cr.randperm(count)
        for start in range(0, count, 32):
            batch = order[start : start + 32]
            x = images[batch]
            loss = loss_function(net(x + 0.3 * cr.randn_like(x)), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        schedule.step()
        after_epoch(epoch + 1, total / count)


def accuracy(net: nn.Module, images: Any, labels: Any) -> float:
    """Return the share of images that the network gives their labels."""
    with cr.no_grad():
        return (net(images).argmax(1) == labels).float().mean().item()


def _learn(console: Console, epochs: int, seed: int, live: bool) -> tuple[bool, nn.Module, Any, Any]:
    from threadpoolctl import threadpool_limits  # scikit-learn brings it

    images, labels, held_images, held_labels = digits(seed)
    cr.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    console.print(f"[bold]Handwritten digits[/bold]: {len(images)} images to learn from, {len(held_images)} held out\n")
    console.print(f"{net}\n", markup=False)
    start = time.perf_counter()
    # Matrices this small gain nothing from threads, and wait for them where other work keeps the cores busy.
    with _reporting(console, epochs, live) as report, threadpool_limits(1, "blas"):
        train(net, images, labels, epochs, lambda e, loss: report(e, loss, accuracy(net, held_images, held_labels)))
    seconds = time.perf_counter() - start
    right = accuracy(net, held_images, held_labels)
    verdict = "" if right >= ENOUGH else f" — [red]below {ENOUGH:.0%}[/red]"
    console.print(f"\nRight on [bold]{right:.1%}[/bold] of the images held out, after {seconds:.1f} s{verdict}")
    return right >= ENOUGH, net, held_images, held_labels


@contextmanager
def _reporting(console: Console, epochs: int, live: bool) -> Iterator[Report]:
    """Give a function that shows how training goes: a live bar on a terminal, a line now and then elsewhere."""
    if not (live and console.is_terminal):
        step = max(1, epochs // 6)

        def line(epoch: int, loss: float, right: float) -> None:
            if epoch % step == 0 or epoch == epochs:
                console.print(f"  epoch {epoch:>3}/{epochs}   loss {loss:.4f}   accuracy {right:.1%}")

        yield line
        return
    columns = (
        TextColumn("  epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4f}   accuracy {task.fields[right]:.1%}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=epochs, loss=float("nan"), right=0.0)
        yield lambda epoch, loss, right: bar.update(task, completed=epoch, loss=loss, right=right)


# -- one gradient, three ways ------------------------------------------------------------------------------------------


def _check(console: Console, net: nn.Module, images: Any, labels: Any) -> bool:
    """Print the derivative of the loss in one weight by three ways; tell whether they agree."""
    console.print("\n[bold]One gradient of the trained network, three ways[/bold], in float64\n")
    row, column, found = three_gradients(net, images, labels)
    console.print(f"  d loss / d net[0].weight[{row}, {column}]", markup=False)
    reverse = found["reverse mode"]
    agree = True
    for name, value in found.items():
        relative = abs(value - reverse) / abs(reverse)
        limit = 1e-6 if name == "central differences" else 1e-12
        agree = agree and relative <= limit
        note = "" if name == "reverse mode" else f"   relative difference {relative:.1e}"
        console.print(f"  {name:<20}{value: .16f}{note}")
    if not agree:
        console.print("  [red]They differ.[/red]")
    return agree


def three_gradients(net: nn.Module, images: Any, labels: Any) -> tuple[int, int, dict[str, float]]:
    """Return the steepest entry of the first layer's weight, and the loss's derivative in it by three ways."""
    net = copy.deepcopy(net).double()
    images = images.double()
    weight = net.get_parameter("0.weight")

    def loss_of(w: Any) -> Any:
        return nn.functional.cross_entropy(functional_call(net, {"0.weight": w}, images), labels)

    loss_of(weight).backward()
    gradient: Any = weight.grad
    row, column = divmod(gradient.abs().argmax().item(), weight.shape[1])
    direction = cr.zeros_like(weight)
    direction[row, column] = 1
    point = weight.detach()
    _, forward = cr.func.jvp(loss_of, (point,), (direction,))
    h = 1e-5
    with cr.no_grad():
        central = (loss_of(point + h * direction) - loss_of(point - h * direction)) / (2 * h)
    found = {
        "reverse mode": gradient[row, column].item(),
        "forward mode": forward.item(),
        "central differences": central.item(),
    }
    return row, column, found
