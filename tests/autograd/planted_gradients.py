"""Forty programs whose gradients are wrong on purpose: ten each NaN, infinite, zero and None, as users write them.

A program returns a function and its inputs; the gradient of the function's result in the input number `asked` has the
fault `fault`, first (in row-major order) in the element `at`, for the cause named by a word of `CAUSES`. The line
to be named carries the comment ``# <- cause``, the line that masks ``# <- mask``; a cause without a line has no mark. The
programs were written before the code that explains them, and are not bent to it.
"""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import NamedTuple

import numpy as np

import chainrule as cr

CAUSES = {
    "masked": "a where, mask or index drops the element: its cotangent is 0 (for NaN: which meets an infinite derivative)",
    "indeterminate": "0 · inf, 0 / 0, inf - inf or inf / inf that no mask made; in the value, else in the gradient",
    "infinite derivative": "the derivative is infinite at this value and the cotangent is not 0",
    "outside the domain": "the op or its derivative is not defined at this finite value",
    "division by zero": "a finite number that is not 0 is divided by 0",
    "overflow": "a value is too large for the dtype",
    "gradient overflow": "the values are finite, a cotangent is too large for the dtype",
    "bad data": "an input or a constant was NaN or infinite before any op",
    "custom rule": "the user's own backward returned it",
    "rounding": "round, floor, ceil, trunc, sign",
    "dead relu": "relu or a hinge on its flat side",
    "saturated": "sigmoid, tanh or softmax so far out that the derivative is 0 in this dtype",
    "clamp": "beyond the bounds of clamp, clip or hardtanh",
    "not selected": "max, min, sort, pooling, top-k, index or gather took other elements",
    "zero factor": "another operand of a product is exactly 0",
    "underflow": "a number that is not 0 is too small for the dtype",
    "cancelled": "contributions that are not 0 add up to 0",
    "overwritten": "an in-place write put another value over the element",
    "detach": "detach() or .data",
    "no_grad": "computed where recording was off, by the user or inside a function that he called",
    "integer cast": "cast to an integer or boolean dtype",
    "argmax": "an op with an integer result",
    "comparison": "an op with a boolean result",
    "numpy": "the value went through NumPy and came back as a constant",
    "item": "the value went through a Python number and came back as a constant",
    "unused": "the result does not depend on the input",
    "not a leaf": "the tensor asked is a result of ops, without retain_grad()",
    "frozen": "requires_grad is False",
}

FAULTS = ("nan", "inf", "zero", "none")


class Planted(NamedTuple):
    """A program and what is to be said of one gradient of it."""

    program: FunctionType
    fault: str
    cause: str
    at: tuple[int, ...] | None
    asked: int

    @property
    def name(self):
        return self.program.__name__

    def line(self, mark="cause"):
        """Return the number of the line in this file that carries a mark, or None."""
        text, first = inspect.getsourcelines(self.program)
        found = [first + i for i, line in enumerate(text) if line.rstrip().endswith(f"# <- {mark}")]
        if len(found) > 1:
            raise ValueError(f"{self.name} has {len(found)} lines marked {mark}")
        return found[0] if found else None

    def made(self, lib=cr):
        """Return the function and its inputs, the program read with `lib` for chainrule."""
        of_lib = FunctionType(self.program.__code__, dict(globals(), cr=lib))
        f, inputs = of_lib()
        return f, inputs if isinstance(inputs, tuple) else (inputs,)

    def gradient(self, lib=cr):
        """Return the gradient asked for as a NumPy array, or None."""
        f, inputs = self.made(lib)
        f(*inputs).backward()
        grad = inputs[self.asked].grad if inputs[self.asked].is_leaf else None
        return None if grad is None else grad.detach().numpy()


PLANTED = []


def planted(fault, cause, at=None, asked=0):
    """Add the decorated program to the list."""

    def add(program):
        PLANTED.append(Planted(program, fault, cause, at, asked))
        return program

    return add


# NaN


@planted("nan", "masked", at=(1,))
def flow_over_a_weir():
    """Hydraulics: no water flows where the level is at the crest."""
    level = cr.tensor([2.5, 2.0, 3.1, 1.4], requires_grad=True)

    def discharge(level):
        head = level - 2.0
        speed = (2 * 9.81 * head).sqrt()  # <- cause
        flow = cr.where(head > 0, speed * head, cr.zeros_like(head))  # <- mask
        return flow.sum()

    return discharge, level


