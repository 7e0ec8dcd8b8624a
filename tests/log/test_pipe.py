"""Every entry takes the same way: levels, context, redaction, rendering, and a stream that may fail."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import sys
import threading
import warnings
from typing import Any

import pytest
import structlog

from alloyd.config import LogConfig
from alloyd.errors import AlloydError, Code
from alloyd.log import (
    bind_log_context,
    configure_logging,
    get_logger,
    install_hooks,
    log_context,
    set_level,
)
from alloyd.log.pipe import StandardHandler

KEY = "alloy_AbCd1234_" + "Zx9-_" * 8 + "abc"
MASKED = "alloy_AbCd1234_***"
LOG = get_logger("made.before.configuring")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def fail(text: str) -> None:
    raise ValueError(text)


def test_an_entry_is_a_line_of_json(entries) -> None:
    LOG.info("run started", run="r", count=3)
    (entry,) = entries()
    assert list(entry) == ["time", "level", "logger", "event", "run", "count"]
    assert entry["time"].endswith("Z")
    del entry["time"]
    assert entry == {
        "level": "info",
        "logger": "made.before.configuring",
        "event": "run started",
        "run": "r",
        "count": 3,
    }


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_levels_filter_both_kinds_of_loggers_and_change_at_once(entries, level: str) -> None:
    levels = ["debug", "info", "warning", "error"]
    set_level("error")
    LOG.warning("not this")
    logging.getLogger("std").warning("nor this")
    set_level(level)
    for each in levels:
        getattr(LOG, each)("mine")
        getattr(logging.getLogger("std"), each)("theirs")
    wanted = levels[levels.index(level) :]
    assert [entry["level"] for entry in entries()] == [each for each in wanted for _ in range(2)]


def test_what_is_filtered_costs_nothing(entries) -> None:
    set_level("error")

    class Explosive:
        def __repr__(self) -> str:
            raise AssertionError("was rendered")

    for method in (LOG.debug, LOG.info, LOG.warning):
        method("x", value=Explosive())
    assert entries() == []


def test_exception_is_filtered_by_nothing_but_errors(entries) -> None:
    set_level("error")
    try:
        fail("x")
    except ValueError:
        LOG.exception("failed")
    assert entries()[0]["level"] == "error"


def test_context_is_on_every_entry_of_the_block(entries) -> None:
    with log_context(request_id="q", org_id="o"):
        LOG.info("a")
        with log_context(run_id="r", org_id="p"):
            logging.getLogger("std").info("b")
        LOG.info("c")
    LOG.info("d")
    keys = ("request_id", "org_id", "run_id")
    assert [[entry.get(key) for key in keys] for entry in entries()] == [
        ["q", "o", None],
        ["q", "p", "r"],
        ["q", "o", None],
        [None, None, None],
    ]


async def test_context_bound_in_a_task_stays_in_it(entries) -> None:
    async def work(name: str) -> None:
        bind_log_context(run_id=name)
        await asyncio.sleep(0)
        LOG.info("in", name=name)

    await asyncio.gather(work("a"), work("b"))
    LOG.info("out")
    mine = [entry for entry in entries() if entry["logger"] == "made.before.configuring"]
    assert [(entry.get("name"), entry.get("run_id")) for entry in mine] == [
        ("a", "a"),
        ("b", "b"),
        (None, None),
    ]


def test_bound_fields_and_plain_structlog_work(entries) -> None:
    get_logger("x", part="db").bind(more=1).info("a")
    structlog.get_logger("s").info("b", password="canary")
    assert [(e["logger"], e.get("part"), e.get("more")) for e in entries()] == [("x", "db", 1), ("s", None, None)]
    assert entries()[1]["password"] == "***"


def test_a_field_does_not_replace_what_the_entry_says(entries) -> None:
    LOG.info("emitted", event="order.created", method_name="m", level="l", time=1, logger="x")
    (entry,) = entries()
    assert [entry[key] for key in ("event", "level", "logger")] == ["emitted", "info", "made.before.configuring"]
    assert [entry[key] for key in ("event_", "level_", "logger_", "time_")] == ["order.created", "l", "x", 1]
    assert entry["method_name"] == "m"


def test_structlogs_own_capture_works(stream) -> None:
    with structlog.testing.capture_logs() as captured:
        LOG.info("a", b=1)
        structlog.get_logger("s").warning("c")
    LOG.info("after")
    assert captured == [{"event": "a", "b": 1, "log_level": "info"}, {"event": "c", "log_level": "warning"}]
    assert len(stream.getvalue().splitlines()) == 1


class TestCanary:
    """A secret may enter by any door; none leads to the stream."""

    @pytest.fixture(params=["json", "console"])
    def output(self, request: pytest.FixtureRequest, restored: None) -> io.StringIO:
        stream = io.StringIO()
        configure_logging(LogConfig(level="debug", format=request.param), stream)
        return stream

    @pytest.fixture(autouse=True)
    def no_canary(self, output: io.StringIO) -> Any:
        yield
        assert MASKED in output.getvalue() or "***" in output.getvalue()
        assert KEY not in output.getvalue()
        assert "canary" not in output.getvalue()

    def test_in_an_event_and_in_fields(self, output) -> None:
        event = f"got {KEY}"
        LOG.info(event, header=f"Bearer {KEY}", token="canary", nested={"a": [{"password": "canary"}]})

    def test_in_bound_fields_and_context(self, output) -> None:
        with log_context(request_id=KEY):
            get_logger("x", secret="canary").bind(other=KEY).info("x")

    def test_in_the_name_of_a_field_or_logger(self, output) -> None:
        get_logger(KEY).info("x", **{KEY: 1})

    def test_in_an_exception_its_cause_its_notes_and_its_group(self, output) -> None:
        try:
            try:
                fail(f"inner {KEY}")
            except ValueError as error:
                error.add_note("password=canary")
                raise ExceptionGroup("https://u:canary@h/", [error, ValueError(f"two {KEY}")]) from error
        except ExceptionGroup:
            LOG.exception("failed")
        assert output.getvalue().count(MASKED) >= 2
        assert "Traceback" in output.getvalue()

    def test_in_the_log_part_of_an_error(self, output) -> None:
        LOG.error("failed", exc_info=AlloydError(Code.INTERNAL, "x", log=f"with {KEY}"))
        assert "internal" in output.getvalue()

    def test_in_the_standard_library(self, output) -> None:
        logging.getLogger("aiohttp.server").error("Bad %s", KEY)
        try:
            fail(KEY)
        except ValueError:
            logging.getLogger("asyncio").exception("Task %s", {"password": "canary"})

    def test_in_a_record_that_does_not_fit_its_arguments(self, output) -> None:
        record = logging.LogRecord("x", logging.ERROR, "file", 1, f"{KEY} %d", ("canary",), None)
        StandardHandler().handle(record)

    async def test_in_a_task_that_nobody_awaited(self, output) -> None:
        async def work() -> None:
            fail(f"lost {KEY}")

        task = asyncio.create_task(work())
        await asyncio.wait([task])
        del task
        gc.collect()
        assert "never retrieved" in output.getvalue()

    def test_in_what_nobody_caught(self, output) -> None:
        install_hooks()
        try:
            fail(KEY)
        except ValueError as error:
            sys.excepthook(ValueError, error, error.__traceback__)
        thread = threading.Thread(target=fail, args=(f"thread {KEY}",), name="writer")
        thread.start()
        thread.join()
        assert output.getvalue().count(MASKED) == 2
        assert "writer" in output.getvalue()

    def test_in_a_finalizer(self, output) -> None:
        install_hooks()

        class Finalized:
            def __del__(self) -> None:
                fail(f"finalizer {KEY}")

        Finalized()
        gc.collect()
        assert "finalizer" in output.getvalue()

    def test_in_a_warning(self, output) -> None:
        with warnings.catch_warnings():
            install_hooks()
            warnings.simplefilter("always")
            warnings.warn(f"warned of {KEY}", stacklevel=1)
            logging.captureWarnings(False)

    def test_in_an_entry_that_cannot_be_rendered(self, output, monkeypatch) -> None:
        monkeypatch.setattr("alloyd.log.pipe.PIPE.processors", [])
        LOG.info("***", token="canary")
        monkeypatch.undo()
        get_logger("x")._processors = []
        broken = get_logger(KEY)
        broken._processors = [lambda *_: 1 / 0]
        broken.info(f"lost {KEY}")
        assert json.loads(output.getvalue().splitlines()[-1]) == {
            "level": "error",
            "event": "log entry lost",
            "reason": "ZeroDivisionError",
        }


def test_an_interrupt_and_an_exiting_thread_are_no_errors(stream) -> None:
    install_hooks()
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    "exc_info", [None, False, (None, None, None), (), ("x",), True], ids=["none", "false", "empty", "()", "odd", "true"]
)
def test_no_exception_no_traceback(entries, exc_info: object) -> None:
    LOG.error("x", exc_info=exc_info)
    assert "exception" not in entries()[0]


class TestFormat:
    @pytest.mark.parametrize(
        ("setting", "stream", "is_json"),
        [
            ("auto", Terminal(), False),
            ("auto", io.StringIO(), True),
            ("json", Terminal(), True),
            ("console", io.StringIO(), False),
        ],
    )
    def test_format_follows_the_stream_unless_told(self, restored, setting, stream, is_json: bool) -> None:
        configure_logging(LogConfig(format=setting), stream)
        LOG.info("x")
        assert stream.getvalue().startswith("{") is is_json

    @pytest.mark.parametrize(("no_color", "colored"), [(None, True), ("1", False)])
    def test_a_terminal_gets_colors_unless_they_are_unwanted(self, restored, monkeypatch, no_color, colored) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        if no_color:
            monkeypatch.setenv("NO_COLOR", no_color)
        stream = Terminal()
        configure_logging(LogConfig(), stream)
        LOG.info("x")
        assert ("\x1b[" in stream.getvalue()) is colored

    def test_a_value_can_neither_steer_the_terminal_nor_fake_an_entry(self, restored) -> None:
        stream = io.StringIO()
        configure_logging(LogConfig(format="console"), stream)
        LOG.info("a\n2026 fake", b="\x1b[2J\r\n", **{"c\x1b": {"d": "\x1b"}})
        try:
            fail("\x1b]0;title\x07")
        except ValueError:
            LOG.exception("failed")
        assert "\x1b" not in stream.getvalue()
        assert "\x07" not in stream.getvalue()
        assert "\n2026 fake" not in stream.getvalue()
        assert "\nTraceback" in stream.getvalue()

    def test_half_a_surrogate_pair_is_no_obstacle(self, entries) -> None:
        LOG.info("file", path="a\udc80")
        assert entries()[0]["path"] == "a\udc80"

    def test_a_stream_of_few_letters_gets_the_others_escaped(self, restored) -> None:
        raw = io.BytesIO()
        configure_logging(LogConfig(), io.TextIOWrapper(raw, encoding="ascii"))
        LOG.info("für")
        assert json.loads(raw.getvalue())["event"] == "für"


class TestStream:
    def test_stderr_is_the_default_also_before_configuring(self, restored, capsys) -> None:
        LOG.info("before", token="canary")
        configure_logging(LogConfig())
        LOG.info("after")
        out, err = capsys.readouterr()
        assert out == ""
        assert [json.loads(line)["event"] for line in err.splitlines()] == ["before", "after"]
        assert "canary" not in err

    def test_a_stream_that_is_closed_or_full_stops_nobody(self, stream, restored) -> None:
        class Full(io.StringIO):
            def write(self, text: str) -> int:
                raise OSError(28, "No space left on device")

        configure_logging(LogConfig(), Full())
        LOG.info("lost")
        stream.close()
        configure_logging(LogConfig(), stream)
        LOG.info("lost")

    def test_no_stderr_at_all(self, restored, monkeypatch) -> None:
        monkeypatch.setattr(sys, "stderr", None)
        configure_logging(LogConfig(format="console"))
        LOG.info("lost")

    def test_configuring_twice_writes_once(self, stream, restored) -> None:
        second = io.StringIO()
        configure_logging(LogConfig(), second)
        logging.getLogger("std").warning("x")
        LOG.info("y")
        assert stream.getvalue() == ""
        assert len(second.getvalue().splitlines()) == 2

    def test_lines_of_threads_do_not_mix(self, entries) -> None:
        def work(name: str) -> None:
            for number in range(50):
                LOG.info("x" * 500, thread=name, number=number)

        threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(entries()) == 200
