"""Programs whose gradients have something to explain: each returns its loss and the tensor asked about.

The line that is to be named ends in ``# here``.
"""

from __future__ import annotations

import copy

import numpy as np

import chainrule as cr
from chainrule import nn
from chainrule.nn import functional as F

PROGRAMS: list = []


def program(kind, cause, element=None):
    """Note what is to be said of a program."""

    def noted(f):
        PROGRAMS.append((f, kind, cause, element))
        return f

    return noted


def leaf(*values):
    return cr.tensor(list(values), dtype=cr.float64, requires_grad=True)


# -- nan ---------------------------------------------------------------------------------------------------------------


@program("nan", "masked", (1,))
def masked_root():
    x = leaf(4.0, 0.0)
    root = x.sqrt()  # here
    return cr.where(x > 0, root, 0.0).sum(), x


@program("nan", "masked", (2,))
def sliced_log():
    x = leaf(1.0, 2.0, 0.0)
    y = x.log()  # here
    return y[:2].sum(), x


@program("nan", "infinite derivative", (0,))
def distance_to_itself():
    a = leaf(1.0, 2.0)
    b = cr.tensor([1.0, 2.0], dtype=cr.float64)
    squares = (a - b) ** 2
    return squares.sum().sqrt(), a  # here


@program("nan", "outside the domain", (1,))
def root_of_a_negative():
    x = leaf(1.0, 2.0)
    inside = 2.5 - x * x
    y = inside.sqrt()  # here
    return (y * 3).sum(), x


@program("nan", "overflow")
def softmax_by_hand():
    x = leaf(1000.0, 1.0)
    e = x.exp()  # here
    p = e / e.sum()
    return -p[0].log(), x


@program("nan", "bad data")
def data_with_a_gap():
    w = leaf(1.0, 2.0)
    data = cr.tensor([[1.0, float("nan")], [2.0, 3.0]], dtype=cr.float64)
    return ((data @ w) ** 2).mean(), w


@program("nan", "indeterminate", (0,))
def entropy_of_a_certain_choice():
    p = leaf(0.0, 1.0)
    logs = p.log()
    return -(p * logs).sum(), p  # here


@program("nan", "indeterminate")
def softmax_of_a_row_that_is_masked():
    x = cr.zeros(2, 3, requires_grad=True)
    mask = cr.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    scores = x + cr.where(mask > 0, -cr.inf, 0.0)
    weights = scores.softmax(-1)  # here
    return (weights**2).sum(), x


class Bad(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.abs()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x / x.abs()


@program("nan", "custom rule", (1,))
def function_of_ones_own():
    x = leaf(1.0, 0.0)
    y = Bad.apply(x)  # here
    return y.sum(), x


@program("nan", "hook")
def hook_that_divides():
    x = leaf(1.0, 2.0)
    y = x * 2
    y.register_hook(lambda g: g / 0 * 0)
    return y.sum(), x


# -- inf ---------------------------------------------------------------------------------------------------------------


@program("inf", "infinite derivative", (0,))
def root_at_zero():
    x = leaf(0.0, 1.0)
    return x.sqrt().sum(), x  # here


@program("inf", "division by zero", (1,))
def quotient_by_zero():
    a, b = leaf(1.0, 2.0), leaf(2.0, 0.0)
    ratio = a / b  # here
    return ratio.sum(), a


@program("inf", "overflow", (1,))
def exponential():
    x = leaf(1.0, 800.0)
    grown = x.exp()  # here
    return grown.sum(), x


@program("inf", "gradient overflow")
def factors_that_grow():
    x = leaf(1e-300)
    y = x
    for _ in range(40):
        y = y * 1e10  # here
    return y.sum(), x


# -- zero --------------------------------------------------------------------------------------------------------------


@program("zero", "dead relu")
def dead_unit():
    w = leaf(-1.0, -2.0)
    data = cr.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=cr.float64)
    hidden = (data @ w).relu()  # here
    return hidden.sum(), w


@program("zero", "dead relu")
def dead_layer():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    with cr.no_grad():
        net[0].bias.fill_(-100.0)
    out = net(cr.ones(5, 3))  # here
    return out.sum(), net[0].weight


@program("zero", "saturated", (1,))
def saturated():
    x = leaf(0.5, 50.0)
    return x.tanh().sum(), x  # here


@program("zero", "clamp", (0,))
def clamped():
    x = leaf(-3.0, 0.5)
    y = x.clamp(-1, 1)  # here
    return (y * y).sum(), x


@program("zero", "rounding")
def quantised():
    x = leaf(0.4, 1.7)
    q = (x * 10).round() / 10  # here
    return ((q - 1) ** 2).sum(), x


