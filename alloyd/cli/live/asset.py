"""`alloyd asset`: files that are named by an id."""

from __future__ import annotations

import mimetypes
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiofiles
import click

from alloyd.cli.client import CHUNK_BYTES, Client, Download, segment
from alloyd.cli.errors import refused
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import format_bytes, format_time, print_json, print_table, reader_watched, say
from alloyd.cli.transfer import Meter, show_progress
from alloyd.errors import Code
from alloyd.kit.ids import random_token

STEM: Final = "/v1/assets"

group = Group("asset", help="Files that are named by an id.", example="alloyd asset put picture.png")


@group.command("put", example="alloyd asset put picture.png --type image/png")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--name", help="Its name there, if not the file's.")
@click.option("--type", "mime_type", help="Its media type, if not the one that the name stands for.")
@org_option
@json_option
@live()
async def put_asset(client: Client, file: str, name: str | None, mime_type: str | None, as_json: bool) -> None:
    """Store a file; its id is printed."""
    name = name or Path(file).name
    mime_type = mime_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    try:
        async with aiofiles.open(file, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            with show_progress(name, size) as meter:
                asset = await client.upload_raw(STEM, {"filename": name}, mime_type, _pieces(source, meter), size)
    except OSError as error:
        raise refused(Code.NOT_FOUND, f"{file}: cannot be read: {error.strerror or error}") from None
    if as_json:
        print_json(asset)
    else:
        say(asset["id"])


@group.command("get", example="alloyd asset get 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11 picture.png")
@click.argument("asset")
@click.argument("dest", type=click.Path(allow_dash=True, dir_okay=False))
@org_option
@live()
async def get_asset(client: Client, asset: str, dest: str) -> None:
    """Fetch an asset into the file DEST, - for stdout. DEST is only replaced by what came whole."""
    async with client.download(f"{STEM}/{segment(asset)}") as download:
        with show_progress(dest, download.size) as meter:
            if dest == "-":
                with reader_watched():
                    async for piece in download.pieces():
                        sys.stdout.buffer.write(piece)
                        meter.advance(len(piece))
                    sys.stdout.buffer.flush()
                return
            await _save(download, Path(dest), meter)
    say(dest)


@group.command("list", example="alloyd asset list --org acme")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most.")
@org_option
@json_option
@live()
async def list_assets(client: Client, limit: int, as_json: bool) -> None:
    """List assets, newest first."""
    found = await client.list_pages(STEM, None, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            asset["id"],
            format_bytes(asset["size_bytes"]),
            asset["content_type"],
            format_time(asset["created_at"]),
            asset["filename"],
        )
        for asset in found
    ]
    print_table(("ID", "SIZE", "TYPE", "CREATED", "NAME"), rows)


@group.command("rm", example="alloyd asset rm 0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11")
@click.argument("asset")
@org_option
@json_option
@live()
async def remove_asset(client: Client, asset: str, as_json: bool) -> None:
    """Delete an asset."""
    deleted = await client.delete(f"{STEM}/{segment(asset)}")
    if as_json:
        print_json(deleted)
    else:
        say(deleted["id"])


async def _pieces(source: Any, meter: Meter) -> AsyncIterator[bytes]:
    while piece := await source.read(CHUNK_BYTES):
        yield piece
        meter.advance(len(piece))


async def _save(download: Download, target: Path, meter: Meter) -> None:
    """Into a file beside ``target`` that takes its place once it is whole, and is gone otherwise."""
    part = target.with_name(f".{target.name[:200]}.{random_token(8)}.part")
    try:
        async with aiofiles.open(part, "xb") as file:
            async for piece in download.pieces():
                await file.write(piece)
                meter.advance(len(piece))
        part.replace(target)
    except OSError as error:
        raise refused(Code.CONFLICT, f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            part.unlink()
