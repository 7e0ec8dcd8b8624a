"""Which release an installation gets, and which it may be moved to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from alloyd.domain.workflows.numbered import Numbered
from alloyd.errors import AlloydError, bad_request, not_found


def find_release(releases: Sequence[Numbered], label: str | None) -> Numbered:
    """The release of that label among ``releases``, which stand newest first; without one, the newest.

    Raises ``not_found`` when there is none at all, ``bad_request`` for an unknown label.
    """
    if label is None:
        if not releases:
            raise not_found("release of the workflow")
        return releases[0]
    for release in releases:
        if release.label == label:
            return release
    raise _unknown(label)


def choose_upgrade(releases: Sequence[Numbered], current: Numbered, label: str | None) -> Numbered:
    """What an installation that is at ``current`` moves to when ``label`` is asked for, or the newest without one.

    It never moves back: where the newest is not newer, ``current`` stays, as it does for its own label. Raises
    ``bad_request`` for a label that is unknown, or older than ``current``.
    """
    if label is None:
        return max([current, *releases], key=lambda release: release.order)
    if label == current.label:
        same = [release for release in releases if release.label == label]
        return max([current, *same], key=lambda release: release.order)
    wanted = find_release(releases, label)
    if wanted.order < current.order:
        raise bad_request(f"version: {label} is older than {current.label}, which is installed", "version")
    return wanted


def _unknown(label: str) -> AlloydError:
    return bad_request(f"version: there is no release {label[:64]!r}", "version")
