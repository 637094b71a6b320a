"""Functions that are timed compiled, each written once over a library's names: ``f(names, params, data)`` returns an array."""

from __future__ import annotations

from typing import Any

import numpy as np

HEADS = 8


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Return float32 normal numbers."""
    return (scale * rng.standard_normal(shape)).astype(np.float32)


# -- elementwise -------------------------------------------------------------------------------------------------------


def options(rng: np.random.Generator, n: int = 1_000_000) -> tuple[list, list]:
    """Return prices, strikes, times, rates and volatilities of `n` options."""
    ranges = ((50, 150), (50, 150), (0.1, 2), (0, 0.1), (0.1, 0.5))
    return [rng.uniform(low, high, n).astype(np.float32) for low, high in ranges], []


def black_scholes(m: Any, params: list, data: list) -> Any:
    """Return the values of call options (Black & Scholes 1973)."""
    price, strike, time, rate, volatility = params
    spread = volatility * m.sqrt(time)
    d1 = (m.log(price / strike) + (rate + 0.5 * volatility * volatility) * time) / spread
    normal_cdf = lambda x: 0.5 + 0.5 * m.erf(x * 0.5**0.5)
    return price * normal_cdf(d1) - strike * m.exp(-rate * time) * normal_cdf(d1 - spread)


def scalar(rng: np.random.Generator) -> tuple[list, list]:
    return [np.float32(0.7)], []


def chain(n: int) -> Any:
    """Return the function of one number that takes `n` operations of four kinds."""

    def f(m: Any, params: list, data: list) -> Any:
        (x,) = params
        y = x
        for _ in range(n // 4):
            y = m.sin(y * x + 0.3) * 1.1
        return y

    return f


def waves(rng: np.random.Generator, n: int = 1 << 20) -> tuple[list, list]:
    return [np.float32(1.01)], [normal(rng, n)]


def wave(m: Any, params: list, data: list) -> Any:
    """Return the sum of what a chain of 200 elementwise operations makes of many numbers."""
    (scale,), (x,) = params, data
    for _ in range(50):
        x = m.sin(x * scale + 0.3) * 1.1
    return x.sum()


# -- networks ----------------------------------------------------------------------------------------------------------


def deep(rng: np.random.Generator, layers: int = 5, width: int = 256, batch: int = 256) -> tuple[list, list]:
    """Return the weights of a perceptron and its input."""
    weights = [normal(rng, width, width, scale=(2 / width) ** 0.5) for _ in range(layers)]
    return [a for w in weights for a in (w, normal(rng, width, scale=0.1))], [normal(rng, batch, width)]


def digits(rng: np.random.Generator, batch: int = 64) -> tuple[list, list]:
    """Return the weights of a perceptron of 784, 128 and 10 units, and its input."""
    weights = [normal(rng, a, b, scale=(2 / a) ** 0.5) for a, b in ((784, 128), (128, 10))]
    return [a for w in weights for a in (w, normal(rng, w.shape[1], scale=0.1))], [normal(rng, batch, 784)]


def perceptron(m: Any, params: list, data: list) -> Any:
    """Return the mean square of the last of some layers."""
    (x,) = data
    for weight, bias in zip(params[::2], params[1::2], strict=True):
        x = m.relu(x @ weight + bias)
    return (x * x).mean()


def block_data(rng: np.random.Generator, batch: int = 4, tokens: int = 128, width: int = 256) -> tuple[list, list]:
    dense = lambda a, b: normal(rng, a, b, scale=a**-0.5)
    params = [
        np.ones(width, np.float32), normal(rng, width, scale=0.1), dense(width, 3 * width), normal(rng, 3 * width, scale=0.1),
        dense(width, width), normal(rng, width, scale=0.1), np.ones(width, np.float32), normal(rng, width, scale=0.1),
        dense(width, 4 * width), normal(rng, 4 * width, scale=0.1), dense(4 * width, width), normal(rng, width, scale=0.1),
        normal(rng, batch, tokens, width),
    ]  # fmt: skip
    return params, [normal(rng, batch, tokens, width)]


def transformer_block(m: Any, params: list, data: list) -> Any:
    """Return a product with what a block of a transformer makes of its input, the last of the parameters."""
    g1, b1, w_in, b_in, w_out, b_out, g2, b2, w_up, b_up, w_down, b_down, x = params
    batch, tokens, width = x.shape

    def split(part: Any) -> Any:
        return part.reshape(batch, tokens, HEADS, width // HEADS).swapaxes(1, 2)

    h = m.layer_norm(x, g1, b1) @ w_in + b_in
    mixed = m.attention(*[split(h[..., i * width : (i + 1) * width]) for i in range(3)])
    x = x + mixed.swapaxes(1, 2).reshape(batch, tokens, width) @ w_out + b_out
    h = m.gelu(m.layer_norm(x, g2, b2) @ w_up + b_up)
    return ((x + h @ w_down + b_down) * data[0]).sum()


def lstm_data(
    rng: np.random.Generator, steps: int = 50, batch: int = 16, inputs: int = 32, hidden: int = 64
) -> tuple[list, list]:
    params = [
        normal(rng, inputs, 4 * hidden, scale=inputs**-0.5), normal(rng, hidden, 4 * hidden, scale=hidden**-0.5),
        normal(rng, 4 * hidden, scale=0.1),
    ]  # fmt: skip
    return params, [normal(rng, steps, batch, inputs), np.zeros((batch, hidden), np.float32)]


def lstm(m: Any, params: list, data: list) -> Any:
    """Return the sum of squares of an LSTM's last output, its steps written one after the other."""
    (w, u, b), (xs, h) = params, data
    c, n = h, h.shape[1]
    for t in range(xs.shape[0]):
        gates = xs[t] @ w + h @ u + b
        entry, forget, exit = (m.sigmoid(gates[:, k * n : (k + 1) * n]) for k in range(3))
        c = forget * c + entry * m.tanh(gates[:, 3 * n :])
        h = exit * m.tanh(c)
    return (h * h).sum()
