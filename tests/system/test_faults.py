"""Faults on all sides at once, descriptors that run out, a disk that is full: what must hold meanwhile and after."""

import collections
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile
import threading
import time

from faults import FaultyUpstream, Flood, Storm
from harness import BASIC, Gateway, Load, Skip, binary, request, upstream, wait_for
from test_tls import certificates

CONFIG = """
workers: 2
rings: { size: 64MiB }
listeners:
  - { address: 127.0.0.1:{port}, timeouts: { head: 2s, keepalive: 1s, write: 2s } }
  - address: 127.0.0.1:{tls}
    timeouts: { head: 2s, keepalive: 1s, write: 2s }
    tls: { certificates: [ { cert: {dir}/server.pem, key: {dir}/server.key } ] }
upstreams:
  - name: up
    targets: [ { url: "http://127.0.0.1:{up}" } ]
    timeouts: { connect: 2s, first_byte: 1s, idle: 1s }
    pool: { idle: 500ms }
    health: { path: /open/ok, interval: 2s, timeout: 2s }
services:
  - name: orders
    auth: none
    routes: [ { name: open, match: { path: "/open/*" }, upstream: up } ]
"""

# What a run may leave behind of anonymous memory, in KiB: buffers and scratch sets that are kept for reuse.
MEMORY_KIB_MAX = 8192


def descriptors(gateway):
    return len(os.listdir(f"/proc/{gateway.process.pid}/fd"))


def threads(gateway):
    return len(os.listdir(f"/proc/{gateway.process.pid}/task"))


