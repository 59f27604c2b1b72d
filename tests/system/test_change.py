"""Changing what is served, under load: no call may fail, and each answer fits the revision that made it."""

import json
import os
import signal
import socket
import threading
import time

from harness import BASIC, KEY, Gateway, Load, request, upstream, wait_for

ROUTE = "      - { name: open, match: { path: \"/open/*\" }, upstream: up, auth: none }\n"


def with_mark(mark):
    """The configuration whose answers carry `mark`."""
    route = ROUTE.replace("auth: none", f"auth: none, headers: {{ response: {{ set: {{ x-mark: m{mark} }} }} }}")
    assert ROUTE in BASIC
    return BASIC.replace(ROUTE, route)


def test_reload_under_load_by_command_and_signal():
    """Ten reloads by `penstock reload`, ten by SIGHUP: no failed call, and after each the new answer only."""
    with upstream() as up, Gateway(with_mark(0), up) as gateway:
        load = Load(gateway.port, "/open/x", clients=4)
        load.more(50)
        for number in range(1, 21):
            gateway.write(with_mark(number))
            if number % 2:
                done = gateway.cli("reload", "--config", gateway.file)
                assert done.returncode == 0, done.stderr
                assert f"revision {number + 1} is served by all workers" in done.stdout, done.stdout
            else:
                gateway.signal(signal.SIGHUP)
                wait_for("the revision", lambda: gateway.status()["revision"] == number + 1)
            for _ in range(4):
                assert request(gateway.port, "/open/y")[1]["x-mark"] == f"m{number}"
            load.more(20)
        load.stop()
        assert not load.failures, load.failures[:5]
        assert {status for status, _, _ in load.answers} == {200}
        marks = {headers["x-mark"] for _, headers, _ in load.answers}
        assert len(marks) >= 20, marks
        # By record: an answer's mark is that of its revision.
        records = {record["request_id"]: record for record in gateway.records("route~open")}
        for _, headers, _ in load.answers:
            record = records[headers["x-request-id"]]
            assert headers["x-mark"] == f"m{record['revision'] - 1}", record


def test_a_bad_change_is_refused_whole():
    """By command and by signal: the place is told, the old configuration is served on, /status counts it."""
    with upstream() as up, Gateway(BASIC, up) as gateway:
        bad = BASIC.replace("upstream: up, auth: none", "upstream: upp, auth: none").replace("methods: [GET]", "methods: [GE(T]")
        assert bad != BASIC
        gateway.write(bad)
        done = gateway.cli("reload", "--config", gateway.file)
        assert done.returncode == 1 and done.stderr.count("penstock.yaml:") == 2, done.stderr
        assert "did you mean" in done.stderr, done.stderr
        # Without its file the gateway itself refuses.
        done = gateway.cli("reload", "--data-dir", gateway.data_dir)
        assert done.returncode == 1 and done.stderr.count("penstock.yaml:") == 2, done.stderr
        gateway.signal(signal.SIGHUP)
        wait_for("the notice", lambda: gateway.status()["refused_changes"] == 2)
        assert gateway.told("configuration refused, revision 1 is served on"), gateway.messages()
        assert request(gateway.port, "/open/x")[0] == 200
        assert request(gateway.port, "/keyed/1", headers={"x-api-key": KEY})[0] == 200
        # A listener that cannot be had is refused as well, and the old one stays.
        gateway.write(BASIC.replace("listeners: [", f"listeners: [ {{ address: 127.0.0.1:{up.port} }},"))
        done = gateway.cli("reload", "--config", gateway.file)
        assert done.returncode == 1 and f"port {up.port} is taken" in done.stderr, done.stderr
        assert request(gateway.port, "/open/x")[0] == 200
        gateway.write(BASIC)
        assert gateway.cli("reload", "--config", gateway.file).returncode == 0
        assert gateway.status()["revision"] == 2


def test_files_are_watched_when_asked_for():
    """A change is taken by itself once the file is quiet."""
    with upstream() as up, Gateway(with_mark(0), up, args=["--watch"]) as gateway:
        assert request(gateway.port, "/open/x")[1]["x-mark"] == "m0"
        time.sleep(0.3)
        gateway.write(with_mark(1))
        wait_for("the change", lambda: request(gateway.port, "/open/x")[1]["x-mark"] == "m1")
        assert gateway.status()["revision"] == 2


def test_reloads_keep_memory_flat():
    """Reloads with changing routes under load: anonymous memory grows by at most 4 MiB after the first 50.

    300 of them, or as many as PENSTOCK_RELOADS says."""
    reloads = int(os.environ.get("PENSTOCK_RELOADS", "300"))

    def anonymous_kib():
        with open(f"/proc/{gateway.process.pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))

    with upstream() as up, Gateway(with_mark(0), up) as gateway:
        load = Load(gateway.port, "/open/x", clients=2)
        start = None
        for number in range(reloads):
            gateway.write(with_mark(number))
            reload(gateway)
            if number == 50:
                start = anonymous_kib()
        grown = anonymous_kib() - start
        load.stop()
        assert not load.failures, load.failures[:5]
        assert gateway.status()["revision"] == reloads + 1
        print(f"    {reloads} reloads: {grown} KiB more anonymous memory, {len(load.answers)} calls meanwhile")
        assert grown <= 4096, f"{grown} KiB"


def reload(gateway):
    """`penstock reload` without the cost of a process."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(20)
        control.connect(str(gateway.data_dir / "control.sock"))
        control.sendall(b'{"command":"reload"}\n')
        reply = json.loads(control.makefile().readline())
    assert reply["ok"], reply


def test_sigterm_loses_no_call():
    """Under load and with a slow call under way: every call that was begun is answered, exit 0, all in the rings."""
    end_without_loss(lambda gateway: gateway.signal(signal.SIGTERM))


def test_drain_by_command_loses_no_call():
    """The same by `penstock drain`, which returns when it is done."""
    def drain(gateway):
        done = gateway.cli("drain", "--config", gateway.file)
        assert done.returncode == 0 and "drained" in done.stdout, (done.stdout, done.stderr)

    end_without_loss(drain)


def end_without_loss(end):
    with upstream() as up, Gateway(BASIC, up) as gateway:
        load = Load(gateway.port, "/open/x", clients=6)
        load.more(100)
        slow = []
        thread = threading.Thread(target=lambda: slow.append(request(gateway.port, "/open/slow?delay_ms=1500")))
        thread.start()
        wait_for("the slow call", lambda: any("slow" in path for path in up.paths()))
        load.ending.set()
        end(gateway)
        assert gateway.wait() == 0, gateway.messages()
        load.stop()
        thread.join()
        assert slow and slow[0][0] == 200, slow
        assert not load.failures, load.failures[:5]
        assert {status for status, _, _ in load.answers} == {200}
        recorded = {record["request_id"] for record in gateway.records()}
        missing = [h["x-request-id"] for _, h, _ in load.answers if h["x-request-id"] not in recorded]
        assert not missing, f"{len(missing)} of {len(load.answers)} answers are in no ring"
        assert not (gateway.data_dir / "control.sock").exists()
