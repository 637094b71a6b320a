"""Planted gradients in whole training programs: optimisers, modules, half precision, `vmap`, transforms, custom functions.

What the right answer is was written down before any of them was run; see `planted_gradients`.
"""

from __future__ import annotations

import numpy as np

import chainrule as cr

from .planted import planted

TRAINING: list = []

# What went wrong was computed of constants, of which a graph has nothing: a run of the function alone tells it.
OF_CONSTANTS = ("evaluation_with_a_negative_running_variance", "data_scaled_by_a_spread_of_zero")


@planted(TRAINING, "inf", "bad data", at=(0,))
def steps_that_were_too_large():
    weight = cr.tensor([3.0, 0.1], requires_grad=True)
    optimizer = cr.optim.SGD([weight], lr=1e30)
    for _ in range(2):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()
    optimizer.zero_grad()

    def loss(weight):
        squares = weight * weight  # <- cause
        return squares.sum()

    return loss, weight


@planted(TRAINING, "nan", "outside the domain", at=(0, 0))
def evaluation_with_a_negative_running_variance():
    norm = cr.nn.BatchNorm1d(2)
    norm.running_var.copy_(cr.tensor([-0.5, 1.0]))
    norm.eval()
    x = cr.tensor([[0.3, 0.4], [0.1, -0.2]], requires_grad=True)

    def loss(x):
        out = norm(x)  # <- cause
        return (out * cr.tensor([1.0, 2.0])).sum()

    return loss, x


@planted(TRAINING, "nan", "indeterminate", at=(0, 0))
def masked_attention_module_with_a_row_of_padding():
    query = cr.tensor([[0.1, 0.2], [0.3, 0.4]])
    key = cr.tensor([[0.5, -0.6], [0.7, 0.8]], requires_grad=True)
    allowed = cr.tensor([[True, False], [False, False]])

    class Attention(cr.nn.Module):
        def forward(self, query, key):
            scores = (query @ key.T).masked_fill(~allowed, -float("inf"))
            shares = cr.softmax(scores, -1)  # <- cause
            return shares @ key

    attention = Attention()
    return (lambda key: attention(query, key).pow(2).sum()), key


@planted(TRAINING, "nan", "overflow", at=(0,))
def half_precision_logits():
    x = cr.tensor([30.0, 1.0], requires_grad=True)

    def loss(x):
        h = x.to(cr.float16)
        energy = h.exp()  # <- cause
        return (energy / energy.sum()).float().pow(2).sum()

    return loss, x


@planted(TRAINING, "inf", "gradient overflow", at=(0,))
def loss_scale_that_has_grown_too_far():
    x = cr.tensor([0.5, 0.25], requires_grad=True)

    def loss(x):
        h = x.to(cr.float16) * 0.5
        out = h.to(cr.float32)  # <- cause
        return out.sum() * 2.0**20

    return loss, x


@planted(TRAINING, "nan", "infinite derivative", at=(0,))
def spectrum_in_decibels():
    signal = cr.zeros(4, requires_grad=True)

    def loss(signal):
        power = cr.fft.rfft(signal).abs() ** 2
        return (10 * power.log10()).sum()  # <- cause

    return loss, signal


@planted(TRAINING, "nan", "indeterminate", at=(1, 0))
def losses_of_examples_by_vmap():
    vectors = cr.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)

    def cosine(v):
        unit = v / v.norm()  # <- cause
        return 1 - unit[0]

    return (lambda vectors: cr.func.vmap(cosine)(vectors).sum()), vectors


@planted(TRAINING, "inf", "infinite derivative", at=(0,))
def force_from_a_potential():
    x = cr.tensor([0.0, 1.0], requires_grad=True)

    def loss(x):
        energy = lambda x: (x**1.5).sum()
        force = cr.func.grad(energy)(x)  # <- cause
        return force.sum()

    return loss, x


