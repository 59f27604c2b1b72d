"""Call records: after a crash, on a full disk, in the access log, on the admin address."""

import collections
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

from harness import BASIC, KEY, Gateway, Load, Skip, request, upstream, wait_for


def test_kill_9_keeps_every_answered_call_exactly_once():
    """Under load: what reached a client whole is in the rings once, and `verify` finds no damage.

    Five times, or as many as PENSTOCK_KILLS says."""
    kills = int(os.environ.get("PENSTOCK_KILLS", "5"))
    with upstream() as up, Gateway(BASIC, up) as gateway:
        answered = []
        for _ in range(kills):
            load = Load(gateway.port, "/open/x", clients=6)
            load.more(150)
            load.ending.set()
            gateway.signal(signal.SIGKILL)
            gateway.wait()
            load.stop()
            answered += [headers["x-request-id"] for status, headers, _ in load.answers if status == 200]
            counts = collections.Counter(record["request_id"] for record in gateway.records())
            here = [headers["x-request-id"] for _, headers, _ in load.answers]
            wrong = {name: counts[name] for name in here if counts[name] != 1}
            assert not wrong, f"{len(wrong)} of {len(here)} answered calls are not there once: {list(wrong.items())[:3]}"
            verified = gateway.ring("verify")
            assert verified.returncode == 0, verified.stdout + verified.stderr
            gateway.start()
        assert len(answered) == len(set(answered)) >= 150 * kills
        print(f"    {kills} kills, {len(answered)} answered calls, each once")
        assert gateway.status()["records_dropped"] == 0


def test_explain_prints_the_path_of_a_call():
    """`penstock-ring explain` names the stages, the route and the app of one call."""
    with upstream() as up, Gateway(BASIC, up) as gateway:
        _, headers, _ = request(gateway.port, "/keyed/7", headers={"x-api-key": KEY})
        told = gateway.ring("explain", headers["x-request-id"])
        assert told.returncode == 0, told.stderr
        for word in ("mobile", "keyed", "authorise"):
            assert word in told.stdout, told.stdout
        listed = gateway.ring("ls", "--format", "json")
        assert len(listed.stdout.splitlines()) == 2, listed.stdout


def test_a_full_disk_stops_records_and_not_traffic():
    """Rings that find no room: it is told, /status says so, and calls are served."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-system-full-"))
    if os.geteuid() != 0:
        raise Skip("needs root to mount a small tmpfs")
    # Room for the counters and one of the two rings.
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=130m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        shutil.rmtree(folder)
        raise Skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        with upstream() as up, Gateway(BASIC, up, data_dir=folder / "data") as gateway:
            for number in range(50):
                assert request(gateway.port, f"/open/{number}")[0] == 200
            assert gateway.told("serves without recording calls"), gateway.messages()
            assert "record nothing" in gateway.status()["rings"], gateway.status()
            gateway.get_admin("/live")
            gateway.write(BASIC.replace("name: open", "name: renamed"))
            subprocess.run(["dd", "if=/dev/zero", f"of={folder}/fill", "bs=64k"], capture_output=True)
            done = gateway.cli("reload", "--config", gateway.file)
            assert request(gateway.port, "/open/x")[0] == 200
            assert done.returncode == 0 or "cannot be written" in done.stderr, done.stderr
            assert gateway.stop() == 0
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(folder)


def test_access_log_as_json_and_text():
    """None by default; JSON with the contract's fields; text that a caller cannot forge; errors beside a sample."""
    with upstream() as up, Gateway(BASIC, up) as gateway:
        request(gateway.port, "/open/x")
        gateway.stop()
        assert not (gateway.data_dir / "access.log").exists()
    with upstream() as up, Gateway(BASIC + "log: { access: file, format: json }\n", up) as gateway:
        for number in range(40):
            request(gateway.port, f"/open/{number}")
        gateway.stop()
        lines = [json.loads(line) for line in (gateway.data_dir / "access.log").read_text().splitlines()]
        assert len(lines) == 40, len(lines)
        assert {line["path"] for line in lines} == {f"/open/{number}" for number in range(40)}
        assert all(line["status"] == 200 and line["method"] == "GET" for line in lines)
    with Gateway(BASIC + "log: { access: stdout, format: text, sample: 1% }\n") as gateway:
        for _ in range(10):
            assert request(gateway.port, "/open/%22x")[0] == 502
            assert request(gateway.port, "/nothing")[0] == 404
        gateway.stop()
        lines = [line for line in gateway.out if line.startswith("20")]
        failures = [line for line in lines if " 502 upstream_connect_failed " in line]
        # Every error is logged whatever the share; of the rest at most one in twenty falls into one percent.
        assert len(failures) == 10 and len(lines) <= 11, gateway.out
        assert all('"' not in line for line in lines), lines


def test_admin_shows_health_live_windows_and_metrics():
    """Every path; Host and methods are checked; the stream sends windows that hold the calls."""
    with upstream() as up, Gateway(BASIC, up) as gateway:
        for _ in range(30):
            request(gateway.port, "/open/x")
        request(gateway.port, "/nothing")
        for path in ("/", "/healthz", "/readyz", "/status", "/live", "/metrics"):
            status, headers, _ = gateway.get_admin(path)
            assert status == 200 and headers["cache-control"] == "no-store", (path, status, headers)
        assert gateway.get_admin("/status", host="evil.example.com")[0] == 421
        assert gateway.get_admin("/status", method="POST")[0] == 405

        def counted():
            text = gateway.get_admin("/metrics")[2].decode()
            found = re.search(r"^penstock_records_total (\d+)", text, re.M)
            return text if found and int(found[1]) == 31 else None

        text = wait_for("the records", counted)
        assert 'penstock_refusals_total{code="no_route"} 1' in text, text

        def live():
            windows = json.loads(gateway.get_admin("/live")[2])["windows"]
            return windows if windows[-1]["total"]["calls"] == 31 else None

        windows = wait_for("the window", live)
        assert any("open" in route["name"] and route["calls"] == 30 for route in windows[-1]["routes"]), windows[-1]
        with socket.create_connection(("127.0.0.1", gateway.admin), timeout=10) as stream:
            stream.sendall(b"GET /live/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            seen = b""
            while seen.count(b"event: live") < 2:
                more = stream.recv(65536)
                assert more, seen
                seen += more
        status = gateway.status()
        assert sum(worker["accepted"] for worker in status["workers"]) == 31, status
        assert gateway.get_admin("/healthz")[0] == 200


def test_readiness_ends_with_the_drain():
    """While the last call is under way /readyz is 503 and /healthz 200."""
    with upstream() as up, Gateway(BASIC, up) as gateway:
        thread = threading.Thread(target=lambda: request(gateway.port, "/open/slow?delay_ms=1500"))
        thread.start()
        wait_for("the slow call", lambda: up.paths())
        gateway.signal(signal.SIGTERM)
        wait_for("the drain", lambda: gateway.get_admin("/readyz")[0] == 503, 5)
        assert gateway.get_admin("/healthz")[0] == 200
        thread.join()
        assert gateway.wait() == 0
