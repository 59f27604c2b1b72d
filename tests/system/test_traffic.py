"""What the gate decides, seen from outside: identity, limits, versions, rewrites, CORS."""

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import signal
import socket
import time

from harness import BASIC, KEY, Gateway, Load, request, upstream, wait_for


def test_a_key_opens_and_anything_else_does_not():
    """200 with the key; 401 without, with a wrong one, and with two; nothing of a refused call goes upstream."""
    with upstream() as up, Gateway(BASIC, up) as gateway:
        assert request(gateway.port, "/keyed/1", headers={"x-api-key": KEY})[0] == 200
        before = len(up.paths())
        for headers, code in (
            ({}, "unauthenticated"),
            ({"x-api-key": KEY + "x"}, "invalid_credential"),
            ({"authorization": "Bearer psk_wrong_0123456789abcdef"}, "invalid_credential"),
        ):
            status, answer, body = request(gateway.port, "/keyed/1", headers=headers)
            problem = json.loads(body)
            assert (status, problem["code"]) == (401, code), (status, problem)
            assert answer["content-type"] == "application/problem+json"
            assert "www-authenticate" in answer
        assert len(up.paths()) == before
        for path, status, code in (("/nothing", 404, "no_route"), ("/keyed/%2e%2e/x", 404, "no_route")):
            found, _, body = request(gateway.port, path)
            assert (found, json.loads(body)["code"]) == (status, code), (path, found, body)
        found, answer, _ = request(gateway.port, "/keyed/1", method="DELETE", headers={"x-api-key": KEY})
        assert found == 405 and "GET" in answer["allow"]


def test_limits_answer_429_with_their_headers():
    """Three calls pass, the fourth is 429 with Retry-After and RateLimit; counts hold over a restart."""
    with upstream() as up, Gateway(BASIC, up) as gateway:
        call = lambda: request(gateway.port, "/limited", headers={"x-api-key": KEY})
        answers = [call() for _ in range(4)]
        assert [answer[0] for answer in answers] == [200, 200, 200, 429], answers
        assert '"three"' in answers[0][1]["ratelimit"] and "r=2" in answers[0][1]["ratelimit"], answers[0]
        assert '"three";q=3;w=60' in answers[0][1]["ratelimit-policy"], answers[0]
        refused = answers[3]
        assert 1 <= int(refused[1]["retry-after"]) <= 60
        assert json.loads(refused[2])["code"] == "rate_limited"
        assert up.paths().count("/limited") == 3
        # A new process goes on counting where the old one stopped.
        assert gateway.stop() == 0
        gateway.start()
        status, headers, _ = call()
        # The window may have turned meanwhile, then it is a first call again.
        assert status == 429 or "r=2" in headers["ratelimit"], (status, headers)


AMOUNT = 2000
QUOTA = BASIC.replace("workers: 2", "workers: 4").replace(
    "requests: 3, per: 60s", f"requests: {AMOUNT}, per: 24h"
)


def exhaust(gateway, clients):
    """Calls from `clients` connections until each worker refuses; counts what was admitted."""
    load = Load(gateway.port, "/limited", clients=clients, headers={"x-api-key": KEY})
    refused = lambda: sum(status == 429 for status, _, _ in list(load.answers))
    wait_for("refusals", lambda: refused() >= 200, 60)
    load.stop()
    assert not load.failures, load.failures[:5]
    assert {status for status, _, _ in load.answers} <= {200, 429}
    return sum(status == 200 for status, _, _ in load.answers)


def test_a_limit_is_exact_over_four_workers():
    """Connections that are spread unevenly over four workers get exactly what the limit holds."""
    with upstream() as up, Gateway(QUOTA, up) as gateway:
        admitted = exhaust(gateway, clients=7)
        assert admitted == up.paths().count("/limited") == AMOUNT, (admitted, len(up.paths()))


