"""Starting: the demo as pasted, messages for what goes wrong, files and modes of the data directory."""

import json
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import tempfile

from harness import BASIC, Gateway, Skip, binary, command, request, upstream, wait_for

# The demo listens on fixed ports; in a network of its own they are free.
IN_OWN_NETWORK = r"""
set -u
ip link set lo up || exit 99
"$PENSTOCK" > out 2> err &
pid=$!
for _ in $(seq 200); do grep -q '^  curl' out && break; sleep 0.05; done
grep '^  curl' out | while read -r line; do
    bash -c "$line -s -o body -w '%{http_code}\n'"
    cat body; echo
done
curl -s -o /dev/null -w 'ready %{http_code}\n' http://127.0.0.1:9080/readyz
"$PENSTOCK" > out2 2> err2; echo "second $?"
kill -TERM $pid; wait $pid; echo "ended $?"
"""


def test_the_three_lines_of_the_banner_work_as_pasted():
    """`penstock` in an empty folder: three curl lines, each 2xx; a second one says who has the port."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        raise Skip("needs root, unshare and ip to have ports 8080 and 9080 for itself")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-system-"))
    try:
        env = {**os.environ, "PENSTOCK": binary("penstock")}
        done = subprocess.run(
            ["unshare", "-n", "bash", "-c", IN_OWN_NETWORK], cwd=folder, env=env, text=True, capture_output=True,
            timeout=90,
        )
        if done.returncode == 99 or "unshare failed" in done.stderr:
            raise Skip(f"no network namespace: {done.stderr.strip()}")
        banner = (folder / "out").read_text()
        told = f"{done.stdout}\n{done.stderr}\n{banner}\n{(folder / 'err').read_text()}"
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        statuses = [line for line in lines if line.isdigit()]
        assert len(statuses) == 3 and all(status[0] == "2" for status in statuses), told
        assert done.stdout.count('"hello from the demo upstream"') == 3, told
        assert "ready 200" in lines and "ended 0" in lines, told
        for word in ("http://127.0.0.1:8080", "http://127.0.0.1:9080", "workers", "driver", "psk_demo_"):
            assert word in banner, told
        assert "\x1b" not in banner, "colours on no terminal"
        assert "second 2" in lines, told
        assert "another gateway uses the data directory" in (folder / "err2").read_text(), told
    finally:
        shutil.rmtree(folder)


def test_a_taken_port_is_named():
    """Exit 2, the port and what to do about it; also when the other one shares its port willingly."""
    with upstream() as up, socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Gateway(BASIC.replace("{port}", str(port)), up, ready=False) as gateway:
            assert gateway.wait() == 2, gateway.messages()
            assert gateway.told(f"port {port} is taken") and gateway.told("listeners[].address"), gateway.messages()


def test_a_taken_admin_port_does_not_stop_traffic():
    """It is told, and calls are served."""
    with upstream() as up, socket.socket() as taken:
        gateway = Gateway(BASIC, up)
        with gateway:
            gateway.stop()
            taken.bind(("127.0.0.1", gateway.admin))
            taken.listen()
            gateway.start(ready=False)
            def answers():
                try:
                    return request(gateway.port, "/open/x")[0] == 200
                except OSError:
                    return False

            wait_for("traffic", answers)
            wait_for("the notice", lambda: gateway.told(f"port {gateway.admin} is taken"))


def test_files_are_private():
    """0700 for the folder, 0600 for the socket, the keys and the rings."""
    with upstream() as up, Gateway(BASIC, up) as gateway:
        mode = lambda path: stat.S_IMODE(path.stat().st_mode)
        assert mode(gateway.data_dir) == 0o700
        names = {"control.sock", "hash.key", "limit.key", "limits.region", "lock"}
        found = {path.name: mode(path) for path in gateway.data_dir.iterdir() if path.name in names}
        assert found == {name: 0o600 for name in names}, found
        rings = list((gateway.data_dir / "rings").glob("*.ring"))
        assert len(rings) == 2 and all(mode(path) == 0o600 for path in rings), rings


def test_check_tells_every_error_with_its_place():
    """Three errors in one pass, one a line, `file:line:column: message (hint)`, exit 1; run and reload say the same."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-system-"))
    try:
        text = (
            "listeners: [ { address: 127.0.0.1:99999 } ]\n"
            "upstreams: [ { name: up, target: [] } ]\n"
            "services:\n"
            "  - name: s\n"
            "    routes: [ { name: r, match: { path: /x }, upstream: upp, auth: none } ]\n"
        )
        (folder / "bad.yaml").write_text(text)
        wanted = []
        for token in ("99999", "target:", "upp"):
            line = next(n for n, line in enumerate(text.splitlines(), 1) if token in line)
            wanted.append(f"bad.yaml:{line}:{text.splitlines()[line - 1].index(token) + 1}: ")
        for args in (["check"], ["run"]):
            done = command(binary("penstock"), *args, "--config", "bad.yaml", cwd=folder)
            lines = done.stderr.splitlines()
            assert done.returncode == 1, done
            for start in wanted:
                assert any(line.startswith(start) for line in lines), (start, lines)
        assert any("(" in line and line.endswith(")") for line in lines), f"no hint in {lines}"
        assert not (folder / "penstock-data").exists(), "a refused configuration leaves no data directory"
    finally:
        shutil.rmtree(folder)


def test_init_check_schema_and_hash():
    """The file that init writes is good; the schema is JSON; a hash stands for its key in a file."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-system-"))
    try:
        run = lambda *args, **more: command(binary("penstock"), *args, cwd=folder, **more)
        assert run("init").returncode == 0
        assert run("init").returncode == 1, "a file that is there must not be overwritten"
        assert run("check").returncode == 0
        explained = run("check", "--explain")
        assert explained.returncode == 0 and "listeners" in explained.stdout
        schema = json.loads(run("schema").stdout)
        assert "2020-12" in schema["$schema"] and "Listener" in schema["$defs"], sorted(schema)
        made = run("credential", "hash", "--generate").stdout.split()
        key, hashed = made[1], made[3]
        assert key.startswith("psk_") and hashed.startswith("b3k:"), made
        assert run("credential", "hash", stdin=key + "\n").stdout.strip() == hashed
        assert run("credential", "hash", stdin="short\n").returncode == 1
        assert run("reload").returncode == 1, "there is no gateway"
        for word in ("doctor", "upgrade"):
            assert word not in run("--help").stdout, f"{word} is not there yet and must not be offered"
    finally:
        shutil.rmtree(folder)


def test_models_tell_their_prices():
    """The bundled catalogue answers without a configuration; another one is checked before it is used."""
    run = lambda *args: command(binary("penstock"), "models", *args)
    table = run("gpt-4.1-mini", "--provider", "openai").stdout.splitlines()
    assert table[0].split()[:2] == ["MODEL", "MODE"], table
    assert table[1].startswith("openai/gpt-4.1-mini ") and " 0.4 " in table[1] and " 1.6 " in table[1], table
    counts = json.loads(run("--stats", "--json").stdout)
    assert counts["chat_models"] >= 1000, counts
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write('{"provider":"acme","model":"a-1","maker":"acme","name":"a-1","mode":"chat","prices":[{"input":"x"}]}\n')
        file.flush()
        refused = run("--file", file.name)
        assert refused.returncode == 1 and "line 1" in refused.stderr, refused
