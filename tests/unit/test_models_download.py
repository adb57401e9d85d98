"""Downloading over real sockets from a server that drops connections, refuses parts, and corrupts bytes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import download_models
import numpy as np
import pytest
from safetensors.numpy import save

from facechain.errors import ModelFileError
from facechain.models import download as downloading
from facechain.models.download import Wanted, download

DATA = np.random.default_rng(7).bytes(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
QUICK: dict[str, Any] = {"pause": 0.01, "silence": 2.0}


@dataclass
class Host:
    """A server with one file, and how it misbehaves. requests: the Range header of each, "" for none."""

    data: bytes = DATA
    etag: str = '"one"'
    drop_after: list[int] = field(default_factory=list)  # bytes after which this connection ends, one a request
    ranges: bool = True
    corrupt: int = 0  # so many replies have a wrong byte
    status: list[int] = field(default_factory=list)  # instead of the file, one a request
    page: bool = False
    stated: str = ""
    silent: int = 0  # so many requests get half a file and then nothing
    requests: list[str] = field(default_factory=list)
    port: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/model.onnx"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: Host

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        host = self.host
        asked = self.headers.get("Range", "")
        if self.path.startswith("/redirected"):
            host.requests.append(asked)
            self.send_response(302)
            self.send_header("Location", host.url)
            self.send_header("X-Linked-Etag", f'"{host.stated}"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if "redirected" not in str(host.requests[-1:]):
            host.requests.append(asked)
        if host.status:
            self.send_error(host.status.pop(0))
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and host.ranges else 0
        if self.headers.get("If-Range", host.etag) != host.etag:
            start = 0
        if start >= len(host.data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(host.data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = bytearray(host.data[start:])
        if host.corrupt:
            host.corrupt -= 1
            body[len(body) // 2] ^= 1
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "text/html" if host.page else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        if host.etag:
            self.send_header("ETag", host.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(host.data) - 1}/{len(host.data)}")
        self.end_headers()
        if host.silent:
            host.silent -= 1
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            host.done.wait(20)
            self.close_connection = True
            return
        if host.drop_after:
            self.wfile.write(body[: host.drop_after.pop(0)])
            self.close_connection = True  # although Content-Length promised more
            return
        self.wfile.write(body)


@pytest.fixture()
def serve() -> Iterator[Callable[..., Host]]:
    running = []

    def start(**how: object) -> Host:
        host = Host(**how)  # type: ignore[arg-type]
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"host": host}))
        server.daemon_threads = True
        host.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        running.append((server, host))
        return host

    yield start
    for server, host in running:
        host.done.set()
        server.shutdown()
        server.server_close()


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_connection_that_drops_again_and_again_is_taken_up_where_it_ended(
    serve: Callable[..., Host], tmp_path: Path
) -> None:
    host = serve(drop_after=[400_000, 0, 1_000_000, 1])
    seen: list[tuple[int, int]] = []
    said: list[str] = []
    target = tmp_path / "model.onnx"
    done = download(Wanted((host.url,), target, SHA256, len(DATA)), lambda *at: seen.append(at), said.append, **QUICK)
    assert target.read_bytes() == DATA
    assert (done.path, done.sha256, done.verified) == (target, SHA256, "published sha256")
    starts = [int(r.removeprefix("bytes=").rstrip("-") or 0) for r in host.requests]
    assert starts == sorted(starts) and starts[:3] == [0, 400_000, 400_000] and starts[3] == 1_400_000
    assert sum("trying again" in text for text in said) == 4
    assert seen[-1] == (len(DATA), len(DATA))
    assert left_over(tmp_path) == ["model.onnx"]


def test_a_server_that_refuses_parts_sends_all_again(serve: Callable[..., Host], tmp_path: Path) -> None:
    host = serve(drop_after=[400_000, 200_000], ranges=False)
    target = tmp_path / "model.onnx"
    download(Wanted((host.url,), target, SHA256), **QUICK)
    assert target.read_bytes() == DATA
    assert len(host.requests) == 3


def test_a_server_that_never_gets_further_is_given_up(serve: Callable[..., Host], tmp_path: Path) -> None:
    host = serve(drop_after=[400_000, 300_000] * 20, ranges=False)
    target = tmp_path / "model.onnx"
    with pytest.raises(ModelFileError, match=rf"connection lost .* {downloading.ATTEMPTS} times in a row"):
        download(Wanted((host.url,), target, SHA256), **QUICK)
    assert not target.exists()
    assert len(host.requests) == 1 + downloading.ATTEMPTS  # the first one got further than nothing


def test_a_wrong_byte_never_reaches_the_target(serve: Callable[..., Host], tmp_path: Path) -> None:
    host = serve(corrupt=100)
    target = tmp_path / "model.onnx"
    with pytest.raises(ModelFileError, match=rf"damaged: sha256 \w+ instead of {SHA256}"):
        download(Wanted((host.url,), target, SHA256), **QUICK)
    assert not target.exists()
    assert len(host.requests) == 2  # once more from the start, in case it happened on the way
    assert not [name for name in left_over(tmp_path) if name.endswith(".part")]


def test_bytes_corrupted_once_are_fetched_anew(serve: Callable[..., Host], tmp_path: Path) -> None:
    host = serve(corrupt=1)
    target = tmp_path / "model.onnx"
    download(Wanted((host.url,), target, SHA256), **QUICK)
    assert target.read_bytes() == DATA


def test_a_file_that_is_there_is_never_touched(serve: Callable[..., Host], tmp_path: Path) -> None:
    host = serve()
    target = tmp_path / "model.onnx"
    target.write_bytes(b"the user's own")
    with pytest.raises(ModelFileError, match="never replaced"):
        download(Wanted((host.url,), target, SHA256), **QUICK)
    assert target.read_bytes() == b"the user's own"
    assert host.requests == []


def test_a_file_that_comes_there_meanwhile_is_kept(serve: Callable[..., Host], tmp_path: Path) -> None:
    host = serve()
    target = tmp_path / "model.onnx"

    def tell(done: int, total: int) -> None:
        if done == total:
            target.write_bytes(b"another program's")

    with pytest.raises(ModelFileError, match="came there meanwhile"):
        download(Wanted((host.url,), target, SHA256), tell, **QUICK)
    assert target.read_bytes() == b"another program's"


def test_a_later_run_goes_on_where_the_first_was_killed(serve: Callable[..., Host], tmp_path: Path) -> None:
    host = serve()
    target = tmp_path / "model.onnx"

    def stop(done: int, total: int) -> None:
        if done > 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(Wanted((host.url,), target, SHA256), stop, **QUICK)
    part = (tmp_path / ".model.onnx.part").stat().st_size
    assert part > 1_000_000 and not target.exists()
    download(Wanted((host.url,), target, SHA256), **QUICK)
    assert target.read_bytes() == DATA
    assert host.requests == ["", f"bytes={part}-"]


@pytest.mark.parametrize("etag", ['"one"', ""])
def test_a_file_that_changed_between_two_runs_is_not_mixed(
    serve: Callable[..., Host], tmp_path: Path, etag: str
) -> None:
    """Without a published sha256 the server's word has to do: its ETag, or the length where it has none."""
    host = serve(etag=etag, drop_after=[1_000_000] + [0] * downloading.ATTEMPTS)
    target = tmp_path / "model.onnx"
    with pytest.raises(ModelFileError, match="connection lost"):
        download(Wanted((host.url,), target), **QUICK)
    host.data, host.etag = DATA[::-1] + b"more", etag and '"two"'
    done = download(Wanted((host.url,), target), **QUICK)
    assert target.read_bytes() == host.data
    assert done.verified.startswith("not verified")