@planted("nan", "masked", at=(0, 0))
def spring_energy_between_pairs():
    """Molecules: distances of all pairs, the diagonal left out afterwards by an index."""
    atoms = cr.tensor([[0.0, 0.0], [1.0, 0.2], [0.3, 1.5]], requires_grad=True)

    def energy(atoms):
        apart = atoms[:, None, :] - atoms[None, :, :]
        distance = (apart**2).sum(dim=-1).sqrt()  # <- cause
        pairs = ~cr.eye(3, dtype=cr.bool)
        stretched = distance[pairs] - 1.0  # <- mask
        return 0.25 * (stretched**2).sum()

    return energy, atoms


@planted("nan", "indeterminate", at=(0, 1))
def entropy_of_a_sure_policy():
    """Reinforcement learning: an entropy bonus, a probability being 0."""
    policy = cr.tensor([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], requires_grad=True)

    def bonus(policy):
        logs = cr.log(policy)
        entropy = -(policy * logs).sum(dim=-1)  # <- cause
        return entropy.mean()

    return bonus, policy


@planted("nan", "indeterminate", at=(0, 0), asked=1)
def attention_with_an_empty_row():
    """A transformer's attention: the first token may look at nothing."""
    queries = cr.linspace(-1, 1, 6).reshape(3, 2).requires_grad_()
    keys = cr.linspace(0.5, 2, 6).reshape(3, 2).requires_grad_()

    def loss(queries, keys):
        scores = queries @ keys.T / 2**0.5
        future = cr.ones(3, 3, dtype=cr.bool).triu(0)
        scores = scores.masked_fill(future, float("-inf"))
        weights = scores.softmax(dim=-1)  # <- cause
        return (weights @ keys).pow(2).mean()

    return loss, (queries, keys)


@planted("nan", "overflow", at=(0, 0))
def cross_entropy_by_hand():
    """Classification: a softmax without its shift."""
    logits = cr.tensor([[1.0, 95.0, -3.0], [0.5, 0.1, 0.2]], requires_grad=True)
    classes = cr.tensor([1, 0])

    def loss(logits):
        odds = cr.exp(logits)  # <- cause
        probability = odds / odds.sum(dim=1, keepdim=True)
        picked = probability[cr.arange(2), classes]
        return -picked.log().mean()

    return loss, logits


@planted("nan", "outside the domain", at=(0,))
def learnt_exponent():
    """Rheology: a power law whose exponent is fitted; the shear may point backwards."""
    exponent = cr.tensor([2.0], requires_grad=True)
    shear = cr.tensor([0.4, -0.7, 1.2])
    measured = cr.tensor([0.2, 0.5, 1.4])

    def misfit(exponent):
        stress = 1.1 * shear**exponent  # <- cause
        return ((stress - measured) ** 2).mean()

    return misfit, exponent


@planted("nan", "outside the domain", at=(0, 0))
def variance_head_without_softplus():
    """Regression with uncertainty: the network's variance comes out negative."""
    weight = cr.tensor([[0.5, -0.4], [0.3, -0.8]], requires_grad=True)
    x = cr.tensor([[0.2, 0.1], [1.0, 2.0], [0.7, 0.3]])
    y = cr.tensor([0.1, -0.2, 0.4])

    def likelihood(weight):
        mean, variance = (x @ weight.T).unbind(dim=1)
        deviation = variance.sqrt()  # <- cause
        losses = deviation.log() + 0.5 * ((y - mean) / deviation) ** 2
        return losses.mean()

    return likelihood, weight


@planted("nan", "infinite derivative", at=(0,))
def angle_between_equal_directions():
    """Geometry: the angle of a bond with itself."""
    bond = cr.tensor([0.0, 2.0, 0.0], requires_grad=True)
    axis = cr.tensor([0.0, 1.0, 0.0])

    def bending(bond):
        cosine = (bond * axis).sum() / (bond.norm() * axis.norm())
        angle = cr.acos(cosine)  # <- cause
        return (angle - 0.3) ** 2

    return bending, bond


@planted("nan", "bad data", at=(0,))
def missing_targets():
    """Statistics: missing measurements are NaN, and taken out of the loss too late."""
    slope = cr.tensor([0.3, -0.2], requires_grad=True)
    x = cr.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.5]])
    y = cr.tensor([0.4, 0.5, float("nan")])

    def loss(slope):
        predicted = x @ slope
        losses = (predicted - y) ** 2  # <- cause
        seen = cr.where(cr.isnan(y), cr.zeros_like(losses), losses)  # <- mask
        return seen.sum() / 2

    return loss, slope


@planted("nan", "indeterminate", at=(0, 1))
def whitening_a_constant_feature():
    """Preprocessing inside the model: one feature is the same in all samples."""
    batch = cr.tensor([[1.0, 0.5], [2.0, 0.5], [4.0, 0.5]], requires_grad=True)

    def spread(batch):
        centred = batch - batch.mean(dim=0)
        variance = (centred * centred).mean(dim=0)
        deviation = variance.sqrt()  # <- cause
        return (centred / (deviation + 1e-5)).pow(4).mean()

    return spread, batch


