"""From a family's name to that family's hooks.

Own families and strangers' come through one door, the entry-point group `zoo.families`: found by
name without an import, imported when a card asks. Each family has a `PluginManager` of its own,
because with a shared one a `firstresult` call is answered by whichever plugin registered last, on
another family's network. A second group, `zoo.wrappers`, holds plugins of hook wrappers (timing,
checks, watermarks) that are registered with every family, in the order of their names: the last is
outermost. One that is broken stops every family, because a filter that did not load must not be
passed by. With ZOO_TRACE_HOOKS set, every call of a hook is told on stderr.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

import pluggy

from zoo import hookspecs
from zoo.errors import PluginError, UnknownFamily, Unsupported, listed, nearest

FAMILIES, WRAPPERS = "zoo.families", "zoo.wrappers"
EVERY_HOOK = hookspecs.HOOKS + hookspecs.WORKSHOP


@dataclass(frozen=True)
class Family:
    """A family: its name, who brings it, and which arguments each of its hooks takes."""

    name: str
    distribution: str
    hooks: Mapping[str, tuple[str, ...]]
    relay: pluggy.HookRelay
    wrappers: Sequence[Wrappers] = field(default=())

    def call(self, hook: str, **arguments: Any) -> Any:
        """This family's answer.

        Raises Unsupported where it has none, PluginError where the answer is None.
        """
        self.need(hook)
        answer = getattr(self.relay, hook)(**arguments)
        if answer is None and hook != "adopt":
            raise PluginError(
                f"{self.who(hook)}: {hook} of the family {self.name!r} answered None. Return "
                "the result, or leave the hook out if the family cannot do it."
            )
        return answer

    def who(self, hook: str) -> str:
        """The distribution that answers `hook`, and those that wrap the answer: whom to blame."""
        around = [each.distribution for each in self.wrappers if hook in each.hooks]
        return self.distribution + (f" (wrapped by {', '.join(around)})" if around else "")

    def need(self, hook: str) -> None:
        """Raise Unsupported, naming families that do, unless this one gives `hook`."""
        if hook not in self.hooks:
            raise Unsupported(f"The family {self.name!r} does not give {hook}. {_who_gives(hook)}")

    def takes(self, hook: str, argument: str) -> bool:
        """Whether the implementation of `hook` asks for `argument`."""
        return argument in self.hooks.get(hook, ())


@dataclass(frozen=True)
class Wrappers:
    """Hook wrappers that an entry point brings to every family: around which hooks, and whose."""

    name: str
    distribution: str
    hooks: Mapping[str, tuple[str, ...]]
    plugin: object


def families() -> list[str]:
    """Names of the installed families, found without importing any of them."""
    return sorted(entry_points(group=FAMILIES).names)


def wrapper_names() -> list[str]:
    """Names of the installed wrappers, found without importing any of them."""
    return sorted(entry_points(group=WRAPPERS).names)


def owners(group: str, name: str) -> list[str]:
    """The distributions, each with its version, that bring `name`; nothing is imported."""
    return sorted({_owner(each) for each in entry_points(group=group, name=name)})


@functools.cache
def family(name: str) -> Family:
    """The family of that name, its plugin imported on first use.

    Raises UnknownFamily, or PluginError naming the distribution: two that claim the name, an import
    that fails, a hook that breaks the contract of `zoo.hookspecs`.
    """
    if name not in families():
        raise UnknownFamily(
            f"No installed plugin brings the family {name!r}.{nearest(name, families())} "
            f"Installed: {listed(families())}. Install the distribution that brings it "
            f"(entry-point group {FAMILIES!r})."
        )
    plugin, owner = _only(FAMILIES, name, f"the family {name!r}")
    return register(name, plugin, owner)


def wrappers(name: str) -> Wrappers:
    """The wrappers of that name, imported and held against the specs. Raises PluginError."""
    plugin, owner = _only(WRAPPERS, name, f"the wrappers {name!r}")
    manager = pluggy.PluginManager("zoo")
    manager.add_hookspecs(hookspecs)
    hooks = _checked(manager, plugin, f"{owner}, wrappers {name!r}", wrapper=True)
    return Wrappers(name, owner, MappingProxyType(hooks), plugin)


def register(name: str, plugin: object, distribution: str = "this process") -> Family:
    """Check a plugin against the specs and give it a manager of its own.

    Plugin authors' tests may call this.
    """
    manager = pluggy.PluginManager("zoo")
    manager.add_hookspecs(hookspecs)
    where = f"{distribution}, family {name!r}"
    hooks = _checked(manager, plugin, where, wrapper=False)
    if "build" not in hooks:
        raise PluginError(f"{where}: no build hook. Mark a function `build` with @zoo.hookimpl.")
    _register(manager, plugin, name, where)
    around = tuple(wrappers(each) for each in wrapper_names())
    for each in around:
        where = f"{each.distribution}, wrappers {each.name!r}"
        _register(manager, each.plugin, f"{WRAPPERS}:{each.name}", where)
    if os.environ.get("ZOO_TRACE_HOOKS"):
        import sys

        manager.trace.root.setwriter(sys.stderr.write)
        manager.enable_tracing()
    return Family(name, distribution, MappingProxyType(hooks), manager.hook, around)


def _checked(
    manager: pluggy.PluginManager, plugin: object, where: str, wrapper: bool
) -> dict[str, tuple[str, ...]]:
    """The hooks that `plugin` implements, and their arguments.

    Raises PluginError for what pluggy would let pass.
    """
    found: dict[str, tuple[str, ...]] = {}
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            unmarked = attribute in EVERY_HOOK and inspect.isroutine(getattr(plugin, attribute))
            if (
                unmarked
                and getattr(getattr(plugin, attribute), "__module__", "") != "zoo.hookspecs"
            ):
                raise PluginError(
                    f"{where}: {attribute} is not marked; put @zoo.hookimpl above it."
                )
            continue
        hook = options.get("specname") or attribute
        if hook not in EVERY_HOOK:
            raise PluginError(
                f"{where}: there is no hook {hook!r}.{nearest(hook, EVERY_HOOK)} Hooks: "
                f"{', '.join(EVERY_HOOK)}."
            )
        if wrapper != bool(options.get("wrapper") or options.get("hookwrapper")):
            raise PluginError(
                f"{where}: {attribute} must be marked @zoo.hookimpl(wrapper=True): without, it "
                "would answer in the family's place."
                if wrapper
                else f"{where}: {attribute} is a wrapper, which belongs in the group {WRAPPERS!r}."
            )
        if hook in found:
            raise PluginError(
                f"{where}: {hook} is implemented twice ({attribute} by its specname)."
            )
        found[hook] = _arguments(getattr(plugin, attribute), hook, f"{where}: {attribute}")
    return found


def _arguments(function: Callable[..., Any], hook: str, where: str) -> tuple[str, ...]:
    spec = tuple(inspect.signature(getattr(hookspecs, hook)).parameters)
    for parameter in inspect.signature(function).parameters.values():
        if (
            parameter.kind is not parameter.POSITIONAL_OR_KEYWORD
            or parameter.default is not parameter.empty
        ):
            raise PluginError(
                f"{where}: `{parameter}` would never receive its value. Make every parameter "
                "positional and without a default."
            )
        if parameter.name not in spec:
            raise PluginError(
                f"{where}: there is no argument {parameter.name!r}.{nearest(parameter.name, spec)} "
                f"{hook} may take: {', '.join(spec)}."
            )
    return tuple(inspect.signature(function).parameters)


def _register(manager: pluggy.PluginManager, plugin: object, name: str, where: str) -> None:
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(f"{where}: {error}") from error


def _only(group: str, name: str, what: str) -> tuple[object, str]:
    """The one plugin of that name, imported, and who brings it.

    Raises PluginError where several do, or where it does not import.
    """
    found = list(entry_points(group=group, name=name))
    whose = owners(group, name)
    if len({(_owner(each), each.value) for each in found}) > 1:
        raise PluginError(f"{' and '.join(whose)} both bring {what}: uninstall one.")
    return _import(found[0], what), whose[0]


def _import(entry: EntryPoint, what: str) -> object:
    try:
        return entry.load()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{_owner(entry)}: {what} ({entry.value}) does not import: {type(error).__name__}: "
            f"{error}. Mend or uninstall it."
        ) from error


def _owner(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unnamed distribution"


def _who_gives(hook: str) -> str:
    """A sentence that names the installed families with that hook.

    A family that is broken cannot give it.
    """
    able = []
    for name in families():
        try:
            if hook in family(name).hooks:
                able.append(name)
        except PluginError:
            continue
    return f"These do: {', '.join(able)}." if able else "No installed family does."
