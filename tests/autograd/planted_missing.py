"""Twenty programs as users write them: ten gradients with a zero, ten that are None; see `planted_gradients`."""

from __future__ import annotations

import numpy as np

import chainrule as cr

from .planted import planted

ZERO: list = []
NONE: list = []


@planted(ZERO, "zero", "dead relu", at=(1, 0))
def perceptron_with_a_dead_unit():
    """A small net: the second hidden unit is below 0 for every sample."""
    first = cr.tensor([[0.5, 0.8], [0.4, 0.3]], requires_grad=True)
    offset = cr.tensor([0.1, -30.0], requires_grad=True)
    second = cr.tensor([[1.0, -2.0]], requires_grad=True)
    x = cr.tensor([[1.0, 2.0], [0.5, 1.5], [2.0, 0.3]])

    def loss(first, offset, second):
        hidden = cr.nn.functional.linear(x, first, offset)
        active = cr.relu(hidden)  # <- cause
        out = active @ second.T
        return ((out - 1.0) ** 2).mean()

    return loss, (first, offset, second)


@planted(ZERO, "zero", "saturated", at=(1,))
def logistic_unit_far_out():
    """Brier score: a sample so far out that the sigmoid is 1 to the last bit."""
    scores = cr.tensor([0.3, 40.0, -1.2], requires_grad=True)
    labels = cr.tensor([1.0, 0.0, 0.0])

    def brier(scores):
        p = cr.sigmoid(scores)  # <- cause
        return ((p - labels) ** 2).mean()

    return brier, scores


@planted(ZERO, "zero", "rounding", at=(0, 0))
def quantised_weights():
    """Quantisation-aware training without a straight-through estimator."""
    weight = cr.tensor([[0.31, -0.72], [0.55, 0.12]], requires_grad=True)
    bias = cr.zeros(2, requires_grad=True)
    x = cr.tensor([[1.0, 2.0], [3.0, -1.0]])

    def loss(weight, bias):
        levels = cr.round(weight * 16)  # <- cause
        quantised = levels / 16
        return (x @ quantised.T + bias).pow(2).mean()

    return loss, (weight, bias)


@planted(ZERO, "zero", "clamp", at=(1,))
def clipped_policy_ratio():
    """Reinforcement learning: the clipped objective of a good action whose ratio is already high."""
    logs = cr.tensor([-1.0, -0.5, -2.0], requires_grad=True)
    old_logs = cr.tensor([-1.1, -1.5, -1.9])
    advantages = cr.tensor([0.5, 2.0, -0.3])

    def objective(logs):
        ratio = (logs - old_logs).exp()
        clipped = ratio.clamp(0.8, 1.2)  # <- cause
        surrogate = cr.minimum(ratio * advantages, clipped * advantages)
        return -surrogate.mean()

    return objective, logs


@planted(ZERO, "zero", "masked", at=(0, 2))
def padded_sequences():
    """Sequences of unequal lengths: the padding counts for nothing."""
    scores = cr.tensor([[0.4, -0.2, 1.0], [0.3, 0.8, -0.5]], requires_grad=True)
    lengths = cr.tensor([2, 3])

    def loss(scores):
        losses = cr.nn.functional.softplus(scores)
        real = cr.arange(3)[None, :] < lengths[:, None]
        kept = losses.masked_fill(~real, 0.0)  # <- cause
        return kept.sum() / lengths.sum()

    return loss, scores


@planted(ZERO, "zero", "not selected", at=(0, 0))
def pooled_over_time():
    """Text: the largest of each feature over time."""
    features = cr.tensor([[0.1, 0.9], [0.7, 0.2], [0.3, 0.4]], requires_grad=True)

    def loss(features):
        squashed = cr.tanh(features)
        pooled = squashed.max(dim=0).values  # <- cause
        return (pooled - 1).pow(2).sum()

    return loss, features


@planted(ZERO, "zero", "zero factor", at=(0, 0))
def low_rank_adapter():
    """Fine-tuning by a low-rank product, one factor of which starts at 0."""
    down = cr.tensor([[0.3, -0.1, 0.2]], requires_grad=True)
    up = cr.zeros(2, 1, requires_grad=True)
    frozen = cr.tensor([[0.5, 0.1, -0.4], [0.2, 0.9, 0.3]])
    x = cr.tensor([[1.0, 2.0, -1.0], [0.5, -0.3, 0.8]])

    def loss(down, up):
        inner = x @ down.T
        change = inner @ up.T  # <- cause
        return (x @ frozen.T + change).pow(2).mean()

    return loss, (down, up)


@planted(ZERO, "zero", "underflow", at=(2,))
def kernel_of_a_far_point():
    """A Gaussian kernel: the third point is too far away."""
    places = cr.tensor([0.2, 1.0, 25.0], requires_grad=True)

    def density(places):
        squares = (places - 0.5) ** 2
        kernel = cr.exp(-squares / 2)  # <- cause
        return kernel.mean()

    return density, places


@planted(ZERO, "zero", "cancelled", at=(0,))
def advantages_about_their_mean():
    """Reinforcement learning: the mean of what has its mean taken off."""
    returns = cr.tensor([1.0, 4.0, 2.0, -3.0], requires_grad=True)

    def objective(returns):
        advantages = returns - returns.mean()  # <- cause
        return advantages.mean()

    return objective, returns


@planted(ZERO, "zero", "overwritten", at=(0,))
def heat_with_fixed_ends():
    """Heat conduction: the ends are set in place after each step."""
    heat = cr.tensor([3.0, 1.0, 2.0, 5.0, 4.0], requires_grad=True)

    def after_a_step(heat):
        state = heat.clone()
        state[0] = 0.0  # <- cause
        inner = state[1:-1] + 0.1 * (state[2:] - 2 * state[1:-1] + state[:-2])
        return (inner**2).sum()

    return after_a_step, heat


