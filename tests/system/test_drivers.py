"""Sandboxes that forbid io_uring in part or whole: the gateway starts, says what it runs on and why, and serves."""

import pathlib
import sys

from harness import BASIC, KEY, Gateway, Load, binary, command, request, upstream, wait_for

# The numbers are the same on every architecture (linux/include/uapi/asm-generic/unistd.h).
SETUP, ENTER, REGISTER = 425, 426, 427
LAUNCHER = pathlib.Path(__file__).parent / "denied.py"


def denying(numbers, code):
    return [sys.executable, str(LAUNCHER), code, ",".join(map(str, numbers)), "--"]


def banner_driver(gateway):
    line = wait_for("the banner", lambda: next((line for line in gateway.out if line.startswith("  driver")), None))
    return line.split(None, 1)[1]


def serves(gateway, up):
    load = Load(gateway.port, "/open/x", clients=4)
    load.more(200)
    load.stop()
    assert not load.failures, load.failures[:5]
    assert {status for status, _, _ in load.answers} == {200}
    assert request(gateway.port, "/keyed/1", headers={"x-api-key": KEY})[0] == 200
    status, _, _ = request(gateway.port, "/open/x", method="POST", body=b"x" * 300_000)
    assert status == 200
    # Both workers, so that no single one is served by luck.
    wait_for("both workers", lambda: request(gateway.port, "/open/x")[0] == 200 and all(
        worker["accepted"] for worker in gateway.status()["workers"]))


def test_one_denied_call_at_a_time():
    """io_uring_setup, _enter and _register, refused with EPERM and ENOSYS: epoll serves, the refused call is named."""
    for number, name in ((SETUP, "io_uring_setup"), (ENTER, "io_uring_enter"), (REGISTER, "io_uring_register")):
        for code, words in (("EPERM", "not permitted"), ("ENOSYS", "not implemented")):
            with upstream() as up, Gateway(BASIC, up, launcher=denying([number], code)) as gateway:
                shown = banner_driver(gateway)
                assert shown.startswith("epoll") and name in shown and words in shown, shown
                assert gateway.told("the workers run on epoll") and gateway.told(name), gateway.messages()
                assert gateway.status()["driver"] == "epoll"
                serves(gateway, up)
                assert gateway.stop() == 0


def test_io_uring_switched_off():
    """All of it denied, as by `kernel.io_uring_disabled`: epoll serves; who insists on io_uring is told why not."""
    launcher = denying([SETUP, ENTER, REGISTER], "EPERM")
    with upstream() as up, Gateway(BASIC, up, launcher=launcher) as gateway:
        assert banner_driver(gateway).startswith("epoll (no io_uring: io_uring_setup: ")
        serves(gateway, up)
        assert gateway.stop() == 0
        done = command(*launcher, binary("penstock"), "run", "--driver", "io_uring", "--config", gateway.file,
                       cwd=gateway.folder)
        assert done.returncode == 2, done
        assert "io_uring does not work here" in done.stderr and "io_uring_setup" in done.stderr, done.stderr


def test_epoll_by_choice_needs_no_reason():
    """`--driver epoll` is shown without an excuse and told nothing of."""
    with upstream() as up, Gateway(BASIC, up, args=["--driver", "epoll"]) as gateway:
        assert banner_driver(gateway) == "epoll"
        serves(gateway, up)
        assert not gateway.told("io_uring"), gateway.messages()
