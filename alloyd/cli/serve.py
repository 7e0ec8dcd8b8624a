"""`alloyd serve`: the daemon in the foreground, from the lock to the last commit."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
from contextlib import suppress
from typing import Any, Final

import click
import uvloop

from alloyd.app import App
from alloyd.app.program import url_of
from alloyd.cli.errors import DONE, REFUSED, ReaderGone
from alloyd.cli.offline import SERVE
from alloyd.cli.options import Command, Place, current_place
from alloyd.cli.output import say
from alloyd.config import Config, ConfigFaults
from alloyd.domain.backups.restoring import recover_cut_off_switch
from alloyd.log import configure_logging, get_logger, install_hooks
from alloyd.process import unpacked
from alloyd.process.datadir import DataDir
from alloyd.process.leaving import LEAVE_WITHIN_S, leave_within
from alloyd.process.notify import Notifier, watchdog

# What the daemon makes is its user's alone.
PRIVATE_UMASK: Final = 0o077
OPEN_FILES_WANTED: Final = 65_536
# The youngest generation is looked through after so many new objects (Python's own number is 700), the older ones as
# seldom in proportion: requests make garbage that counting references frees, cycles are rare.
GC_THRESHOLDS: Final = (20_000, 25, 25)

_log: Final = get_logger("alloyd.serve")


@click.command(SERVE, cls=Command, example="alloyd serve --data-dir ./data --port 3001")
@click.option("--host", metavar="ADDRESS", help="Address to listen on; 127.0.0.1 unless the configuration says else.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 3001 likewise. 0 takes a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), help="TCP port of gRPC; 3002 likewise. 0 takes a free one.")
def command(host: str | None, port: int | None, grpc_port: int | None) -> int:
    """Run the daemon in the foreground.

    The first start on an empty directory prints the owner key, once; while there is no user, each start prints a link
    with which a browser makes the first one. The line that begins with `listening` tells URL
    and socket. SIGTERM and SIGINT let running steps end and exit with 0, a second one quits at once; SIGHUP rereads
    the configuration.
    """
    place, flags = (
        current_place(),
        {
            "http.host": host,
            "http.port": port,
            "grpc.host": host,
            "grpc.port": grpc_port,
        },
    )
    config = place.load(flags)
    configure_logging(config.log)
    install_hooks()
    _raise_open_files()
    os.umask(PRIVATE_UMASK)
    with DataDir(config.data.dir) as data_dir:
        if recover_cut_off_switch(data_dir.root):
            _log.warning("a restore was cut off while it switched: the data of before it is back in place")
        for advice in data_dir.prepare():
            _log.warning(advice)
        data_dir.lock(SERVE)
        return uvloop.run(Daemon(place, flags, config, data_dir).run())


class Daemon:
    """One life of the daemon."""

    def __init__(self, place: Place, flags: dict[str, Any], config: Config, data_dir: DataDir) -> None:
        self._place = place
        self._flags = flags
        self._config = config
        self._data_dir = data_dir
        self._notifier = Notifier.from_environment(os.environ)
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._status = "starting"

    async def run(self) -> int:
        """Up, until a signal comes, and down; the exit code. Raises what keeps the daemon from starting."""
        self._take_signals()
        app = await App.open(self._config, self._data_dir, runs_workflows=False)
        grace_s: float | None = 0  # until it listens, nobody's work is worth waiting for: it runs again next time
        try:
            if app.first_key is not None:
                _print_line(f"owner key: {app.first_key.issued.raw}")
                _print_line("This key is shown only this once; keep it. `alloyd key create` makes others.")
                await app.keys.note_first_key_told()
            await self._listen(app)
            grace_s = None
            tasks = [
                asyncio.create_task(watchdog(self._notifier, WriterWatch(app).is_well), name="watchdog"),
                asyncio.create_task(self._reload_whenever_asked(app), name="reload"),
            ]
            await self._stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            _log.info("stopping", grace_s=app.live.current.engine.shutdown_grace_s)
            self._notifier.stopping("letting running steps end")
        finally:
            await app.close(grace_s)
        _log.info("stopped")
        leave_within(LEAVE_WITHIN_S, DONE)
        return DONE

    async def _listen(self, app: App) -> None:
        await app.listen_socket()
        listener = await app.listen_tcp()
        await app.begin_work()
        grpc_port = await app.listen_grpc()
        http = self._config.http
        url = url_of(http.host, listener.port, tls=http.tls_certificate_file is not None)
        unpacked.seal()
        _settle_memory()
        self._status = f"listening on {url}"
        _log.info("listening", url=url, socket=str(self._data_dir.socket), grpc_port=grpc_port)
        if await app.setup.is_due():
            _print_line(f"set-up link: {app.setup_link(await app.setup.make_token())}")
            _print_line("It makes the first user, once, for 24 hours. `alloyd setup-link` prints a new one.")
        grpc = "" if grpc_port is None else f" grpc={self._config.grpc.host}:{grpc_port}"
        _print_line(f"listening url={url} socket={self._data_dir.socket}{grpc}")
        self._notifier.ready(self._status)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            _log.warning("quitting at once; what was running is run again at the next start")
            os._exit(REFUSED)
        self._stop.set()

    async def _reload_whenever_asked(self, app: App) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._notifier.reloading()
            await self._reload_once(app)
            self._notifier.ready(self._status)

    async def _reload_once(self, app: App) -> None:
        """Take over what can change live; with any fault in the configuration nothing changes."""
        try:
            config = await asyncio.to_thread(self._place.load, self._flags)
            applied, later = app.apply_config(config)
        except ConfigFaults as error:
            for fault in error.faults:
                _log.error("configuration not reloaded", fault=str(fault))
            return
        except Exception:
            _log.exception("configuration not reloaded")
            return
        _log.info("configuration reloaded", applied=applied)
        if later:
            _log.warning("some settings need a restart", settings=later)


class WriterWatch:
    """Whether the daemon makes progress: asked twice in each period of the watchdog."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._done = -1

    def is_well(self) -> bool:
        """The scheduler is alive, and the writer has finished something or has nothing to do."""
        database = self._app.database
        before, self._done = self._done, database.stats.commits + database.stats.failures
        return self._app.engine.alive and (database.queue_length == 0 or self._done != before)


def _print_line(text: str) -> None:
    """On stdout; a daemon goes on when nobody reads that."""
    with suppress(ReaderGone, OSError, ValueError):
        say(text)


def _settle_memory() -> None:
    """What the start has made lives as long as the daemon: taken out of the collector's sight, so that no collection
    goes through it again and holds up requests meanwhile."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _raise_open_files() -> None:
    """Each connection and open file takes a descriptor; shells hand on a limit of 1024 for the sake of old programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(OPEN_FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
