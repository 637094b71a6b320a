"""What is timed. Each case is a whole forward and backward pass, written once in each dialect, on the same data.

A builder takes a library and the data and returns `(step, read)`: `step()` is timed, and `read` picks from what it
returned the arrays that all libraries must agree on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace as Data
from typing import Any

import numpy as np

Built = tuple[Callable[[], Any], Callable[[Any], Iterable]]
RATE = 0.1


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    data: Callable[[np.random.Generator], Data]
    tape: Callable[[Any, Data], Built]
    functional: Callable[[Any, Data], Built]

    def build(self, library: Any) -> Built:
        """Return this case's step in a library, on data that is the same for all."""
        return getattr(self, library.dialect)(library, self.data(np.random.default_rng(0)))


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Return float32 normal numbers."""
    return (scale * rng.standard_normal(shape)).astype(np.float32)


# -- the first example -------------------------------------------------------------------------------------------------


def first_tape(library: Any, data: Data) -> Built:
    leaf = library.leaf

    def step() -> tuple:
        x, y = leaf(2.0), leaf(3.0)
        z = x * y + y**2
        z.backward()
        return z, x.grad, y.grad

    return step, list


def first_functional(library: Any, data: Data) -> Built:
    array, finish = library.array, library.finish
    gradient = library.compiled(library.value_and_grad(lambda x, y: x * y + y**2, (0, 1)))

    def step() -> tuple:
        z, (dx, dy) = gradient(array(2.0), array(3.0))
        return finish((z, dx, dy))

    return step, list


# -- a scalar-valued function of one array -----------------------------------------------------------------------------


def of_one_array(name: str, data: Callable, in_tape: Callable, in_functional: Callable) -> Case:
    """Return the case of a function's value and gradient; each dialect's form takes (library, x)."""

    def tape(library: Any, data: Data) -> Built:
        lib, x = library.lib, library.leaf(data.x)

        def step() -> tuple:
            x.grad = None
            y = in_tape(lib, x)
            y.backward()
            return y, x.grad

        return step, list

    def functional(library: Any, data: Data) -> Built:
        x, finish = library.array(data.x), library.finish
        gradient = library.compiled(library.value_and_grad(lambda x: in_functional(library, x), 0))
        return lambda: finish(gradient(x)), list

    return Case(name, data, tape, functional)


def multiplies(n: int) -> Case:
    def product(library: Any, x: Any) -> Any:
        y = x
        for _ in range(n):
            y = y * x
        return y.sum()

    near_one = lambda rng: Data(x=rng.uniform(0.98, 1.02, 16).astype(np.float32))
    return of_one_array(f"{n} {'multiply' if n == 1 else 'multiplies'} of 16", near_one, product, product)


def sines(n: int) -> Case:
    def chain(sin: Callable, x: Any) -> Any:
        for _ in range(n):
            x = sin(x)
        return x

    return of_one_array(
        f"{n} sines of a scalar",
        lambda rng: Data(x=1.0),
        lambda lib, x: chain(lib.sin, x),
        lambda library, x: chain(library.np.sin, x),
    )


def elementwise(name: str, n: int, in_functional: Callable) -> Case:
    return of_one_array(
        f"{name} of {n:.0e}".replace("e+0", "e"),
        lambda rng: Data(x=normal(rng, n)),
        lambda lib, x: getattr(lib, name)(x).sum(),
        lambda library, x: in_functional(library)(x).sum(),
    )


# -- training steps of multilayer perceptrons --------------------------------------------------------------------------


def perceptron_data(sizes: tuple[int, ...], batch: int) -> Callable:
    def data(rng: np.random.Generator) -> Data:
        labels = rng.integers(0, sizes[-1], batch)
        return Data(
            x=normal(rng, batch, sizes[0]),
            labels=labels,
            one_hot=np.eye(sizes[-1], dtype=np.float32)[labels],
            params=[(normal(rng, m, n, scale=(2 / m) ** 0.5), normal(rng, n, scale=0.1)) for m, n in pairwise(sizes)],
        )

    return data


def perceptron(library: Any, data: Data) -> tuple[Any, Callable]:
    """Return a module with the data's parameters, and the function that computes its loss."""
    lib, nn = library.lib, library.lib.nn
    layers: list = []
    for weight, bias in data.params:
        layer = nn.Linear(*weight.shape)
        with lib.no_grad():
            layer.weight.copy_(lib.tensor(np.ascontiguousarray(weight.T)))
            layer.bias.copy_(lib.tensor(bias))
        layers += [layer, nn.ReLU()]
    model, criterion = nn.Sequential(*layers[:-1]), nn.CrossEntropyLoss()
    x, labels = library.array(data.x), library.array(data.labels)
    return model, lambda: criterion(model(x), labels)


def training_step(optimizer: Any, compute_loss: Callable[[], Any]) -> Callable[[], Any]:
    """Return the step that everyone writes."""

    def step() -> Any:
        optimizer.zero_grad()
        loss = compute_loss()
        loss.backward()
        optimizer.step()
        return loss

    return step


def perceptron_tape(library: Any, data: Data) -> Built:
    model, compute_loss = perceptron(library, data)
    optimizer = library.lib.optim.SGD(model.parameters(), lr=RATE)
    step = library.compiled(training_step(optimizer, compute_loss))
    return step, lambda loss: [loss, *(p.T if p.ndim == 2 else p for p in model.parameters())]


