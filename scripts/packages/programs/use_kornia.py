"""kornia: filters, geometry, colours, morphology, losses and features of images, with the gradients in their inputs."""

import kornia as K
import pytest
import torch
from agreement import agree, drawn

BOXES = [[[2.0, 2.0], [9.0, 2.0], [9.0, 8.0], [2.0, 8.0]]]
TURNED = [[[1.0, 3.0], [8.0, 1.0], [10.0, 7.0], [3.0, 9.0]]]


def images(channels=3, seed=0):
    """Return two small images whose values are between 0 and 1."""
    return drawn(2, channels, 12, 14, seed=seed).mul(0.5).sigmoid()


def points(count=5, axes=2, seed=1):
    return drawn(2, count, axes, seed=seed)


def grids():
    return K.utils.create_meshgrid(9, 10).expand(2, -1, -1, -1) * 0.8


def homography():
    return torch.eye(3) + 0.05 * drawn(2, 3, 3, seed=4).tanh()


FILTERS = {
    "gaussian": lambda x: K.filters.gaussian_blur2d(x, (5, 3), (1.2, 0.8)),
    "gaussian learnt": lambda x: K.filters.gaussian_blur2d(x, 5, torch.ones(2, 2) * 1.3),
    "box": lambda x: K.filters.box_blur(x, (3, 5)),
    "median": lambda x: K.filters.median_blur(x, 3),
    "sobel": lambda x: K.filters.sobel(x),
    "gradients": lambda x: K.filters.spatial_gradient(x, order=2),
    "laplacian": lambda x: K.filters.laplacian(x, 5),
    "bilateral": lambda x: K.filters.bilateral_blur(x, 3, 0.2, (1.0, 1.0)),
    "guided": lambda x: K.filters.guided_blur(x, x, 3, 0.1),
    "motion": lambda x: K.filters.motion_blur(x, 3, 35.0, 0.5),
    "unsharp": lambda x: K.filters.unsharp_mask(x, (3, 3), (1.5, 1.5)),
    "canny": lambda x: K.filters.canny(x)[0],
    "blur pool": lambda x: K.filters.blur_pool2d(x, 3),
    "max blur pool": lambda x: K.filters.max_blur_pool2d(x, 3),
    "dissolve": lambda x: K.filters.filter2d(x, drawn(2, 3, 3, seed=3), border_type="circular"),
    "separable": lambda x: K.filters.filter2d_separable(x, drawn(1, 3, seed=3), drawn(1, 5, seed=4), border_type="replicate"),
}
COLOURS = {
    name: getattr(K.color, name)
    for name in (
        "rgb_to_grayscale", "rgb_to_hsv", "hsv_to_rgb", "rgb_to_hls", "hls_to_rgb", "rgb_to_lab", "lab_to_rgb", "rgb_to_luv",
        "rgb_to_xyz", "xyz_to_rgb", "rgb_to_yuv", "yuv_to_rgb", "rgb_to_ycbcr", "ycbcr_to_rgb", "rgb_to_linear_rgb",
        "linear_rgb_to_rgb", "rgb_to_bgr", "sepia",
    )
}  # fmt: skip
CHANGES = {
    "brightness": lambda x: K.enhance.adjust_brightness(x, 0.1),
    "contrast": lambda x: K.enhance.adjust_contrast(x, 0.7),
    "gamma": lambda x: K.enhance.adjust_gamma(x, 0.6, 1.1),
    "hue": lambda x: K.enhance.adjust_hue(x, 0.3),
    "saturation": lambda x: K.enhance.adjust_saturation(x, 1.4),
    "normalised": lambda x: K.enhance.normalize(x, torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.2])),
    "min and max": lambda x: K.enhance.normalize_min_max(x, -1.0, 1.0),
    "equalised": lambda x: K.enhance.equalize_clahe(x, grid_size=(2, 2)),
    "sharp": lambda x: K.enhance.sharpness(x, 0.5),
    "solarised": lambda x: K.enhance.solarize(x, 0.5, 0.1),
    "histogram": lambda x: K.enhance.histogram(x[:, 0].flatten(1), torch.linspace(0, 1, 8), torch.tensor(0.1)),
    "whitened": lambda x: K.enhance.zca_whiten(x.movedim(1, -1).flatten(0, 2)),
}
MOVES = {
    "rotated": lambda x: K.geometry.rotate(x, torch.tensor([30.0, -75.0])),
    "translated": lambda x: K.geometry.translate(x, torch.tensor([[1.5, -2.0], [0.3, 0.7]])),
    "scaled": lambda x: K.geometry.scale(x, torch.tensor([[1.5, 0.8], [0.9, 1.2]])),
    "sheared": lambda x: K.geometry.shear(x, torch.tensor([[0.3, -0.1], [0.0, 0.2]])),
    "resized": lambda x: K.geometry.resize(x, (7, 20), antialias=True),
    "flipped": lambda x: K.geometry.hflip(K.geometry.vflip(x)),
    "pyramid": lambda x: K.geometry.pyrdown(K.geometry.pyrup(x)),
    "warped": lambda x: K.geometry.warp_perspective(x, homography(), (10, 11)),
    "warped by nearest": lambda x: K.geometry.warp_perspective(x, homography(), (10, 11), mode="nearest"),
    "affine": lambda x: K.geometry.warp_affine(x, homography()[:, :2], (9, 16), padding_mode="reflection"),
    "by a grid": lambda x: K.geometry.remap(x, grids()[..., 0], grids()[..., 1], normalized_coordinates=True),
    "elastic": lambda x: K.geometry.elastic_transform2d(x, drawn(2, 2, 12, 14, seed=5), (5, 5), (2.0, 2.0)),
    "cropped": lambda x: K.geometry.crop_and_resize(x, torch.tensor(BOXES * 2), (6, 5)),
    "cropped to a turned box": lambda x: K.geometry.crop_by_boxes(x, torch.tensor(TURNED * 2), torch.tensor(BOXES * 2)),
    "thin plate": lambda x: K.geometry.warp_image_tps(x, points(), *K.geometry.get_tps_transform(points(), points(seed=2))),
}
FORMS = {
    name: lambda x, name=name: getattr(K.morphology, name)(x, torch.ones(3, 3))
    for name in ("dilation", "erosion", "opening", "closing", "gradient", "top_hat", "bottom_hat")
}
FOUND = {
    "harris": lambda x: K.feature.harris_response(x[:, :1]),
    "gftt": lambda x: K.feature.gftt_response(x[:, :1]),
    "hessian": lambda x: K.feature.hessian_response(x[:, :1]),
    "sift": lambda x: K.feature.SIFTDescriptor(8)(x[:, :1, :8, :8]),
    "soft maxima": lambda x: K.geometry.subpix.spatial_soft_argmax2d(x),
    "heat maps": lambda x: K.geometry.subpix.spatial_softmax2d(x),
    "patches": lambda x: K.contrib.extract_tensor_patches(x, 4, 3),
    "distances": lambda x: K.contrib.distance_transform(x, 3),
}
LOSSES = {
    "ssim": lambda x, y: K.losses.ssim_loss(x, y, 5),
    "psnr": lambda x, y: K.losses.psnr_loss(x, y, 1.0),
    "total variation": lambda x, y: K.losses.total_variation(x),
    "charbonnier": lambda x, y: K.losses.charbonnier_loss(x, y, "mean"),
    "cauchy": lambda x, y: K.losses.cauchy_loss(x, y, "mean"),
    "welsch": lambda x, y: K.losses.welsch_loss(x, y, "mean"),
    "geman": lambda x, y: K.losses.geman_mcclure_loss(x, y, "mean"),
    "divergence": lambda x, y: K.losses.js_div_loss_2d(x / x.sum((2, 3), True), y / y.sum((2, 3), True)),
    "focal": lambda x, y: K.losses.focal_loss(x, y.argmax(1), alpha=0.5, gamma=2.0, reduction="mean"),
    "dice": lambda x, y: K.losses.dice_loss(x, y.argmax(1)),
    "tversky": lambda x, y: K.losses.tversky_loss(x, y.argmax(1), 0.4, 0.6),
    "lovasz": lambda x, y: K.losses.lovasz_softmax_loss(x, y.argmax(1)),
    "smooth depth": lambda x, y: K.losses.inverse_depth_smoothness_loss(x[:, :1], y),
    "multiscale": lambda x, y: K.losses.MS_SSIMLoss(sigmas=[0.5, 1.0], data_range=1.0)(x, y),
}
TURNS = {
    "angles": lambda v: K.geometry.axis_angle_to_rotation_matrix(v),
    "quaternions": lambda v: K.geometry.axis_angle_to_quaternion(v),
    "there and back": lambda v: K.geometry.rotation_matrix_to_quaternion(K.geometry.axis_angle_to_rotation_matrix(v)),
    "logarithms": lambda v: K.geometry.rotation_matrix_to_axis_angle(K.geometry.axis_angle_to_rotation_matrix(v)),
    "homogeneous": lambda v: K.geometry.convert_points_from_homogeneous(v),
    "groups": lambda v: K.geometry.liegroup.So3.exp(v).matrix(),
    "rigid": lambda v: K.geometry.liegroup.Se3.exp(torch.cat([v, v * 0.5], -1)).matrix(),
}


