"""Strangers' distributions, really installed with pip into an environment beside ours."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
THIRD_PARTY = ROOT / "tests" / "third_party"


def install(folder, *distributions):
    """A virtual environment that sees ours and has the distributions (names or folders); its python.

    No network, no dependencies: what they need is ours.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    site.mkdir(parents=True, exist_ok=True)
    shared = [path for path in sys.path if path.endswith("site-packages")]
    shared += [str(ROOT), str(ROOT / "plugins")]
    (site / "outer.pth").write_text("\n".join(shared) + "\n")
    sources = [
        shutil.copytree(THIRD_PARTY / each, folder / "src" / Path(each).name)
        for each in distributions
    ]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    options = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, *options, *sources])
    return python


def run(command, code=0, cwd="/"):
    """What a command says: its stdout, or where it was to leave with another code than 0, all."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, env=environment, cwd=cwd
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr if code else done.stdout


def own_tests(python, *folders):
    """Run distributions' own tests in one process; how many passed."""
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", THIRD_PARTY]
    said = run([python, "-m", "pytest", *options, *(each / "tests" for each in folders)])
    assert "failed" not in said
    return int(said.split(" passed")[0].split()[-1])


SEVERAL = """
import json, sys
from click.testing import CliRunner
from zoo.cli import cli
said = [CliRunner().invoke(cli, words) for words in json.loads(sys.argv[1])]
print("strangers " + json.dumps([[each.exit_code, each.output] for each in said]))
"""


def commands(python, *every):
    """Several `zoo` commands in one process: the exit code and the output of each."""
    words = json.dumps([[str(word) for word in each] for each in every])
    return json.loads(run([python, "-c", SEVERAL, words]).rpartition("strangers ")[2])
