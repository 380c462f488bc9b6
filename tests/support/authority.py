"""A real time-stamping authority: `openssl ts` under a CA of its own, over HTTP on loopback."""

from __future__ import annotations

import shutil
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from real import need

_CONFIG = """
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[lax]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = timeStamping
[two]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = critical,timeStamping,codeSigning
[none]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
[caself]
basicConstraints = critical,CA:TRUE
extendedKeyUsage = critical,timeStamping
[service]
serial = {folder}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_alg = sha256
"""


def openssl(*arguments: object, folder: Path) -> subprocess.CompletedProcess:
    binary = shutil.which("openssl")
    need(binary, "there is no `openssl` on PATH (Debian package openssl)")
    return subprocess.run(
        [str(binary), *map(str, arguments)], cwd=folder, capture_output=True, check=False
    )


def _done(*arguments: object, folder: Path) -> None:
    done = openssl(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr.decode()


@dataclass
class Authority:
    """An authority's folder with ``ca.pem``, ``tsa.pem`` and their keys."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, name: str = "Test") -> Authority:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "serial").write_text("01")
        (folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder))
        made = cls(folder)
        made._key("ca")
        _done("req", "-x509", "-new", "-key", "ca.key", "-out", "ca.pem", "-days", 30, "-config",
              "openssl.cnf", "-extensions", "ca", "-subj", f"/CN={name} CA",
              folder=folder)  # fmt: skip
        made.certify("tsa", "tsa", name)
        return made

    def certify(self, file: str, usage: str, name: str = "Test", days: int = 10) -> None:
        """Issue a certificate with the extensions of a section of the configuration."""
        self._key(file)
        subject = f"/CN={name} {file}"
        _done("req", "-new", "-key", f"{file}.key", "-out", f"{file}.csr", "-subj", subject,
              "-config", "openssl.cnf", folder=self.folder)  # fmt: skip
        _done("x509", "-req", "-in", f"{file}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
              "-CAcreateserial", "-out", f"{file}.pem", "-days", days,
              "-extfile", "openssl.cnf", "-extensions", usage, folder=self.folder)  # fmt: skip

    def _key(self, file: str) -> None:
        _done(*["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"],
              f"{file}.key", folder=self.folder)  # fmt: skip

    def outdate(self, file: str) -> None:
        """Issue a certificate again, as one that was valid last year and is not any more."""
        authority = x509.load_pem_x509_certificate(self.pem("ca"))
        key = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        old = x509.load_pem_x509_certificate(self.pem(file))
        builder = x509.CertificateBuilder(authority.subject, old.subject, old.public_key())
        builder = builder.serial_number(old.serial_number)
        builder = builder.not_valid_before(old.not_valid_before_utc - timedelta(days=400))
        builder = builder.not_valid_after(old.not_valid_before_utc - timedelta(days=30))
        for one in old.extensions:
            builder = builder.add_extension(one.value, one.critical)
        made = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (self.folder / f"{file}.pem").write_bytes(made)

    def pem(self, *files: str) -> bytes:
        return b"".join((self.folder / f"{file}.pem").read_bytes() for file in files)

    def answer(self, query: bytes, signer: str = "tsa") -> bytes:
        """Return the authority's answer to a request."""
        (self.folder / "q.tsq").write_bytes(query)
        (self.folder / "r.tsr").unlink(missing_ok=True)
        _done("ts", "-reply", "-queryfile", "q.tsq", "-signer", f"{signer}.pem", "-inkey",
              f"{signer}.key", "-config", "openssl.cnf", "-section", "service", "-out", "r.tsr",
              folder=self.folder)  # fmt: skip
        return (self.folder / "r.tsr").read_bytes()


@contextmanager
def serving(reply):
    """Serve on loopback; ``reply(handler, query)`` answers each POST. Gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self.server.seen.append(self.headers["Content-Type"])
            try:
                reply(self, self.rfile.read(length))
            except OSError:
                self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tsr"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, kind: str = "") -> None:
    """Answer in one piece."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind or "application/timestamp-reply")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
