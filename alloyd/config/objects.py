"""The settings of objects, the files of runs."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from alloyd.config import rules
from alloyd.config.fields import choice, flag, number, secret, text, text_or_none
from alloyd.config.secret import Secret

MIB: Final = 1024 * 1024


class ObjectsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Objects: the files that go into and come out of runs."""

    backend: Annotated[
        Literal["local", "s3"], choice("Where new ones go: this machine's disk, or an S3-compatible store.")
    ] = "local"
    url_ttl_s: Annotated[int, number("How long a signed download URL is good.", 1, 604_800, "seconds")] = 300
    misses_per_minute: Annotated[
        int,
        number("Downloads of keys that are none, from one address, before it has to wait.", 1, 1_000_000, "misses"),
    ] = 60
    output_bytes_max: Annotated[
        int,
        number(
            "Largest object; a step's output that is too large for its row becomes one.", 1024, 5 * 1024**3, "bytes"
        ),
    ] = 10 * MIB
    base_url: Annotated[
        str | None,
        text_or_none(
            "Where clients reach alloyd, such as https://alloyd.example.com; with none, download URLs are paths.",
            rule=rules.base_url,
        ),
    ] = None
    s3_bucket: Annotated[
        str | None, text_or_none("The bucket; it has to be there. Objects in it are read while it is named here.")
    ] = None
    s3_endpoint: Annotated[
        str | None,
        text_or_none("URL of the store; with none, the one of AWS for the region.", rule=rules.base_url),
    ] = None
    s3_region: Annotated[str, text("The bucket's region.")] = "us-east-1"
    s3_access_key: Annotated[
        str | None, text_or_none("The access key's id; with none, the machine's own role is used.")
    ] = None
    s3_secret_key: Annotated[Secret | None, secret("Its secret.")] = None
    s3_prefix: Annotated[str | None, text_or_none("A folder in the bucket that everything goes into.")] = None
    s3_path_style: Annotated[
        bool, flag("Whether the bucket is named in the path of URLs; false: in the host's name, as AWS wants it.")
    ] = True
    s3_allow_http: Annotated[bool, flag("Whether the endpoint may be without TLS.")] = False
    s3_presign: Annotated[
        bool,
        flag("Whether downloads go straight to the bucket; false: alloyd passes them on, for a bucket inside."),
    ] = True
    s3_timeout_s: Annotated[int, number("Time for one request to the store.", 1, 3600, "seconds")] = 60