@program("zero", "not selected", (0,))
def largest():
    x = leaf(1.0, 3.0, 2.0)
    return x.max(), x  # here


@program("zero", "masked", (1,))
def masked():
    x = leaf(1.0, 2.0, 3.0)
    keep = cr.tensor([True, False, True])
    kept = cr.where(keep, x * x, 0.0)  # here
    return kept.sum(), x


@program("zero", "not selected", (0,))
def sliced():
    x = leaf(1.0, 2.0, 3.0)
    tail = x[1:]  # here
    return (tail**2).sum(), x


@program("zero", "zero factor")
def times_zero():
    x = leaf(1.0, 2.0)
    weight = 0.0
    penalty = weight * x.pow(2).sum()  # here
    return penalty, x


@program("zero", "overwritten", (0,))
def overwritten():
    x = leaf(1.0, 2.0)
    y = x * 2
    y[0] = 5.0  # here
    return y.sum(), x


@program("zero", "cancelled")
def softmax_summed():
    x = leaf(1.0, 2.0)
    a = x * 3
    return (a - a).sum(), x  # here


@program("zero", "stationary", (0,))
def bottom_of_a_parabola():
    x = leaf(0.0, 1.0)
    return (x**2).sum(), x  # here


@program("zero", "underflow", (0,))
def likelihood():
    x = leaf(-800.0, 1.0)
    p = x.exp()  # here
    return p.sum(), x


@program("zero", "zero factor")
def dead_weights():
    x = leaf(1.0, 2.0)
    w = cr.zeros(2, 2, dtype=cr.float64)
    return ((w @ x) + 1).sum(), x  # here


# -- none --------------------------------------------------------------------------------------------------------------


@program("none", "detach")
def detached():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    target = x.detach() * 2  # here
    return ((w - target) ** 2).sum(), x


@program("none", "detach")
def by_data():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = x.data.exp()  # here
    return (w * y).sum(), x


@program("none", "no_grad")
def teacher():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    with cr.no_grad():
        y = x.exp()  # here
    return (w * y).sum(), x


@program("none", "integer cast")
def cast():
    x, w = leaf(1.2, 2.7), leaf(3.0, 4.0)
    bins = x.long()  # here
    return (w * bins).sum(), x


@program("none", "argmax")
def chosen():
    logits, values = leaf(0.1, 2.0), leaf(3.0, 4.0)
    best = logits.argmax()  # here
    return values[best], logits


@program("none", "comparison")
def compared():
    x, w = leaf(0.1, 2.0), leaf(3.0, 4.0)
    mask = x > 1  # here
    return (w * mask).sum(), x


@program("none", "item")
def by_item():
    x, w = leaf(2.0), leaf(3.0, 4.0)
    scale = x.item()  # here
    return (w * scale).sum(), x


@program("none", "numpy")
def by_numpy():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    grown = np.exp(x.detach().numpy())  # here
    return (w * cr.from_numpy(grown)).sum(), x


@program("none", "item")
def by_branch():
    x, w = leaf(2.0), leaf(3.0, 4.0)
    if x > 1:  # here
        w = w * 2
    return w.sum(), x


@program("none", "copied")
def made_anew():
    x = leaf(1.0, 2.0)
    y = cr.tensor([x[0] * 2, x[1]], requires_grad=True)  # here
    return (y**2).sum(), x


@program("none", "copied")
def parameter_of_it():
    x = leaf(1.0, 2.0)
    p = nn.Parameter(x)  # here
    return (p**2).sum(), x


@program("none", "unused")
def unused():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = x * w  # here
    y = w * 2
    return y.sum(), x


@program("none", "frozen")
def frozen():
    w = leaf(3.0, 4.0)
    x = cr.tensor([1.0, 2.0], dtype=cr.float64)  # here
    return (x * w).sum(), x


@program("none", "not a leaf")
def scaled():
    x = leaf(1.0, 2.0) * 0.1  # here
    return (x**2).sum(), x


