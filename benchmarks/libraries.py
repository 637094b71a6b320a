"""The libraries that are compared, in the two dialects that automatic differentiation is written in.

chainrule and PyTorch share one dialect, down to the names, so their cases are one text given another module. JAX and
HIPS autograd share the other: pure functions of arrays, and `value_and_grad`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

PEERS = ("torch", "jax", "autograd")


class Tape:
    """chainrule or PyTorch: tensors that record, and `backward`."""

    dialect = "tape"

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self.version = module.__version__
        self.lib = module

    def compiled(self, step: Callable) -> Callable:
        """Return the step as it is: `benchmarks.compilers` compiles."""
        return step

    def array(self, values: Any) -> Any:
        return self.lib.tensor(values)

    def leaf(self, values: Any) -> Any:
        return self.lib.tensor(values, requires_grad=True)

    def read(self, value: Any) -> np.ndarray:
        return np.array(value.detach().numpy())


class Functional:
    """JAX or HIPS autograd: `value_and_grad` of functions of arrays."""

    dialect = "functional"

    def __init__(
        self,
        name: str,
        version: str,
        np: Any,
        value_and_grad: Callable,
        array: Callable,
        functions: dict[str, Callable],
        compiled: Callable = lambda f: f,
        finish: Callable = lambda result: result,
    ) -> None:
        self.name = name
        self.version = version
        self.np = np
        self.value_and_grad = value_and_grad
        self.array = array
        self.relu = functions["relu"]
        self.sigmoid = functions["sigmoid"]
        self.logsumexp = functions["logsumexp"]
        self.compiled = compiled
        self.finish = finish

    def read(self, value: Any) -> np.ndarray:
        return np.array(value)


def chainrule() -> list:
    import chainrule

    return [Tape("chainrule", chainrule)]


def torch() -> list:
    import torch

    return [Tape("torch", torch)]


def jax() -> list:
    """Return JAX as it is, op by op, and with every step under ``jax.jit``."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    functions = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "logsumexp": jax.nn.logsumexp}
    # JAX returns before the work is done; its steps wait for it, as the others' do by themselves.
    common = (jax.__version__, jax.numpy, jax.value_and_grad, jax.numpy.asarray, functions)
    return [
        Functional("jax", *common, finish=jax.block_until_ready),
        Functional("jax.jit", *common, compiled=jax.jit, finish=jax.block_until_ready),
    ]


def autograd() -> list:
    from importlib.metadata import version

    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.special import expit, logsumexp

    functions = {"relu": lambda x: anp.maximum(x, 0), "sigmoid": expit, "logsumexp": logsumexp}
    as_float32 = lambda values: np.asarray(values, np.float32)[()]
    return [Functional("autograd", version("autograd"), anp, value_and_grad, as_float32, functions)]


def load(peers: tuple[str, ...] = PEERS) -> tuple[list, list[str]]:
    """Return chainrule and the installed peers, and the names of those that are missing."""
    found, missing = chainrule(), []
    for name in peers:
        if importlib.util.find_spec(name) is None:
            missing.append(name)
        else:
            found += {"torch": torch, "jax": jax, "autograd": autograd}[name]()
    return found, missing
