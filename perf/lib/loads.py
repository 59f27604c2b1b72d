"""Loads: wrk for requests, an own client for handshakes and for idle connections. Each returns plain figures."""

import os
import re
import socket
import ssl
import subprocess
import time

from .systems import KEY

UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


def wrk(port, core, seconds, connections, headers=(), scheme="http"):
    """Loads with wrk (one thread); fails on anything but answers of 2xx and 3xx."""
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for header in headers:
        words += ["-H", header]
    words.append(f"{scheme}://127.0.0.1:{port}/")
    done = subprocess.run(
        words, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}), check=True
    )
    return parse_wrk(done.stdout)


def parse_wrk(text):
    """Figures of wrk's report."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", text)
    if not total:
        raise RuntimeError(f"wrk said something unexpected:\n{text}")
    for bad in (r"Non-2xx or 3xx responses: (\d+)", r"Socket errors: (.+)"):
        match = re.search(bad, text)
        if match and set(re.findall(r"\d+", match[1])) != {"0"}:
            raise RuntimeError(f"the load met failures, so the figures are void:\n{text}")
    requests = int(total[1])
    if requests == 0:
        raise RuntimeError(f"no request was answered:\n{text}")

    def percentile(name):
        match = re.search(rf"\s{name}%\s+([\d.]+)(us|ms|s|m)\b", text)
        if not match:
            raise RuntimeError(f"wrk told no {name}th percentile:\n{text}")
        return float(match[1]) * UNITS_US[match[2]]

    seconds = float(total[2]) * UNITS_US[total[3]] / 1e6
    return {
        "requests": requests,
        "per_s": requests / seconds,
        "p50_us": percentile("50"),
        "p99_us": percentile("99"),
    }


def handshakes(port, core, count, certificate, resumed):
    """Opens TLS connections one after another, one request each; with `resumed`, each takes up the first session."""
    context = ssl.create_default_context(cafile=certificate)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    session, taken_up, took = None, 0, []
    try:
        begun = time.monotonic()
        for _ in range(count):
            start = time.monotonic()
            with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with context.wrap_socket(plain, server_hostname="localhost", session=session) as stream:
                    taken_up += stream.session_reused
                    stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = b""
                    while piece := stream.recv(65536):
                        answer += piece
                    if not answer.startswith(b"HTTP/1.1 200"):
                        raise RuntimeError(f"unexpected answer: {answer[:80]!r}")
                    if resumed:
                        session = stream.session
            took.append((time.monotonic() - start) * 1e6)
        seconds = time.monotonic() - begun
    finally:
        os.sched_setaffinity(0, before)
    expected = count - 1 if resumed else 0
    if taken_up < expected * 0.95 or taken_up > expected:
        raise RuntimeError(f"{taken_up} of {count} connections were resumed, {expected} should be")
    took.sort()
    return {
        "requests": count,
        "per_s": count / seconds,
        "p50_us": took[len(took) // 2],
        "p99_us": took[int(len(took) * 0.99)],
    }


class IdleConnections:
    """Connections that have asked once and then stay."""

    def __init__(self, port, count, with_key):
        key = f"x-api-key: {KEY}\r\n" if with_key else ""
        request = f"GET / HTTP/1.1\r\nHost: localhost\r\n{key}\r\n".encode()
        self.sockets = []
        for _ in range(count):
            stream = socket.create_connection(("127.0.0.1", port), timeout=30)
            self.sockets.append(stream)
            stream.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                piece = stream.recv(65536)
                if not piece:
                    raise RuntimeError(f"closed after {len(self.sockets)} connections: {answer[:80]!r}")
                answer += piece
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"unexpected answer: {answer[:80]!r}")

    def still_open(self):
        """Connections that the other side has not closed."""
        count = 0
        for stream in self.sockets:
            stream.setblocking(False)
            try:
                count += stream.recv(65536) != b""
            except BlockingIOError:
                count += 1
        return count

    def close(self):
        for stream in self.sockets:
            stream.close()
