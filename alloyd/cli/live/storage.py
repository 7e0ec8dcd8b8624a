"""`alloyd storage`: the files of an organization."""

from __future__ import annotations

import mimetypes
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from alloyd.cli.client import CHUNK_BYTES, Client
from alloyd.cli.errors import Refused, refused
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import format_bytes, format_time, print_fields, print_json, print_table, reader_watched, say
from alloyd.cli.transfer import Meter, show_progress
from alloyd.errors import Code
from alloyd.kit.ids import random_token

STEM: Final = "/api/private/storage"

group = Group("storage", help="Stored files.", example="alloyd storage put report.pdf reports/")


@group.command("ls", example="alloyd storage ls reports/2026 --org acme")
@click.argument("path", default="/")
@org_option
@json_option
@live()
async def list_folder(client: Client, path: str, as_json: bool) -> None:
    """List what is in a folder, folders first."""
    listing = await client.get(STEM, {"path": path})
    if as_json:
        print_json(listing)
        return
    rows = [
        (
            "" if item["type"] == "folder" else format_bytes(item["size"]),
            format_time(item["modified_at"]),
            item["name"] + ("/" if item["type"] == "folder" else ""),
        )
        for item in listing["items"]
    ]
    print_table(("SIZE", "MODIFIED", "NAME"), rows)


@group.command("put", example="alloyd storage put q1.pdf q2.pdf reports/2026/")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(allow_dash=True))
@click.argument("dest")
@org_option
@json_option
@live()
async def put_files(client: Client, files: tuple[str, ...], dest: str, as_json: bool) -> None:
    """Store files in the folder DEST, or one FILE (- for stdin) under the name DEST.

    DEST is a folder if it is one, ends with a slash, or there are several files. Missing folders are made, a file of
    the same name is replaced.
    """
    folder, name = await _target(client, files, dest)
    if name is None and "-" in files:
        raise click.UsageError("what comes from stdin needs a name: DEST must not be a folder")
    stored = [await _put(client, file, folder, name or Path(file).name) for file in files]
    if as_json:
        print_json(stored[0] if len(stored) == 1 else stored)
        return
    for one in stored:
        say(one["path"])


@group.command("get", example="alloyd storage get reports/2026/q1.pdf .")
@click.argument("path")
@click.argument("dest", default=".", type=click.Path(allow_dash=True))
@org_option
@live()
async def get_file(client: Client, path: str, dest: str) -> None:
    """Fetch a file into the file or directory DEST, - for stdout. DEST is only replaced by what came whole."""
    async with client.download(f"{STEM}/download", {"path": path}) as download:
        with show_progress(path, download.size) as meter:
            if dest == "-":
                with reader_watched():
                    await _copy(download.pieces(), sys.stdout.buffer, meter)
                    sys.stdout.buffer.flush()
                return
            target = _target_file(dest, path)
            with _replacing(target) as file:
                await _copy(download.pieces(), file, meter)
    say(target)


@group.command("mv", example="alloyd storage mv drafts/q1.pdf reports/2026/")
@click.argument("path")
@click.argument("dest")
@org_option
@json_option
@live()
async def move(client: Client, path: str, dest: str, as_json: bool) -> None:
    """Move a file or folder into the folder DEST, or give it the name DEST within its own folder."""
    folder, name = _split(path)
    if not name:
        raise refused(Code.BAD_REQUEST, "path: the root can't be moved")
    new_folder, new_name = _split(dest)
    if dest.endswith("/") or not new_name or await _is_folder(client, dest):
        moved = await client.post(f"{STEM}/move", {"source_path": path, "dest_path": dest})
    elif new_folder == folder:
        moved = await client.post(f"{STEM}/rename", {"path": path, "new_name": new_name})
    else:
        raise refused(
            Code.NOT_FOUND,
            f"there is no folder {dest}; a new name is given within a folder, so move it there first, then rename it",
        )
    _show(moved, as_json)


