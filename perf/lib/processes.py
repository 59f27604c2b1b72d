"""Child processes: started pinned, ended by their pid on any exit, measured by what the kernel counts for them."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import time

_children = []


def _end_all():
    for child in reversed(_children):
        child.end()


def _end_on_signal(number, _frame):
    # Turns the signal into an ordinary exit, so that atexit ends the children.
    sys.exit(128 + number)


atexit.register(_end_all)
for _signal in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, _end_on_signal)


class Child:
    """A process of ours and all that it starts."""

    def __init__(self, words, core, log_path, environment=None):
        self.words = words
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
        _children.append(self)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()[-4000:]

    def end(self):
        """Asks the process to end, then makes it; its own children are ended with it."""
        if self in _children:
            _children.remove(self)
        offspring = tree(self.pid)[1:] if self.alive() else []
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in offspring:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def tree(pid):
    """The process and everything below it."""
    pids = [pid]
    for parent in pids:
        try:
            tasks = os.listdir(f"/proc/{parent}/task")
        except FileNotFoundError:
            continue
        for task in tasks:
            try:
                with open(f"/proc/{parent}/task/{task}/children") as children:
                    pids.extend(int(child) for child in children.read().split())
            except FileNotFoundError:
                pass
    return pids


def cpu_ns(pid):
    """CPU time of all threads of the tree. Nanoseconds, as the scheduler counts them, not ticks of 10 ms."""
    total = 0
    for process in tree(pid):
        try:
            tasks = os.listdir(f"/proc/{process}/task")
        except FileNotFoundError:
            continue
        for task in tasks:
            try:
                with open(f"/proc/{process}/task/{task}/schedstat") as schedstat:
                    total += int(schedstat.read().split()[0])
            except FileNotFoundError:
                pass
    return total


def rss_bytes(pid):
    """Resident memory of the tree. Pages that processes share are counted once for each."""
    total = 0
    for process in tree(pid):
        try:
            with open(f"/proc/{process}/statm") as statm:
                total += int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except FileNotFoundError:
            pass
    return total


def free_port():
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_port(child, port, seconds=20):
    """Waits until the child accepts; says what it wrote if it ends before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not child.alive():
            raise RuntimeError(f"{' '.join(child.words)} ended with {child.process.returncode}:\n{child.log()}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{' '.join(child.words)} did not listen within {seconds} s:\n{child.log()}")