@program("none", "custom rule")
def function_that_returns_none():
    class Half(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g, None

    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    z = Half.apply(w, x)  # here
    return z.sum(), x


@program("zero", "random")
def drawn():
    x, w = leaf(0.4, 0.6), leaf(3.0, 4.0)
    coin = cr.bernoulli(x)  # here
    return F.mse_loss(w, coin), x


# -- further ones, by mechanism --------------------------------------------------------------------------------------------


@program("nan", "masked", (0,))
def mask_by_a_factor():
    x = leaf(0.0, 1.0)
    root = x.sqrt()  # here
    return (root * cr.tensor([0.0, 1.0])).sum(), x


@program("nan", "indeterminate", (0,))
def standardised_constant():
    x = leaf(1.0, 1.0)
    z = (x - x.mean()) / x.std()  # here
    return (z**2).sum(), x


@program("inf", "gradient overflow", (0,))
def quotient_by_a_small_number():
    x = cr.tensor([1e-25, 0.1], requires_grad=True)
    inverse = 1 / x  # here
    return inverse.sum(), x


@program("inf", "infinite derivative", (0,))
def logarithm_at_its_pole():
    x = leaf(-1.0, 1.0)
    return x.log1p().sum(), x  # here


@program("zero", "saturated", (0,))
def cross_entropy_of_a_sure_net():
    x = leaf(2000.0, 0.0, 0.0)
    return F.cross_entropy(x[None], cr.tensor([0])), x  # here


@program("zero", "cancelled", (0,))
def normalised_and_summed():
    x = leaf(0.0, 0.0)
    return x.softmax(0).sum(), x  # here


@program("zero", "not selected", (0, 0, 0, 0))
def pooled():
    x = cr.arange(16.0).reshape(1, 1, 4, 4).requires_grad_()
    return F.max_pool2d(x, 2).sum(), x  # here


@program("zero", "not selected", (1, 0))
def word_that_does_not_occur():
    words = nn.Embedding(4, 2)
    return words(cr.tensor([0, 2])).sum(), words.weight  # here


@program("zero", "random")
def dropped_out():
    x = leaf(1.0, 2.0)
    kept = F.dropout(x, p=0.9999999)  # here
    return kept.sum(), x


@program("zero", "overwritten", (0,))
def filled_in_place():
    x = leaf(1.0, 2.0)
    y = x * 1
    y.masked_fill_(cr.tensor([True, False]), 0.0)  # here
    return y.sum(), x


@program("zero", "saturated", (0,))
def flat_tail_of_an_activation():
    x = leaf(-2000.0, 2.0)
    return F.silu(x).sum(), x  # here


@program("zero", "hook")
def hook_that_blocks():
    x = leaf(1.0, 2.0)
    y = x * 2
    y.register_hook(lambda g: g * 0)  # here
    return y.sum(), x


@program("zero", "underflow", (0,))
def half_precision():
    x = cr.tensor([1.0, 2.0], dtype=cr.float16, requires_grad=True)
    small = x * 1e-6  # here
    return small.sum() * 1e-4, x


@program("zero", "clamp", (0,))
def branch_that_is_not_taken_is_no_cause():
    x = leaf(3.0, 1.0)
    kept = x.clamp(0.8, 1.2)  # here
    return cr.minimum(x * 2, kept * 2).sum(), x


@program("none", "copied")
def deep_copy():
    x = leaf(1.0, 2.0)
    mine = copy.deepcopy(x)  # here
    return (mine**2).sum(), x


class Marked(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x * 2
        ctx.mark_non_differentiable(y)
        return y

    @staticmethod
    def backward(ctx, g):
        return g


@program("none", "custom rule")
def marked_as_constant():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = Marked.apply(x)  # here
    return (w * y).sum(), x


@program("none", "no_grad")
def under_a_decorator():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)

    @cr.no_grad()
    def encode(x):
        return x.exp()  # here

    return (w * encode(x)).sum(), x


@program("none", "item")
def through_a_list():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    largest = max(x.tolist())  # here
    return (w / largest).sum(), x


@program("none", "copied")
def parameter_put_in_its_place():
    net = nn.Linear(2, 1)
    old = net.weight
    net.weight = nn.Parameter(old.clone())  # here
    return net(cr.ones(1, 2)).sum(), old


@program("zero", "masked", (1,))
def branch_inside_a_function_is_no_cause():
    x = leaf(1.0, 2.0)
    y = F.softplus(x)
    kept = y.masked_fill(cr.tensor([False, True]), 0.0)  # here
    return kept.sum(), x


@program("none", "no_grad")
def cut_that_leads_elsewhere_is_no_cause():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    shown = (x > 1).sum()
    assert shown.ndim == 0
    with cr.no_grad():
        y = x * 2  # here
    return (w * y).sum(), x


@program("zero", "stationary", (0,))
def angle_of_nothing():
    v = leaf(0.0, 0.0)
    return cr.atan2(v[1], v[0]) * 2, v  # here


@program("zero", "underflow", (0,))
def product_of_small_numbers():
    w = cr.tensor([1e-20, 1e-20, 1e-20, 1e-10], requires_grad=True)
    return w.prod(), w  # here


@program("zero", "masked", (0,))
def times_a_mask():
    w = leaf(1.0, 2.0)
    mask = cr.tensor([False, True])
    return (w.exp() * mask).sum(), w  # here