def test_the_hash_that_the_server_states_is_compared_where_none_is_published(
    serve: Callable[..., Host], tmp_path: Path
) -> None:
    host = serve(stated=SHA256)
    url = host.url.replace("model.onnx", "redirected/model.onnx")
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    assert download(Wanted((url,), good), **QUICK).verified == "sha256 that the server states"
    host.corrupt = 100
    with pytest.raises(ModelFileError, match="the server states"):
        download(Wanted((url,), bad), **QUICK)
    assert good.read_bytes() == DATA and not bad.exists()


def test_a_safetensors_file_must_fit_its_own_header(serve: Callable[..., Host], tmp_path: Path) -> None:
    whole = save({"weight": np.arange(1000, dtype=np.float32)})
    host = serve(data=whole[:-100])
    with pytest.raises(ModelFileError, match="no whole safetensors file"):
        download(Wanted((host.url,), tmp_path / "cut.safetensors"), **QUICK)
    host.data = whole
    download(Wanted((host.url,), tmp_path / "whole.safetensors"), **QUICK)
    assert left_over(tmp_path)[-1] == "whole.safetensors"
    assert not (tmp_path / "cut.safetensors").exists()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"status": [404]}, "HTTP 404"),
        ({"status": [403]}, "asks for a login"),
        ({"page": True}, "page instead of the file"),
        ({"data": DATA[:-1]}, "the published one 3,000,000"),
    ],
)
def test_what_will_not_change_is_not_asked_again(
    serve: Callable[..., Host], tmp_path: Path, how: dict[str, object], message: str
) -> None:
    host = serve(**how)
    with pytest.raises(ModelFileError, match=message) as error:
        download(Wanted((host.url,), tmp_path / "model.onnx", SHA256, len(DATA)), **QUICK)
    assert len(host.requests) == 1
    assert "in a browser into" in str(error.value)


