"""What the gate decides, seen from outside: identity, limits, versions, rewrites, CORS."""

import json
import signal

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