# infinite


@planted("inf", "infinite derivative", at=(1, 2))
def likelihood_of_an_impossible_class():
    """Classification: the table of probabilities holds a 0 for the right class."""
    table = cr.tensor([[0.7, 0.2, 0.1], [0.6, 0.4, 0.0]], requires_grad=True)
    classes = cr.tensor([0, 2])

    def loss(table):
        picked = table.gather(1, classes[:, None]).squeeze(1)
        return -cr.log(picked).sum()  # <- cause

    return loss, table


@planted("inf", "infinite derivative", at=(0,))
def volatility_at_time_zero():
    """Finance: standard deviation of a random walk, from the first day on."""
    time = cr.arange(0.0, 1.0, 0.25).requires_grad_()

    def spread(time):
        deviation = 0.2 * cr.sqrt(time)  # <- cause
        return (deviation + 0.05 * time).mean()

    return spread, time


@planted("inf", "infinite derivative", at=(0, 0))
def rotation_angle_of_no_rotation():
    """Robotics: the angle of a rotation matrix, which is the identity."""
    rotation = cr.eye(3).requires_grad_()

    def angle(rotation):
        cosine = (rotation.trace() - 1) / 2
        return cr.acos(cosine)  # <- cause

    return angle, rotation


@planted("inf", "infinite derivative", at=(0, 1))
def gamma_of_a_black_pixel():
    """Images: brightness is corrected by a power below 1."""
    image = cr.tensor([[0.5, 0.0], [0.9, 0.25]], requires_grad=True)

    def loss(image):
        shown = image ** (1 / 2.2)  # <- cause
        return (shown - 0.4).abs().sum()

    return loss, image


@planted("inf", "division by zero", at=(1, 1))
def standard_score_without_spread():
    """Statistics: a column of the table of deviations is 0."""
    samples = cr.tensor([[1.0, 2.0], [3.0, 5.0], [2.0, 2.0]], requires_grad=True)
    mean = cr.tensor([2.0, 2.0])
    deviation = cr.tensor([0.8, 0.0])

    def scores(samples):
        centred = (samples - mean)[1]
        score = centred / deviation  # <- cause
        return score.sum()

    return scores, samples


@planted("inf", "overflow", at=(2,))
def poisson_regression():
    """Statistics: the logarithm of a rate is too large."""
    rates = cr.tensor([0.5, 1.5, 120.0, 2.0], requires_grad=True)
    counts = cr.tensor([1.0, 3.0, 7.0, 9.0])

    def loss(rates):
        expected = rates.exp()  # <- cause
        return (expected - counts * rates).mean()

    return loss, rates


@planted("inf", "gradient overflow", at=(0,))
def recurrence_that_explodes():
    """A linear recurrence from a tiny state: its values stay finite, its gradient does not."""
    start = cr.tensor([1e-20, 2e-20], requires_grad=True)
    weight = cr.tensor([4.0, 0.5])

    def last(start):
        state = start
        for _ in range(80):
            state = state * weight  # <- cause
        return state.sum()

    return last, start


@planted("inf", "gradient overflow", at=(0,))
def loss_scale_in_half_precision():
    """Mixed precision: the scale of the loss does not fit in half precision."""
    weight = cr.tensor([0.5, -1.5, 2.0], requires_grad=True)
    x = cr.tensor([1.0, 2.0, 0.25], dtype=cr.float16)

    def scaled_loss(weight):
        product = (weight.half() * x).sum()
        loss = product.float()  # <- cause
        return loss * 2.0**17

    return scaled_loss, weight


