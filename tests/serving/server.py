"""A service in a process of its own, for `with`."""

import http.client
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx


class Server:
    """`python -m pipeline.serve` on a free port, ready once entered, told to stop at the end."""

    patience = 240  # seconds until it has to be ready

    def __init__(self, exported: Path, *overrides: str, python: Sequence[str] = ("-m", "pipeline.serve")):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.exported, self.url = exported, f"http://127.0.0.1:{self.port}"
        self.output = tempfile.NamedTemporaryFile(mode="w+", suffix=".log")  # noqa: SIM115
        self.options: dict = {}  # of the process
        self.command = [sys.executable, *python, f"exported={exported}", f"port={self.port}", "workers=2", *overrides]

    def __enter__(self) -> "Server":
        self.process = subprocess.Popen(self.command, stdout=self.output, stderr=self.output, **self.options)
        deadline = time.monotonic() + self.patience
        while True:
            try:
                if httpx.get(f"{self.url}/health/ready").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def memory(self, line: str) -> float:
        """Resident memory in MiB: of now ("VmRSS") or the highest so far ("VmHWM")."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(each for each in lines if each.startswith(line)).split()[1]) / 1024

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def log(self) -> str:
        """What it has printed."""
        return Path(self.output.name).read_text()

    def post(self, picture: bytes) -> httpx.Response:
        """Its answer about a picture."""
        return httpx.post(f"{self.url}/api/predict", files={"file": ("a.jpg", picture)}, timeout=60)

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        lines = httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


class Client:
    """A connection that is kept and asks about pictures, for a fraction of the processor time that httpx takes."""

    boundary = "a-boundary-that-no-picture-has"

    def __init__(self, url: str):
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)

    def ask(self, picture: bytes) -> str:
        """The answer's status, or the name of what there was instead of an answer."""
        head = f'--{self.boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        body = head.encode() + picture + f"\r\n--{self.boundary}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={self.boundary}"}
        try:
            self.connection.request("POST", "/api/predict", body, kind)
            answer = self.connection.getresponse()
            answer.read()
            return str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()  # the next request opens it anew
            return type(error).__name__
