"""What `zoo check` says: a plugin or a card tried by all that can be tried, each fault with its remedy.

A plugin is imported in a process of its own (it may do what it likes there), held against the specs, and tried by the
contract on a model of it. A card is held against its files, its family, and what a reader needs.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import SkipTest

from zoo import hub, plugins
from zoo.errors import PluginError, UnknownModel, ZooError, listed
from zoo.testing import CHECKS, Subject
from zoo.testing.cards import PUBLISHING, card_keeps_its_word

SLOWEST, HANGING = (
    2.0,
    60,
)  # seconds that a plugin may take to be imported, after torch, and with it
_IMPORT = """
import builtins, sys, time
from importlib.metadata import entry_points
ours, spent = builtins.__import__, []
def timed(name, *rest):
    start = time.perf_counter()
    module = ours(name, *rest)
    if name.partition(".")[0] == "torch":
        spent.append((start, time.perf_counter()))
    return module
[entry] = entry_points(group=sys.argv[1], name=sys.argv[2])
builtins.__import__, start = timed, time.perf_counter()
entry.load()
seconds, last = time.perf_counter() - start, 0.0
for begin, end in sorted(spent):
    seconds, last = seconds - max(0.0, end - max(begin, last)), max(last, end)
torch = sys.modules.get("torch")
quiet = torch is None or torch.equal(
    torch.get_rng_state(), torch.Generator().manual_seed(torch.initial_seed()).get_state()
)
print("zoo check", seconds, quiet)
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: "ok", "mend", "skipped", or "publish" for what may wait until then."""

    subject: str  # who is meant: a distribution and its plugin, or a card's title
    check: str
    verdict: str
    message: str = ""


def check(target: str, contract: bool = True, **asked: Any) -> Iterator[Finding]:
    """Try a model (by name or folder), or a plugin by the name of its family or wrappers.

    Without `contract` no net is run. `asked` goes to the subject of the contract (`request`,
    `options`). Raises UnknownModel for a name that is neither.
    """
    if target in plugins.families():
        yield from check_family(target, contract, **asked)
    elif target in plugins.wrapper_names():
        yield from check_wrappers(target, contract)
    else:
        try:
            hub.resolve(target)
        except UnknownModel as error:
            raise UnknownModel(
                f"{error} Nor is it a plugin: {listed(plugins.families() + plugins.wrapper_names())}."
            ) from error
        yield from check_card(target, contract, **asked)


def check_family(name: str, contract: bool = True, **asked: Any) -> Iterator[Finding]:
    """Import, registration, and the contract on the smallest model of the family that is here."""
    told, whose = _plugin(plugins.FAMILIES, name, f"family {name!r}")
    yield from told
    if told[-1].verdict == "mend" or not contract:
        return
    models = hub.cards(family=name)
    if not models:
        yield Finding(
            whose, "contract", "skipped",
            f"no model of the family {name!r} is here to try it on: `zoo check FOLDER` of one.",
        )  # fmt: skip
        return
    smallest = min(models, key=lambda each: each.card.bytes)
    yield from _contract(str(smallest.folder), whose, asked)


def check_wrappers(name: str, contract: bool = True) -> Iterator[Finding]:
    """Import, registration, and the contract of a small sound family inside the wrappers."""
    from zoo.new_plugin import toy

    told, whose = _plugin(plugins.WRAPPERS, name, f"wrappers {name!r}")
    yield from told
    if told[-1].verdict != "mend" and contract:
        yield from tried(Subject.of(toy(), request={"label": 1}, tolerance=1e-3), whose)


def check_card(name: str, contract: bool = True, **asked: Any) -> Iterator[Finding]:
    """The card's own rules, its files, its family, what a reader needs, and the contract on its weights."""
    found = hub.resolve(name)
    card = found.card
    held: list[tuple[str, Callable[[], object]]] = [
        ("files", functools.partial(_files, found)),
        ("hooks", functools.partial(card_keeps_its_word, card)),
    ]
    for what, holds in held:
        try:
            holds()
        except ZooError as error:
            yield Finding(card.title, what, "mend", str(error))
            return
        yield Finding(card.title, what, "ok")
    for rule in PUBLISHING:
        fault = rule(card, found.folder)
        yield Finding(card.title, rule.__name__, "publish" if fault else "ok", fault or "")
    if contract:
        yield from _contract(str(found.folder), card.title, asked)


def tried(subject: Subject, whose: str) -> Iterator[Finding]:
    """The contract's checks one by one; whatever a stranger's hook raises is a fault of its own."""
    for each in CHECKS:
        sentence = each.__name__.replace("_", " ")
        try:
            each(subject)
        except SkipTest as reason:
            yield Finding(whose, sentence, "skipped", str(reason))
        except ZooError as error:
            yield Finding(whose, sentence, "mend", str(error))
        except Exception as error:
            yield Finding(whose, sentence, "mend", f"raised {type(error).__name__}: {error}")
        else:
            yield Finding(whose, sentence, "ok")


def _contract(folder: str, whose: str, asked: dict[str, Any]) -> Iterator[Finding]:
    import zoo

    try:
        subject = Subject.of(zoo.load(Path(folder)), **asked)
    except ZooError as error:
        yield Finding(whose, "loads", "mend", str(error))
        return
    yield from tried(subject, whose)


def _plugin(group: str, name: str, what: str) -> tuple[list[Finding], str]:
    """How a plugin imports (in a process of its own) and registers, and whose it is."""
    owners = plugins.owners(group, name)
    whose = f"{' and '.join(owners)}, {what}"
    fault = _import_fault(group, name) if len(owners) == 1 else None
    findings = [
        Finding(whose, "imports quickly and quietly", "mend" if fault else "ok", fault or "")
    ]
    if fault and fault.startswith("does not import"):
        return findings, whose
    try:
        if group == plugins.FAMILIES:
            plugins.family(name)
        else:
            plugins.wrappers(name)
    except PluginError as error:
        return [Finding(whose, "registers", "mend", str(error))], whose
    return [*findings, Finding(whose, "registers", "ok")], whose


def _import_fault(group: str, name: str) -> str | None:
    """What is wrong with importing a plugin, if something is."""
    command = [sys.executable, "-c", _IMPORT, group, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=HANGING)
    except subprocess.TimeoutExpired:
        return f"does not import within {HANGING} s."
    said, _, told = done.stdout.rpartition("zoo check ")
    if done.returncode or not told:
        reason = (done.stderr.strip().splitlines() or [f"it left with {done.returncode}"])[-1]
        return f"does not import: {reason}"
    seconds, alone = told.split()
    faults = []
    if float(seconds) > SLOWEST:
        faults.append(f"takes {float(seconds):.1f} s to import, torch not counted")
    if alone != "True":
        faults.append("draws from the global generator when it is imported")
    if said.strip():
        faults.append("prints when it is imported")
    return f"{', '.join(faults)}: leave that to the hooks." if faults else None


def _files(found: hub.Found) -> None:
    from zoo import weights

    for file, facts in found.card.files.items():
        weights.verify(found.folder / file, facts.sha256, facts.size)