def test_a_busy_server_and_a_silent_one_are_asked_again(serve: Callable[..., Host], tmp_path: Path) -> None:
    host = serve(status=[503, 429], silent=1)
    target = tmp_path / "model.onnx"
    download(Wanted((host.url,), target, SHA256), pause=0.01, silence=0.5)
    assert target.read_bytes() == DATA
    assert len(host.requests) == 4


def test_the_next_address_goes_on_with_the_same_file(serve: Callable[..., Host], tmp_path: Path) -> None:
    broken = serve(drop_after=[2_000_000] + [0] * 100)
    good = serve(etag='"another"')
    target = tmp_path / "model.onnx"
    download(Wanted((broken.url, good.url), target, SHA256), **QUICK)
    assert target.read_bytes() == DATA
    assert good.requests == ["bytes=2000000-"]


def test_two_downloads_of_one_file_do_not_mix(serve: Callable[..., Host], tmp_path: Path) -> None:
    host = serve()
    target = tmp_path / "model.onnx"
    second: list[str] = []

    def again(done: int, total: int) -> None:
        if not second:
            with pytest.raises(ModelFileError, match="being downloaded already") as error:
                download(Wanted((host.url,), target, SHA256), **QUICK)
            second.append(str(error.value))

    download(Wanted((host.url,), target, SHA256), again, **QUICK)
    assert second and target.read_bytes() == DATA