def anonymous_kib(gateway):
    with open(f"/proc/{gateway.process.pid}/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))


def cpu_seconds(gateway):
    with open(f"/proc/{gateway.process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gauge(gateway, name):
    """The sum of a metric over the workers."""
    text = gateway.get_admin("/metrics")[2].decode()
    return sum(int(value) for value in re.findall(rf"^penstock_worker_{name}{{.*}} (\d+)$", text, re.M))


def is_quiet(gateway):
    return gauge(gateway, "connections") == 0 and gauge(gateway, "requests") == 0


class Tail:
    """Every call of the rings, as it is published."""

    def __init__(self, gateway):
        self.calls = collections.Counter()
        self.process = subprocess.Popen(
            [binary("penstock-ring"), "tail", "-f", "-n", "0", "--format", "json", "--data-dir", str(gateway.data_dir)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.calls[json.loads(line)["request_id"]] += 1

    def close(self):
        self.process.kill()
        self.process.wait()


def test_mixed_faults_leave_nothing_behind():
    """Broken upstreams and clients, in the middle without descriptors: no call hangs, and all is as it was before.

    20 s, or as long as PENSTOCK_FAULT_SECONDS says."""
    seconds = int(os.environ.get("PENSTOCK_FAULT_SECONDS", "20"))
    up = FaultyUpstream()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-system-faults-"))
    try:
        certificates(folder)
        with Gateway(CONFIG.replace("{dir}", str(folder)), up) as gateway:
            mixed(gateway, folder, seconds)
    finally:
        up.close()
        shutil.rmtree(folder)


def mixed(gateway, folder, seconds):
    storm = lambda clients, seed: Storm(gateway.port, gateway.tls, str(folder / "ca.pem"), clients, seed)
    quiet = lambda: wait_for("quiet", lambda: is_quiet(gateway), 40)
    # Pools and buffers are filled first, so that what is compared is a gateway that has worked.
    warm = storm(48, seed=0).start()
    wait_for("a warm gateway", lambda: sum(warm.ends.values()) > 500, 60)
    warm.stop()
    assert not warm.failures, warm.failures[:5]
    quiet()
    # Idle connections to the upstream are closed after half a second.
    before = wait_for("a stable count of descriptors", lambda: stable(lambda: descriptors(gateway))), threads(gateway)
    memory = anonymous_kib(gateway)
    tail = Tail(gateway)
    wait_for("the tail", lambda: request(gateway.port, "/open/ok")[0] == 200 and tail.calls)

    run = storm(48, seed=2).start()
    begun = time.monotonic()
    after = lambda share: wait_for("the end of a phase", lambda: time.monotonic() > begun + seconds * share, seconds + 60)
    after(0.4)
    soft, hard = resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE)
    run.scarce = True
    resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (before[0] + 60, hard))
    while time.monotonic() < begun + seconds * 0.6:
        flood = Flood(gateway.port, 300)
        time.sleep(1)  # how long the flood stands
        flood.close()
    resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    wait_for("accepting again", lambda: gateway.told("accepting works again"))
    after(1)
    run.stop()

    print(f"    {sum(run.ends.values())} calls in {seconds} s, {len(run.answered)} answers; accepts failed "
          f"{gauge(gateway, 'accept_failures_total')} times")
    assert not run.failures, (len(run.failures), run.failures[:8])
    assert len(run.ends) > 30, run.ends
    assert gateway.told("accepting pauses"), gateway.messages()
    assert not gateway.told("unhealthy") and not gateway.told("panicked"), gateway.messages()
    quiet()
    wait_for(f"{before} descriptors and threads", lambda: (descriptors(gateway), threads(gateway)) == before, 20)
    wait_for("all records", lambda: all(tail.calls[name] for name in run.answered))
    tail.close()
    doubled = [name for name in run.answered if tail.calls[name] != 1]
    assert not doubled, doubled[:5]
    status = gateway.status()
    assert status["records_dropped"] == 0 and all(worker["panics"] == 0 for worker in status["workers"]), status
    grown = anonymous_kib(gateway) - memory
    print(f"    {grown} KiB more anonymous memory")
    assert grown <= MEMORY_KIB_MAX, f"{grown} KiB"
    assert request(gateway.port, "/open/ok")[0] == 200
    assert gateway.stop() == 0


def stable(value):
    """The value if it does not change for a second."""
    first = value()
    for _ in range(10):
        time.sleep(0.1)  # the time over which it must not change
        if value() != first:
            return None
    return first


def test_descriptors_run_out_and_come_back():
    """On both drivers: accepting pauses, is told and counted, costs no CPU; no target is blamed; it comes back."""
    config = BASIC.replace("targets:", "pool: { idle: 500ms }, health: { path: /open/h, interval: 200ms }, targets:")
    assert config != BASIC
    launcher = ["bash", "-c", 'ulimit -n 256 && exec "$@"', "--"]
    for driver in ("auto", "epoll"):
        with upstream() as up, Gateway(config, up, args=["--driver", driver], launcher=launcher) as gateway:
            run_out(gateway)


def run_out(gateway):
    # Made before, as nothing new is accepted then.
    admin = http.client.HTTPConnection("127.0.0.1", gateway.admin, timeout=20)
    kept = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)

    def ask(connection, path):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    assert ask(kept, "/open/x")[0] == 200
    count = lambda: sum(int(n) for n in re.findall(r"^penstock_worker_accept_failures_total{.*} (\d+)$",
                                                    ask(admin, "/metrics")[1], re.M))
    assert count() == 0
    before = wait_for("a stable count of descriptors", lambda: stable(lambda: descriptors(gateway)))
    # So many that the share of each worker alone is more than there are descriptors, whoever is faster.
    flood = Flood(gateway.port, 1000)
    wait_for("the notice", lambda: gateway.told("accepting pauses") and gateway.told("Too many open files"))
    wait_for("both workers", lambda: sum(gateway.told(f"worker {n}: accepting pauses") for n in (0, 1)) == 2)
    first = count()
    wait_for("failures", lambda: count() > first)
    # The control socket wants a descriptor, too: whoever asks there must not make it spin.
    asked = subprocess.Popen([binary("penstock"), "status", "--data-dir", str(gateway.data_dir)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)  # for it to be asked
    spent = cpu_seconds(gateway)
    time.sleep(3)  # the time over which CPU is measured
    spent = cpu_seconds(gateway) - spent
    print(f"    {spent:.2f} s of CPU in 3 s without descriptors")
    assert spent < 0.3, f"{spent} s of CPU"
    assert sum("accepting" in message for message in gateway.messages()) <= 4, gateway.messages()
    # A connection that is open gets its answer: over a pooled connection, or that there is none to be had.
    status, body = ask(kept, "/open/x")
    assert status == 200 or (status, json.loads(body)["code"]) == (503, "overloaded"), (status, body)
    wait_for("the check", lambda: gateway.told("cannot be checked"))
    assert not gateway.told("unhealthy"), gateway.messages()
    flood.close()
    wait_for("the notice", lambda: sum(gateway.told(f"worker {n}: accepting works again") for n in (0, 1)) == 2)
    assert asked.wait(20) == 0, "the command that waited was not answered"
    assert request(gateway.port, "/open/x")[0] == 200
    assert ask(kept, "/open/x")[0] == 200
    kept.close()
    wait_for(f"{before} descriptors", lambda: descriptors(gateway) <= before, 20)
    assert not gateway.told("unhealthy"), gateway.messages()
    assert gateway.stop() == 0


def with_small_disk(megabytes, use):
    """A file system of its own, which the test can fill."""
    if os.geteuid() != 0:
        raise Skip("needs root to mount a small tmpfs")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-system-full-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
                             capture_output=True)
    if mounted.returncode != 0:
        shutil.rmtree(folder)
        raise Skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        use(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(folder)


def test_a_worker_without_a_ring_gets_one_when_there_is_room():
    """Started on a disk with room for one ring of two; once there is room, both record, and nothing is restarted."""
    def use(folder):
        with upstream() as up, Gateway(BASIC, up, data_dir=folder / "data") as gateway:
            assert gateway.told("serves without recording calls"), gateway.messages()
            subprocess.run(["mount", "-o", "remount,size=230m", str(folder)], check=True)
            wait_for("the notice", lambda: gateway.told("records calls again"))
            assert gateway.status()["rings"] == "on"
            load = Load(gateway.port, "/open/x", clients=8)
            load.more(300)
            load.stop()
            assert not load.failures, load.failures[:5]
            counts = collections.Counter(record["request_id"] for record in gateway.records())
            wrong = [h["x-request-id"] for _, h, _ in load.answers if counts[h["x-request-id"]] != 1]
            assert not wrong, f"{len(wrong)} of {len(load.answers)} calls are not recorded once"
            assert len({record["worker"] for record in gateway.records()}) == 2
            verified = gateway.ring("verify")
            assert verified.returncode == 0, verified.stdout + verified.stderr
            assert gateway.stop() == 0

    with_small_disk(130, use)


def test_a_disk_that_fills_while_calls_are_served():
    """Rings have their room and go on; the access log and reloads are told, and complete once there is room again."""
    config = BASIC + "log: { access: file, format: json }\n"

    def use(folder):
        fill = folder / "fill"
        with upstream() as up, Gateway(config, up, data_dir=folder / "data") as gateway:
            load = Load(gateway.port, "/open/x", clients=4)
            load.more(100)
            subprocess.run(["dd", "if=/dev/zero", f"of={fill}", "bs=64k"], capture_output=True)
            wait_for("the notice", lambda: gateway.told("the access log cannot be written"), 60)
            # So many new names that the dictionary needs more than what is left of its last block.
            more = "".join(f'      - {{ name: added-{n}, match: {{ path: "/added/{n}" }}, upstream: up, auth: none }}\n'
                           for n in range(500))
            gateway.write(config.replace("    routes:\n", "    routes:\n" + more))
            done = gateway.cli("reload", "--config", gateway.file)
            assert done.returncode == 1 and "cannot be written" in done.stderr, (done.stdout, done.stderr)
            load.more(100)
            fill.unlink()
            wait_for("the notice", lambda: gateway.told("the access log is written again"))
            assert gateway.cli("reload", "--config", gateway.file).returncode == 0
            load.more(100)
            load.stop()
            assert not load.failures and {status for status, _, _ in load.answers} == {200}, load.failures[:5]
            assert gateway.stop() == 0
            logged = collections.Counter(
                json.loads(line)["request_id"] for line in (folder / "data" / "access.log").read_text().splitlines())
            recorded = collections.Counter(record["request_id"] for record in gateway.records())
            for counts, where in ((logged, "log"), (recorded, "rings")):
                wrong = [h["x-request-id"] for _, h, _ in load.answers if counts[h["x-request-id"]] != 1]
                assert not wrong, f"{len(wrong)} of {len(load.answers)} calls are not in the {where} once"

    with_small_disk(160, use)
