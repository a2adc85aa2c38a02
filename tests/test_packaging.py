"""What a user gets: wheel and sdist hold everything, and the wheel works where it is installed."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def files(folder):
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel made from it: what is not in the sdist cannot be in the wheel."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [sdist], [wheel] = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def python(built, tmp_path_factory):
    """The python of a clean environment with the wheel; what it depends on is shared with ours."""
    home = tmp_path_factory.mktemp("clean")
    venv.create(home, with_pip=False)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    command = [*pip, "install", "--quiet", "--no-deps", "--no-index", str(built[1])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    # Added after the environment's own folder; an editable genzoo's .pth in it is not followed.
    shared = [path for path in sys.path if path.endswith("site-packages")]
    shared = shared or [sysconfig.get_path("purelib")]
    (Path(own.stdout.strip()) / "shared.pth").write_text("\n".join(shared) + "\n")
    return python


def run(python, code, tmp_path):
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ZOO_PATH")
    }
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_sdist_holds_the_sources(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("zoo", "plugins", "model_cards", "tests", ".ci"):
        assert files(folder) <= names, folder
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"} <= names


def test_the_wheel_holds_plugins_and_models(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
        [points] = [name for name in names if name.endswith("entry_points.txt")]
        declared = archive.read(points).decode()
    assert files("zoo") <= names
    assert {
        name.removeprefix("plugins/") for name in files("plugins") - {"plugins/README.md"}
    } <= names
    cards = {name.replace("model_cards", "zoo/_model_cards", 1) for name in files("model_cards")}
    assert cards
    assert cards <= names
    roots = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert roots == {"zoo", *(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())}
    for folder in roots - {"zoo"}:
        assert f"= {folder}\n" in declared


def test_a_model_loads_from_the_installed_wheel(python, tmp_path):
    code = """
import json
import zoo
from zoo import hub
vq = zoo.load("vqgan-f16")
found = hub.resolve("vqgan-f16")
picture = zoo.Images.read(zoo.__file__.replace("__init__.py", "demo_data/icon-noto-crocodile.webp"))
back = vq.decode(vq.encode(picture))
print(json.dumps([zoo.__file__, str(found.folder), found.source, list(back.shape), zoo.list()]))
"""
    file, folder, source, shape, names = json.loads(run(python, code, tmp_path))
    installed = Path(file).parent
    assert python.parent.parent in installed.parents
    assert Path(folder) == installed / "_model_cards" / "vqgan-f16"
    assert source == "embedded"
    assert shape == [1, 3, 128, 128]
    assert names == sorted(path.name for path in (ROOT / "model_cards").iterdir() if path.is_dir())


def test_the_command_is_installed(python, tmp_path):
    command = python.with_name("zoo")
    done = subprocess.run(
        [command, "plugins", "--json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    families = {row["name"]: row for row in json.loads(done.stdout)}
    assert families["vq"]["distribution"] == "genzoo"
