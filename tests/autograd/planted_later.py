"""More planted gradients, written when `explain` was there but without a look at its code; see `planted_gradients`."""

from __future__ import annotations

import numpy as np

import chainrule as cr

from .planted import planted

LATER: list = []


@planted(LATER, "nan", "indeterminate", at=(0, 0))
def normalised_embeddings():
    embeddings = cr.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)

    def similarity(embeddings):
        unit = embeddings / embeddings.norm(dim=1, keepdim=True)  # <- cause
        return (unit @ unit.T).sum()

    return similarity, embeddings


@planted(LATER, "nan", "infinite derivative", at=(1,))
def divergence_of_a_point():
    scale = cr.tensor([1.0, 0.0], requires_grad=True)

    def divergence(scale):
        variance = scale * scale
        logs = variance.log()  # <- cause
        return -0.5 * (1 + logs - variance).sum()

    return divergence, scale


@planted(LATER, "nan", "masked", at=(0,))
def masked_in_a_helper():
    weight = cr.tensor([0.0, 2.0], requires_grad=True)

    def safe_log(x):
        logs = cr.log(x)  # <- cause
        return cr.where(x > 0, logs, cr.zeros_like(x))  # <- mask

    def loss(weight):
        return safe_log(weight * weight).sum()

    return loss, weight


@planted(LATER, "nan", "overflow", at=(0,))
def hyperbolic_tangent_by_hand():
    x = cr.tensor([100.0, 2.0], requires_grad=True)

    def loss(x):
        above, below = cr.exp(x), cr.exp(-x)  # <- cause
        return ((above - below) / (above + below)).sum()

    return loss, x


@planted(LATER, "nan", "infinite derivative", at=(0,))
def fourth_root_of_a_square():
    x = cr.tensor([0.0, 2.0], requires_grad=True)

    def loss(x):
        square = x * x
        return (square**0.25).sum()  # <- cause

    return loss, x


@planted(LATER, "inf", "infinite derivative", at=(0,))
def distance_to_the_edge_of_the_disc():
    radius = cr.tensor([1.0, 0.5], requires_grad=True)

    def distance(radius):
        return cr.atanh(radius).sum()  # <- cause

    return distance, radius


@planted(LATER, "inf", "division by zero", at=(1,))
def potential_of_a_charge_at_the_point():
    r = cr.tensor([1.0, 0.0], requires_grad=True)

    def potential(r):
        return (1 / r).sum()  # <- cause

    return potential, r


@planted(LATER, "inf", "overflow", at=(0,))
def cube_of_a_large_number():
    x = cr.tensor([1e20, 2.0], requires_grad=True)

    def loss(x):
        return (x**3).sum()  # <- cause

    return loss, x


@planted(LATER, "zero", "dead relu", at=(1,))
def module_with_a_dead_unit():
    class Net(cr.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = cr.nn.Linear(2, 2), cr.nn.Linear(2, 1)
            with cr.no_grad():
                self.first.weight.copy_(cr.tensor([[0.5, -0.3], [0.2, 0.1]]))
                self.first.bias.copy_(cr.tensor([2.0, -20.0]))
                self.second.weight.fill_(1.0)
                self.second.bias.zero_()

        def forward(self, x):
            hidden = self.first(x)
            hidden = cr.nn.functional.relu(hidden)  # <- cause
            return self.second(hidden)

    net = Net()

    def loss(bias):
        return (net(cr.tensor([[1.0, 2.0], [0.3, 0.1]])) - 1).pow(2).mean()

    return loss, net.first.bias


@planted(LATER, "zero", "saturated", at=(0,))
def softmax_far_out():
    logits = cr.tensor([300.0, 0.0, -2.0], requires_grad=True)

    def loss(logits):
        p = cr.softmax(logits, dim=0)  # <- cause
        return (p * cr.tensor([1.0, 2.0, 3.0])).sum()

    return loss, logits


@planted(LATER, "zero", "not selected", at=(0, 0))
def word_that_does_not_occur():
    table = cr.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], requires_grad=True)

    def loss(table):
        words = cr.nn.functional.embedding(cr.tensor([1, 2, 1]), table)  # <- cause
        return (words**2).sum()

    return loss, table


@planted(LATER, "zero", "rounding", at=(0,))
def agreement_of_signs():
    weight = cr.tensor([0.4, -0.2], requires_grad=True)

    def loss(weight):
        return (cr.sign(weight) - 1).pow(2).sum()  # <- cause

    return loss, weight


@planted(LATER, "zero", "not selected", at=(0,))
def best_two():
    scores = cr.tensor([0.4, 0.2, 0.9, 0.5], requires_grad=True)

    def loss(scores):
        best, _ = scores.topk(2)  # <- cause
        return best.sum()

    return loss, scores


@planted(LATER, "zero", "clamp", at=(0,))
def hard_activation():
    x = cr.tensor([3.0, 0.5], requires_grad=True)

    def loss(x):
        return cr.nn.functional.hardtanh(x).pow(2).sum()  # <- cause

    return loss, x


