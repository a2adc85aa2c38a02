"""huggingface_hub's own tests, of its sdist, against a hub of ours.

    python tests/hub/peers.py FOLDER [pytest arguments ...]

fetches the sdist (Apache-2.0, not part of this repository), gives its tests our address and a
conftest, runs them in an environment of their own and prints what passed and what did not.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

from zoo.testing.hub_server import running

VERSION = "2.4.0"
FILES = (
    "test_auth", "test_cache_layout", "test_cli", "test_commit_api", "test_commit_scheduler",
    "test_copy_files", "test_kernels", "test_upload_pipeline", "test_utils_telemetry",
    "test_file_download", "test_hf_api", "test_hf_file_system", "test_hub_mixin", "test_lfs",
    "test_offline_utils", "test_repocard", "test_snapshot_download", "test_utils_cache",
    "test_utils_http", "test_utils_pagination", "test_verification", "test_xet_upload",
)  # fmt: skip
NEEDED = (
    "pytest", "pytest-env", "pytest-mock", "pytest-vcr", "pytest-asyncio", "pytest-timeout",
    "pytest-rerunfailures", "jedi", "Jinja2", "numpy", "Pillow", "hf-xet",
)  # fmt: skip


def environment(folder):
    """An interpreter with that version and what its tests need."""
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "whole").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        pip = [str(python), "-m", "pip"]
        wanted = f"huggingface_hub=={VERSION}"
        subprocess.run([*pip, "install", "-q", wanted, *NEEDED], check=True)
        fetch = ["download", "-q", "--no-deps", "--no-binary", "huggingface_hub", wanted]
        subprocess.run([*pip, *fetch, "-d", str(folder)], check=True)
        with tarfile.open(next(folder.glob("huggingface_hub-*.tar.gz"))) as sdist:
            sdist.extractall(folder, filter="data")
        (folder / "whole").touch()
    return python


def tokens(tests):
    """The tokens and users that the tests know, as ZOO_HUB_TOKENS has them."""
    text = (tests / "testing_constants.py").read_text()
    know = dict(re.findall(r'^(\w+) = "([^"]*)"', text, re.MULTILINE))
    rights = [(know["TOKEN"], "DummyHubUser", ":valid_org_hub"), (know["OTHER_TOKEN"], know["OTHER_USER"], ""),
              (know["ENTERPRISE_TOKEN"], know["ENTERPRISE_USER"], ":" + know["ENTERPRISE_ORG"])]  # fmt: skip
    return ",".join(f"{token}:{user}:write{org}" for token, user, org in rights)


def run(folder, arguments=()):
    """A row for each test that ran: test, when, outcome, asked, error."""
    folder.mkdir(parents=True, exist_ok=True)
    python = environment(folder)
    root = folder / f"huggingface_hub-{VERSION}"
    tests, report = root / "tests", folder / "report.jsonl"
    report.unlink(missing_ok=True)
    constants = (tests / "testing_constants.py").read_text()
    rights = {"ZOO_HUB_TOKENS": tokens(tests)}
    with running(folder / "hub", environment=rights) as hub:
        for name, value in (("USER", "DummyHubUser"), ("FULL_NAME", "DummyHubUser"),
                            ("ENDPOINT_STAGING", hub.url)):  # fmt: skip
            constants = re.sub(rf'^{name} = ".*"', f'{name} = "{value}"', constants, flags=re.M)
        (tests / "testing_constants.py").write_text(constants)
        (tests / "__init__.py").touch()
        (tests / "conftest.py").write_text(Path(__file__).with_name("peer_conftest.py").read_text())
        settings = {
            "HF_ENDPOINT": hub.url, "HUGGINGFACE_CO_STAGING": "0", "ZOO_PEERS": str(report),
            "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        (root / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
        subprocess.run(
            [str(python), "-m", "pytest", "-q", "--timeout", "120",
             *(arguments or [f"tests/{each}.py" for each in FILES])],
            cwd=root, env={**os.environ, **settings},
        )  # fmt: skip
    return [json.loads(line) for line in report.read_text().splitlines()]


def told(rows):
    """Names of the tests that asked the server and passed, and errors of those that failed."""
    failed = {
        row["test"]: row["error"] for row in rows if row["outcome"] == "failed" and row["asked"]
    }
    passed = [row["test"] for row in rows if row["outcome"] == "passed" and row["asked"]]
    return [each for each in passed if each not in failed], failed


if __name__ == "__main__":
    good, bad = told(run(Path(sys.argv[1]).resolve(), sys.argv[2:]))
    for name, error in bad.items():
        print(name, "\n    ", error[-200:].replace("\n", "\n     "))
    print(f"{len(good)} tests that asked the server pass, {len(bad)} fail")
