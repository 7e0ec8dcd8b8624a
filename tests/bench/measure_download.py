"""A 10 MiB file: downloaded from alloyd and from nginx, which sends the same bytes from the same disk."""

from __future__ import annotations

import os
import re
import socket
import threading
import time

from tests.bench.bench import Bench
from tests.bench.figures import Figure, compare
from tests.bench.load import encode
from tests.bench.processes import Alloyd, Nginx, find_nginx
from tests.bench.wrk import Request

FILE_BYTES = 10 * 1024 * 1024
READ_BYTES = 1024 * 1024
MIB = 1024 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_BOUNDARY = "bench-boundary"


def measure_download(bench: Bench) -> list[Figure]:
    """Bytes a second on one connection and on eight."""
    content = os.urandom(FILE_BYTES)
    with bench.start("download") as alloyd:
        mine = _upload(alloyd, content)
        nginx = find_nginx()
        if nginx is None or not bench.compares:
            return [
                compare(name, "MiB/s", _rounds(bench, alloyd.port, mine, count), [], "", None, "no nginx here")
                for name, count in (("download x1", 1), ("download x8", 8))
            ]
        root = bench.directory / "www"
        root.mkdir()
        (root / "ten.bin").write_bytes(content)
        with Nginx(nginx, root, bench.directory) as other:
            return [_against(bench, alloyd, mine, other, count) for count in (1, 8)]


def _against(bench: Bench, alloyd: Alloyd, request: Request, nginx: Nginx, connections: int) -> Figure:
    theirs, ours = [], []
    plain = Request("GET", "/ten.bin", {})
    download(alloyd.port, request, connections, 0.5)
    download(nginx.port, plain, connections, 0.5)
    seconds, cpu_s = bench.seconds / 2, alloyd.cpu_s()
    for _ in range(bench.rounds):
        theirs.append(download(nginx.port, plain, connections, seconds) / MIB)
        ours.append(download(alloyd.port, request, connections, seconds) / MIB)
    cores = (alloyd.cpu_s() - cpu_s) / (seconds * bench.rounds)
    note = f"own client, reads of {READ_BYTES // MIB} MiB; alloyd used {cores:.2f} cores"
    return compare(f"download x{connections}", "MiB/s", ours, theirs, "nginx", 0.8, note)


def _rounds(bench: Bench, port: int, request: Request, connections: int) -> list[float]:
    return [download(port, request, connections, bench.seconds / 2) / MIB for _ in range(bench.rounds)]


def _upload(alloyd: Alloyd, content: bytes) -> Request:
    """Store the file; the request that downloads it."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="ten.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
    headers = {"api-key": alloyd.owner_key, "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    status, answer = alloyd.ask(Request("POST", "/api/private/storage/upload", headers, body))
    if status != 200:
        raise RuntimeError(answer.decode())
    return Request("GET", "/api/private/storage/download?path=/ten.bin", {"api-key": alloyd.owner_key})


def download(port: int, request: Request, connections: int, seconds: float) -> float:
    """Bytes a second that ``connections`` keep-alive clients get, each asking again as soon as it has all."""
    data = encode(request, port)
    deadline = time.perf_counter() + seconds
    counts = [0] * connections
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            counts[number] = _download_until(port, data, deadline)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    if failures:
        raise failures[0]
    return sum(counts) / took


def _download_until(port: int, data: bytes, deadline: float) -> int:
    total = 0
    buffer = bytearray(READ_BYTES)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        while time.perf_counter() < deadline:
            connection.sendall(data)
            total += _read_answer(connection, buffer)
    return total


def _read_answer(connection: socket.socket, buffer: bytearray) -> int:
    """Read one answer and drop it; its length. Raises RuntimeError for a wrong one."""
    head = b""
    while (end := head.find(b"\r\n\r\n")) < 0:
        piece = connection.recv(65536)
        if not piece:
            raise RuntimeError("the server closed the connection")
        head += piece
    match = _LENGTH.search(head[: end + 2])
    if match is None or int(match[1]) != FILE_BYTES or not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head[:500].decode(errors="replace"))
    left = FILE_BYTES - (len(head) - end - 4)
    while left:
        taken = connection.recv_into(buffer, min(left, READ_BYTES))
        if not taken:
            raise RuntimeError("the answer is too short")
        left -= taken
    return FILE_BYTES
