"""Verification: any byte that is not as written is found, and so is any archive that alloyd did not write."""

from __future__ import annotations

import io
import random
import sqlite3
import tarfile
from contextlib import closing, suppress

import msgspec
import pytest

from alloyd.db.migrate import SCHEMA_VERSION
from alloyd.domain.backups import archive as module
from alloyd.domain.backups.archive import ArchiveWriter
from alloyd.domain.backups.checking import verify_archive
from alloyd.domain.backups.creation import member_line
from alloyd.domain.backups.model import Manifest, seal, unseal
from alloyd.errors import AlloydError, Code
from tests.domain.backups.forging import forge, read_parts


def verify(path, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    try:
        return verify_archive(path, scratch)
    finally:
        assert list(scratch.iterdir()) == []


def refused(path, tmp_path, says=None):
    with pytest.raises(AlloydError, match=says) as caught:
        verify(path, tmp_path)
    assert str(tmp_path) not in caught.value.message
    return caught.value


async def test_a_whole_archive_is_well(archive, tmp_path):
    manifest = verify(archive, tmp_path)
    assert (manifest.keys, manifest.schema_version) == (1, SCHEMA_VERSION)
    assert manifest.files >= 4


async def test_every_altered_byte_is_found(archive, tmp_path):
    whole = archive.read_bytes()
    headers = [at for at in range(0, len(whole), 512) if whole[at : at + 8] in (b"alloyd.d", b"keys/mas", b"members.")]
    places = {at + offset for at in headers for offset in (0, 5, 100, 110, 117, 124, 135, 148, 154, 155, 156, 257, 500)}
    places |= {whole.index(b"keys/master.key") + 512 + at for at in (0, 31, 32, 300, 511)}  # content and what fills up
    chosen = random.Random(7)
    places |= {chosen.randrange(len(whole)) for _ in range(150)} | {len(whole) - 1, len(whole) - 1024}
    missed = []
    for place in sorted(places):
        altered = bytearray(whole)
        altered[place] ^= 0x01
        archive.write_bytes(altered)
        with suppress(AlloydError):
            verify(archive, tmp_path)
            missed.append(place)
    assert missed == []


async def test_every_cut_is_found(archive, tmp_path):
    whole = archive.read_bytes()
    for length in (0, 1, 511, 512, 513, 5000, len(whole) // 2, len(whole) - 1024, len(whole) - 512, len(whole) - 1):
        archive.write_bytes(whole[:length])
        assert refused(archive, tmp_path).code is Code.UNPROCESSABLE
    for more in (b"x", bytes(512), whole):
        archive.write_bytes(whole + more)
        refused(archive, tmp_path, "does not end")


async def test_what_is_damaged_is_named(archive, tmp_path):
    parts = read_parts(archive)
    name = next(name for name, content in parts.items() if name.startswith("blobs/") and content)
    parts[name] = b"?" * len(parts[name])
    refused(forge(archive, parts, keep_listing=True), tmp_path, f"{name} is not what was written")


@pytest.mark.parametrize("what", ["alloyd.db", "members.jsonl", "manifest.json"])
async def test_without_a_part_it_is_not_whole(archive, tmp_path, what):
    parts = read_parts(archive)
    del parts[what]
    assert refused(forge(archive, parts, keep_listing=True), tmp_path).code is Code.UNPROCESSABLE


async def test_a_missing_content_is_found_by_its_row(archive, tmp_path):
    parts = read_parts(archive)
    name = next(name for name in parts if name.startswith("blobs/"))
    del parts[name]
    refused(forge(archive, parts), tmp_path, f"the content {name[-32:]} is missing")


async def test_another_content_is_found_by_its_row(archive, tmp_path):
    parts = read_parts(archive)
    name = next(name for name, content in parts.items() if name.startswith("blobs/") and content)
    parts[name] = b"forged"
    refused(forge(archive, parts), tmp_path, f"the content {name[-32:]} differs from its row")


async def test_a_content_that_no_row_names_is_found(archive, tmp_path):
    parts = read_parts(archive)
    parts["blobs/ff/" + "f" * 32] = b"smuggled"
    refused(forge(archive, parts), tmp_path, "which no row names")


def database_with(parts, tmp_path, *statements):
    path = tmp_path / "edited.db"
    path.write_bytes(parts["alloyd.db"])
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        for statement in statements:
            conn.execute(statement)
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (["UPDATE storage_nodes SET blob_id = 'nowhere' WHERE name = 'a.txt'"], "has no content"),
        (["UPDATE blobs SET unused_at = 1"], "which no row names"),
        (["DROP TABLE blobs"], "the database in it can't be read"),
    ],
)
async def test_a_database_that_does_not_fit_is_found(archive, tmp_path, statements, says):
    parts = read_parts(archive)
    parts["alloyd.db"] = database_with(parts, tmp_path, *statements)
    refused(forge(archive, parts), tmp_path, says)


