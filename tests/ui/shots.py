"""Takes pictures of every page, to be looked at: ``python -m tests.ui.shots DIR [PATH...]``.

Each page at desktop and phone width, in light and dark, with sample data; those of PATH only, if any is named.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.app import open_app
from tests.ui.browser import DESKTOP, PHONE, make_user, open_browser, open_window
from tests.ui.samples import fill, paths_of


async def take(place: Path, wanted: list[str]) -> None:
    """Fill a new installation and write ``<page>-<width>-<scheme>.png`` into ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        async with open_app(Path(directory)) as served, open_browser() as browser:
            await make_user(served)
            sample = await fill(served)
            for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
                for scheme in ("light", "dark"):
                    async with open_window(browser, served.url, size=size, color_scheme=scheme) as window:
                        await window.open("/sign-in")
                        await window.page.screenshot(path=place / f"sign-in-{name}-{scheme}.png")
                        await window.sign_in()
                        for path in wanted or paths_of(sample):
                            await window.open(path)
                            page = path.partition("?")[0].strip("/").replace("/", "-") or "overview"
                            file = place / f"{page}-{name}-{scheme}.png"
                            await window.page.screenshot(path=file, full_page=True)
                            print(file)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]), sys.argv[2:]))
