"""captum: what attributes a network's output to its inputs, layers and neurons, of the same network and inputs."""

import captum.attr as attr
import pytest
import torch
from agreement import agree, begin, drawn
from captum import concept, influence  # that they import
from captum.metrics import infidelity, sensitivity_max
from captum.robust import FGSM, PGD
from captum.testing.helpers.basic_models import BasicModel_ConvNet, BasicModel_MultiLayer
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.relu2 = nn.ReLU()
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        x = self.pool(self.relu1(self.conv1(x)))
        return self.head(self.norm(self.relu2(self.conv2(x))).flatten(1))


def network(name):
    model = Digits().eval()
    begin(f"captum-{name}", model)
    return model


X, BASE, TARGET = drawn(2, 1, 8, 8), drawn(2, 1, 8, 8, seed=1), torch.tensor([0, 2])

OF_INPUTS = {
    "IntegratedGradients": {"baselines": BASE, "n_steps": 20},
    "Saliency": {},
    "InputXGradient": {},
    "DeepLift": {"baselines": BASE},
    "DeepLiftShap": {"baselines": drawn(3, 1, 8, 8, seed=2)},
    "GuidedBackprop": {},
    "Deconvolution": {},
    "FeatureAblation": {"feature_mask": torch.arange(64).reshape(1, 1, 8, 8) // 8},
    "Occlusion": {"sliding_window_shapes": (1, 4, 4), "strides": (1, 2, 2)},
}
OF_LAYERS = {
    "LayerActivation": {},
    "LayerGradCam": {"target": TARGET},
    "LayerGradientXActivation": {"target": TARGET},
    "LayerConductance": {"target": TARGET, "n_steps": 10},
    "LayerIntegratedGradients": {"target": TARGET, "n_steps": 10},
    "LayerDeepLift": {"target": TARGET},
    "LayerFeatureAblation": {"target": TARGET},
    "InternalInfluence": {"target": TARGET, "n_steps": 10},
}
OF_NEURONS = ["NeuronGradient", "NeuronConductance", "NeuronIntegratedGradients", "NeuronDeepLift", "NeuronGuidedBackprop"]


@pytest.mark.parametrize("name", OF_INPUTS)
def test_of_inputs(name):
    model = network(name)
    found = getattr(attr, name)(model).attribute(X, target=TARGET, **OF_INPUTS[name])
    agree(f"of-{name}", {"attribution": found}, 1e-3, 1e-4)


@pytest.mark.parametrize("name", OF_LAYERS)
def test_of_layers(name):
    model = network(name)
    found = getattr(attr, name)(model, model.conv2).attribute(X, **OF_LAYERS[name])
    agree(f"of-{name}", {"attribution": found}, 1e-3, 1e-4)


@pytest.mark.parametrize("name", OF_NEURONS)
def test_of_neurons(name):
    model = network(name)
    more = {"target": TARGET} if name == "NeuronConductance" else {}
    found = getattr(attr, name)(model, model.conv2).attribute(X, neuron_selector=(1, 1, 1), **more)
    agree(f"of-{name}", {"attribution": found}, 1e-3, 1e-4)


def test_guided_grad_cam_and_its_layer_upsampled():
    model = network("guided")
    found = attr.GuidedGradCam(model, model.conv2).attribute(X, target=TARGET)
    cam = attr.LayerAttribution.interpolate(attr.LayerGradCam(model, model.conv2).attribute(X, target=1), (8, 8), "bilinear")
    agree("guided", {"attribution": found, "map": cam}, 1e-3, 1e-4)


def test_relevance_through_layers():
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    begin("relevance", model)
    found, delta = attr.LRP(model).attribute(drawn(4, 5), target=1, return_convergence_delta=True)
    agree("relevance", {"attribution": found, "delta": delta}, 1e-3, 1e-4)


def test_convergence_deltas_and_metrics():
    model = network("deltas")
    method = attr.IntegratedGradients(model)
    found, delta = method.attribute(X, BASE, target=TARGET, n_steps=50, return_convergence_delta=True)
    moved = infidelity(model, lambda x: (0.1 * BASE[:1], x - 0.1 * BASE[:1]), X, found, target=TARGET, n_perturb_samples=1)
    shaky = sensitivity_max(attr.Saliency(model).attribute, X, lambda x: (x + 0.01 * BASE[:1],), 1, target=TARGET)
    agree("deltas", {"delta": delta, "infidelity": moved, "sensitivity": shaky}, 1e-3, 1e-4)


def test_random_methods_run_and_add_up():
    model, x = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 1)), drawn(1, 4)
    begin("random", model)
    whole = (model(x) - model(torch.zeros(1, 4))).item()
    exact = attr.ShapleyValues(model).attribute(x)
    kernel = attr.KernelShap(model).attribute(x, n_samples=200)
    smooth = attr.NoiseTunnel(attr.Saliency(model)).attribute(x, nt_samples=50, stdevs=0.01)
    agree("random", {"shapley": exact, "kernel": kernel}, 1e-2, 1e-2)
    agree("smooth", {"saliency": attr.Saliency(model).attribute(x)}, 1e-3, 1e-4)
    torch.testing.assert_close(smooth, attr.Saliency(model).attribute(x), rtol=0.1, atol=0.01)
    assert abs(exact.sum().item() - whole) < 1e-4
    assert attr.GradientShap(model).attribute(x, drawn(5, 4, seed=3), n_samples=8).shape == x.shape
    assert attr.Lime(model).attribute(x, n_samples=50).shape == x.shape


def test_embeddings_made_interpretable():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2))
    begin("embedding", model)
    tokens = torch.tensor([[1, 2, 3], [4, 5, 8]])
    found = attr.LayerIntegratedGradients(model, model[0]).attribute(tokens, torch.zeros_like(tokens), target=1, n_steps=8)
    layer = attr.configure_interpretable_embedding_layer(model, "0")
    vectors = layer.indices_to_embeddings(tokens)
    inside = attr.IntegratedGradients(model).attribute(vectors, target=1, n_steps=8)
    attr.remove_interpretable_embedding_layer(model, layer)
    agree("embedding", {"layer": found, "inside": inside}, 1e-3, 1e-4)


def test_attacks():
    model = network("attacks")
    fgsm = FGSM(model, lower_bound=-3, upper_bound=3).perturb(X, 0.1, TARGET)
    pgd = PGD(model, lower_bound=-3, upper_bound=3).perturb(X, 0.2, 0.05, 4, TARGET)
    agree("attacks", {"fgsm": fgsm, "pgd": pgd}, 1e-3, 1e-4)


def test_the_models_that_captum_tests_with():
    layers, net = BasicModel_MultiLayer(), BasicModel_ConvNet()
    begin("layers", layers)
    begin("net", net)
    x, image = drawn(3, 3), drawn(2, 1, 10, 10)
    agree(
        "models",
        {
            "deeplift": attr.DeepLift(layers).attribute(x, target=0),
            "gradients": attr.IntegratedGradients(layers).attribute(x, target=1),
            "conductance": attr.LayerConductance(layers, layers.linear1).attribute(x, target=0),
            "image": attr.DeepLift(net).attribute(image, target=2),
            "cam": attr.LayerGradCam(net, net.conv1).attribute(image, target=3),
        },
        1e-3,
        1e-4,
    )