@planted(TRAINING, "nan", "custom rule", at=(1,))
def straight_through_that_divides():
    x = cr.tensor([0.5, 0.0], requires_grad=True)

    class Sign(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sign()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x / x.abs()

    def loss(x):
        return Sign.apply(x * 1.0).sum()  # <- cause

    return loss, x


@planted(TRAINING, "nan", "indeterminate", at=(0, 0))
def data_scaled_by_a_spread_of_zero():
    features = cr.tensor([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    layer = cr.nn.Linear(2, 1)

    def loss(weight):
        scaled = (features - features.mean(0)) / features.std(0)  # <- cause
        return (cr.nn.functional.linear(scaled, weight, layer.bias.detach()) ** 2).mean()

    return loss, cr.tensor([[0.2, 0.4]], requires_grad=True)


@planted(TRAINING, "zero", "not selected", at=(1, 0))
def embedding_of_a_token_never_seen():
    table = cr.nn.Embedding(4, 2)
    with cr.no_grad():
        table.weight.copy_(cr.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]]))

    def loss(weight):
        words = table(cr.tensor([[0, 2], [3, 0]]))  # <- cause
        return cr.nn.functional.cross_entropy(words.mean(1), cr.tensor([0, 1]))

    return loss, table.weight


@planted(TRAINING, "zero", "underflow", at=(0,))
def state_that_a_recurrence_forgets():
    start = cr.tensor([0.5, -0.3], requires_grad=True)
    weight = cr.tensor([0.02, 0.9])

    def loss(start):
        h = start
        for _ in range(40):
            h = cr.tanh(h * weight)  # <- cause
        return h.sum()

    return loss, start


@planted(TRAINING, "zero", "underflow", at=(0, 0, 0))
def module_that_forgets_its_first_state():
    cell = cr.nn.RNN(1, 2, batch_first=True)
    with cr.no_grad():
        for weight in cell.parameters():
            weight.fill_(0.001)
    steps = cr.tensor([[[0.1]] * 60])

    def loss(start):
        out, _ = cell(steps, start)  # <- cause
        return out[:, -1].sum()

    return loss, cr.zeros(1, 1, 2, requires_grad=True)


@planted(TRAINING, "zero", "saturated", at=(0, 0, 0))
def state_behind_a_saturated_step():
    cell = cr.nn.RNN(1, 2, batch_first=True)
    with cr.no_grad():
        for weight in cell.parameters():
            weight.fill_(1.0)
    steps = cr.tensor([[[0.1], [9e3], [0.2]]])

    def loss(start):
        out, _ = cell(steps, start)  # <- cause
        return out[:, -1].sum()

    return loss, cr.zeros(1, 1, 2, requires_grad=True)


@planted(TRAINING, "zero", "stationary", at=(0,))
def penalty_of_a_change_that_has_not_begun():
    change = cr.zeros(2, requires_grad=True)

    def loss(change):
        return cr.linalg.vector_norm(change)  # <- cause

    return loss, change


@planted(TRAINING, "zero", "dead relu", at=(0, 0))
def network_after_a_bad_step():
    net = cr.nn.Sequential(cr.nn.Linear(2, 2), cr.nn.ReLU(), cr.nn.Linear(2, 1))
    with cr.no_grad():
        net[0].weight.fill_(0.5)
        net[0].bias.fill_(-10.0)
        net[2].weight.fill_(1.0)
    x = cr.tensor([[0.5, 1.0], [1.0, -1.0]])

    def loss(weight):
        return (net(x) - 1).pow(2).mean()  # <- cause

    return loss, net[0].weight


@planted(TRAINING, "zero", "masked", at=(1, 0))
def label_that_is_ignored():
    scores = cr.tensor([[0.1, 0.2, 0.3], [0.5, 0.1, 0.4]], requires_grad=True)

    def loss(scores):
        return cr.nn.functional.cross_entropy(scores, cr.tensor([2, -100]), ignore_index=-100)  # <- cause

    return loss, scores


@planted(TRAINING, "zero", "clamp", at=(1,))
def ratio_beyond_the_clip():
    logits = cr.tensor([0.1, 0.9], requires_grad=True)
    old, advantage = cr.tensor([0.1, 0.2]), cr.tensor([1.0, 1.0])

    def loss(logits):
        ratio = (logits - old).exp()
        clipped = ratio.clamp(0.8, 1.2)  # <- cause
        return -cr.minimum(ratio * advantage, clipped * advantage).sum()

    return loss, logits


@planted(TRAINING, "zero", "overwritten", at=(0, 0))
def boundary_put_into_the_field():
    field = cr.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], requires_grad=True)

    def loss(field):
        u = field.clone()
        u[:, 0] = 0.0  # <- cause
        return (u[:, 1:] - u[:, :-1]).pow(2).sum()

    return loss, field


