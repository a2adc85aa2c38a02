"""`zoo annotate`: a picture in, its hint out."""

import json

import torch
from click.testing import CliRunner

from zoo.cli.annotate import annotate
from zoo.errors import RequestError
from zoo.images import Images


def run(*words):
    return CliRunner().invoke(annotate, [str(word) for word in words])


def test_a_picture_becomes_a_hint_and_keypoints_a_skeleton(tmp_path):
    image = torch.full((1, 3, 20, 24), 0.9)
    image[..., 12:] = -0.9
    Images(image).save(tmp_path / "in.png")
    done = run("edges", tmp_path / "in.png", "-o", tmp_path / "out.png", "-O", "sigma=1.5")
    assert done.exit_code == 0, done.output
    hint = Images.read(tmp_path / "out.png", 1).tensor[0, 0]
    assert (hint[1:-1, 11:13] > 0).any(1).all()
    assert (hint[:, :10] < 0).all()
    (tmp_path / "people.json").write_text(json.dumps([[[0.5, 0.5]] * 18]))
    done = run("pose", tmp_path / "people.json", "--size", 32, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert said["size"] == [32, 32]
    assert Images.read(said["hint"], 3).tensor.max() == 1


def test_what_it_does_not_know_is_said(tmp_path):
    Images(torch.zeros(1, 3, 8, 8)).save(tmp_path / "in.png")
    done = run("edge", tmp_path / "in.png")
    assert isinstance(done.exception, RequestError)
    assert "Did you mean 'edges'" in str(done.exception)
