"""The two commands, as a user gives them."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from coded_pictures import CHAIN, smooth
from PIL import Image

import zoo
from zoo.cli import cli


def run(*words):
    return CliRunner().invoke(cli, [str(each) for each in words], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pictures"
    made.mkdir()
    Image.fromarray(smooth(1, 3, 13, 8)[0].transpose(1, 2, 0)).save(made / "a.png")
    Image.fromarray(smooth(1, 1, 6, 6)[0, 0]).save(made / "grey.bmp")
    Image.fromarray(smooth(1, 1, 5, 5)[0, 0]).convert("1").save(made / "lines.png")
    return made


def test_a_folder_goes_there_and_back(chain, folder, tmp_path):
    out = tmp_path / "all.zoo"
    done = run("compress", folder, "-m", "chain", "-o", out, "--check")
    assert done.exit_code == 0
    assert f"3 pictures -> {out}" in done.output
    assert "bits/dim" in done.output
    assert "times smaller" in done.output
    done = run("decompress", out)
    assert done.exit_code == 0
    for file in folder.iterdir():
        with Image.open(file) as one, Image.open(tmp_path / "all" / f"{file.stem}.png") as other:
            assert one.mode == other.mode
            assert np.array_equal(np.asarray(one), np.asarray(other))


def test_json_has_the_bits(chain, folder, tmp_path):
    out = tmp_path / "all.zoo"
    told = json.loads(run("compress", folder, "-m", "chain", "-o", out, "--json").output)
    assert told["bytes"] == out.stat().st_size == told["bits"] / 8
    assert told["source_bytes"] == sum(each.stat().st_size for each in folder.iterdir())
    assert told["ratio"] == pytest.approx(told["source_bytes"] / told["bytes"])
    back = json.loads(run("decompress", out, "-o", tmp_path / "back", "--json").output)
    assert back["model"] == "chain@1.0.0"
    assert [each["mode"] for each in back["pictures"]] == ["RGB", "L", "1"]


def test_a_condition_and_a_model_by_its_folder(make, folder, tmp_path):
    make({**CHAIN, "classes": 3})
    out = tmp_path / "a.zoo"
    where = f"{tmp_path}/models/chain"
    assert run("compress", folder, "-m", where, "-o", out, "-c", "label=1").exit_code == 0
    assert run("decompress", out, "-m", where, "-o", tmp_path / "back").exit_code == 0


def test_names_that_would_fall_together_are_refused(chain, folder, tmp_path):
    Image.fromarray(smooth(1, 1, 6, 6)[0, 0]).save(folder / "grey.png")
    with pytest.raises(zoo.RequestError, match=r"written back as grey\.png"):
        run("compress", folder, "-m", "chain", "-o", tmp_path / "a.zoo")


def test_an_archive_writes_inside_of_its_folder_alone(chain, tmp_path):
    from zoo.codec import Picture, pack

    made = pack(chain, [Picture(smooth(1, 3, 6, 6)[0], "RGB", "../../evil.png")])
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.zoo").write_bytes(made.data)
    assert run("decompress", tmp_path / "deep" / "er" / "a.zoo").exit_code == 0
    assert (tmp_path / "deep" / "er" / "a" / "evil.png").is_file()
    assert not (tmp_path / "deep" / "evil.png").exists()


def test_a_file_that_is_no_archive_is_named(folder):
    with pytest.raises(zoo.CodecError, match="a PNG picture"):
        run("decompress", folder / "a.png")