def test_a_limit_holds_over_kill_9():
    """Killed three times on the way: never more than the limit; what a crash costs is less than a tenth here."""
    with upstream() as up, Gateway(QUOTA, up) as gateway:
        for _ in range(3):
            load = Load(gateway.port, "/limited", clients=7, headers={"x-api-key": KEY})
            load.more(AMOUNT // 5)
            load.ending.set()
            gateway.signal(signal.SIGKILL)
            gateway.wait()
            load.stop()
            gateway.start()
        exhaust(gateway, clients=7)
        arrived = up.paths().count("/limited")
        print(f"    {arrived} of {AMOUNT} admitted over 3 kills")
        assert AMOUNT * 9 // 10 <= arrived <= AMOUNT, arrived


VERSIONS = """
workers: 1
rings: { size: 4MiB }
listeners: [ { address: 127.0.0.1:{port} } ]
upstreams: [ { name: up, targets: [ { url: "http://127.0.0.1:{up}" } ] } ]
services:
  - name: shop
    auth: none
    versioning: { in: path, default: v1, unknown: reject }
    versions:
      - version: v1
        routes:
          - { name: order, match: { path: "/orders/{id}" }, upstream: up, rewrite: { path: "/internal/{id}" },
              headers: { request: { set: { x-seen: "yes" }, remove: [x-debug] }, response: { remove: [server] } } }
      - version: v2
        routes:
          - { name: order, match: { path: "/orders/{id}" }, upstream: up }
  - name: web
    auth: none
    routes:
      - { name: web, match: { path: "/web/*", methods: [GET] }, upstream: up,
          cors: { origins: [ https://app.example.com ] } }
"""


def test_versions_rewrites_and_headers():
    """The version in the path is taken off, the default serves where there is none, an unknown one is 404."""
    with upstream() as up, Gateway(VERSIONS, up) as gateway:
        for path, status, sent in (
            ("/v1/orders/42?a=b", 200, "/internal/42?a=b"),
            ("/orders/42", 200, "/internal/42"),
            ("/v2/orders/42", 200, "/orders/42"),
            ("/v3/orders/42", 404, None),
        ):
            found, headers, body = request(gateway.port, path, headers={"x-debug": "1"})
            assert found == status, (path, found, body)
            if sent:
                said = json.loads(body)
                assert said["path"] == sent, (path, said)
                if sent.startswith("/internal"):
                    assert said["headers"]["x-seen"] == "yes" and "x-debug" not in said["headers"], said
                    assert "server" not in headers, headers


def test_cors_preflight_is_answered_here():
    """204 for the origin that is allowed, without the upstream; none of it for another."""
    with upstream() as up, Gateway(VERSIONS, up) as gateway:
        asked = {"origin": "https://app.example.com", "access-control-request-method": "GET"}
        status, headers, _ = request(gateway.port, "/web/x", method="OPTIONS", headers=asked)
        assert status in (200, 204), status
        assert headers["access-control-allow-origin"] == "https://app.example.com", headers
        assert up.paths() == []
        other = {**asked, "origin": "https://evil.example.com"}
        _, headers, _ = request(gateway.port, "/web/x", method="OPTIONS", headers=other)
        assert "access-control-allow-origin" not in headers, headers
        status, headers, _ = request(gateway.port, "/web/x", headers={"origin": "https://app.example.com"})
        assert status == 200 and headers["access-control-allow-origin"] == "https://app.example.com"


def test_a_dead_upstream_is_told_and_recorded():
    """502 with its code, an answer in problem+json, and the code in the record."""
    with Gateway(BASIC) as gateway:
        status, _, body = request(gateway.port, "/open/x")
        assert (status, json.loads(body)["code"]) == (502, "upstream_connect_failed"), body
        record = gateway.records("status=502")[0]
        assert record["code"] == "upstream_connect_failed" and "open" in record["route"], record


SECRET = "sixteen-characters-or-more"
SIGNED = """
workers: 1
rings: { size: 4MiB }
listeners: [ { address: 127.0.0.1:{port} } ]
apps: [ { name: shop, credentials: [ { hmac: { key_id: shop-1, secret: """ + SECRET + """ } } ] } ]
upstreams: [ { name: up, targets: [ { url: "http://127.0.0.1:{up}" } ] } ]
services:
  - name: orders
    auth: { any: [hmac] }
    routes:
      - { name: open, match: { path: /unlimited }, upstream: up, body: { max: unlimited } }
      - { name: wide, match: { path: /wide }, upstream: up, body: { max: 12MiB } }
"""


def signed(path, body, forged=False):
    """The fields of a signed request (docs/hmac.md)."""
    date, nonce = str(int(time.time())), secrets.token_hex(8)
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    lines = ["penstock-hmac-sha256", "POST", "127.0.0.1", path, date, nonce, digest]
    made = hmac.new(SECRET.encode(), "".join(line + "\n" for line in lines).encode(), hashlib.sha256).digest()
    signature = base64.b64encode(made).decode()
    return {
        "content-digest": digest,
        "authorization": f'Penstock-HMAC-SHA256 key="shop-1", date="{date}", nonce="{nonce}", signature="{signature}"',
    }


def test_signed_bodies_are_bounded_and_forged_ones_never_arrive():
    """Held whole up to the route's bound, or 10 MiB where there is none: 413 beyond; a changed body is 401."""
    mib = 1 << 20
    with upstream() as up, Gateway(SIGNED, up) as gateway:
        def post(path, length, chunked=False, change=b""):
            body = b"x" * length
            sent = (body[:len(body) - len(change)] + change)
            pieces = (sent[at:at + 65536] for at in range(0, len(sent), 65536)) if chunked else sent
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
            try:
                try:
                    connection.request("POST", path, body=pieces, headers=signed(path, body), encode_chunked=chunked)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # refused before it was read; the answer is there
                answer = connection.getresponse()
                said = json.loads(answer.read())
                return answer.status, said.get("code"), said.get("body_bytes")
            finally:
                connection.close()

        for path, bound in (("/unlimited", 10 * mib), ("/wide", 12 * mib)):
            for length in (1, 100_000, bound):
                assert post(path, length) == (200, None, length), (path, length)
            # Refused by what it announces; nothing of it needs to be sent.
            announced = {**signed(path, b""), "content-length": str(bound + 1)}
            status, _, said = request(gateway.port, path, method="POST", headers=announced)
            assert (status, json.loads(said)["code"]) == (413, "body_too_large"), (path, status, said)
            arrived = len(up.paths())
            for length in (10, 100_000, bound):
                assert post(path, length, change=b"y") == (401, "invalid_credential", None), (path, length)
            assert len(up.paths()) == arrived, "a forged body arrived"
        # Without a length said beforehand it is read up to the bound.
        status, code, _ = post("/unlimited", 10 * mib + 100_000, chunked=True)
        assert (status, code) == (413, "body_too_large"), (status, code)
        wait_for("the end of all calls", lambda: gateway.status()["workers"][0]["requests"] == 0)


def test_a_signed_body_that_waits_to_be_asked_for_is_asked_for():
    """Nothing goes upstream before the body is here, so the 100 (Continue) is the gateway's own."""
    with upstream() as up, Gateway(SIGNED, up) as gateway, socket.create_connection(("127.0.0.1", gateway.port), 20) as client:
        body = b"x" * 5000
        fields = {**signed("/wide", body), "host": "127.0.0.1", "content-length": str(len(body)), "expect": "100-continue"}
        lines = [f"{name}: {value}" for name, value in fields.items()]
        client.sendall("\r\n".join(["POST /wide HTTP/1.1", *lines, "", ""]).encode())
        answers = client.makefile("rb")
        assert answers.readline().startswith(b"HTTP/1.1 100 ")
        assert answers.readline() == b"\r\n"
        client.sendall(body)
        assert answers.readline().startswith(b"HTTP/1.1 200 ")
