"""Language models in system tests: the mock of their providers with its bill, and their official clients."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

from harness import Skip, binary, command, request, wait_for

HERE = pathlib.Path(__file__).resolve().parent
INSTALL_SECONDS_MAX = 600
CLIENT_SECONDS_MAX = 120
# Tests that call side by side must not install side by side.
INSTALLING = threading.Lock()

# Each dialect: the part of its client's name in sdk_calls.py is the same.
DIALECTS = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "cohere", "mistral")


class MockLlm:
    """A running `penstock-bench mock-llm` on a free port. `options` are those of its command line, as
    `MockLlm("--orders", "ttft=20ms")`; `port` fixes the port, as for a mock that comes back."""

    def __init__(self, *options, port=0):
        self.process = subprocess.Popen(
            [binary("penstock-bench"), "mock-llm", "--listen", f"127.0.0.1:{port}", *options],
            stdout=subprocess.PIPE, text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), f"the mock did not start: {line!r}"
        self.port = int(line.split()[2].rsplit(":", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def control(self, method, path, body=None):
        status, _, answer = request(self.port, path, method=method, body=body)
        assert status == 200, f"{method} {path}: {status} {answer}"
        return answer.decode()

    def orders(self, text):
        """Orders that go before those of the command line from now on; an empty text takes them back."""
        self.control("POST", "/__orders", text)

    def reset(self):
        """Forgets the bill and what `orders` said."""
        self.control("POST", "/__reset")

    def totals(self):
        """Calls and usage by key and model, and requests in flight."""
        return json.loads(self.control("GET", "/__totals"))

    def mark(self):
        """The lines of what is in flight now will tell what was written after this moment."""
        return json.loads(self.control("POST", "/__mark"))["unix_us"]

    def bill(self):
        """Waits until nothing is in flight and returns the lines of the bill."""
        wait_for("the last answer", lambda: self.totals()["in_flight"] == 0)
        lines = [json.loads(line) for line in self.control("GET", "/__bill").splitlines()]
        return [line for line in lines if "totals" not in line]

    def ended(self):
        """Ends it as an operator does, and says how it ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def client_python():
    """The Python that has the official clients of sdks.txt; makes it beside the built programs if it is not there."""
    if sys.version_info < (3, 11):
        raise Skip("the official clients need Python 3.11")
    wanted = HERE / "sdks.txt"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]
    folder = pathlib.Path(os.environ["PENSTOCK_BIN_DIR"]).parent / f"llm-clients-{digest}"
    python = folder / "bin/python"
    stamp = folder / "installed"
    with INSTALLING:
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            for step in (
                [sys.executable, "-m", "venv", folder],
                [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted],
            ):
                done = command(*step, seconds=INSTALL_SECONDS_MAX)
                assert done.returncode == 0, f"cannot install {wanted.name}: {done.stderr[-2000:]}"
            stamp.touch()
    return python


def call(client, base_url, key, model, tools_model=None, extras=True):
    """What the official client of a dialect understood (see sdk_calls.py); without `extras` conversations alone."""
    script = [HERE / "sdk_calls.py", client, base_url, key, model, tools_model or model]
    script += [] if extras else ["--conversations"]
    done = command(client_python(), *script, seconds=CLIENT_SECONDS_MAX)
    assert done.returncode == 0, f"{client}: {done.stderr[-3000:]}"
    return json.loads(done.stdout)