async def test_rows_that_lead_nowhere_are_found(archive, tmp_path):
    parts = read_parts(archive)
    statement = "INSERT INTO memberships (org_id, user_id, role, created_at) VALUES ('no', 'body', 'owner', 1)"
    parts["alloyd.db"] = database_with(parts, tmp_path, "PRAGMA foreign_keys=OFF", statement)
    refused(forge(archive, parts), tmp_path, "a row of memberships leads to one that is not there")


@pytest.mark.parametrize("database", [b"", b"no database", b"SQLite format 3\0" + bytes(4080)])
async def test_what_is_no_database_is_found(archive, tmp_path, database):
    parts = read_parts(archive)
    parts["alloyd.db"] = database
    assert refused(forge(archive, parts), tmp_path).code is Code.UNPROCESSABLE


async def test_a_damaged_database_is_found(archive, tmp_path):
    parts = read_parts(archive)
    database = bytearray(parts["alloyd.db"])
    database[4096 * 3 : 4096 * 6] = b"\xff" * 4096 * 3
    parts["alloyd.db"] = bytes(database)
    refused(forge(archive, parts), tmp_path, "the database in it is damaged")


async def test_a_newer_schema_is_refused(archive, tmp_path):
    parts = read_parts(archive)
    parts["alloyd.db"] = database_with(parts, tmp_path, f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    error = refused(forge(archive, parts, schema_version=SCHEMA_VERSION + 1), tmp_path, "use the newer program")
    assert error.code is Code.CONFLICT


async def test_another_schema_than_said_is_refused(archive, tmp_path):
    refused(forge(archive, read_parts(archive), schema_version=SCHEMA_VERSION - 1), tmp_path, "another schema")


async def test_another_format_is_refused(archive, tmp_path):
    forged = forge(archive, read_parts(archive), format_version=2)
    refused(forged, tmp_path, "the backup has format 2, this program reads 1")


@pytest.mark.parametrize("field", ["members", "bytes", "files", "keys"])
async def test_counts_that_do_not_fit_are_found(archive, tmp_path, field):
    refused(forge(archive, read_parts(archive), **{field: 3}), tmp_path, "does not fit what is in it")


# -- archives that alloyd did not write -------------------------------------------------------------------------------


def tar_of(path, *members, form=tarfile.GNU_FORMAT):
    with tarfile.open(path, "w", format=form) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name, content=b"x", **more):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o600
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


@pytest.mark.parametrize(
    "name",
    [
        "../alloyd.db",
        "/etc/cron.d/x",
        "keys/../../x",
        "blobs/aa/../../../x",
        "keys/a/b",
        "keys/.hidden",
        "keys/" + "k" * 90,
        "blobs/ab/" + "c" * 32,
        "blobs/ab/" + "ab" * 17,
        "blobs/AB/" + "AB" * 16,
        "alloyd.db-wal",
        "alloyd.lock",
        "./alloyd.db",
        "keys/a\\b",
        "keys/a\n",
        "",
    ],
)
def test_names_that_no_backup_has(tmp_path, name):
    error = refused(tar_of(tmp_path / "b.tar", member(name)), tmp_path)
    assert error.code is Code.UNPROCESSABLE


