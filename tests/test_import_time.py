"""What answers at once must not import torch: a second saved on every command."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "timm", "numpy", "huggingface_hub", "transformers", "diffusers"}


@pytest.mark.parametrize(
    "code",
    [
        "import zoo",
        "import zoo; zoo.list(); zoo.families()",
        "from zoo.cli import main; sys.argv[1:] = ['list']; leave(main)",
        "from zoo.cli import main; sys.argv[1:] = ['list', '--json']; leave(main)",
        "from zoo.cli import main; sys.argv[1:] = ['show', 'vqgan-f16']; leave(main)",
        "from zoo.cli import main; sys.argv[1:] = ['--help']; leave(main)",
        "from zoo.cli import main; sys.argv[1:] = ['data', '--help']; leave(main)",
        "from zoo.cli import main; sys.argv[1:] = ['recommend', '--data', '9']; leave(main)",
    ],
)
def test_quick_answers_import_nothing_heavy(code):
    program = f"""
import sys
def leave(main):
    try:
        main()
    except SystemExit as done:
        assert not done.code, done.code
{code}
heavy = sorted({HEAVY!r} & set(sys.modules))
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
