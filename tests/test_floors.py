"""Imports point down: from floors below the own one only, and the core knows no family."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import zoo

ROOT = Path(zoo.__file__).parent
FLOORS = [
    "errors adoption",
    "schema hookspecs options layouts rng safetensors_header progress density images bare columns apart",
    "front_matter plugins config_files bulk previews",
    "card",
    "hub tables",
    "weights checking gallery",
    "nn foreign saving verification sharing server",
    "model recognition",
    "foreign_models adapters",
    "loading",
    "parts",
    "__init__",
    "data codec drawing annotate",
    "evaluate parity",
    "train",
    "new_plugin finetuning",
    "testing demo advice",
    "cli",
    "__main__",
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}


def unit(module):
    """zoo.hub.remote -> hub; the package itself is the face, the top floor. The hub's server is a unit of its own."""
    if module.startswith("zoo.hub.server"):
        return "server"
    return module.split(".")[1] if "." in module else "__init__"


def imported(tree):
    """Modules of ours that are imported when the file runs, and those only for the type checker."""
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "zoo":
            modules = {path.stem for path in ROOT.iterdir()}
            yield from (f"zoo.{each.name}" for each in node.names if each.name in modules)
            if not {each.name for each in node.names} <= modules:
                yield "zoo"  # a name of the face
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


STRANGERS = ROOT / "new_plugin"  # the tests in its templates are run where they are installed
FILES = sorted({*ROOT.rglob("*.py")} - {*STRANGERS.glob("*/tests/*.py")})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    own = unit(".".join(["zoo", *path.relative_to(ROOT).with_suffix("").parts]))
    assert own in FLOOR, f"give {own} a floor in FLOORS"
    for module in imported(ast.parse(path.read_text())):
        assert not module.startswith("zoo_"), f"{path.name} imports the plugin {module}"
        if module.split(".")[0] == "zoo" and unit(module) != own:
            assert unit(module) in FLOOR, f"{own} imports {module}, which stands on no floor"
            assert FLOOR[unit(module)] < FLOOR[own], f"{own} imports {module}, not from below"


def test_the_face_and_the_list_import_no_torch():
    code = "import sys, zoo; zoo.list(); zoo.families(); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_name_of_the_face_can_be_fetched():
    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    assert set(zoo.__all__) <= set(dir(zoo))
    with pytest.raises(AttributeError, match=r"zoo has no 'lod'\. Did you mean 'load'\?"):
        zoo.lod  # noqa: B018
