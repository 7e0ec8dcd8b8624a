"""Rules between settings: each value is possible alone, but not beside the other."""

from __future__ import annotations

from typing import Final

from alloyd.config.model import Config

# The first may be at most the second. A limit that merely never bites beside another (a step's time above its run's)
# is not here: lowering one setting should not demand another.
_AT_MOST: Final = (
    ("limits.list_limit_default", "limits.list_limit_max"),
    ("engine.payload_bytes_max", "engine.context_bytes_max"),
    ("engine.step_output_bytes_max", "engine.context_bytes_max"),
)


def contradictions(config: Config) -> list[tuple[tuple[str, ...], str]]:
    """The pairs of keys that contradict each other, and what is wanted of them."""
    found: list[tuple[tuple[str, ...], str]] = []
    for low, high in _AT_MOST:
        low_value, high_value = value_of(config, low), value_of(config, high)
        if low_value > high_value:
            wanted = f"wanted {low} ({low_value}) to be at most {high} ({high_value})"
            found.append(((low, high), wanted))
    found.extend(_of_objects(config))
    return found


def _of_objects(config: Config) -> list[tuple[tuple[str, ...], str]]:
    own = config.objects
    found: list[tuple[tuple[str, ...], str]] = []
    if own.backend == "s3" and own.s3_bucket is None:
        found.append((("objects.backend", "objects.s3_bucket"), "wanted objects.s3_bucket beside objects.backend s3"))
    if (own.s3_access_key is None) != (own.s3_secret_key is None):
        keys = ("objects.s3_access_key", "objects.s3_secret_key")
        found.append((keys, "wanted both of objects.s3_access_key and objects.s3_secret_key, or neither"))
    if (own.s3_endpoint or "").startswith("http:") and not own.s3_allow_http:
        keys = ("objects.s3_endpoint", "objects.s3_allow_http")
        found.append((keys, "wanted objects.s3_endpoint with https, or objects.s3_allow_http true"))
    return found


def value_of(config: Config, key: str) -> int:
    """The number at ``group.name``."""
    group, _, name = key.partition(".")
    return int(getattr(getattr(config, group), name))