def test_a_disk_without_room_is_told_before_a_byte_is_fetched(
    serve: Callable[..., Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = downloading.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    host = serve()
    with pytest.raises(ModelFileError, match=r"0\.0 GB are missing, the disk has 0\.0 GB left.*Make room"):
        download(Wanted((host.url,), tmp_path / "model.onnx", SHA256), **QUICK)
    assert ".model.onnx.part" not in left_over(tmp_path)


# --- the script ---


def entry(name: str, **more: object) -> dict[str, object]:
    known = {"file": name, "folder": "controlnet", "group": "pose", "what": "a test", "mirrors": []}
    known |= {"url": f"https://huggingface.co/someone/model/resolve/main/{name}", "licence": "MIT"}
    return known | {"needed_by": [], "sha256": SHA256, "size": len(DATA), "about_mb": 3, "commercial": True, **more}


@pytest.fixture()
def script(tmp_path: Path) -> Callable[..., int]:
    """Runs download_models.py on a catalogue of these entries; returns its exit code."""

    def run(*words: str, entries: list[dict[str, object]]) -> int:
        (tmp_path / "catalog.json").write_text(json.dumps({"version": 1, "files": entries}))
        (tmp_path / "models").mkdir(exist_ok=True)
        return download_models.main(
            [*words, "--models", str(tmp_path / "models"), "--catalog", str(tmp_path / "catalog.json")]
        )

    return run


def test_the_script_downloads_a_group_from_a_mirror(
    serve: Callable[..., Host], script: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = serve(drop_after=[10])
    mirror = f"http://127.0.0.1:{host.port}"
    entries = [entry("a.onnx"), entry("b.onnx", group="depth")]
    assert script("pose", "--hf-mirror", mirror, entries=entries) == 0
    assert (tmp_path / "models/controlnet/a.onnx").read_bytes() == DATA
    assert not (tmp_path / "models/controlnet/b.onnx").exists()
    shown = capsys.readouterr()
    assert "Licence: MIT" in shown.out and "published sha256" in shown.out
    assert "100%" in shown.err  # the bar
    assert script("pose", "--hf-mirror", mirror, entries=entries) == 0
    assert "a.onnx: there" in capsys.readouterr().out
    assert len(host.requests) == 2


def test_the_script_keeps_a_file_that_differs_and_says_so(
    serve: Callable[..., Host], script: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = serve()
    mine = tmp_path / "models" / "controlnet" / "a.onnx"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(DATA[::-1])
    assert script("pose", "--hf-mirror", f"http://127.0.0.1:{host.port}", entries=[entry("a.onnx")]) == 1
    assert mine.read_bytes() == DATA[::-1] and host.requests == []
    assert "its sha256 is not the published one); it was kept" in capsys.readouterr().out
    assert script("--check", entries=[entry("a.onnx")]) == 1


def test_a_failed_file_does_not_keep_the_others(
    serve: Callable[..., Host], script: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = serve(status=[404])
    entries = [entry("a.onnx"), entry("b.onnx")]
    assert script("pose", "--hf-mirror", f"http://127.0.0.1:{host.port}", entries=entries) == 1
    assert left_over(tmp_path / "models/controlnet")[-1] == "b.onnx"
    assert "HTTP 404" in capsys.readouterr().err


def test_a_pickle_is_never_fetched(script: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert script("pose", entries=[entry("sam.pth")]) == 1
    assert "never fetched" in capsys.readouterr().err
    assert script("pose", entries=[entry("sam.pth", by_hand="a pickle: convert it")]) == 0
    assert "a pickle: convert it" in capsys.readouterr().out


@pytest.mark.parametrize(
    "bad",
    [
        {"file": "../a.onnx"},
        {"folder": "../.."},
        {"folder": "controlnet/../.."},
        {"folder": "/etc"},
        {"url": "http://huggingface.co/a.onnx"},
        {"url": "file:///etc/passwd"},
        {"sha256": "abc"},
    ],
)
def test_no_entry_leads_elsewhere(script: Callable[..., int], bad: dict[str, object]) -> None:
    assert script("pose", entries=[entry("a.onnx", **bad)]) == 1


def test_a_word_that_names_nothing_is_told_with_the_groups(
    script: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert script("hands", entries=[entry("a.onnx")]) == 1
    assert "Name one of: pose" in capsys.readouterr().err


def test_addresses_of_mirrors() -> None:
    mirrors = {"huggingface.co": "https://hf-mirror.com/x/", "www.modelscope.cn": ""}
    hf, ms = "https://huggingface.co/a/b/resolve/main/c%20d?e=f", "https://www.modelscope.cn/models/a"
    assert download_models.mirrored(hf, mirrors) == "https://hf-mirror.com/x/a/b/resolve/main/c%20d?e=f"
    assert download_models.mirrored(ms, mirrors) == ms
    assert download_models.ordered([hf, ms], "modelscope") == [ms, hf]
    assert download_models.ordered([hf, ms], None) == [hf, ms]