def compare(name, function, *inputs):
    """Compare a function's value and the gradients of a weighted sum of it."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    out = function(*inputs)
    found = {"out": out}
    if out.requires_grad:
        (out * drawn(*out.shape, seed=9)).sum().backward()
        found |= {f"gradient {i}": x.grad for i, x in enumerate(inputs) if x.grad is not None}
    agree(name, found, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("name", [*FILTERS, *COLOURS, *CHANGES, *MOVES, *FORMS, *FOUND])
def test_images(name):
    compare(f"image-{name}", (FILTERS | COLOURS | CHANGES | MOVES | FORMS | FOUND)[name], images())


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    compare(f"loss-{name}", LOSSES[name], images(), images(seed=6))


@pytest.mark.parametrize("name", TURNS)
def test_turns(name):
    compare(f"turn-{name}", TURNS[name], drawn(6, 3, seed=7))


def test_homographies_are_fitted():
    there, back = points(8, seed=3), points(8, seed=5) * 0.1
    compare("fitted", lambda a, b: K.geometry.find_homography_dlt(a, a * 1.2 + b), there, back)


def test_an_image_is_aligned_by_descent():
    target, start = images(1), images(1, seed=8) * 0.1
    moved = K.geometry.translate(target, torch.tensor([[1.0, 0.5]] * 2)) + start
    shift = torch.full((2, 2), 0.3, requires_grad=True)
    optimizer, losses = torch.optim.Adam([shift], lr=0.1), []
    for _ in range(8):
        optimizer.zero_grad()
        loss = (K.geometry.translate(moved, shift) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    agree("aligned", {"losses": losses, "shift": shift}, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["RandomHorizontalFlip", "RandomAffine", "ColorJiggle", "RandomErasing", "RandomGaussianBlur"])
def test_chance_keeps_shapes_and_gradients(kind):
    options = {"RandomAffine": {"degrees": 20.0}, "RandomGaussianBlur": {"kernel_size": (3, 3), "sigma": (0.5, 1.0)}}
    x = images().requires_grad_()
    out = getattr(K.augmentation, kind)(p=1.0, **options.get(kind, {}))(x)
    out.sum().backward()
    assert out.shape == x.shape and bool(x.grad.isfinite().all())
