"""What every system test needs: a real gateway on free ports with a folder of its own, small upstreams that record
what reaches them, and clients that notice every broken answer. Python's standard library only."""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 40


class Skip(Exception):
    """The machine lacks what the test needs; said loudly in the summary."""


def binary(name):
    folder = os.environ["PENSTOCK_BIN_DIR"]
    path = pathlib.Path(folder) / name
    assert path.exists(), f"{path} is not built"
    return str(path)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def wait_for(what, condition, seconds=START_SECONDS_MAX):
    """Waits until `condition()` gives something true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def command(*args, cwd=None, stdin=None, env=None, seconds=60):
    """Runs a command to its end."""
    return subprocess.run(
        [str(a) for a in args], cwd=cwd, input=stdin, env=env, text=True, capture_output=True, timeout=seconds
    )


class Upstream:
    """An HTTP/1.1 server that tells what reached it and records it. `?delay_ms=` delays the answer."""

    def __init__(self, name="up"):
        self.requests = []
        self.lock = threading.Lock()
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self):
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length) if length else b""
                with upstream.lock:
                    upstream.requests.append((self.command, self.path, dict(self.headers.items())))
                delay = re.search(r"delay_ms=(\d+)", self.path)
                if delay:
                    time.sleep(int(delay.group(1)) / 1000)
                said = json.dumps({
                    "upstream": name, "method": self.command, "path": self.path, "body_bytes": len(body),
                    "headers": {k.lower(): v for k, v in self.headers.items()},
                }).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = answer

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

            def handle_error(self, request, client_address):
                pass  # a gateway that was killed resets its connections

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def paths(self):
        with self.lock:
            return [path for _, path, _ in self.requests]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Gateway:
    """A running `penstock`. `config` may hold {port}, {tls}, {admin}, {up} and {dir}. `launcher` is a command that
    starts it, as under a filter."""

    def __init__(self, config, upstream=None, args=(), data_dir=None, env=None, ready=True, launcher=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-system-"))
        self.port, self.tls, self.admin = free_ports(3)
        self.data_dir = pathlib.Path(data_dir) if data_dir else self.folder / "data"
        self.file = self.folder / "penstock.yaml"
        self.upstream = upstream
        self.args, self.env, self.launcher = args, env, launcher
        self.process = None
        self.out, self.err = [], []
        self.write(config)
        self.start(ready)

    def write(self, config):
        fields = {
            "{port}": self.port, "{tls}": self.tls, "{admin}": self.admin, "{dir}": self.folder,
            "{up}": self.upstream.port if self.upstream else 1,
        }
        for field, value in fields.items():
            config = config.replace(field, str(value))
        head = f"admin: {{ address: 127.0.0.1:{self.admin} }}\ndata_dir: {self.data_dir}\n"
        draft = self.folder / "draft"
        draft.write_text(head + config)
        draft.rename(self.file)

    def start(self, ready=True):
        self.out, self.err = [], []
        self.process = subprocess.Popen(
            [*self.launcher, binary("penstock"), "run", "--config", str(self.file), *self.args],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(self.env or {})},
        )
        for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()
        if ready:
            def is_ready():
                assert self.process.poll() is None, f"it ended: {self.messages()}"
                return self.get_admin("/readyz")[0] == 200
            wait_for("readiness", is_ready)

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def messages(self):
        """What it told on stderr."""
        told = []
        for line in list(self.err):
            try:
                told.append(json.loads(line)["message"])
            except (ValueError, KeyError, TypeError):
                told.append(line)
        return told

    def told(self, text):
        return any(text in message for message in self.messages())

    def get_admin(self, path, host=None, method="GET"):
        try:
            return request(self.admin, path, method=method, headers={"host": host} if host else None)
        except OSError:
            return (0, {}, b"")

    def status(self):
        return json.loads(self.get_admin("/status")[2])

    def cli(self, *args):
        return command(binary("penstock"), *args, cwd=self.folder)

    def ring(self, *args):
        return command(binary("penstock-ring"), *args, "--data-dir", self.data_dir)

    def records(self, *filters):
        """Every call that the rings still hold."""
        dumped = self.ring("dump", "--format", "json", *filters)
        assert dumped.returncode == 0, dumped.stderr
        return [json.loads(line) for line in dumped.stdout.splitlines()]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=STOP_SECONDS_MAX):
        return self.process.wait(seconds)

    def stop(self):
        """Ends it and says how it ended."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if kind is not None and kind is not Skip:
            print("    stderr of the gateway:")
            for message in self.messages()[-20:]:
                print("    |", message)
        shutil.rmtree(self.folder, ignore_errors=True)


def request(port, path, method="GET", headers=None, body=None, seconds=20):
    """One call on a connection of its own: (status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


class Load:
    """Clients that call without a pause on kept connections and note every answer and every failure.

    A call counts as failed when its connection broke before the answer was complete, unless the gateway had said
    `Connection: close` before, or the connection was fresh and refused after `expect_end`."""

    def __init__(self, port, path, clients=8, headers=None):
        self.port, self.path, self.headers = port, path, headers or {}
        self.answers, self.failures = [], []
        self.ending = threading.Event()
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        connection, calls = None, 0
        while not self.stopped.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                    connection.connect()
                    calls = 0
            except OSError as error:
                if self.ending.is_set():
                    return
                self.failures.append(f"connect: {error!r}")
                time.sleep(0.01)
                connection = None
                continue
            try:
                connection.request("GET", self.path, headers=self.headers)
                answer = connection.getresponse()
                body = answer.read()
                headers = {k.lower(): v for k, v in answer.getheaders()}
                self.answers.append((answer.status, headers, body))
                calls += 1
                if headers.get("connection", "").lower() == "close":
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"call {calls + 1} of its connection: {error!r}")
                connection.close()
                connection = None

    def more(self, count):
        """Waits for so many further answers."""
        goal = len(self.answers) + count
        wait_for(f"{count} answers", lambda: len(self.answers) >= goal, 60)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a client hangs"


@contextlib.contextmanager
def upstream(name="up"):
    server = Upstream(name)
    try:
        yield server
    finally:
        server.close()


KEY = "system-test-key-0001"

BASIC = """
workers: 2
rings: { size: 16MiB }
listeners: [ { address: 127.0.0.1:{port} } ]
apps:
  - name: mobile
    credentials: [ { api_key: { value: """ + KEY + """ } } ]
    scopes: [orders.read]
    subscriptions: [ { service: orders, plan: free } ]
plans: [ { name: free, limits: [ { requests: 1000000, per: 1h } ] } ]
upstreams: [ { name: up, targets: [ { url: "http://127.0.0.1:{up}" } ] } ]
services:
  - name: orders
    auth: { any: [api_key] }
    routes:
      - { name: open, match: { path: "/open/*" }, upstream: up, auth: none }
      - { name: keyed, match: { path: "/keyed/{id}", methods: [GET] }, upstream: up,
          authorize: { scopes: [orders.read], subscription: required } }
      - { name: limited, match: { path: /limited }, upstream: up, ratelimit_headers: true,
          limits: [ { name: three, requests: 3, per: 60s, algorithm: fixed, by: app } ] }
"""
