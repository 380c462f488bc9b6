"""A real `opa run --server` to be killed, stalled and given other rules, and what is in front."""

from __future__ import annotations

import http.client
import http.server
import json
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

from real import free_port, opa_binary, wait_for_port

from affidavit.policies import server_bundle
from affidavit.policies._archive import pack_files


class Opa:
    """OPA on a bundle's file, which it watches."""

    def __init__(self, path, *, arguments=(), **bundle):
        self.path = path
        self.bundle = server_bundle(path, **bundle)
        self.port = free_port()
        self._arguments = list(arguments)
        self._process = None

    def start(self):
        command = self.bundle.command(f"127.0.0.1:{self.port}", opa=opa_binary())
        command[3:3] = ["--watch", *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port)
        return self

    def kill(self):
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(timeout=20)
            self._process = None

    def stall(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    def ask(self, entrypoint="affidavit/data_read"):
        """OPA's own answer to an empty question."""
        url = f"http://127.0.0.1:{self.port}/v1/data/{entrypoint}?provenance=true"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, b'{"input": {}}', headers)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def exchange(self, **bundle):
        """Put another bundle into the file and wait until OPA has taken it."""
        self.bundle = server_bundle(self.path, **bundle)
        self._until(lambda said: self.bundle.digest in json.dumps(said.get("provenance")))
        return self.bundle

    def forget_the_rules(self):
        """Put a bundle into the file in which no entry point is defined."""
        manifest = {"revision": "empty", "roots": ["affidavit"], "rego_version": 1}
        scratch = self.path.with_name("scratch")
        scratch.write_bytes(
            pack_files({".manifest": json.dumps(manifest).encode(), "a.rego": b"package affidavit"})
        )
        scratch.replace(self.path)
        self._until(lambda said: "result" not in said)

    def recall_the_rules(self):
        self.exchange()

    def _until(self, wanted):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                if wanted(self.ask()):
                    return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.05)
        raise AssertionError("opa did not take the other bundle")


class Front:
    """A small HTTP server in front of OPA that passes everything on, or answers by itself."""

    def __init__(self, opa):
        self.opa = opa
        self.answer = None
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, kind, content, length = front.answer or self._passed_on(body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(length or len(content)))
                self.end_headers()
                self.wfile.write(content)
                if length:
                    self.close_connection = True

            def _passed_on(self, body):
                there = http.client.HTTPConnection("127.0.0.1", opa.port, timeout=5)
                there.request("POST", self.path, body, {"Content-Type": "application/json"})
                answer = there.getresponse()
                return answer.status, "application/json", answer.read(), None

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
