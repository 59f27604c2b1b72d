"""What is measured: how each system is started, with which configuration, and which version it is."""

import os
import re
import shutil
import subprocess

from .processes import Child, await_port, free_port

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEY = "psk_bench_0123456789abcdef0123456789abcdef"


class System:
    """A gateway in one configuration."""

    def __init__(self, name, template, words, version, needs_key=False):
        self.name = name
        self.template = template
        self.words = words
        self.version = version
        self.needs_key = needs_key

    def available(self):
        return shutil.which(self.words[0]) is not None

    def start(self, folder, core, upstream_port):
        """Starts it in front of the upstream; returns the child and its port."""
        values = {
            "PORT": free_port(),
            "ADMIN_PORT": free_port(),
            "UPSTREAM_PORT": upstream_port,
            "DIR": folder,
            "CORE": core,
            "KEY": KEY,
            "NAME": self.name,
        }
        if self.template:
            with open(os.path.join(HERE, "config", self.template)) as template:
                text = fill(template.read(), values)
            values["CONFIG"] = os.path.join(folder, f"{self.name}{os.path.splitext(self.template)[1]}")
            with open(values["CONFIG"], "w") as config:
                config.write(text)
        words = [fill(word, values) for word in self.words]
        child = Child(words, core, os.path.join(folder, f"{self.name}.out"))
        await_port(child, values["PORT"])
        return child, values["PORT"]


def fill(text, values):
    """Puts values in for @NAME@; a name without a value is an error."""

    def value(match):
        if match[1] not in values:
            raise RuntimeError(f"@{match[1]}@ has no value here")
        return str(values[match[1]])

    return re.sub(r"@([A-Z_]+)@", value, text)


def build_floor(folder):
    """Compiles relay and upstream; returns their paths."""
    paths = {}
    for name in ("relay", "upstream"):
        paths[name] = os.path.join(folder, name)
        source = os.path.join(HERE, "floor", f"{name}.c")
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", paths[name], source], check=True)
    return paths


def first_line(words, pattern=r"(.+)"):
    """The part of a program's first words about itself that the pattern takes."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    match = re.search(pattern, done.stdout + done.stderr)
    return match[1].strip() if match else "unknown"


def all_systems(floor, penstock, envoy):
    """Every system by name, plain ones and those behind TLS."""
    nginx = lambda: first_line(["nginx", "-v"], r"nginx/(\S+)")
    haproxy = lambda: first_line(["haproxy", "-v"], r"version (\S+)")
    own = lambda: first_line([penstock, "--version"])
    run_penstock = [penstock, "run", "--config", "@CONFIG@"]
    run_nginx = ["nginx", "-p", "@DIR@", "-c", "@CONFIG@"]
    run_haproxy = ["haproxy", "-db", "-f", "@CONFIG@"]
    run_envoy = [envoy, "--concurrency", "1", "--log-level", "error", "--disable-hot-restart", "-c", "@CONFIG@"]
    relay = [floor["relay"], "@PORT@", "@UPSTREAM_PORT@"]
    listed = [
        System("floor", None, relay, lambda: "perf/floor"),
        System("penstock-plain", "penstock-plain.yaml", run_penstock, own),
        System("penstock-full", "penstock-full.yaml", run_penstock, own, needs_key=True),
        System("haproxy-plain", "haproxy-plain.cfg", run_haproxy, haproxy),
        System("nginx-plain", "nginx-plain.conf", run_nginx, nginx),
        System("nginx-full", "nginx-full.conf", run_nginx, nginx, needs_key=True),
        System("envoy-plain", "envoy-plain.yaml", run_envoy, lambda: first_line([envoy, "--version"], r"/([\d.]+)/")),
        System("penstock-tls", "penstock-tls.yaml", run_penstock, own),
        System("haproxy-tls", "haproxy-tls.cfg", run_haproxy, haproxy),
        System("nginx-tls", "nginx-tls.conf", run_nginx, nginx),
    ]
    return {system.name: system for system in listed}


def make_certificate(folder):
    """A self-signed P-256 certificate for localhost, as cert.pem, key.pem and both.pem."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )
    with open(os.path.join(folder, "both.pem"), "w") as both:
        for path in (cert, key):
            with open(path) as part:
                both.write(part.read())
    return cert