@planted(LATER, "zero", "overwritten", at=(1, 1))
def corner_of_a_view():
    x = cr.tensor([[3.0, 0.5], [1.0, 2.0]], requires_grad=True)

    def loss(x):
        y = x * 2
        y[1, 1:].fill_(0.0)  # <- cause
        return (y * y).sum()

    return loss, x


@planted(LATER, "zero", "zero factor", at=(0, 0))
def head_that_starts_at_zero():
    body = cr.tensor([[0.3, 0.4], [0.1, 0.2]], requires_grad=True)
    head = cr.zeros(1, 2, requires_grad=True)

    def loss(body, head):
        hidden = cr.tanh(cr.tensor([[1.0, 2.0]]) @ body.T)
        return (cr.nn.functional.linear(hidden, head) - 1).pow(2).sum()  # <- cause

    return loss, (body, head)


@planted(LATER, "zero", "cancelled", at=(0,))
def probabilities_added_up():
    logits = cr.ones(4, requires_grad=True)

    def total(logits):
        p = logits.softmax(0)  # <- cause
        return p.sum()

    return total, logits


@planted(LATER, "none", "no_grad")
def features_by_a_decorated_function():
    weight = cr.tensor([[0.3], [0.4]], requires_grad=True)
    gain = cr.tensor(0.1, requires_grad=True)

    @cr.no_grad()
    def features(x, weight):
        return x @ weight  # <- cause

    def loss(weight, gain):
        return (features(cr.tensor([[1.0, 2.0]]), weight) * gain).sum()

    return loss, (weight, gain)


@planted(LATER, "none", "item")
def total_of_python_numbers():
    losses = cr.tensor([0.3, 0.4], requires_grad=True)
    gain = cr.tensor(0.1, requires_grad=True)

    def loss(losses, gain):
        total = 0.0
        for i in range(2):
            total += losses[i].item()  # <- cause
        return total * gain

    return loss, (losses, gain)


@planted(LATER, "none", "numpy")
def sorted_by_numpy():
    x = cr.tensor([0.3, 0.4], requires_grad=True)
    gain = cr.tensor(0.1, requires_grad=True)

    def loss(x, gain):
        values = np.asarray(x.detach())  # <- cause
        return (cr.tensor(np.sort(values)) * gain).sum()

    return loss, (x, gain)


@planted(LATER, "none", "detach")
def values_by_data():
    x = cr.tensor([0.3, 0.4], requires_grad=True)
    gain = cr.tensor(0.1, requires_grad=True)

    def loss(x, gain):
        values = x.data  # <- cause
        return (values * gain).sum()

    return loss, (x, gain)


@planted(LATER, "none", "argmax")
def order_of_the_keys():
    keys = cr.tensor([0.3, 0.4], requires_grad=True)
    values = cr.tensor([0.1, 0.2], requires_grad=True)

    def loss(keys, values):
        order = keys.argsort()  # <- cause
        return (values[order] * cr.tensor([1.0, 2.0])).sum()

    return loss, (keys, values)


@planted(LATER, "none", "frozen")
def weight_without_a_request():
    weight = cr.tensor([0.3, 0.4])
    bias = cr.tensor([0.1, 0.2], requires_grad=True)

    def loss(weight, bias):
        return (weight * bias).sum()

    return loss, (weight, bias)


@planted(LATER, "none", "custom rule")
def straight_through_forgotten():
    class Quantised(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, gain):
            return x.round() * gain

        @staticmethod
        def backward(ctx, g):
            return None, g

    x = cr.tensor([0.3, 0.4], requires_grad=True)
    gain = cr.tensor([0.1, 0.2], requires_grad=True)

    def loss(x, gain):
        return Quantised.apply(x, gain).sum()  # <- cause

    return loss, (x, gain)


@planted(LATER, "none", "no_grad")
def grad_switched_off_by_a_flag():
    x = cr.tensor([0.3, 0.4], requires_grad=True)
    gain = cr.tensor([0.1, 0.2], requires_grad=True)

    def loss(x, gain):
        with cr.set_grad_enabled(False):
            doubled = x * 2  # <- cause
        return (doubled * gain).sum()

    return loss, (x, gain)


@planted(LATER, "zero", "stationary", at=(0,))
def heading_at_rest():
    speed = cr.zeros(2, requires_grad=True)

    def heading(speed):
        return 2 * cr.atan2(speed[1], speed[0])  # <- cause

    return heading, speed


@planted(LATER, "zero", "underflow", at=(0,))
def product_of_small_likelihoods():
    likelihoods = cr.tensor([1e-20, 1e-20, 1e-20, 1e-10], requires_grad=True)

    def loss(likelihoods):
        return likelihoods.prod()  # <- cause

    return loss, likelihoods


@planted(LATER, "zero", "masked", at=(1,))
def product_with_a_mask():
    weight = cr.tensor([0.4, 0.2, 0.9], requires_grad=True)
    mask = cr.tensor([True, False, True])

    def loss(weight):
        kept = weight.exp() * mask  # <- cause
        return kept.sum() / mask.sum()

    return loss, weight
