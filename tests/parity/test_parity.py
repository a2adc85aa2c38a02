"""The reference cases kept here pass, and the harness tells what is wrong with others."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoo import parity
from zoo.parity.__main__ import main
from zoo.parity.published import published

HERE = Path(__file__).parent
CASES = sorted(path for path in (HERE / "cases").iterdir() if path.is_dir())
PUBLISHED = sorted((HERE / "published").glob("*.json"))


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_recorded_outputs_are_reproduced(folder):
    report = parity.check(folder)
    assert report.ok, str(report)


@pytest.mark.parametrize("listed", PUBLISHED, ids=lambda path: path.stem)
def test_a_published_checkpoint_fits_our_net_key_by_key(listed):
    report = published(listed)
    assert report.ok, str(report)


def test_a_published_list_with_another_shape_a_lost_or_a_strange_key_does_not_fit(tmp_path):
    path = HERE / "published" / "llamagen_vq16.json"
    for change in (
        lambda keys: keys.update({"decoder.norm_out.weight": [64]}),
        lambda keys: keys.pop("decoder.conv_out.bias"),
        lambda keys: keys.update({"decoder.extra": [1]}),
    ):
        listed = json.loads(path.read_text())
        change(listed["keys"])
        (tmp_path / "list.json").write_text(json.dumps(listed))
        assert not published(tmp_path / "list.json").ok


def test_cases_fit_their_allowance():
    folders = [HERE / "cases", HERE / "published"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8 * 2**20


@pytest.fixture
def case(tmp_path):
    """A copy of the quantizer's case under a name that says nothing."""
    return Path(shutil.copytree(CASES[0].parent / "taming_vector_quantizer", tmp_path / "anything"))


def change(case, **tensors):
    """Rewrite tensors of a case's io.safetensors."""
    recorded = load_file(case / "io.safetensors")
    save_file(recorded | tensors, case / "io.safetensors")


def test_a_case_is_recognised_by_its_files_not_its_name(case):
    assert parity.check(case).ok


def test_a_number_beyond_its_tolerance_is_out(case):
    codes = load_file(case / "io.safetensors")["out.z_q"]
    codes[0, 0, 0, 0] += 1e-3
    change(case, **{"out.z_q": codes})
    report = parity.check(case)
    (line,) = [line for line in report.lines if not line.ok]
    assert not report.ok
    assert line.name == "z_q"
    assert line.error == pytest.approx(1e-3, rel=1e-2)


def test_a_wrong_integer_shape_nan_and_missing_output_are_each_out(case):
    recorded = load_file(case / "io.safetensors")
    change(
        case,
        **{
            "out.indices_flat": recorded["out.indices_flat"] + 1,
            "out.z_q": recorded["out.z_q"].flatten(),
            "out.loss_paper": torch.full((1,), float("nan")),
            "out.never_heard_of": torch.zeros(1, dtype=torch.int64),
        },
    )
    wrong = {line.name: str(line) for line in parity.check(case).lines if not line.ok}
    assert set(wrong) == {"indices_flat", "z_q", "loss_paper", "never_heard_of"}
    assert "40 differ" in wrong["indices_flat"]
    assert "shape (2, 6, 4, 5), wanted (240,)" in wrong["z_q"]
    assert "not given" in wrong["never_heard_of"]


def test_the_command_reports_every_case_and_exits_with_their_outcome(case, tmp_path, capsys):
    unknown = tmp_path / "unknown"
    unknown.mkdir()
    (unknown / "meta.json").write_text("{}")
    save_file({"in.q": torch.zeros(1), "out.p": torch.zeros(1)}, unknown / "io.safetensors")
    damaged = Path(shutil.copytree(CASES[0].parent / "llamagen_vq", tmp_path / "damaged"))
    (damaged / "vq.pt").write_bytes((damaged / "vq.pt").read_bytes()[:5000])
    folders = [str(folder) for folder in (unknown, damaged, tmp_path / "nowhere", case)]
    assert main(folders) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.startswith("unknown: FAIL: ForeignError: no runner")]
    assert [line for line in told if line.startswith("damaged: FAIL: ForeignError")]
    assert [line for line in told if line.startswith("nowhere: FAIL: ForeignError")]
    assert told[-1] == "1 of 4 cases pass"
    assert main([str(case)]) == 0


def test_json_is_one_object_a_case_and_a_summary(case, capsys):
    assert main(["--json", str(case)]) == 0
    *reports, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert [report["case"] for report in reports] == ["anything"]
    assert {"name", "error", "tolerance", "ok", "note"} <= set(reports[0]["lines"][0])
    assert summary == {"pass": 1, "of": 1}
