"""A stranger's distribution from a template that is itself real, tested code: `zoo new-plugin NAME`.

`family/` and `wrappers/` beside this file are such distributions, named `newname`. Writing one is copying it under
another name, leaving out the hooks that are not wanted, and, for a family, saving a tiny model of it with its card.
"""

from __future__ import annotations

import ast
import importlib.util
import keyword
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zoo import hookspecs, plugins
from zoo.errors import PluginError, listed, nearest

if TYPE_CHECKING:
    from zoo.model import Model

HERE = Path(__file__).parent
HOOKS = (*hookspecs.HOOKS, "objectives")  # `adopt` has nothing to adopt yet
CONFIG = {"shape": [3, 16, 16], "latents": 4, "classes": 3}
_NAME = re.compile(r"[a-z][a-z0-9_]{1,40}")


def new_plugin(
    name: str,
    out: str | Path | None = None,
    hooks: Iterable[str] = HOOKS,
    wrappers: bool = False,
) -> Path:
    """Write a distribution that brings the family `name` (or wrappers of that name); its folder.

    Without `out` the folder is zoo-NAME here. Raises PluginError for a name that cannot be one, that
    an installed distribution has, for a hook that does not exist, and for a folder that holds something.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise PluginError(
            f"{name!r} cannot be a plugin's name: lower-case letters, digits and _, a letter first, "
            "two or more, no word of Python."
        )
    for group, names in (
        (plugins.FAMILIES, plugins.families()),
        (plugins.WRAPPERS, plugins.wrapper_names()),
    ):
        if name in names:
            whose = " and ".join(plugins.owners(group, name))
            raise PluginError(f"{name!r} is a name that {whose} has in {group}. Choose another.")
    wanted = {"build", *hooks}
    for hook in wanted - set(HOOKS):
        raise PluginError(
            f"There is no hook {hook!r}.{nearest(hook, HOOKS)} Hooks: {listed(HOOKS)}."
        )
    folder = Path(out) if out is not None else Path(f"zoo-{name.replace('_', '-')}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PluginError(f"{folder} is there already. Give another folder.")
    source = HERE / ("wrappers" if wrappers else "family")
    for file in sorted(source.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            _write(folder / _named(str(file.relative_to(source)), name), file.read_text(), name)
    _write(folder / ".github" / "workflows" / "tests.yml", (HERE / "ci.yml").read_text(), name)
    if wrappers:
        return folder
    module = folder / f"zoo_{name}.py"
    module.write_text(without(module.read_text(), set(HOOKS) - wanted))
    tiny(module, name).save(folder / "models" / f"{name.replace('_', '-')}-tiny")
    return folder


def without(source: str, hooks: set[str]) -> str:
    """Python source without the functions named in `hooks`, and without imports that then are idle."""
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name in hooks:
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            del lines[first - 1 : node.end_lineno]
    left = re.sub(r"\n{4,}", "\n\n\n", "".join(lines)).rstrip() + "\n"
    used = {
        each.id
        for node in ast.parse(left).body
        for each in ast.walk(node)
        if isinstance(each, ast.Name)
    }
    for node in ast.parse(left).body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            old = ast.get_source_segment(left, node) or ""
            kept = [each for each in node.names if each.name in used]
            new = ast.unparse(ast.ImportFrom(node.module, kept, 0)) if kept else ""
            left = left.replace(f"{old}\n", f"{new}\n" if new else "")
    return left


def tiny(module: Path, name: str) -> Model:
    """A tiny model of the family in `module`, its weights drawn at random, always the same."""
    import torch

    from zoo.card import HOOKS as CARD_HOOKS
    from zoo.card import Card, Density
    from zoo.model import Model, build

    family = plugins.register(name, _imported(module), f"zoo-{name.replace('_', '-')} 0.1.0")
    gives = set(family.hooks)
    latent: dict[str, Any] = {"latent": (CONFIG["latents"],), "latent_kind": "continuous"}
    card = Card(
        name=f"{name.replace('_', '-')}-tiny", family=name, version="0.1.0", license="apache-2.0",
        library_name="genzoo", config=CONFIG, image=(3, 16, 16),
        hooks=tuple(hook for hook in CARD_HOOKS if hook in gives),
        log_prob=Density("exact", "continuous pixels") if "log_prob" in gives else None,
        body=f"\n# {name}-tiny\n\nAn untrained model of the family `{name}`, for tests.\n",
        **(latent if "decode" in gives else {}),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build(family, card, {}, meta=False)
    return Model(card, net.eval(), family)


def toy() -> Model:
    """The tiny model of the template itself: small, sound, and answers every hook."""
    return tiny(HERE / "family" / "zoo_newname.py", "newname")


def _write(path: Path, text: str, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_named(text, name), encoding="utf-8")


def _named(text: str, name: str) -> str:
    """`text` with the name in place of the template's: with hyphens where a distribution is meant."""
    hyphens = name.replace("_", "-")
    text = text.replace("zoo-newname", f"zoo-{hyphens}").replace("newname-tiny", f"{hyphens}-tiny")
    return text.replace("newname", name)


def _imported(path: Path) -> ModuleType:
    """The module at `path`, without leaving it (or a .pyc) behind."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is no Python module.")
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module
