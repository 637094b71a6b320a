"""Twenty programs as users write them: ten gradients with NaN, ten with an infinity; see `planted_gradients`."""

from __future__ import annotations

import numpy as np

import chainrule as cr

from .planted import planted

NAN: list = []
INFINITE: list = []


@planted(NAN, "nan", "masked", at=(1,))
def flow_over_a_weir():
    """Hydraulics: no water flows where the level is at the crest."""
    level = cr.tensor([2.5, 2.0, 3.1, 1.4], requires_grad=True)

    def discharge(level):
        head = level - 2.0
        speed = (2 * 9.81 * head).sqrt()  # <- cause
        flow = cr.where(head > 0, speed * head, cr.zeros_like(head))  # <- mask
        return flow.sum()

    return discharge, level


@planted(NAN, "nan", "masked", at=(0, 0))
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


@planted(NAN, "nan", "indeterminate", at=(0, 1))
def entropy_of_a_sure_policy():
    """Reinforcement learning: an entropy bonus, a probability being 0."""
    policy = cr.tensor([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], requires_grad=True)

    def bonus(policy):
        logs = cr.log(policy)
        entropy = -(policy * logs).sum(dim=-1)  # <- cause
        return entropy.mean()

    return bonus, policy


@planted(NAN, "nan", "indeterminate", at=(0, 0), asked=1)
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


@planted(NAN, "nan", "overflow", at=(0, 0))
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


@planted(NAN, "nan", "outside the domain", at=(0,))
def learnt_exponent():
    """Rheology: a power law whose exponent is fitted; the shear may point backwards."""
    exponent = cr.tensor([2.0], requires_grad=True)
    shear = cr.tensor([0.4, -0.7, 1.2])
    measured = cr.tensor([0.2, 0.5, 1.4])

    def misfit(exponent):
        stress = 1.1 * shear**exponent  # <- cause
        return ((stress - measured) ** 2).mean()

    return misfit, exponent


@planted(NAN, "nan", "outside the domain", at=(0, 0))
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


@planted(NAN, "nan", "infinite derivative", at=(0,))
def angle_between_equal_directions():
    """Geometry: the angle of a bond with itself."""
    bond = cr.tensor([0.0, 2.0, 0.0], requires_grad=True)
    axis = cr.tensor([0.0, 1.0, 0.0])

    def bending(bond):
        cosine = (bond * axis).sum() / (bond.norm() * axis.norm())
        angle = cr.acos(cosine)  # <- cause
        return (angle - 0.3) ** 2

    return bending, bond


@planted(NAN, "nan", "bad data", at=(0,))
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


@planted(NAN, "nan", "indeterminate", at=(0, 1))
def whitening_a_constant_feature():
    """Preprocessing inside the model: one feature is the same in all samples."""
    batch = cr.tensor([[1.0, 0.5], [2.0, 0.5], [4.0, 0.5]], requires_grad=True)

    def spread(batch):
        centred = batch - batch.mean(dim=0)
        variance = (centred * centred).mean(dim=0)
        deviation = variance.sqrt()  # <- cause
        return (centred / (deviation + 1e-5)).pow(4).mean()

    return spread, batch


@planted(INFINITE, "inf", "infinite derivative", at=(1, 2))
def likelihood_of_an_impossible_class():
    """Classification: the table of probabilities holds a 0 for the right class."""
    table = cr.tensor([[0.7, 0.2, 0.1], [0.6, 0.4, 0.0]], requires_grad=True)
    classes = cr.tensor([0, 2])

    def loss(table):
        picked = table.gather(1, classes[:, None]).squeeze(1)
        return -cr.log(picked).sum()  # <- cause

    return loss, table


@planted(INFINITE, "inf", "infinite derivative", at=(0,))
def volatility_at_time_zero():
    """Finance: standard deviation of a random walk, from the first day on."""
    time = cr.arange(0.0, 1.0, 0.25).requires_grad_()

    def spread(time):
        deviation = 0.2 * cr.sqrt(time)  # <- cause
        return (deviation + 0.05 * time).mean()

    return spread, time


@planted(INFINITE, "inf", "infinite derivative", at=(0, 0))
def rotation_angle_of_no_rotation():
    """Robotics: the angle of a rotation matrix, which is the identity."""
    rotation = cr.eye(3).requires_grad_()

    def angle(rotation):
        cosine = (rotation.trace() - 1) / 2
        return cr.acos(cosine)  # <- cause

    return angle, rotation


@planted(INFINITE, "inf", "infinite derivative", at=(0, 1))
def gamma_of_a_black_pixel():
    """Images: brightness is corrected by a power below 1."""
    image = cr.tensor([[0.5, 0.0], [0.9, 0.25]], requires_grad=True)

    def loss(image):
        shown = image ** (1 / 2.2)  # <- cause
        return (shown - 0.4).abs().sum()

    return loss, image


@planted(INFINITE, "inf", "division by zero", at=(1, 1))
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


@planted(INFINITE, "inf", "overflow", at=(2,))
def poisson_regression():
    """Statistics: the logarithm of a rate is too large."""
    rates = cr.tensor([0.5, 1.5, 120.0, 2.0], requires_grad=True)
    counts = cr.tensor([1.0, 3.0, 7.0, 9.0])

    def loss(rates):
        expected = rates.exp()  # <- cause
        return (expected - counts * rates).mean()

    return loss, rates


@planted(INFINITE, "inf", "gradient overflow", at=(0,))
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


@planted(INFINITE, "inf", "gradient overflow", at=(0,))
def loss_scale_in_half_precision():
    """Mixed precision: the scale of the loss does not fit in half precision."""
    weight = cr.tensor([0.5, -1.5, 2.0], requires_grad=True)
    x = cr.tensor([1.0, 2.0, 0.25], dtype=cr.float16)

    def scaled_loss(weight):
        product = (weight.half() * x).sum()
        loss = product.float()  # <- cause
        return loss * 2.0**17

    return scaled_loss, weight


@planted(INFINITE, "inf", "custom rule", at=(1,))
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


@planted(INFINITE, "inf", "bad data", at=(2,))
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
