"""A worker that really hangs: its thread is stopped as a debugger stops it, while the others run on."""

import ctypes
import os
import pathlib
import time

from harness import BASIC, Gateway, Skip, request, upstream, wait_for

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000  # waitpid: threads, too (linux/wait.h)
# Within this a call must have its answer, however unlucky the connection.
ANSWER_SECONDS_MAX = 3


class Stopped:
    """Holds one thread of a process, from the thread that made this one."""

    def __init__(self, thread):
        self.thread = thread
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        if self.libc.ptrace(PTRACE_SEIZE, thread, None, None) != 0:
            raise Skip(f"cannot stop a thread: {os.strerror(ctypes.get_errno())}")
        assert self.libc.ptrace(PTRACE_INTERRUPT, thread, None, None) == 0, os.strerror(ctypes.get_errno())
        os.waitpid(thread, WALL)

    def let_go(self):
        assert self.libc.ptrace(PTRACE_DETACH, self.thread, None, None) == 0, os.strerror(ctypes.get_errno())


def worker_threads(gateway, worker):
    tasks = pathlib.Path(f"/proc/{gateway.process.pid}/task")
    return [int(task.name) for task in tasks.iterdir() if (task / "comm").read_text().strip() == f"penstock-w{worker}"]


def test_a_hung_worker_keeps_no_connection_from_its_successor():
    """On both drivers: it is replaced on the same port, and each connection from then on is answered soon, also the
    first ones, which the hung worker had asked the kernel for. Let go, it ends, and nothing is lost."""
    config = BASIC.replace("workers: 2", "workers: 1")
    for driver in ("auto", "epoll"):
        with upstream() as up, Gateway(config, up, args=["--driver", driver]) as gateway:
            assert request(gateway.port, "/open/x")[0] == 200
            (thread,) = worker_threads(gateway, 0)
            stopped = Stopped(thread)
            try:
                wait_for("the successor", lambda: gateway.told("it hangs and is replaced"))
                wait_for("its thread", lambda: len(worker_threads(gateway, 0)) == 2)
                took = []
                for number in range(12):
                    begun = time.monotonic()
                    status, _, _ = request(gateway.port, f"/open/{number}", seconds=ANSWER_SECONDS_MAX)
                    assert status == 200, status
                    took.append(time.monotonic() - begun)
                print(f"    {driver}: {sum(one > 0.1 for one in took)} of 12 waited, {max(took):.1f} s at most")
            finally:
                stopped.let_go()
            # It serves the connections that it had asked for before it hung, and then ends.
            wait_for("the end of the hung worker", lambda: request(gateway.port, "/open/x")[0] == 200
                     and len(worker_threads(gateway, 0)) == 1)
            assert all(request(gateway.port, "/open/x")[0] == 200 for _ in range(20))
            assert gateway.status()["workers"][0]["panics"] == 0
            assert gateway.stop() == 0
