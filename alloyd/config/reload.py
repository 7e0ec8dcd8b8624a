"""What a running daemon takes from a changed configuration (SIGHUP), and what has to wait for a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from alloyd.config.entries import fields_in, value_in
from alloyd.config.fields import fields_of, maps_of
from alloyd.config.model import Config


def reloadable() -> frozenset[str]:
    """The keys (``group.name``) that can change without a restart."""
    return frozenset(field.key for names in fields_of(Config).values() for field in names.values() if field.live)


def diff_reload(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """The keys that differ: those that can change at once, and those that need a restart."""
    applied: list[str] = []
    needs_restart: list[str] = []
    for group, names in fields_of(Config).items():
        for name, field in names.items():
            if getattr(getattr(old, group), name) != getattr(getattr(new, group), name):
                (applied if field.live else needs_restart).append(field.key)
    needs_restart += _changed_entries(old, new)
    return applied, needs_restart


def _changed_entries(old: Config, new: Config) -> list[str]:
    """The keys of entries, such as ``providers.openai.models``, that differ, came or went."""
    before, after = fields_in(old), fields_in(new)
    found: list[str] = []
    for group in sorted(group for group in before.keys() | after.keys() if "." in group):
        if group not in before or group not in after:
            found.append(group)
        else:
            found += [f.key for f in after[group].values() if value_in(old, f) != value_in(new, f)]
    return found


def merge_live(old: Config, new: Config) -> Config:
    """``old`` with every setting of ``new`` that can change at once, and the sources of those."""
    live = reloadable()
    changed: dict[str, Any] = {}
    for group, names in fields_of(Config).items():
        taken = {name: getattr(getattr(new, group), name) for name, field in names.items() if field.live}
        changed[group] = msgspec.structs.replace(getattr(old, group), **taken)
    sources = {key: source for key, source in old.sources.items() if key not in live}
    sources |= {key: source for key, source in new.sources.items() if key in live}
    changed |= {group: getattr(old, group) for group in maps_of(Config)}
    return Config(**changed, sources=sources)


class LiveConfig:
    """The configuration in force. Who needs a live setting reads ``current`` each time, or registers a callback."""

    def __init__(self, config: Config) -> None:
        self._current = config
        self._callbacks: list[Callable[[Config], None]] = []

    @property
    def current(self) -> Config:
        """The configuration in force now."""
        return self._current

    def on_change(self, callback: Callable[[Config], None]) -> None:
        """Calls ``callback`` with the configuration after each reload that changed something."""
        self._callbacks.append(callback)

    def reload(self, new: Config) -> tuple[list[str], list[str]]:
        """Puts the live settings of ``new`` into force; gives what :func:`diff_reload` gives."""
        applied, needs_restart = diff_reload(self._current, new)
        if applied:
            self._current = merge_live(self._current, new)
            for callback in self._callbacks:
                callback(self._current)
        return applied, needs_restart
