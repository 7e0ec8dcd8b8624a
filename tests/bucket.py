"""A real S3-speaking server on loopback: ``rclone serve s3`` over a temporary directory."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from alloyd.config import Secret
from alloyd.config.objects import ObjectsConfig

ACCESS_KEY = "ALLOYDTESTKEY0000001"
SECRET_KEY = "not-a-real-secret-0123456789abcdefghijkl"
BUCKET = "bucket"
_STARTED = "Starting s3 server"


@dataclass
class Bucket:
    """The server. Its objects are files below ``root``."""

    url: str
    root: Path

    def config(self, **more: object) -> ObjectsConfig:
        """Objects go to this bucket."""
        given = {
            "backend": "s3",
            "s3_bucket": BUCKET,
            "s3_endpoint": self.url,
            "s3_access_key": ACCESS_KEY,
            "s3_secret_key": Secret(SECRET_KEY),
            "s3_allow_http": True,
            "s3_prefix": "objects",
        }
        return ObjectsConfig(**{**given, **more})  # type: ignore[arg-type]  # as declared there

    def environment(self) -> dict[str, str]:
        """The same for a daemon of its own."""
        return {
            "ALLOYD_OBJECTS__BACKEND": "s3",
            "ALLOYD_OBJECTS__S3_BUCKET": BUCKET,
            "ALLOYD_OBJECTS__S3_ENDPOINT": self.url,
            "ALLOYD_OBJECTS__S3_ACCESS_KEY": ACCESS_KEY,
            "ALLOYD_OBJECTS__S3_SECRET_KEY": SECRET_KEY,
            "ALLOYD_OBJECTS__S3_ALLOW_HTTP": "true",
        }

    def files(self) -> list[Path]:
        """What lies in the bucket."""
        return sorted(path for path in (self.root / BUCKET).rglob("*") if path.is_file())

    def empty(self) -> None:
        """Take everything away."""
        for path in (self.root / BUCKET).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def serve_bucket(directory: Path) -> Iterator[Bucket]:
    """The server, until the block ends. Skips where this platform has no rclone."""
    program = Path(sys.executable).with_name("rclone")
    if not program.exists():
        pytest.skip("rclone is not there for this platform")
    (directory / BUCKET).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    settings = ["--config", str(directory.with_name("none.conf")), "--vfs-cache-mode", "off", "--dir-cache-time", "0"]
    errors = directory.with_name(f"{directory.name}.stderr")
    with errors.open("w+") as log:
        process = subprocess.Popen([program, *arguments, *settings, str(directory)], stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            for line in process.stderr:
                log.write(line)
                if _STARTED in line:
                    break
            else:
                raise AssertionError(f"rclone ended with {process.wait()}: {errors.read_text()}")
            yield Bucket(f"http://127.0.0.1:{port}", directory)
        finally:
            process.terminate()
            process.communicate()