def perceptron_functional(library: Any, data: Data) -> Built:
    x, one_hot = library.array(data.x), library.array(data.one_hot)
    params = [library.array(p) for pair in data.params for p in pair]

    def compute_loss(params: list, x: Any, one_hot: Any) -> Any:
        for weight, bias in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = library.relu(x @ weight + bias)
        logits = x @ params[-2] + params[-1]
        return library.np.mean(library.logsumexp(logits, axis=1) - library.np.sum(one_hot * logits, axis=1))

    gradient = library.value_and_grad(compute_loss, 0)

    def update(params: list, x: Any, one_hot: Any) -> tuple:
        loss, gradients = gradient(params, x, one_hot)
        return loss, [p - RATE * g for p, g in zip(params, gradients, strict=True)]

    update = library.compiled(update)

    def step() -> Any:
        nonlocal params
        loss, params = library.finish(update(params, x, one_hot))
        return loss

    return step, lambda loss: [loss, *params]


def training(*sizes: int, batch: int) -> Case:
    name = f"train {'-'.join(map(str, sizes))}, batch {batch}"
    return Case(name, perceptron_data(sizes, batch), perceptron_tape, perceptron_functional)


# -- a recurrent network -----------------------------------------------------------------------------------------------


def recurrent_data(steps: int, batch: int, hidden: int, inputs: int) -> Callable:
    def data(rng: np.random.Generator) -> Data:
        return Data(
            xs=[normal(rng, batch, inputs) for _ in range(steps)],
            h=np.zeros((batch, hidden), np.float32),
            params=[
                normal(rng, inputs, hidden, scale=inputs**-0.5),
                normal(rng, hidden, hidden, scale=hidden**-0.5),
                normal(rng, hidden, scale=0.1),
            ],
        )

    return data


def unroll(tanh: Callable, xs: list, h: Any, W: Any, U: Any, b: Any) -> Any:
    for x in xs:
        h = tanh(x @ W + h @ U + b)
    return (h * h).sum()


def recurrent_tape(library: Any, data: Data) -> Built:
    tanh, h = library.lib.tanh, library.array(data.h)
    xs, params = [library.array(x) for x in data.xs], [library.leaf(p) for p in data.params]

    def step() -> list:
        for p in params:
            p.grad = None
        loss = unroll(tanh, xs, h, *params)
        loss.backward()
        return [loss, *(p.grad for p in params)]

    return step, list


def recurrent_functional(library: Any, data: Data) -> Built:
    h = library.array(data.h)
    xs, params = [library.array(x) for x in data.xs], [library.array(p) for p in data.params]
    value_and_grad = library.value_and_grad(lambda params, xs: unroll(library.np.tanh, xs, h, *params), 0)
    gradient = library.compiled(value_and_grad)
    return lambda: library.finish(gradient(params, xs)), lambda result: [result[0], *result[1]]


def trained_tape(library: Any, data: Data) -> Built:
    tanh, h = library.lib.tanh, library.array(data.h)
    xs, params = [library.array(x) for x in data.xs], [library.leaf(p) for p in data.params]
    optimizer = library.lib.optim.SGD(params, lr=RATE / len(xs))
    step = library.compiled(training_step(optimizer, lambda: unroll(tanh, xs, h, *params) / data.h.size))
    return step, lambda loss: [loss, *params]


def trained_functional(library: Any, data: Data) -> Built:
    h = library.array(data.h)
    xs, params = [library.array(x) for x in data.xs], [library.array(p) for p in data.params]
    gradient = library.value_and_grad(lambda params, xs: unroll(library.np.tanh, xs, h, *params) / data.h.size, 0)

    def update(params: list, xs: list) -> tuple:
        loss, gradients = gradient(params, xs)
        return loss, [p - RATE / len(xs) * g for p, g in zip(params, gradients, strict=True)]

    update = library.compiled(update)

    def step() -> Any:
        nonlocal params
        loss, params = library.finish(update(params, xs))
        return loss

    return step, lambda loss: [loss, *params]


def trained_recurrent(steps: int, *, batch: int, hidden: int, inputs: int) -> Case:
    data = recurrent_data(steps, batch, hidden, inputs)
    return Case(f"training a tanh RNN of {steps} steps", data, trained_tape, trained_functional)


def recurrent(steps: int, *, batch: int, hidden: int, inputs: int) -> Case:
    data = recurrent_data(steps, batch, hidden, inputs)
    return Case(f"tanh RNN of {steps} steps", data, recurrent_tape, recurrent_functional)


SMALL = training(64, 32, 10, batch=16)
MIDDLE = training(784, 128, 10, batch=64)
LARGE = training(784, 1024, 1024, 10, batch=256)

CASES = [
    Case("x*y + y**2", lambda rng: Data(), first_tape, first_functional),
    multiplies(1),
    multiplies(100),
    sines(100),
    SMALL,
    MIDDLE,
    LARGE,
    *[
        elementwise(name, n, function)
        for name, function in (
            ("exp", lambda library: library.np.exp),
            ("tanh", lambda library: library.np.tanh),
            ("sigmoid", lambda library: library.sigmoid),
        )
        for n in (10_000, 1_000_000)
    ],
    recurrent(50, batch=16, hidden=64, inputs=32),
]
