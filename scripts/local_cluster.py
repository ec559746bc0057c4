"""What the scripts beside this file share: a cluster of real replica processes on 127.0.0.1.

Not a command of its own. Every process that is started here is ended here, by its own handle, when
the `with` block that owns the cluster is left, however it is left. Only Python's standard library.
"""

import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
# Below the range from which kernels take the ports of outgoing connections, so that none takes ours.
PORTS = range(20_000, 30_000)


class Violation(Exception):
    """What was promised did not hold; its text says what, where, and how far off."""


def binary(given=None):
    """Path of the `causet` binary: the one given, or this repository's, built if it is missing."""
    if given:
        path = pathlib.Path(given)
        if not os.access(path, os.X_OK):
            raise Violation(f"{path}: no such program; give --binary the path of a built causet")
        return path
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    path = target / "release" / "causet"
    if not path.exists():
        print(f"{path} is missing: building it", file=sys.stderr)
        command = ["cargo", "build", "--release", "--locked"]
        if subprocess.run(command, cwd=REPOSITORY).returncode != 0:
            raise Violation("`cargo build --release` failed")
    return path


def free_port(taken):
    """A port that nobody holds, neither by TCP nor by UDP, and that is not in `taken`."""
    for port in random.sample(PORTS, 200):
        if port in taken:
            continue
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("0.0.0.0", port))
            return port
        except OSError:
            continue
    raise Violation(f"no free port found between {PORTS.start} and {PORTS.stop}")


class Client:
    """One kept-alive connection to one replica. Not for use by two threads at once."""

    def __init__(self, address, timeout=5.0):
        host, port = address.rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port), timeout=timeout)

    def text(self, method, path, body=None):
        """(status, text). Raises OSError or http.client.HTTPException where no answer came."""
        encoded = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            self.connection.request(method, path, encoded, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def ask(self, method, path, body=None):
        """(status, the answer's JSON object). Raises as `text` does, and ValueError for no JSON."""
        status, text = self.text(method, path, body)
        return status, json.loads(text)

    def put(self, key, value, metadata):
        return self.ask("PUT", f"/kvs/{key}", {"value": value, "causal-metadata": metadata})

    def get(self, key, metadata):
        return self.ask("GET", f"/kvs/{key}", {"causal-metadata": metadata})

    def view(self):
        """The replica's view, or None where it does not answer."""
        try:
            status, answer = self.ask("GET", "/view")
        except (OSError, http.client.HTTPException, ValueError):
            return None
        return answer.get("view") if status == 200 else None

    def ready(self):
        try:
            return self.text("GET", "/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def digest(self):
        """The order-free hash over all that the replica stores."""
        status, answer = self.ask("GET", "/internal/v1/digest")
        if status != 200:
            raise Violation(f"/internal/v1/digest answers {status}: {answer}")
        return answer["hash"]

    def gauges(self, prefixes):
        """The metrics whose name starts with one of `prefixes`: {series with labels: value}."""
        found = {}
        for line in self.text("GET", "/metrics")[1].splitlines():
            if line.startswith(tuple(prefixes)):
                series, value = line.rsplit(" ", 1)
                found[series] = float(value)
        return found

    def close(self):
        self.connection.close()


class Replica:
    """One replica process and how to start it again."""

    def __init__(self, program, address, view, directory):
        self.address = address
        self.command = [str(program), "replica"]
        self.environment = dict(os.environ, SOCKET_ADDRESS=address, VIEW=",".join(view))
        self.environment.pop("SHARD_COUNT", None)
        self.log = pathlib.Path(directory) / f"{address.replace(':', '_')}.log"
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self):
        """SIGKILL, and the process is gone when this returns."""
        self.process.kill()
        self.process.wait()

    def end(self):
        """SIGTERM, SIGKILL after 5 s; does nothing where the process has ended."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()

    def cpu_seconds(self):
        """CPU time that the process has used so far, user and system."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        # The second field, the command's name, may hold spaces: count from its closing bracket.
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def last_lines(self, count=15):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])
        except OSError:
            return "(no log)"


class Cluster:
    """`size` replicas that all know each other; a context manager that ends them."""

    def __init__(self, program, size=3):
        self.directory = tempfile.TemporaryDirectory(prefix="causet-")
        ports = []
        for _ in range(size):
            ports.append(free_port(ports))
        # Sorted as every /view is.
        self.addresses = [f"127.0.0.1:{port}" for port in sorted(ports)]
        self.replicas = [
            Replica(program, address, self.addresses, self.directory.name)
            for address in self.addresses
        ]

    def __enter__(self):
        # A script that is told to end ends its replicas, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            for replica in self.replicas:
                replica.start()
            self.await_full_views(10)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, error, trace):
        for replica in self.replicas:
            replica.end()
        if kind is not None and kind is not SystemExit and kind is not KeyboardInterrupt:
            for replica in self.replicas:
                print(f"--- log of {replica.address}\n{replica.last_lines()}", file=sys.stderr)
        self.directory.cleanup()

    def clients(self, timeout=5.0):
        return [Client(address, timeout) for address in self.addresses]

    def await_full_views(self, seconds):
        clients = self.clients(timeout=1.0)

        def full():
            for replica in self.replicas:
                if (code := replica.process.poll()) is not None:
                    raise Violation(f"replica {replica.address} has ended with exit code {code}")
            return all(client.view() == self.addresses and client.ready() for client in clients)

        wait_until(seconds, "all views full and all replicas ready", full)

    def await_equal_digests(self, seconds):
        """Seconds until the hashes of all replicas were the same."""
        clients = self.clients()
        seen = []

        def equal():
            seen[:] = [client.digest() for client in clients]
            return len(set(seen)) == 1

        return wait_until(seconds, "equal digests", equal, lambda: f"they are {seen}")


def wait_until(seconds, what, holds, detail=lambda: "", since=None):
    """Polls every 5 ms; the seconds since `since` (now) at which it held. Violation after `seconds`."""
    start = time.monotonic() if since is None else since
    while True:
        held = holds()
        elapsed = time.monotonic() - start
        if held and elapsed <= seconds:
            return elapsed
        if elapsed > seconds:
            raise Violation(f"not within {seconds} s: {what} {detail()}".rstrip())
        time.sleep(0.005)


def run(main):
    """Runs a script's `main`; a violation or a missing tool ends it with one line and exit code 1."""
    try:
        main()
    except (Violation, OSError, ValueError, http.client.HTTPException) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