@planted(NONE, "none", "detach", asked=1)
def temporal_difference():
    """Reinforcement learning: the target's own value net is held still."""
    value = cr.tensor([0.5, -0.2], requires_grad=True)
    target = cr.tensor([0.4, -0.1], requires_grad=True)
    states = cr.tensor([[1.0, 0.5], [0.2, 0.8]])
    rewards = cr.tensor([1.0, 0.0])

    def loss(value, target):
        now = states @ value
        later = (states @ target).roll(-1)
        goal = rewards + 0.9 * later.detach()  # <- cause
        return ((now - goal) ** 2).mean()

    return loss, (value, target)


@planted(NONE, "none", "no_grad")
def encoder_in_evaluation():
    """Transfer learning: the features are computed without recording."""
    encoder = cr.tensor([[0.2, 0.4], [-0.3, 0.1]], requires_grad=True)
    head = cr.tensor([0.7, -0.5], requires_grad=True)
    x = cr.tensor([[1.0, 2.0], [0.3, 0.4]])

    def loss(encoder, head):
        with cr.no_grad():
            features = cr.tanh(x @ encoder.T)  # <- cause
        return (features @ head - 1).pow(2).mean()

    return loss, (encoder, head)


@planted(NONE, "none", "no_grad")
def sampled_latent():
    """A variational autoencoder that samples where it should reparametrise."""
    mean = cr.tensor([0.2, -0.1], requires_grad=True)
    decoder = cr.tensor([[0.5, 0.3], [-0.2, 0.8]], requires_grad=True)
    picture = cr.tensor([0.4, 0.6])

    def loss(mean, decoder):
        posterior = cr.distributions.Normal(mean, cr.ones(2))
        latent = posterior.sample()  # <- cause
        return ((decoder @ latent - picture) ** 2).sum()

    return loss, (mean, decoder)


@planted(NONE, "none", "integer cast")
def looked_up_by_position():
    """Physics: a table is read at the nearest lower grid point."""
    position = cr.tensor([0.4, 2.7, 1.1], requires_grad=True)
    table = cr.tensor([1.0, 1.5, 0.5, 0.2], requires_grad=True)

    def potential(position, table):
        cell = position.long()  # <- cause
        return table[cell].sum()

    return potential, (position, table)


@planted(NONE, "none", "argmax")
def hard_attention():
    """Attention that takes the best alone."""
    scores = cr.tensor([0.3, 1.2, -0.4], requires_grad=True)
    memory = cr.tensor([[0.1, 0.9], [0.6, -0.2], [0.3, 0.5]], requires_grad=True)

    def loss(scores, memory):
        best = scores.argmax()  # <- cause
        return (memory[best] - 1).pow(2).sum()

    return loss, (scores, memory)


@planted(NONE, "none", "comparison")
def accuracy_as_a_loss():
    """Classification: the share of errors has no derivative; requires_grad is set by hand so that backward runs."""
    weight = cr.tensor([0.5, -0.3], requires_grad=True)
    x = cr.tensor([[1.0, 2.0], [0.5, -1.0], [-0.2, 0.4]])
    labels = cr.tensor([1.0, 0.0, 0.0])

    def loss(weight):
        said = ((x @ weight) > 0).float()  # <- cause
        errors = (said - labels).abs().mean()
        errors.requires_grad_()
        return errors

    return loss, weight


@planted(NONE, "none", "numpy")
def filtered_by_numpy():
    """Signals: one step is done by NumPy."""
    signal = cr.tensor([0.1, 0.9, 0.4, 0.3, 0.8], requires_grad=True)
    gain = cr.tensor(1.5, requires_grad=True)

    def loss(signal, gain):
        values = signal.detach().numpy()  # <- cause
        smooth = np.convolve(values, np.array([0.25, 0.5, 0.25], dtype=np.float32), mode="same")
        return (gain * cr.from_numpy(smooth) - 0.5).pow(2).sum()

    return loss, (signal, gain)


@planted(NONE, "none", "item")
def pose_from_its_numbers():
    """Robotics: a matrix is put together from the numbers of an angle."""
    angle = cr.tensor(0.3, requires_grad=True)
    length = cr.tensor([1.0, 0.5], requires_grad=True)

    def reach(angle, length):
        c, s = angle.cos(), angle.sin()
        c, s = c.item(), s.item()  # <- cause
        rotation = cr.tensor([[c, -s], [s, c]])
        return (rotation @ length).sum()

    return reach, (angle, length)


@planted(NONE, "none", "unused", asked=2)
def forgotten_layer():
    """A small net of three layers, the last of which is not called."""
    first = cr.tensor([[0.2, 0.5], [0.4, -0.1]], requires_grad=True)
    second = cr.tensor([[0.7, 0.1]], requires_grad=True)
    third = cr.tensor([[0.9]], requires_grad=True)
    x = cr.tensor([[1.0, 2.0], [0.5, 0.3]])

    def loss(first, second, third):
        hidden = cr.tanh(x @ first.T)
        out = hidden @ second.T
        return (out**2).mean()

    return loss, (first, second, third)


@planted(NONE, "none", "not a leaf")
def scaled_initial_weights():
    """A parameter that is scaled after it was told to require gradients."""
    weight = cr.tensor([[0.2, 0.5], [0.4, -0.1]], requires_grad=True) * 0.1  # <- cause
    x = cr.tensor([[1.0, 2.0], [0.5, 0.3]])

    def loss(weight):
        return (x @ weight.T).pow(2).mean()

    return loss, weight
