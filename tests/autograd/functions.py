"""The functions of the tests of `autograd.Function`, of either library, and what a program with them gives."""

from __future__ import annotations

import warnings

import numpy as np

from chainrule.core.types.tree import tree_flatten


def functions(lib):
    """Return the `Function` subclasses that the cases use, of a library."""

    class Square(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.note = "kept"
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

        @staticmethod
        def jvp(ctx, t):
            return t

    class Exp(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    class Scale(lib.autograd.Function):
        """In the style with `setup_context`."""

        @staticmethod
        def forward(x, by=2.0, offset=0.0):
            return x * by + offset

        @staticmethod
        def setup_context(ctx, inputs, output):
            _, ctx.by, ctx.offset = inputs
            assert not lib.is_grad_enabled()
            assert not output.requires_grad

        @staticmethod
        def backward(ctx, g):
            return g * ctx.by, None, None

    class Several(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, k, y=None):
            ctx.k = k
            return x * k, "text", x + 1, None

        @staticmethod
        def backward(ctx, *gs):
            Several.seen = gs
            return gs[0] * ctx.k + gs[2], None, None

    class Returns(lib.autograd.Function):
        """`backward` returns what it is told to."""

        @staticmethod
        def forward(ctx, x, what):
            ctx.what = what
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return ctx.what(g)

    class Same(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return 3 * g

    class View(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view(-1)

        @staticmethod
        def backward(ctx, g):
            return 3 * g.view(1, 3)

    class Double(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, returned=True):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x if returned else x * 1

        @staticmethod
        def backward(ctx, g):
            return 2 * g, None

    class Constant(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, materialize, constants=True):
            ctx.set_materialize_grads(materialize)
            ctx._materialize_non_diff_grads = constants
            a, b = x * 2, x * 3
            ctx.mark_non_differentiable(b)
            return a, b, x.long()

        @staticmethod
        def backward(ctx, *gs):
            Constant.seen = gs
            return gs[0], None, None

    class Once(lib.autograd.Function):
        clear_saved_tensors_on_access = True

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0] * (ctx.saved_tensors[0] if Once.twice else 1)

    Once.twice = False

    class Boxed(lib.autograd.Function):
        boxed_grads_call = True

        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, gs):
            total = 2 * gs[0] + 3 * gs.pop()
            gs.clear()
            return total

    class Sine(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @lib.autograd.function.once_differentiable
        def backward(ctx, g):
            assert not lib.is_grad_enabled()
            return g * ctx.saved_tensors[0].cos()

    class Modes(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, n):
            Modes.log = [lib.is_grad_enabled(), x.requires_grad, ctx.needs_input_grad, len(ctx.next_functions)]
            ctx.save_for_backward(x, None, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, none, y = ctx.saved_tensors
            Modes.log += [lib.is_grad_enabled(), ctx.needs_input_grad, none, x.requires_grad, y.requires_grad]
            return g * y, g * x, None

    class Vjp(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def vjp(ctx, g):
            return 2 * g

    class Both(Vjp):
        @staticmethod
        def backward(ctx, g):
            return 2 * g

    class Bare(lib.autograd.Function):
        pass

    class Forward(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, what=None):
            return x * 2 if what is None else what(ctx, x)

    return {k: v for k, v in locals().items() if k != "lib"}


def leaf(lib, *shape):
    return lib.arange(1.0, 4.0).reshape(shape or (3,)).requires_grad_()


def plain(value):
    """Return a value in terms that both libraries share."""
    if hasattr(value, "detach"):
        numbers = np.vectorize(lambda x: float(f"{x:.5g}"), otypes=[float])(value.detach().numpy())
        return str(value.dtype).partition(".")[2], numbers.tolist(), value.requires_grad
    if isinstance(value, str):
        return value.rpartition("::")[2]
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value


def outcome(case, lib, table):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = plain(case(lib, table))
        except Exception as error:
            result = type(error).__name__, " ".join(str(error).replace("torch", "chainrule").split()[:9])
    return result, [(w.category.__name__, " ".join(str(w.message).replace("torch", "chainrule").split()[1:8])) for w in caught]


def close(a, b):
    for x, y in zip(tree_flatten(a)[0], tree_flatten(b)[0], strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-10, atol=1e-12)
