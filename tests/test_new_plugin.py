"""What `zoo new-plugin` writes; `tests/test_strangers.py` installs it and runs its own tests."""

import tomllib

import pytest
import torch

from zoo import new_plugin as scaffold
from zoo.errors import PluginError
from zoo.new_plugin import new_plugin


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A family that only draws, and wrappers, as the command writes them."""
    home = tmp_path_factory.mktemp("new")
    return [
        new_plugin("only_draws", home / "zoo-only-draws", hooks=["sample"]),
        new_plugin("watching", home / "zoo-watching", wrappers=True),
    ]


def test_only_the_hooks_that_are_wanted_are_written(written):
    source = (written[0] / "zoo_only_draws.py").read_text()
    assert "def sample" in source
    for absent in ("def log_prob", "def encode", "import labels", "Objective"):
        assert absent not in source


def test_names_are_put_in_everywhere(written):
    for folder in written:
        for file in folder.rglob("*"):
            if file.suffix in (".py", ".toml", ".md", ".yml"):
                assert "newname" not in f"{file.name} {file.read_text()}"
    project = tomllib.loads((written[0] / "pyproject.toml").read_text())["project"]
    assert project["name"] == "zoo-only-draws"
    assert project["entry-points"]["zoo.families"] == {"only_draws": "zoo_only_draws"}


def test_the_density_is_that_of_the_gaussian_written_out():
    net = scaffold.toy().net.double()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    weight, variance = net.weight, (2 * net.log_std).exp()
    full = torch.distributions.MultivariateNormal(
        net.means.mean(0), weight @ weight.T + variance * torch.eye(768, dtype=torch.float64)
    )
    family = scaffold.toy().hooks
    given = family.call("log_prob", net=net, images=images, cond=None, generator=None)
    assert torch.allclose(given, full.log_prob(images.flatten(1)), rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "Two Words"}, "cannot be a plugin's name: lower-case"),
        ({"name": "class"}, "cannot be a plugin's name"),
        ({"name": "vq"}, r"'vq' is a name that genzoo .* has in zoo\.families\. Choose another"),
        ({"name": "mine", "hooks": ["smaple"]}, r"no hook 'smaple'\. Did you mean 'sample'\?"),
        ({"name": "mine", "out": "."}, r"\. is there already\. Give another folder"),
    ],
)
def test_what_cannot_be_written_is_refused(arguments, words):
    with pytest.raises(PluginError, match=words):
        new_plugin(**arguments)
