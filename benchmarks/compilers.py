"""The libraries beside which compiled functions are timed, as functions of arrays are written in each.

A formula is written once, over a library's `names`: its functions under one set of names. What differs besides is how arrays
are made and read, how a gradient or a Jacobian is asked for, and how a function is compiled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

LIBRARIES = ("chainrule", "eager", "torch", "torch.compile", "jax.jit", "drjit")
SHARED = "exp log sqrt sin cos tanh stack einsum maximum"


class Arrays:
    """What all libraries share: nested lists of arrays made, and results read, in order."""

    names: Any
    version: str

    def __init__(self, name: str) -> None:
        self.name = name

    def array(self, values: Any) -> Any:
        raise NotImplementedError

    def arrays(self, values: Any) -> Any:
        """Return nested lists of this library's arrays."""
        return [self.arrays(v) for v in values] if isinstance(values, (list, tuple)) else self.array(values)

    def read(self, value: Any) -> np.ndarray:
        return np.array(value)

    def finish(self, results: Any) -> Any:
        """Wait until results are there."""
        return results

    def compiled(self, f: Callable) -> Callable:
        return f

    def loop(self, f: Callable, carry: Any, rows: Any, n: int) -> tuple[Any, list]:
        """Return what is left of `carry`, and what each of `n` steps ``carry, out = f(carry, row)`` gave."""
        outs = []
        for i in range(n):
            carry, out = f(carry, rows[i])
            outs.append(out)
        return carry, outs


class Tensors(Arrays):
    """chainrule or PyTorch, eager or compiled."""

    dialect = "tape"

    def __init__(self, name: str, lib: Any, compile: Callable | None = None) -> None:
        super().__init__(name)
        self.lib, self.version, self.compile = lib, lib.__version__, compile
        functional = lib.nn.functional
        self.names = SimpleNamespace(
            **{word: getattr(lib, word) for word in f"{SHARED} erf sigmoid relu softmax logsumexp".split()},
            concatenate=lib.cat, gelu=functional.gelu, attention=functional.scaled_dot_product_attention,
            layer_norm=lambda x, w, b: functional.layer_norm(x, w.shape, w, b),
        )  # fmt: skip

    def array(self, values: Any) -> Any:
        return self.lib.tensor(values)

    def leaf(self, values: Any) -> Any:
        return self.lib.tensor(values, requires_grad=True)

    def read(self, value: Any) -> np.ndarray:
        return np.array(value.detach().numpy())

    def compiled(self, f: Callable) -> Callable:
        return f if self.compile is None else self.compile(f)

    def threads(self, number: int) -> None:
        self.lib.set_num_threads(number)

    def gradient(self, f: Callable, whole: bool = True, outside: bool = False) -> Callable:
        """Return the function of (params, data) that gives f and the gradients of the sum of its elements.

        Eager, and for PyTorch's compiler unless `whole`, by `autograd.grad`: what a user writes, and the faster form. With
        `outside` by a backward pass through what is compiled for chainrule, too.
        """
        grad_and_value = self.lib.func.grad_and_value

        def of_all(params: list, data: list) -> tuple:
            y = f(self.names, params, data)
            return y.sum(), y

        def composed(params: list, data: list) -> list:
            gradients, (_, y) = grad_and_value(of_all, has_aux=True)(params, data)
            return [y, *gradients]

        if self.compile is not None and not outside and (whole or self.name == "chainrule"):
            return self.compile(composed)
        forward = self.compiled(lambda params, data: f(self.names, params, data))

        def recorded(params: list, data: list) -> list:
            leaves = [p.detach().requires_grad_() for p in params]
            y = forward(leaves, data)
            return [y.detach(), *self.lib.autograd.grad(y.sum(), leaves)]

        return recorded

    def jacobian(self, f: Callable, argnums: Any, mode: str, batched: bool = False) -> Callable:
        """Return the Jacobian of ``f(names, *args)``, under `vmap` if `batched`, compiled."""
        func = self.lib.func
        of = {"forward": func.jacfwd, "reverse": func.jacrev}[mode](lambda *args: f(self.names, *args), argnums)
        return self.compiled(func.vmap(of) if batched else of)


