"""What the daemon does after its unpack directory is gone: everything, and without an import that it had put off."""

from __future__ import annotations

import datetime as dt
import json
import os
import pty
import ssl
import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

START = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost that is its own authority, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "localhost.pem"
    encoding, secret_format = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(
        made.public_bytes(encoding) + key.private_bytes(encoding, secret_format, serialization.NoEncryption())
    )
    return path


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=iso-8859-1")
        self.end_headers()
        self.wfile.write('{"word": "Grüße"}'.encode("latin-1"))

    def log_message(self, *_):
        pass


@pytest.fixture
def https_port(certificate):
    """A server on localhost that speaks TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def fetch_workflow(port: int) -> str:
    return json.dumps(
        {
            "name": "fetch",
            "type": "structured",
            "starting_step_id": "start",
            "flow": {
                "start": {"type": "starting_step", "config": {}, "next": "get"},
                "get": {
                    "type": "http.request",
                    "config": {"url": f"https://localhost:{port}/"},
                    "next": "finish",
                },
                "finish": {"type": "finish", "config": {"output": "{{ steps.get.output.status }}"}},
            },
        }
    )


def test_a_step_reaches_an_https_server(start, command, https_port, certificate, tmp_path):
    allowed = json.dumps(["127.0.0.1/32", "::1/128"])
    daemon = start(SSL_CERT_FILE=str(certificate), ALLOYD_EGRESS__ALLOW=allowed)
    assert daemon.unpack_directories() == []
    (tmp_path / "fetch.json").write_text(fetch_workflow(https_port))
    command("workflow", "apply", "-f", str(tmp_path / "fetch.json"))
    result = command("run", "start", "fetch", "--wait", "30", "--json")["result"]
    assert (result["status"], result["output"]) == ("completed", 200)
    assert daemon.stop() == 0
    assert "late import" not in daemon.errors()


def test_every_kind_of_request_is_answered(start, command):
    daemon = start()
    bearer = {"Authorization": f"Bearer {daemon.key}"}
    for path in ("/healthz", "/readyz", "/openapi.json", "/metrics"):
        assert daemon.request("GET", path)[0] == 200
    for path in ("/v1/workflow-definitions", "/v1/workflow-runs", "/v1/api-keys", "/v1/operations"):
        assert daemon.request("GET", path, **bearer)[0] == 200
    assert daemon.upload("Grüße.bin", bytes(1_000_000))[0] == 200
    assert len(daemon.request("GET", "/api/private/storage/download?path=Gr%C3%BC%C3%9Fe.bin")[1]) == 1_000_000
    for path in ("/api/private/storage?path=gone", "/api/private/storage?path=..", "/v1/nothing"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            daemon.request("GET", path)
        caught.value.close()
    assert command("status")
    assert daemon.stop() == 0
    assert "late import" not in daemon.errors()
    assert "Traceback" not in daemon.errors()


def test_ctrl_c_is_one_request_to_stop(executable, tmp_path):
    """From a terminal it reaches both processes; the daemon must not take it for two."""
    (tmp_path / "tmp").mkdir()
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path / "tmp"), "TERM": "dumb"}
        arguments = [str(executable), "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
        os.execve(executable, arguments, environment)
    said = b""
    while b"listening url=" not in said:
        said += os.read(terminal, 65536)
    os.write(terminal, b"\x03")
    with open(terminal, "rb", buffering=0) as rest:
        try:
            while data := rest.read(65536):
                said += data
        except OSError:  # the terminal's other side is closed: it has ended
            pass
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said.decode()
    assert b"quitting at once" not in said
