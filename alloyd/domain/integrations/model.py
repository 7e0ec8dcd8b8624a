"""What integrations and installations are, and their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.text import fault_of_line

INTEGRATIONS_PER_ORG_MAX: Final = 1000
WORKFLOWS_PER_INTEGRATION_MAX: Final = 1000
CATEGORY_CHARS_MAX: Final = 100
DESCRIPTION_CHARS_MAX: Final = 1000
ICON_URL_CHARS_MAX: Final = 2000
CONFIGURATION_BYTES_MAX: Final = 64 * 1024
ID_PREFIX: Final = "int_"
LATEST: Final = "latest"  # in the place of a release's label: the newest one


@dataclass(frozen=True, slots=True)
class Integration:
    """A named group of workflows around one app; times are milliseconds since the epoch.

    Its id is made of its slug, and so is unique within its organization only.
    """

    org_id: str
    slug: str
    name: str
    category: str | None
    icon_url: str | None
    description: str | None
    created_by: str
    created_at: int
    updated_at: int

    @property
    def id(self) -> str:
        """``int_<slug>``."""
        return ID_PREFIX + self.slug


@dataclass(frozen=True, slots=True)
class OfferedIntegration:
    """An integration as one end user sees it: ``installed`` once any of its workflows is."""

    integration: Integration
    installed: bool


@dataclass(frozen=True, slots=True)
class OfferedWorkflow:
    """A workflow of an integration; ``created_at``, in milliseconds since the epoch, is when it came into that."""

    workflow_id: str
    name: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How many installations of one workflow are at one release, and how many of these are active."""

    release: str
    version: int
    installations: int
    active: int


@dataclass(frozen=True, slots=True)
class Installation:
    """An end user's copy of a workflow; times are milliseconds since the epoch.

    ``release`` is the label it was installed at and ``version`` the content that this names; ``event`` what starts that
    version, None when no event does.
    """

    id: str
    org_id: str
    end_user_id: str
    workflow_id: str
    release: str
    version: int
    event: str | None
    configuration: Mapping[str, Any]
    active: bool
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A workflow as one end user sees it: installed, or at the ``release`` that installing would give."""

    workflow_id: str
    name: str
    release: str
    installation: Installation | None = None


@dataclass(frozen=True, slots=True)
class InstallationFilter:
    """Which installations to list; None is any. ``integration_id``: of the workflows that are in it now."""

    end_user_id: str | None = None
    workflow_id: str | None = None
    integration_id: str | None = None
    active: bool | None = None


def slug_of(integration_id: str) -> str:
    """The slug in an id; empty, which is nobody's, for what is no id."""
    return integration_id.removeprefix(ID_PREFIX) if integration_id.startswith(ID_PREFIX) else ""


def check_line(value: str | None, field: str, chars_max: int) -> str | None:
    """``value``, None for an empty one. Raises ``bad_request`` naming ``field`` unless it is one line of text."""
    if not value:
        return None
    fault = fault_of_line(value, chars_max)
    if fault is not None:
        raise bad_request(f"{field}: {fault}", field)
    return value


def check_icon_url(url: str | None) -> str | None:
    """``url``, None for an empty one. Raises ``bad_request`` unless browsers can load it: absolute, http or https."""
    if not check_line(url, "icon_url", ICON_URL_CHARS_MAX) or url is None:
        return None
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in url
    except ValueError:
        sound = False
    if not sound:
        raise bad_request("icon_url: an absolute http or https URL is wanted", "icon_url")
    return url


def check_configuration(configuration: Mapping[str, Any]) -> bytes:
    """``configuration`` as JSON. Raises ``too_large`` above ``CONFIGURATION_BYTES_MAX``."""
    encoded = msgspec.json.encode(configuration)
    if len(encoded) > CONFIGURATION_BYTES_MAX:
        told = f"configuration: larger than {CONFIGURATION_BYTES_MAX} bytes"
        raise AlloydError(Code.TOO_LARGE, told, field="configuration")
    return encoded
