"""Runs a shipped workflow on a server of its own; started by test_offline.py inside a network namespace without routes.

    unshare --net --map-root-user python offline_run.py <an empty folder>

Prints as JSON: {"outside": what became of connections to the outside, "nodes": [...] that ran, "pictures": how many,
"log": lines of the server's log that speak of the network}.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import comfy_host  # noqa: E402
import demo_jobs  # noqa: E402
import standin  # noqa: E402
from comfy_client import ComfyClient  # noqa: E402

SMALL = {
    "FaceChain_TrainPersonLoRA": {"steps": 4, "resolution": 64, "snapshots": 1},
    "EmptyLatentImage": {"width": 64, "height": 64, "batch_size": 1},
    "KSampler": {"steps": 2},
}
SUSPECT = (
    "connection",
    "getaddrinfo",
    "resolve host",
    "network",
    "timed out",
    "urlopen",
    "huggingface.co",
    "http error",
)


def loopback_up() -> None:
    """A new namespace has a loopback device that is down; the server and its client talk through it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 1)  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def outside() -> list[str]:
    """How connections to the outside fail here: by address, and by name."""
    answers = []
    for address in ("192.0.2.1", "huggingface.co"):  # the first is reserved for documentation, and never answers
        try:
            socket.create_connection((address, 443), timeout=5).close()
            answers.append(f"{address}: connected")
        except OSError as error:
            answers.append(f"{address}: {error}")
    return answers


def main() -> None:
    base = Path(sys.argv[1])
    loopback_up()
    comfy_host.lay_out(base)
    checkpoint = base / "models" / "checkpoints" / standin.CHECKPOINT_NAME
    checkpoint.symlink_to(comfy_host.HOST / "standin" / standin.CHECKPOINT_NAME)
    inputs = demo_jobs.inputs(base / "pictures")
    with comfy_host.Server(comfy_host.prepare(), log=base / "server.log", base=base) as server:
        client = ComfyClient(server.url)
        uploads = {key: [client.upload(file, key) for file in files] for key, files in inputs.items()}
        prompt = demo_jobs.workflow("style_portrait", demo_jobs.Choices(standin.CHECKPOINT_NAME, SMALL), uploads)
        result = client.run(prompt)
        report = client.get("/facechain/check")
    pictures = [picture for shown in result.outputs.values() for picture in shown.get("images", [])]
    ran = sorted({prompt[node]["class_type"] for node in result.seconds if node in prompt})
    log = [
        line
        for line in server.log.read_text("utf-8", "replace").splitlines()
        if any(w in line.lower() for w in SUSPECT)
    ]
    said = {
        "outside": outside(),
        "nodes": ran,
        "pictures": len(pictures),
        "log": log,
        "ready": report["ready"]["faces"],
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