class Jax(Arrays):
    """JAX, under ``jax.jit``."""

    dialect = "functional"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        import jax

        jax.config.update("jax_enable_x64", True)
        jnp, nn = jax.numpy, jax.nn
        self.jax, self.version, self.np = jax, jax.__version__, jnp
        self.value_and_grad, self.relu, self.sigmoid, self.logsumexp = jax.value_and_grad, nn.relu, nn.sigmoid, nn.logsumexp

        def layer_norm(x: Any, w: Any, b: Any) -> Any:
            centered = x - x.mean(-1, keepdims=True)
            return centered / jnp.sqrt((centered * centered).mean(-1, keepdims=True) + 1e-5) * w + b

        def attention(q: Any, k: Any, v: Any) -> Any:
            return nn.softmax(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5, -1) @ v

        self.names = SimpleNamespace(
            **{word: getattr(jnp, word) for word in f"{SHARED} concatenate".split()},
            **{word: getattr(nn, word) for word in ("sigmoid", "relu", "softmax", "logsumexp")}, erf=jax.scipy.special.erf,
            gelu=lambda x: nn.gelu(x, approximate=False), attention=attention, layer_norm=layer_norm,
        )  # fmt: skip

    def array(self, values: Any) -> Any:
        return self.np.asarray(values)

    def finish(self, results: Any) -> Any:
        return self.jax.block_until_ready(results)

    def compiled(self, f: Callable) -> Callable:
        return self.jax.jit(f)

    def gradient(self, f: Callable, whole: bool = True) -> Callable:
        def of_all(params: list, data: list) -> tuple:
            y = f(self.names, params, data)
            return y.sum(), y

        def composed(params: list, data: list) -> list:
            (_, y), gradients = self.jax.value_and_grad(of_all, has_aux=True)(params, data)
            return [y, *gradients]

        return self.jax.jit(composed)

    def jacobian(self, f: Callable, argnums: Any, mode: str, batched: bool = False) -> Callable:
        of = {"forward": self.jax.jacfwd, "reverse": self.jax.jacrev}[mode](lambda *args: f(self.names, *args), argnums)
        return self.jax.jit(self.jax.vmap(of) if batched else of)

    def loop(self, f: Callable, carry: Any, rows: Any, n: int) -> tuple[Any, list]:
        """`lax.scan`, which JAX has for this: a loop of Python's is unrolled, and takes XLA minutes."""
        return self.jax.lax.scan(f, carry, rows[:n])


class DrJit(Arrays):
    """Dr.Jit on its LLVM backend: elementwise work on flat arrays; a function is frozen, so that no later call traces it."""

    dialect = "elementwise"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        import drjit as dr
        from drjit.llvm.ad import Float32

        Float32(1)  # raises where there is no libLLVM for it
        self.dr, self.Float32, self.version = dr, Float32, dr.__version__
        self.names = SimpleNamespace(
            exp=dr.exp, log=dr.log, sqrt=dr.sqrt, sin=dr.sin, cos=dr.cos, tanh=dr.tanh, erf=dr.erf, maximum=dr.maximum
        )

    def array(self, values: Any) -> Any:
        made = self.Float32(np.ravel(np.asarray(values, np.float32)))
        self.dr.eval(made)
        return made

    def finish(self, results: Any) -> Any:
        self.dr.eval(results)
        self.dr.sync_thread()
        return results

    def gradient(self, f: Callable, whole: bool = True) -> Callable:
        dr = self.dr

        def composed(params: list, data: list) -> list:
            leaves = [self.Float32(p) for p in params]
            dr.enable_grad(leaves)
            y = f(self.names, leaves, data)
            dr.backward(y)
            return [dr.detach(y), *[dr.grad(p) for p in leaves]]

        return dr.freeze(composed)


def load(name: str) -> Arrays:
    """Return a library.

    Raises
    ------
    ImportError
        If it is not installed.
    RuntimeError
        If it does not run here.
    """
    if name in ("chainrule", "eager"):
        import chainrule

        return Tensors(name, chainrule, chainrule.compile if name == "chainrule" else None)
    if name in ("torch", "torch.compile"):
        import torch

        return Tensors(name, torch, torch.compile if name == "torch.compile" else None)
    return {"jax.jit": Jax, "drjit": DrJit}[name](name)


def same(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], where: str, rounding: float) -> None:
    """Raise AssertionError where arrays differ by more than a part of the largest number of each."""
    assert len(found) == len(expected), f"{where}: {len(found)} results, not {len(expected)}"
    for a, b in zip(found, expected, strict=True):
        a = a.reshape(b.shape) if a.size == b.size else a
        np.testing.assert_allclose(a, b, rtol=0, atol=rounding * float(np.abs(b).max(initial=1e-30)), err_msg=where)
