"""Environments with one version of huggingface_hub each, made once by `python -m venv` and pip."""

import os
import subprocess
import sys
from pathlib import Path

VERSIONS = ("0.33.5", "0.36.2", "1.12.2", "1.19.0", "1.20.0", "2.0.0", "")  # "": the newest
PLACE = "ZOO_CLIENTS"  # the folder that keeps them between runs


def python_with(version, folder):
    """The interpreter that has this version and hf-xet; made if it is not there."""
    kept = Path(os.environ.get(PLACE, folder)) / (version or "newest")
    python = kept / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (kept / "whole").exists():
        subprocess.run([sys.executable, "-m", "venv", str(kept)], check=True)
        wanted = f"huggingface_hub=={version}" if version else "huggingface_hub"
        pip = [str(python), "-m", "pip", "install", "-q", wanted, "hf-xet"]
        subprocess.run(pip, check=True)
        (kept / "whole").touch()
    return str(python)