@planted(TRAINING, "zero", "cancelled", at=(0, 0))
def layer_norm_summed():
    x = cr.tensor([[1.0, 1.0, -1.0, -1.0]], dtype=cr.float64, requires_grad=True)

    def loss(x):
        out = cr.nn.functional.layer_norm(x, (4,), eps=0.0)  # <- cause
        return out.sum()

    return loss, x


@planted(TRAINING, "none", "detach", asked=1)
def target_network():
    state = cr.tensor([[0.1, 0.2]])
    online = cr.tensor([[0.5, -0.3]], requires_grad=True)
    target = cr.tensor([[0.4, -0.2]], requires_grad=True)

    def loss(online, target):
        value = state @ online.T
        goal = 1 + 0.9 * (state @ target.T).detach()  # <- cause
        return (value - goal).pow(2).mean()

    return loss, (online, target)


@planted(TRAINING, "none", "item")
def penalty_as_a_number():
    weight = cr.tensor([0.5, -0.3], requires_grad=True)
    scale = cr.tensor(2.0, requires_grad=True)

    def loss(weight, scale):
        penalty = weight.abs().sum().item()  # <- cause
        return scale * penalty

    return loss, (weight, scale)


@planted(TRAINING, "none", "no_grad")
def inner_step_of_meta_learning():
    start = cr.tensor([0.5, -0.3], requires_grad=True)
    rate = cr.tensor(0.1, requires_grad=True)

    def loss(start, rate):
        (g,) = cr.autograd.grad((start**2).sum(), start)
        with cr.no_grad():
            moved = start - 0.1 * g  # <- cause
        return (moved * rate).sum()

    return loss, (start, rate)


@planted(TRAINING, "none", "no create_graph")
def gradient_penalty():
    critic = cr.tensor([0.5, -0.3], requires_grad=True)
    scale = cr.tensor(10.0, requires_grad=True)
    sample = cr.tensor([[0.1, 0.2], [0.3, -0.1]], requires_grad=True)

    def loss(critic, scale):
        score = (sample @ critic).tanh().sum()
        (g,) = cr.autograd.grad(score, sample)  # <- cause
        return (scale * (g.norm(dim=1) - 1) ** 2).mean()

    return loss, (critic, scale)


@planted(TRAINING, "none", "copied")
def tied_weights_by_a_copy():
    embedding = cr.tensor([[0.1, 0.2], [0.3, 0.4]], requires_grad=True)
    x = cr.tensor([[1.0, 0.5]])

    def loss(embedding):
        decoder = cr.nn.Linear(2, 2, bias=False)
        decoder.weight = cr.nn.Parameter(embedding)  # <- cause
        return decoder(x).sum()

    return loss, embedding


@planted(TRAINING, "none", "frozen", asked=1)
def backbone_that_stays_frozen():
    backbone, head = cr.nn.Linear(2, 2), cr.nn.Linear(2, 1)
    backbone.requires_grad_(False)
    x = cr.tensor([[1.0, 0.5]])
    return (lambda head_weight, weight: head(backbone(x)).sum()), (head.weight, backbone.weight)


@planted(TRAINING, "none", "unused", asked=1)
def auxiliary_head_not_in_the_loss():
    trunk, main, auxiliary = cr.nn.Linear(2, 2), cr.nn.Linear(2, 1), cr.nn.Linear(2, 1)
    x = cr.tensor([[1.0, 0.5]])

    def loss(trunk_weight, auxiliary_weight):
        features = trunk(x).tanh()
        out, other = main(features), auxiliary(features)
        return {"main": out.pow(2).mean(), "other": other.mean()}["main"]

    return loss, (trunk.weight, auxiliary.weight)


@planted(TRAINING, "none", "numpy")
def metric_by_numpy():
    predicted = cr.tensor([0.2, 0.7], requires_grad=True)
    scale = cr.tensor(1.0, requires_grad=True)

    def loss(predicted, scale):
        error = np.abs(predicted.detach().cpu().numpy() - np.float32([0.0, 1.0])).mean()  # <- cause
        return scale * float(error)

    return loss, (predicted, scale)
