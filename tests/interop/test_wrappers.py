"""MaskOnly and LabelOnly, in the libraries that expect one tensor."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import acsnet
from acsnet.errors import InputError
from acsnet.models import Ensemble


def make(**arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return acsnet.create_model("unet", width=4, depth=2, **arguments).eval()


IMAGES = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "network",
    [make(), make(tasks=["segmentation"]), Ensemble([make(), make()]).eval()],
    ids=["both", "one task", "ensemble"],
)
def test_the_mask_alone(network: nn.Module) -> None:
    expected = network(IMAGES).mask
    assert torch.equal(acsnet.MaskOnly(network)(IMAGES), expected)
    assert torch.equal(acsnet.MaskOnly(network, probabilities=True)(IMAGES), expected.sigmoid())
    assert acsnet.MaskOnly(network).divisor == network.divisor


@pytest.mark.parametrize(
    "network",
    [make(), make(tasks=["classification"]), Ensemble([make(), make()]).eval()],
    ids=["both", "one task", "ensemble"],
)
def test_the_classes_alone(network: nn.Module) -> None:
    expected = network(IMAGES).label
    assert torch.equal(acsnet.LabelOnly(network)(IMAGES), expected)
    assert torch.equal(acsnet.LabelOnly(network, probabilities=True)(IMAGES), expected.softmax(dim=1))


def test_a_task_that_the_network_lacks() -> None:
    mask, label = make(tasks=["segmentation"]), make(tasks=["classification"])
    for wrapper, network, needed, only in (
        (acsnet.MaskOnly, label, "segmentation", "classification"),
        (acsnet.LabelOnly, mask, "classification", "segmentation"),
        (acsnet.LabelOnly, Ensemble([mask]), "classification", "segmentation"),
    ):
        with pytest.raises(InputError) as caught:
            wrapper(network)
        assert str(caught.value) == (
            f"{wrapper.__name__} needs the task {needed}, and this {type(network).__name__} has only {only}"
        )


def test_the_network_is_shared_and_trained() -> None:
    network = make()
    wrapper = acsnet.MaskOnly(network).train()
    assert network.training
    wrapper(IMAGES).mean().backward()
    assert any(parameter.grad is not None for parameter in network.parameters())


# --- other libraries --------------------------------------------------------------------------------------------------


def test_sliding_windows_of_monai() -> None:
    """One window equals the network; several are averaged, and cover an image of any size."""
    inferers = pytest.importorskip("monai.inferers", reason="needs monai")
    model = acsnet.MaskOnly(make(), probabilities=True)
    with torch.inference_mode():
        whole = inferers.sliding_window_inference(IMAGES, (32, 48), 2, model)
        large = inferers.sliding_window_inference(torch.randn(1, 3, 50, 71), (32, 32), 4, model, overlap=0.5)
    torch.testing.assert_close(whole, model(IMAGES), rtol=0, atol=1e-6)
    assert large.shape == (1, 1, 50, 71)
    assert 0 <= large.min() < large.max() <= 1


def test_integrated_gradients_of_captum() -> None:
    """The attributions sum to the difference of the logit (completeness)."""
    attr = pytest.importorskip("captum.attr", reason="needs captum")
    model = acsnet.LabelOnly(make())
    attributions, error = attr.IntegratedGradients(model).attribute(
        IMAGES, target=1, n_steps=64, return_convergence_delta=True
    )
    assert attributions.shape == IMAGES.shape
    difference = model(IMAGES)[:, 1] - model(torch.zeros_like(IMAGES))[:, 1]
    # The default baseline is zero.
    torch.testing.assert_close(attributions.sum(dim=(1, 2, 3)).float(), difference, rtol=0.05, atol=1e-3)
    assert error.abs().max() < 0.05 * difference.abs().max() + 1e-3


def test_grad_cam_of_pytorch_grad_cam() -> None:
    """On the map that the classifier pools, it equals this package's own Grad-CAM up to its scaling to 0..1."""
    grad_cam = pytest.importorskip("pytorch_grad_cam", reason="needs grad-cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets", reason="needs grad-cam")
    from acsnet.inference import class_activation

    torch.manual_seed(0)
    network = acsnet.create_model("fpn_resnet50", encoder="resnet18").eval()
    images = IMAGES.repeat(1, 1, 2, 2)[:, :, :64, :64]
    layer = network.encoder.network.layer4
    with grad_cam.GradCAM(model=acsnet.LabelOnly(network), target_layers=[layer]) as explain:
        theirs = explain(input_tensor=images, targets=[targets.ClassifierOutputTarget(1)] * 2)
    assert theirs.shape == (2, 64, 64)
    ours = class_activation(network, images, 1).squeeze().numpy()
    for one, other in zip(ours, theirs, strict=True):
        if one.max() > 0:
            assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99


def test_test_time_augmentation_of_ttach() -> None:
    ttach = pytest.importorskip("ttach", reason="needs ttach")
    mask, label = acsnet.MaskOnly(make(), probabilities=True), acsnet.LabelOnly(make(), probabilities=True)
    flips = ttach.aliases.flip_transform()
    images = IMAGES[:, :, :32, :32]
    views = [(), (3,), (2,), (2, 3)]
    with torch.inference_mode():
        masks = ttach.SegmentationTTAWrapper(mask, flips, merge_mode="mean")(images)
        labels = ttach.ClassificationTTAWrapper(label, flips, merge_mode="mean")(images)
        expected = torch.stack([mask(images.flip(view)).flip(view) for view in views]).mean(dim=0)
        classes = torch.stack([label(images.flip(view)) for view in views]).mean(dim=0)
    torch.testing.assert_close(masks, expected)
    torch.testing.assert_close(labels, classes)


def test_transforms_of_torchvision() -> None:
    """Image and mask are transformed together; the result is an image for the predictor and a mask for the metrics."""
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    from acsnet.data import as_rgb
    from acsnet.metrics import dice_score

    generator = np.random.default_rng(0)
    pixels = torch.from_numpy(generator.integers(0, 256, (3, 40, 60), dtype=np.uint8))
    truth = torch.zeros(40, 60, dtype=torch.bool)
    truth[10:20, 30:50] = True
    transform = v2.Compose(
        [v2.RandomHorizontalFlip(p=1), v2.Resize((20, 30), antialias=True), v2.ToDtype(torch.float32, scale=True)]
    )
    image, mask = transform(tv_tensors.Image(pixels), tv_tensors.Mask(truth))
    assert as_rgb(image).shape == (20, 30, 3)
    assert dice_score(mask, truth.flip(1)[::2, ::2]) == 1
    output = make()(v2.functional.normalize(image, [0.33] * 3, [0.2] * 3)[None, :, :20, :28].as_subclass(torch.Tensor))
    assert output.mask.shape == (1, 1, 20, 28)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: acsnet.MaskOnly(make(), probabilities=True), id="mask"),
        pytest.param(lambda: acsnet.LabelOnly(make()), id="label", marks=pytest.mark.slow),
        pytest.param(lambda: make(), id="network", marks=pytest.mark.slow),
        pytest.param(lambda: Ensemble([make(), make()]).eval(), id="ensemble", marks=pytest.mark.slow),
    ],
)
def test_compiling_breaks_no_graph(build: Callable[[], nn.Module]) -> None:
    network = build()
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(IMAGES), network(IMAGES))
    torch.compiler.reset()