@pytest.mark.parametrize(
    "more",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0},
        {"type": tarfile.LNKTYPE, "linkname": "alloyd.db", "size": 0},
        {"type": tarfile.CHRTYPE, "size": 0},
        {"type": tarfile.FIFOTYPE, "size": 0},
        {"type": tarfile.DIRTYPE, "size": 0},
        {"type": tarfile.AREGTYPE},
        {"type": tarfile.GNUTYPE_SPARSE},
        {"type": tarfile.GNUTYPE_LONGNAME},
        {"type": tarfile.XHDTYPE},
        {"mode": 0o4777},
        {"uid": 1000},
        {"uname": "root"},
    ],
)
def test_members_that_are_no_plain_files(tmp_path, more):
    error = refused(tar_of(tmp_path / "b.tar", member("keys/k", **more)), tmp_path)
    assert error.code is Code.UNPROCESSABLE


def test_headers_of_other_programs(tmp_path):
    name = "keys/k"
    refused(tar_of(tmp_path / "a.tar", member(name), form=tarfile.USTAR_FORMAT), tmp_path, "not written by alloyd")
    pax = member(name, pax_headers={"comment": "x" * 5000})
    refused(tar_of(tmp_path / "b.tar", pax, form=tarfile.PAX_FORMAT), tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["alloyd.db", "alloyd.db"],
        ["keys/b", "keys/a"],
        ["keys/a", "blobs/aa/" + "a" * 32],
        ["blobs/aa/" + "a" * 32, "alloyd.db"],
        ["members.jsonl", "keys/a"],
    ],
)
def test_members_out_of_order_or_twice(tmp_path, names):
    refused(tar_of(tmp_path / "b.tar", *(member(name, b"") for name in names)), tmp_path, "not where it belongs")


def test_a_member_that_claims_more_than_there_is(tmp_path):
    info, _ = member("alloyd.db")
    info.size = 1 << 50
    (tmp_path / "b.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict") + bytes(4096))
    refused(tmp_path / "b.tar", tmp_path, "alloyd.db is cut short")


def test_a_manifest_or_listing_without_end_is_not_taken_into_memory(tmp_path, monkeypatch):
    with (tmp_path / "b.tar").open("wb") as out:
        writer = ArchiveWriter(out, 0)
        writer.add("alloyd.db", 1, io.BytesIO(b"x").read)
        writer.add("members.jsonl", 1 << 20, io.BytesIO(b"x" * (1 << 20)).read)
        writer.end()
    refused(tmp_path / "b.tar", tmp_path, "members.jsonl can't be read")
    with (tmp_path / "c.tar").open("wb") as out:
        writer = ArchiveWriter(out, 0)
        writer.add("manifest.json", 2 << 20, io.BytesIO(b"x" * (2 << 20)).read)
        writer.end()
    refused(tmp_path / "c.tar", tmp_path, "manifest.json is too large")


async def test_members_are_bounded(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MEMBERS_MAX", 3)
    refused(archive, tmp_path, "more than 3 members")


def test_no_file_no_backup(tmp_path):
    assert refused(tmp_path / "nothing.tar", tmp_path).code is Code.NOT_FOUND
    assert refused(tmp_path, tmp_path, "not a regular file").code is Code.CONFLICT


def test_a_large_member_keeps_its_size(tmp_path):
    """Beyond 8 GiB the tar format counts in another way; the content here is a hole of the file system."""
    header = module._header("alloyd.db", 9 << 30, 0)
    info = module._parse(header)
    assert (info.name, info.size) == ("alloyd.db", 9 << 30)


def test_the_manifest_is_sealed():
    manifest = Manifest(
        format_version=1,
        alloyd_version="1",
        schema_version=1,
        created_at=1,
        members=1,
        bytes=1,
        files=0,
        keys=0,
        members_sha256="",
        damaged=[],
    )
    text = seal(manifest)
    assert msgspec.structs.replace(unseal(text), digest="") == manifest
    for other in (text.replace(b'"files":0', b'"files":1'), b"{}", b"", b" " + text, text[:-1] + b',"x":1}'):
        with pytest.raises(AlloydError, match="damaged"):
            unseal(other)


def test_lines_are_as_told():
    assert member_line(module.Member("alloyd.db", 1, "ab")) == b'{"name":"alloyd.db","size":1,"sha256":"ab"}\n'
