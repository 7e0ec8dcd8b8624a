"""How a command reaches the app: the daemon's socket, or without a daemon the same app in its own process."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec

from alloyd.app import App
from alloyd.cli.client import Client
from alloyd.cli.errors import NoDaemon, refused
from alloyd.cli.options import current_place
from alloyd.cli.output import hint
from alloyd.config import Config
from alloyd.domain.keys.service import FirstKey
from alloyd.errors import AlloydError, Code
from alloyd.kit.sockets import reachable
from alloyd.log import configure_logging
from alloyd.process.datadir import DataDir

SERVE: Final = "serve"
COMMAND: Final = "command"
# How long a command waits for another one's end, or for a daemon that is just starting.
TURN_WAIT_S: Final = 15.0
TURN_PAUSE_S: Final = 0.05
# What a command's own app gets for ending; it runs nothing unless the command asks for it.
CLOSE_GRACE_S: Final = 5.0


@asynccontextmanager
async def connect(config: Config, org: str | None, *, works: bool, needs_daemon: bool) -> AsyncIterator[Client]:
    """A client of the daemon that has the data directory, else of an app that lives for this command.

    ``works``: such an app also runs workflows. ``needs_daemon``: do without one. Raises Refused for a directory that
    was never initialised or stays in use, NoDaemon where there is none but one is needed.
    """
    data_dir = DataDir(config.data.dir)
    if not await _find_daemon(data_dir, needs_daemon=needs_daemon):
        with data_dir:
            async with own_app(config, data_dir, works=works), Client(data_dir.socket, org, offline=True) as client:
                yield client
        return
    async with Client(data_dir.socket, org, offline=False) as client:
        yield client


@asynccontextmanager
async def own_app(
    config: Config, data_dir: DataDir, *, works: bool, tells_first_key: bool = True
) -> AsyncIterator[App]:
    """The app of the locked ``data_dir`` in this process, reachable by the socket alone."""
    configure_logging(msgspec.structs.replace(config.log, level="error"))
    data_dir.prepare()
    app = await App.open(config, data_dir, runs_workflows=works)
    try:
        if app.first_key is not None and tells_first_key:
            tell_first_key(app.first_key)
            await app.keys.note_first_key_told()
        await app.listen_socket()
        yield app
    finally:
        await app.close(CLOSE_GRACE_S if works else 0)


def tell_first_key(first: FirstKey) -> None:
    """A key that was made although nobody asked for it now: an initialisation that broke off is being finished."""
    hint(f"owner key: {first.issued.raw}")
    hint("This key of the organization `default` is shown only this once; keep it.")


async def _find_daemon(data_dir: DataDir, *, needs_daemon: bool) -> bool:
    """True: a daemon answers on the socket. False: there is none, and this process now holds the lock."""
    deadline = asyncio.get_running_loop().time() + TURN_WAIT_S
    while True:
        owner = data_dir.find_daemon()
        if owner is None:
            if needs_daemon:
                raise NoDaemon(f"no daemon runs on {data_dir.root}; start it with `alloyd serve`")
            if not data_dir.database.exists():
                raise refused(
                    Code.NOT_FOUND, f"there is no data in {data_dir.root}; run `alloyd init` or `alloyd serve` first"
                )
            with suppress(_Taken):
                _lock(data_dir)
                return False
        elif owner.purpose == SERVE and await _answers(data_dir):
            return True
        if asyncio.get_running_loop().time() > deadline:
            if owner is not None and owner.purpose == SERVE:
                raise NoDaemon(f"the daemon ({owner}) does not answer")
            raise refused(Code.CONFLICT, f"the data directory is in use by {owner or 'another process'}")
        await asyncio.sleep(TURN_PAUSE_S)


class _Taken(Exception):  # noqa: N818 - the lock is
    pass


def _lock(data_dir: DataDir) -> None:
    try:
        data_dir.lock(COMMAND)
    except AlloydError as error:
        if error.code is Code.CONFLICT:
            raise _Taken from error
        raise


async def _answers(data_dir: DataDir) -> bool:
    try:
        _reader, writer = await asyncio.open_unix_connection(reachable(data_dir.socket))
    except PermissionError:
        raise refused(
            Code.FORBIDDEN, f"{data_dir.socket} belongs to another user; run the command as that user"
        ) from None
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def live(
    *, works: Callable[[dict[str, Any]], bool] | None = None, needs_daemon: bool = False
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Makes a command of ``async def command(client, **options)``; an option ``org`` goes into the client.

    ``works(options)`` says whether the command, without a daemon, has to run workflows itself.
    """

    def decorate(command: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**options: Any) -> None:
            config = current_place().load()
            runs = works is not None and works(options)
            org = options.pop("org", None)

            async def session() -> None:
                async with connect(config, org, works=runs, needs_daemon=needs_daemon) as client:
                    await command(client, **options)

            asyncio.run(session())

        return run

    return decorate
