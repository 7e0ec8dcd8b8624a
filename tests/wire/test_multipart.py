"""The multipart reader: any cut into pieces reads the same, and anything else is refused, never a surprise."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given
from hypothesis import strategies as st

from alloyd.errors import AlloydError, Code
from alloyd.wire import bodystream
from alloyd.wire.multipart import FormReader

TYPE = "multipart/form-data; boundary=XX"


@dataclass
class Asked:
    """As much of a request as the reader looks at."""

    content: StreamReader
    headers: dict[str, str] = field(default_factory=dict)


async def parse(
    body: bytes, cuts: list[int] | None = None, content_type: str = TYPE
) -> list[tuple[str, str | None, str | None, bytes]]:
    """Every part of ``body``, which comes in pieces that end at ``cuts``."""
    stream = StreamReader(Mock(spec=BaseProtocol, _reading_paused=False), 2**16, loop=asyncio.get_running_loop())
    form = FormReader(Asked(stream, {"Content-Type": content_type}), 5)  # type: ignore[arg-type]

    async def feed() -> None:
        at = 0
        for cut in [*sorted(min(cut, len(body)) for cut in cuts or []), len(body)]:
            stream.feed_data(body[at:cut])
            at = cut
            await asyncio.sleep(0)
        stream.feed_eof()

    feeding = asyncio.create_task(feed())
    try:
        found = []
        async for part in form.parts():
            content = b"".join([piece async for piece in part.chunks()])
            found.append((part.name, part.filename, part.content_type, content))
        return found
    finally:
        await feeding


def part(content: bytes, disposition: str, *headers: str) -> bytes:
    lines = [f"Content-Disposition: {disposition}", *headers]
    return b"--XX\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XX--\r\n"


@given(
    st.lists(st.binary(max_size=60) | st.text("\r\n-X", max_size=20).map(str.encode), max_size=4),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_any_content_in_any_pieces(contents: list[bytes], cuts: list[int]) -> None:
    contents = [content for content in contents if b"\r\n--XX" not in b"\r\n" + content]
    body = form(*(part(content, f'form-data; name="n{n}"') for n, content in enumerate(contents)))
    assert asyncio.run(parse(body, cuts)) == [(f"n{n}", None, None, content) for n, content in enumerate(contents)]


@given(
    st.binary(max_size=100)
    | st.lists(
        st.sampled_from(
            [
                b"--XX",
                b"--XX--",
                b"\r\n",
                b"\n",
                b": ",
                b'Content-Disposition: form-data; name="a"',
                b"\x00",
                b"\xff",
                b" ",
            ]
        ),
        max_size=20,
    ).map(b"".join),
    st.lists(st.integers(0, 200), max_size=5),
)
def test_anything_is_read_or_refused(body: bytes, cuts: list[int]) -> None:
    try:
        asyncio.run(parse(body, cuts))
    except AlloydError as error:
        if error.code is not Code.BAD_REQUEST:
            raise


@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        ('form-data; name="file"; filename="a.txt"', "file", "a.txt"),
        ("form-data; name=file; filename=a.txt", "file", "a.txt"),
        ('FORM-DATA; NAME="file"; FileName="a.txt"', "file", "a.txt"),
        ('form-data;name="file";filename="a;b=c.txt"', "file", "a;b=c.txt"),
        ('form-data; name="file"; filename="日本.txt"', "file", "日本.txt"),
        ("form-data; name=\"file\"; filename*=UTF-8''na%C3%AFve.txt", "file", "naïve.txt"),
        ("form-data; name=\"file\"; filename*=iso-8859-1'en'na%EFve.txt", "file", "naïve.txt"),
        ('form-data; name="file"; filename="x"; filename*=utf-8\'\'y', "file", "y"),
        ('form-data; name="file"; filename="C:\\dir\\a.txt"', "file", "C:\\dir\\a.txt"),
        ('form-data; name="file"; filename="a\\"b.txt"', "file", 'a"b.txt'),
        ('form-data; name="file"; filename="C:\\\\a.txt"', "file", "C:\\a.txt"),
        ('form-data; name="file"; filename=""', "file", ""),
        ('form-data; name=""', "", None),
        ('form-data; name="a";', "a", None),
    ],
)
async def test_dispositions(disposition: str, name: str, filename: str | None) -> None:
    assert await parse(form(part(b"c", disposition, "Content-Type: x/y"))) == [(name, filename, "x/y", b"c")]


@pytest.mark.parametrize(
    "head",
    [
        "",
        "Content-Type: text/plain",
        "Content-Disposition: attachment; name=a",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; filename=a",
        'Content-Disposition: form-data; name="a',
        "Content-Disposition: form-data; name=a; name=b",
        "Content-Disposition: form-data; name=a b",
        "Content-Disposition: form-data; =a",
        "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
        "Content-Disposition form-data; name=a",
        " Content-Disposition: form-data; name=a",
        "Content-Disposition: form-data;\r\n name=a",
        "Content-Disposition: form-data; name=a\r\nX: a\x00b",
        "Content-Disposition: form-data; name=a\r\nX: a\nb",
        "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
        "Content-Disposition: form-data; name=a; filename*=a.txt",
        "Content-Disposition: form-data; name=a; filename*=utf-16''a",
        "Content-Disposition: form-data; name=a; filename*=utf-8''%FF",
        "Content-Disposition: form-data; name=a\r\nX: " + "x" * 9000,
    ],
)
async def test_bad_part_heads(head: str) -> None:
    with pytest.raises(AlloydError) as caught:
        await parse(b"--XX\r\n" + head.encode() + b"\r\n\r\nc\r\n--XX--")
    assert caught.value.code is Code.BAD_REQUEST


GOOD = part(b"c", "form-data; name=a")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "broken off"),
        (b"no boundary at all", "broken off"),
        (b"x" * 5000, "the boundary does not come"),
        (GOOD, "broken off"),
        (GOOD[:-2], "broken off"),
        (GOOD + b"--X", "broken off"),
        (GOOD + b"--XX", "broken off"),
        (GOOD + b"--XX-", "broken off"),
        (GOOD + b"--XXjunk\r\n", "text after a boundary"),
        (GOOD + b"--XX" + b" " * 500 + b"\r\n", "longer than"),
        (GOOD + b"--XX--" + b"x" * 5000, "after the last boundary"),
        (b"--XX\r\n\xff: x\r\n\r\n", "UTF-8"),
        (form(*[GOOD] * 17), "more than 16 parts"),
    ],
)
async def test_bad_bodies(body: bytes, message: str) -> None:
    with pytest.raises(AlloydError, match=message) as caught:
        await parse(body)
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "body")


async def test_surroundings_and_padding_are_ignored() -> None:
    body = b"preamble\r\n" + GOOD.replace(b"--XX\r\n", b"--XX \t\r\n") + b"--XX--\r\nepilogue"
    assert await parse(body) == [("a", None, None, b"c")]
    assert await parse(form()) == []
    assert len(await parse(form(*[GOOD] * 16))) == 16


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/mixed; boundary=XX",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="a\\"b"',
        'multipart/form-data; boundary="a "',
        "multipart/form-data; boundary=é",
    ],
)
async def test_bad_content_types(content_type: str) -> None:
    with pytest.raises(AlloydError) as caught:
        await parse(form(GOOD), content_type=content_type)
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "Content-Type")


async def test_quoted_boundary() -> None:
    body = form(GOOD).replace(b"XX", b"a b:c")
    found = await parse(body, content_type='Multipart/Form-Data; charset=utf-8; boundary="a b:c"')
    assert found == [("a", None, None, b"c")]


async def test_silent_client_is_given_up() -> None:
    stream = StreamReader(Mock(spec=BaseProtocol, _reading_paused=False), 2**16, loop=asyncio.get_running_loop())
    reader = FormReader(Asked(stream, {"Content-Type": TYPE}), 0)  # type: ignore[arg-type]
    with pytest.raises(AlloydError, match="nothing came for 0 s"):
        await anext(reader.parts())


async def test_dripping_client_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(bodystream, "time", SimpleNamespace(monotonic=lambda: now[0]))
    stream = StreamReader(Mock(spec=BaseProtocol, _reading_paused=False), 2**16, loop=asyncio.get_running_loop())
    reader = FormReader(Asked(stream, {"Content-Type": TYPE}), 5)  # type: ignore[arg-type]
    stream.feed_data(b"--XX\r\n")
    now[0] = 29
    task: Any = asyncio.ensure_future(anext(reader.parts()))
    await asyncio.sleep(0)
    now[0] = 60
    stream.feed_data(b"C")
    with pytest.raises(AlloydError, match="slower than"):
        await task


async def test_small_part_is_bounded() -> None:
    stream = StreamReader(Mock(spec=BaseProtocol, _reading_paused=False), 2**16, loop=asyncio.get_running_loop())
    stream.feed_data(form(part(b"12345", "form-data; name=path")))
    stream.feed_eof()
    async for found in FormReader(Asked(stream, {"Content-Type": TYPE}), 5).parts():  # type: ignore[arg-type]
        with pytest.raises(AlloydError, match="path: longer than 4 bytes") as caught:
            await found.read(4)
        assert caught.value.field == "path"
        break
