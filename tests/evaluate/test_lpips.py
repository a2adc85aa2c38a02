"""LPIPS: its closed form with weights made for it, and the published metric's own numbers."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoo.errors import DataError, ImageError, RequestError, WeightsError
from zoo.nn.lpips import LPIPS


def flat(red, side=35):
    picture = torch.zeros(1, 3, side, side)
    picture[:, 0] = red
    return picture


def test_closed_form(fake_lpips):
    # The first layer's unit vectors are (r, 1) / sqrt(r^2 + 1) with r = max(0, red) everywhere, so
    # d = 2 (r / n - s / m)^2 + 3 (1 / n - 1 / m)^2; all other heads weigh 0.
    net = LPIPS("alex", fake_lpips)
    for red, other in ((0.5, 0.25), (1.0, -1.0), (-0.5, -1.0), (0.75, 0.0)):
        r, s = max(0.0, red), max(0.0, other)
        n, m = (r * r + 1) ** 0.5, (s * s + 1) ** 0.5
        expected = 2 * (r / n - s / m) ** 2 + 3 * (1 / n - 1 / m) ** 2
        assert float(net(flat(red), flat(other))) == pytest.approx(expected, abs=2e-6)


def test_distances_are_averaged_over_places(fake_lpips):
    net = LPIPS("alex", fake_lpips)
    half = flat(0.0, 67)  # 16 x 16 places; place i sees column 4 i + 3
    half[..., :39] = 1.0  # nine of sixteen
    whole = float(net(flat(1.0, 67), flat(0.0, 67)))
    assert float(net(half, flat(0.0, 67))) == pytest.approx(whole * 9 / 16, rel=1e-5)


def test_gradients_flow_to_images_and_never_to_weights(fake_lpips):
    net = LPIPS("alex", fake_lpips)
    image = flat(0.3).requires_grad_()
    net(image, flat(0.8)).sum().backward()
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()
    assert image.grad[:, 0].abs().sum() > 0
    assert not any(each.requires_grad for each in net.parameters())


def test_taps_of_one_picture_serve_many(fake_lpips):
    net = LPIPS("alex", fake_lpips)
    many = torch.cat([flat(0.1), flat(0.6), flat(0.9)])
    together = net.distance(net.taps(many), net.taps(flat(0.4)))
    assert torch.allclose(together, net(many, flat(0.4).expand(3, -1, -1, -1)))


def published():
    """Three pairs of pictures, all from sines."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    wave, ring = torch.cos(x * y / 150), (x - 32) ** 2 / 80
    a = torch.stack([torch.sin(x / 5 + y / 9), wave, torch.sin(ring + y / 4)]) * 0.8
    b = torch.stack([torch.sin(x / 5 + y / 9 + 0.4), wave, torch.sin(ring)]) * 0.8
    c = torch.stack([torch.cos(y / 3), torch.cos(x / 3), torch.sin((x + y) / 7)])
    return torch.stack([a, a, a]), torch.stack([b, c, a])


@pytest.mark.parametrize(
    ("net", "expected"),  # computed with the package lpips 0.1.4
    [("alex", [0.0954706, 0.3457854, 0.0]), ("vgg", [0.2422985, 0.6919320, 0.0])],
)
def test_equals_the_published_metric(net, expected, lpips_weights):
    with torch.inference_mode():
        assert LPIPS(net)(*published()).tolist() == pytest.approx(expected, abs=2e-5)


def test_weights_that_are_missing_damaged_or_others(fake_lpips, tmp_path):
    with pytest.raises(DataError, match="zoo data build lpips"):
        LPIPS("vgg")
    path = fake_lpips / "alex.safetensors"
    state = load_file(path)
    save_file({**state, "lin.2.weight": torch.zeros(1, 5, 1, 1)}, path)
    with pytest.raises(WeightsError, match=r"lin\.2\.weight should be \(1, 384, 1, 1\)"):
        LPIPS("alex", fake_lpips)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot be read"):
        LPIPS("alex", fake_lpips)


def test_wrong_requests(fake_lpips):
    with pytest.raises(RequestError, match="squeeze"):
        LPIPS("squeeze")
    net = LPIPS("alex", fake_lpips)
    with pytest.raises(ImageError, match=r"one shape.*35.*39"):
        net(flat(0.0, 35), flat(0.0, 39))
    with pytest.raises(ImageError, match="at least 31"):
        net(flat(0.0, 30), flat(0.0, 30))
    net(flat(0.0, 31), flat(0.0, 31))
