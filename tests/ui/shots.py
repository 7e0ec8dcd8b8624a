"""Takes pictures of every page, to be looked at: ``python -m tests.ui.shots DIR [PATH...]``.

Each page at the width of a desktop, a tablet and a phone, in light and dark, with sample data; those of PATH only, if
any is named. In a PATH, ``{run}`` and the like stand for the ids of samples. Pages that something stands out of at the
side are named.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from alloyd.config import EgressConfig
from tests.app import open_app
from tests.ui.browser import DESKTOP, PHONE, TABLET, Window, make_user, open_browser, open_window
from tests.ui.samples import fill, paths_of, tabs_of

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@asynccontextmanager
async def receive() -> AsyncIterator[str]:
    """Somebody's server that takes deliveries; its address."""

    async def take(_request: web.Request) -> web.Response:
        return web.json_response({"taken": True})

    app = web.Application()
    app.router.add_post("/hook", take)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook"))


async def take(place: Path, wanted: list[str]) -> None:
    """Fill a new installation and write ``<page>-<width>-<scheme>.png`` into ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    egress = EgressConfig(allow=("127.0.0.1/32",))
    with tempfile.TemporaryDirectory() as directory:
        async with receive() as url, open_app(Path(directory), egress=egress) as served, open_browser() as browser:
            await make_user(served)
            sample = await fill(served, url)
            paths = [path.format(**sample) for path in wanted] or [*paths_of(sample), *tabs_of(sample)]
            for name, size in (("desktop", DESKTOP), ("tablet", TABLET), ("phone", PHONE)):
                for scheme in ("light", "dark"):
                    async with open_window(browser, served.url, size=size, color_scheme=scheme) as window:
                        await window.page.clock.set_fixed_time(served.clock.now_ms() / 1000)
                        await window.open("/sign-in")
                        await window.page.screenshot(path=place / f"sign-in-{name}-{scheme}.png")
                        await window.sign_in()
                        for path in paths:
                            await picture(window, path, place, f"{name}-{scheme}")


async def picture(window: Window, path: str, place: Path, variant: str) -> None:
    """Show a page and keep what it looks like."""
    await window.open(path)
    await window.page.mouse.move(0, 0)  # or a row is marked
    page = re.sub(r"[^\w]+", "-", UUID.sub("one", path)).strip("-") or "overview"
    await window.page.screenshot(path=place / f"{page}-{variant}.png", full_page=True)
    try:
        await window.check_width()
    except AssertionError:
        print(f"{page}-{variant}: wider than the window")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    asyncio.run(take(Path(sys.argv[1]), sys.argv[2:]))
