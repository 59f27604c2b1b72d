"""Tests of the parts that compute: `cd perf && python3 -m unittest lib.test_lib`."""

import os
import sys
import time
import unittest

from . import flame, loads, systems
from .processes import Child, cpu_ns, rss_bytes, tree
from .statistics_of_rounds import paired_difference

WRK = """Running 2s test @ http://127.0.0.1:1/
  Latency Distribution
     50%  139.00us
     75%    1.50ms
     99%    2.00s
  900720 requests in 4.00s, 184.68MB read
{more}Requests/sec: 225133.12
"""


class Wrk(unittest.TestCase):
    def test_figures(self):
        figures = loads.parse_wrk(WRK.format(more=""))
        self.assertEqual(figures, {"requests": 900720, "per_s": 225180.0, "p50_us": 139.0, "p99_us": 2e6})

    def test_failures_void_a_round(self):
        for more in ("  Non-2xx or 3xx responses: 1\n", "  Socket errors: connect 0, read 3, write 0, timeout 0\n"):
            with self.assertRaisesRegex(RuntimeError, "void"):
                loads.parse_wrk(WRK.format(more=more))
        with self.assertRaises(RuntimeError):
            loads.parse_wrk("unable to connect")


class Statistics(unittest.TestCase):
    def test_paired_differences_do_not_see_what_both_sides_share(self):
        base = [10.0, 20.0, 30.0, 40.0, 50.0]
        middle, (low, high) = paired_difference([value + 3 for value in base], base)
        self.assertEqual((middle, low, high), (3.0, 3.0, 3.0))

    def test_noise_has_zero_in_its_interval(self):
        _, (low, high) = paired_difference([1, -1, 2, -2, 0.5, -0.5], [0] * 6)
        self.assertTrue(low < 0 < high)

    def test_few_rounds_have_no_interval(self):
        self.assertEqual(paired_difference([2, 3], [1, 1]), (1.5, None))


class Templates(unittest.TestCase):
    def test_values_go_in_and_missing_ones_are_errors(self):
        self.assertEqual(systems.fill("a @PORT@ b", {"PORT": 7}), "a 7 b")
        with self.assertRaisesRegex(RuntimeError, "@DIR@"):
            systems.fill("@DIR@", {})

    def test_every_configuration_is_whole(self):
        names = {name: "x" for name in ("PORT", "ADMIN_PORT", "UPSTREAM_PORT", "DIR", "CORE", "KEY", "NAME")}
        folder = os.path.join(systems.HERE, "config")
        for name in os.listdir(folder):
            with open(os.path.join(folder, name)) as file:
                self.assertNotIn("@PORT@", systems.fill(file.read(), names), name)


class Flame(unittest.TestCase):
    SCRIPT = "w0\n\tffff kernel_leaf+0x10\n\t55d0 app::serve::h0123456789abcdef (/x/y)\n\nw0\n\t55d0 app::serve+0x1 (/x/y)\n\n"

    def test_stacks_are_folded_from_the_root(self):
        stacks = flame.fold(self.SCRIPT)
        self.assertEqual(dict(stacks), {("w0", "app::serve", "kernel_leaf"): 1, ("w0", "app::serve"): 1})
        self.assertIn("50.0% 100.0%  app::serve", flame.top(stacks))

    def test_the_graph_holds_every_frame_escaped(self):
        graph = flame.svg(flame.fold("w\n\t1 <T as U>::go (/x)\n\n"), "a & b")
        self.assertIn("a &amp; b", graph)
        self.assertIn("&lt;T as U&gt;::go", graph)


class Processes(unittest.TestCase):
    def test_a_tree_is_measured_and_ended(self):
        busy = f"{sys.executable} -c 'while True: pass'"
        child = Child(["sh", "-c", f"{busy} & wait"], min(os.sched_getaffinity(0)), os.devnull)
        try:
            while len(tree(child.pid)) < 2:
                time.sleep(0.01)
            before = cpu_ns(child.pid)
            while cpu_ns(child.pid) == before:
                time.sleep(0.01)
            self.assertGreater(rss_bytes(child.pid), 100_000)
            offspring = tree(child.pid)[1]
        finally:
            child.end()
        while os.path.exists(f"/proc/{offspring}") and state(offspring) != "Z":
            time.sleep(0.01)


def state(pid):
    """The one letter of /proc/PID/stat, Z for a process that only waits to be buried."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "Z"


if __name__ == "__main__":
    unittest.main()
