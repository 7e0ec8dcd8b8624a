"""What is relied on of aiosqlite's private parts: a function runs whole, on one thread, in the order of calls."""

from __future__ import annotations

import asyncio
import threading

import pytest

from alloyd.db.connection import close_all, open_reader, open_writer


@pytest.fixture
async def writer(tmp_path):
    connection = await open_writer(tmp_path / "a.db")
    yield connection
    await connection.close()


async def test_functions_run_on_one_thread_of_their_own(writer):
    threads = {await writer.run(lambda _conn: threading.current_thread()) for _ in range(3)}
    assert len(threads) == 1
    assert threads != {threading.current_thread()}
    assert next(iter(threads)).daemon  # a hung disk must not keep a dying process alive


async def test_functions_run_in_the_order_of_calls(writer):
    order = []
    await asyncio.gather(*(writer.run(lambda _conn, number=number: order.append(number)) for number in range(50)))
    assert order == list(range(50))


async def test_the_function_gets_the_plain_connection(writer):
    assert await writer.run(lambda conn: conn.execute("SELECT 40 + 2").fetchone()) == (42,)
    assert await writer.run(lambda conn: conn.isolation_level) is None


async def test_exceptions_come_back_and_the_thread_lives_on(writer):
    with pytest.raises(ZeroDivisionError):
        await writer.run(lambda _conn: 1 // 0)
    assert await writer.run(lambda _conn: 1) == 1


async def test_cancelling_the_caller_does_not_interrupt_the_function(writer):
    began, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work(_conn):
        began.set()
        assert go_on.wait(30)
        done.set()

    caller = asyncio.create_task(writer.run(work))
    assert await asyncio.to_thread(began.wait, 30)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    await writer.run(lambda _conn: None)
    assert done.is_set()


async def test_nothing_runs_on_a_closed_connection(tmp_path):
    writer = await open_writer(tmp_path / "a.db")
    reader = await open_reader(tmp_path / "a.db")
    await close_all([reader, writer])
    for connection in (reader, writer):
        with pytest.raises(ValueError, match=r"closed|no active"):
            await connection.run(lambda _conn: None)
        connection.interrupt_now()  # harmless
        connection._thread.join(30)
        assert not connection._thread.is_alive()