@planted("inf", "custom rule", at=(1,))
def logarithm_with_its_own_backward():
    """A custom Function: the value is made safe, its derivative forgotten."""

    class SafeLog(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(min=1e-6).log()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g / x

    p = cr.tensor([0.5, 0.0, 0.5], requires_grad=True)

    def loss(p):
        logs = SafeLog.apply(p)  # <- cause
        return -logs.sum()

    return loss, p


@planted("inf", "bad data", at=(2,))
def weights_by_inverse_variance():
    """Least squares: the weights are computed beforehand, one measurement without an error bar."""
    errors = np.array([0.5, 0.2, 0.0, 1.0])
    with np.errstate(divide="ignore"):
        weights = cr.tensor(1 / errors**2)
    y = cr.tensor([1.0, 2.0, 3.0, 4.0], dtype=cr.float64)
    fitted = cr.tensor([1.5, 2.5, 3.5, 4.5], dtype=cr.float64, requires_grad=True)

    def chi_squared(fitted):
        residual = fitted - y
        weighted = weights * residual**2  # <- cause
        return weighted.sum()

    return chi_squared, fitted


# zero


@planted("zero", "dead relu", at=(1, 0))
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


@planted("zero", "saturated", at=(1,))
def logistic_unit_far_out():
    """Brier score: a sample so far out that the sigmoid is 1 to the last bit."""
    scores = cr.tensor([0.3, 40.0, -1.2], requires_grad=True)
    labels = cr.tensor([1.0, 0.0, 0.0])

    def brier(scores):
        p = cr.sigmoid(scores)  # <- cause
        return ((p - labels) ** 2).mean()

    return brier, scores


@planted("zero", "rounding", at=(0, 0))
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


@planted("zero", "clamp", at=(1,))
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


@planted("zero", "masked", at=(0, 2))
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


@planted("zero", "not selected", at=(0, 0))
def pooled_over_time():
    """Text: the largest of each feature over time."""
    features = cr.tensor([[0.1, 0.9], [0.7, 0.2], [0.3, 0.4]], requires_grad=True)

    def loss(features):
        squashed = cr.tanh(features)
        pooled = squashed.max(dim=0).values  # <- cause
        return (pooled - 1).pow(2).sum()

    return loss, features


@planted("zero", "zero factor", at=(0, 0))
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


@planted("zero", "underflow", at=(2,))
def kernel_of_a_far_point():
    """A Gaussian kernel: the third point is too far away."""
    places = cr.tensor([0.2, 1.0, 25.0], requires_grad=True)

    def density(places):
        squares = (places - 0.5) ** 2
        kernel = cr.exp(-squares / 2)  # <- cause
        return kernel.mean()

    return density, places


@planted("zero", "cancelled", at=(0,))
def advantages_about_their_mean():
    """Reinforcement learning: the mean of what has its mean taken off."""
    returns = cr.tensor([1.0, 4.0, 2.0, -3.0], requires_grad=True)

    def objective(returns):
        advantages = returns - returns.mean()  # <- cause
        return advantages.mean()

    return objective, returns


@planted("zero", "overwritten", at=(0,))
def heat_with_fixed_ends():
    """Heat conduction: the ends are set in place after each step."""
    heat = cr.tensor([3.0, 1.0, 2.0, 5.0, 4.0], requires_grad=True)

    def after_a_step(heat):
        state = heat.clone()
        state[0] = 0.0  # <- cause
        inner = state[1:-1] + 0.1 * (state[2:] - 2 * state[1:-1] + state[:-2])
        return (inner**2).sum()

    return after_a_step, heat


# None


@planted("none", "detach", asked=1)
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


@planted("none", "no_grad")
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


@planted("none", "no_grad")
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


@planted("none", "integer cast")
def looked_up_by_position():
    """Physics: a table is read at the nearest lower grid point."""
    position = cr.tensor([0.4, 2.7, 1.1], requires_grad=True)
    table = cr.tensor([1.0, 1.5, 0.5, 0.2], requires_grad=True)

    def potential(position, table):
        cell = position.long()  # <- cause
        return table[cell].sum()

    return potential, (position, table)


@planted("none", "argmax")
def hard_attention():
    """Attention that takes the best alone."""
    scores = cr.tensor([0.3, 1.2, -0.4], requires_grad=True)
    memory = cr.tensor([[0.1, 0.9], [0.6, -0.2], [0.3, 0.5]], requires_grad=True)

    def loss(scores, memory):
        best = scores.argmax()  # <- cause
        return (memory[best] - 1).pow(2).sum()

    return loss, (scores, memory)


@planted("none", "comparison")
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


@planted("none", "numpy")
def filtered_by_numpy():
    """Signals: one step is done by NumPy."""
    signal = cr.tensor([0.1, 0.9, 0.4, 0.3, 0.8], requires_grad=True)
    gain = cr.tensor(1.5, requires_grad=True)

    def loss(signal, gain):
        values = signal.detach().numpy()  # <- cause
        smooth = np.convolve(values, np.array([0.25, 0.5, 0.25], dtype=np.float32), mode="same")
        return (gain * cr.from_numpy(smooth) - 0.5).pow(2).sum()

    return loss, (signal, gain)


@planted("none", "item")
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


@planted("none", "unused", asked=2)
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


@planted("none", "not a leaf")
def scaled_initial_weights():
    """A parameter that is scaled after it was told to require gradients."""
    weight = cr.tensor([[0.2, 0.5], [0.4, -0.1]], requires_grad=True) * 0.1  # <- cause
    x = cr.tensor([[1.0, 2.0], [0.5, 0.3]])

    def loss(weight):
        return (x @ weight.T).pow(2).mean()

    return loss, weight