@group.command("rm", example="alloyd storage rm -r drafts")
@click.argument("path")
@click.option("-r", "--recursive", is_flag=True, help="Also a folder, with all that is in it.")
@org_option
@json_option
@live()
async def remove(client: Client, path: str, recursive: bool, as_json: bool) -> None:
    """Delete a file, or with -r a folder."""
    if not recursive and await _is_folder(client, path):
        raise refused(Code.CONFLICT, f"{path} is a folder; give -r to delete it with all that is in it")
    _show(await client.delete(f"{STEM}/file", {"path": path}), as_json)


@group.command("mkdir", example="alloyd storage mkdir reports/2026")
@click.argument("path")
@org_option
@json_option
@live()
async def make_folder(client: Client, path: str, as_json: bool) -> None:
    """Make a folder, and those above it."""
    folder, name = _split(path)
    _show(await client.post(f"{STEM}/folder", {"name": name, "path": folder}), as_json)


@group.command("usage", example="alloyd storage usage --org acme")
@org_option
@json_option
@live()
async def show_usage(client: Client, as_json: bool) -> None:
    """Show how much an organization stores."""
    usage = await client.get("/operator/storage/usage")
    if as_json:
        print_json(usage)
    else:
        print_fields({"files": usage["files"], "size": f"{format_bytes(usage['bytes'])} ({usage['bytes']} bytes)"})


def _show(changed: Any, as_json: bool) -> None:
    if as_json:
        print_json(changed)
    else:
        say(changed["path"])


def _split(path: str) -> tuple[str, str]:
    """Folder and last name."""
    folder, _, name = path.strip("/").rpartition("/")
    return folder or "/", name


def _target_file(dest: str, path: str) -> Path:
    target = Path(dest)
    return target / _last_name(path) if target.is_dir() else target


def _last_name(path: str) -> str:
    name = _split(path)[1]
    if name in ("", ".", "..") or os.sep in name or "\0" in name:
        raise refused(Code.BAD_REQUEST, f"{path} has no name that a file here could have; give DEST")
    return name


async def _is_folder(client: Client, path: str) -> bool:
    try:
        await client.get(STEM, {"path": path, "limit": 1})
    except Refused as error:
        if error.code == Code.NOT_FOUND:
            return False
        raise
    return True


async def _target(client: Client, files: tuple[str, ...], dest: str) -> tuple[str, str | None]:
    """The folder, and the name where it is not the file's own."""
    if len(files) > 1 or dest.endswith("/") or await _is_folder(client, dest):
        return dest, None
    return _split(dest)


async def _put(client: Client, file: str, folder: str, name: str) -> Any:
    mime_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    try:
        name.encode()
        if file == "-":
            with show_progress(name, None) as meter:
                return await client.upload(folder, name, mime_type, _pieces(sys.stdin.buffer, meter), None)
        with _opened(file) as (source, size), show_progress(name, size) as meter:
            return await client.upload(folder, name, mime_type, _pieces(source, meter), size)
    except UnicodeEncodeError:
        raise refused(Code.BAD_REQUEST, f"{name!r}: the name is not UTF-8 text") from None
    except OSError as error:
        raise refused(Code.NOT_FOUND, f"{file}: cannot be read: {error.strerror or error}") from None


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int]]:
    """The file and its size in bytes."""
    with Path(file).open("rb") as source:
        yield source, os.fstat(source.fileno()).st_size


async def _pieces(source: BinaryIO, meter: Meter) -> AsyncIterator[bytes]:
    while piece := source.read(CHUNK_BYTES):
        yield piece
        meter.advance(len(piece))


async def _copy(pieces: AsyncIterator[bytes], file: BinaryIO, meter: Meter) -> None:
    async for piece in pieces:
        file.write(piece)
        meter.advance(len(piece))


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """A file beside ``target`` that takes its place when the block ends well, and is gone otherwise."""
    part = target.with_name(f".{target.name[:200]}.{random_token(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    except OSError as error:
        raise refused(Code.CONFLICT, f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            part.unlink()
