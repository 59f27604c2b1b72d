"""TLS as a client of everyday sees it: curl with an own authority, client certificates, a swap of certificates."""

import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

from harness import Gateway, command, upstream, wait_for

CONFIG = """
workers: 2
rings: { size: 4MiB }
listeners:
  - address: 127.0.0.1:{tls}
    tls: { certificates: [ { cert: {dir}/server.pem, key: {dir}/server.key } ], CLIENT }
upstreams: [ { name: up, targets: [ { url: "http://127.0.0.1:{up}" } ] } ]
services:
  - name: s
    auth: none
    routes: [ { name: all, match: { path: "/*" }, upstream: up } ]
"""


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


def issue(folder, name, authority, subject, extension):
    """A key and a certificate signed by `authority`."""
    (folder / f"{name}.ext").write_text(extension)
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
            "-subj", subject, "-out", f"{name}.csr")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.pem")


def certificates(folder, server="server"):
    for authority in ("ca", "client-ca"):
        openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                f"{authority}.key", "-subj", f"/CN=test {authority}", "-days", "30", "-out", f"{authority}.pem")
    issue(folder, server, "ca", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    issue(folder, "client", "client-ca", "/CN=client", "extendedKeyUsage=clientAuth\n")


def curl(gateway, *args):
    return command("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{ssl_verify_result}", "--max-time", "20",
                   *args, f"https://localhost:{gateway.tls}/x", cwd=gateway.folder)


def with_gateway(client, use):
    with upstream() as up:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-system-tls-"))
        try:
            certificates(folder)
            config = CONFIG.replace("CLIENT", client).replace("{dir}", str(folder))
            with Gateway(config, up) as gateway:
                use(gateway, folder)
        finally:
            shutil.rmtree(folder)


def test_tls_1_2_and_1_3_with_an_own_authority():
    """Both versions verify; 1.1 and an unknown authority do not; a certificate is swapped by a reload."""
    def use(gateway, folder):
        ca = ["--cacert", folder / "ca.pem"]
        for version in (["--tls-max", "1.2"], ["--tlsv1.3"], []):
            done = curl(gateway, *ca, *version)
            assert done.stdout == "200 0", (version, done.stdout, done.stderr)
        assert curl(gateway).returncode != 0, "an unknown authority was believed"
        assert curl(gateway, *ca, "--tls-max", "1.1").returncode != 0
        serial = lambda: command(
            "bash", "-c", f"openssl s_client -connect 127.0.0.1:{gateway.tls} -servername localhost </dev/null 2>&1 "
            "| openssl x509 -noout -serial").stdout
        before = serial()
        issue(folder, "server", "ca", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        assert gateway.cli("reload", "--config", gateway.file).returncode == 0
        assert before and serial() not in ("", before)
        assert curl(gateway, *ca).stdout == "200 0"
        (folder / "server.pem").write_text("no certificate")
        done = gateway.cli("reload", "--config", gateway.file)
        assert done.returncode == 1 and "server.pem" in done.stderr, done.stderr
        assert curl(gateway, *ca).stdout == "200 0", "the certificate before must be served on"

    with_gateway("", use)


def test_client_certificates_required():
    """With one: served. Without, or with one of another authority: no."""
    def use(gateway, folder):
        ca = ["--cacert", folder / "ca.pem"]
        own = ["--cert", folder / "client.pem", "--key", folder / "client.key"]
        foreign = ["--cert", folder / "server.pem", "--key", folder / "server.key"]
        assert curl(gateway, *ca, *own).stdout == "200 0"
        assert curl(gateway, *ca).returncode != 0
        assert curl(gateway, *ca, *foreign).returncode != 0

    with_gateway("client: { ca: {dir}/client-ca.pem, mode: required }", use)


def test_client_certificates_optional():
    """With one and without: served."""
    def use(gateway, folder):
        ca = ["--cacert", folder / "ca.pem"]
        own = ["--cert", folder / "client.pem", "--key", folder / "client.key"]
        assert curl(gateway, *ca, *own).stdout == "200 0"
        assert curl(gateway, *ca).stdout == "200 0"

    with_gateway("client: { ca: {dir}/client-ca.pem, mode: optional }", use)


def test_certificates_are_swapped_under_load():
    """20 swaps while clients connect anew for each call: no handshake fails, and every certificate is seen."""
    def use(gateway, folder):
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        seen, failures, calls, stopped = set(), [], [0], threading.Event()

        def run():
            while not stopped.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", gateway.tls), timeout=20) as plain:
                        with context.wrap_socket(plain, server_hostname="localhost") as stream:
                            seen.add(stream.getpeercert()["serialNumber"])
                            stream.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                            answer = b""
                            while more := stream.recv(65536):
                                answer += more
                            assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
                            calls[0] += 1
                except (OSError, AssertionError) as error:
                    failures.append(repr(error))

        clients = [threading.Thread(target=run, daemon=True) for _ in range(4)]
        for client in clients:
            client.start()
        for swap in range(20):
            wait_for("calls", lambda goal=calls[0] + 20: calls[0] >= goal or failures)
            known = len(seen)
            issue(folder, "server", "ca", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
            assert gateway.cli("reload", "--config", gateway.file).returncode == 0
            wait_for("the new certificate", lambda: len(seen) > known or failures)
        stopped.set()
        for client in clients:
            client.join(30)
        print(f"    {calls[0]} handshakes, {len(seen)} certificates, {len(failures)} failures")
        assert not failures, failures[:5]
        assert len(seen) == 21, len(seen)

    with_gateway("", use)
