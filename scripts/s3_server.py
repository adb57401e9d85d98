"""A server of the S3 protocol on this machine, for the fleet's tests: moto's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class S3:
    """url: of a bucket. What it holds outlives `stop` and `start`. port: chosen at the first start."""

    url: str
    server: Any = None
    port: int = 0

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self.server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self.server.start()
        _, self.port = self.server.get_host_and_port()

    def stop(self) -> None:
        self.server.stop()
