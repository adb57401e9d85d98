"""A server of the S3 protocol on this machine, for the fleet's tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass
class S3:
    """url: of a bucket. What it holds outlives `stop` and `start`."""

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


def running() -> Iterator[S3]:
    """The real client, s3fs, finds the server by the variables that it reads on any machine."""
    for name in ("moto.server", "s3fs"):
        pytest.importorskip(name, reason="no S3 here: pip install -r requirements-dev.txt")
    import fsspec

    made = S3("s3://studio")
    made.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{made.port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "studio")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        fsspec.filesystem("s3").mkdir("studio")
        yield made
    made.stop()
