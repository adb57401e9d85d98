"""deploy/Caddyfile in a real Caddy, in front of the real server: nothing comes through without the password."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import comfy_host
import numpy as np
import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.comfy
USER, PASSWORD = "anna", "a long password"
LIMIT = 1_000_000
Headers = dict[str, str]


def login(user: str, password: str) -> Headers:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


LOGIN = login(USER, PASSWORD)


@dataclass(frozen=True)
class Door:
    """A running Caddy. url: with TLS; plain: without; health: its health check; authority: its own certificate's."""

    url: str
    plain: str
    health: str
    authority: Path


def caddy_program() -> str:
    found = shutil.which("caddy")
    if not found and shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "caddy"]
        subprocess.run(command, capture_output=True)
        found = shutil.which("caddy")
    if not found:
        pytest.skip("Caddy is not installed (Debian: apt install caddy)")
    return found


@pytest.fixture(scope="module")
def door(root: Path, server: comfy_host.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    caddy, folder = caddy_program(), tmp_path_factory.mktemp("caddy")
    hashed = subprocess.run([caddy, "hash-password", "--plaintext", PASSWORD], capture_output=True, text=True)
    https, http, health = (comfy_host._free_port() for _ in range(3))
    settings = {"SITE": f"localhost:{https}", "BIND": "127.0.0.1", "COMFYUI": f"127.0.0.1:{server.port}"}
    settings |= {"HTTPS_PORT": str(https), "HTTP_PORT": str(http), "HEALTH_PORT": str(health)}
    settings |= {"LOGIN_USER": USER, "LOGIN_HASH": hashed.stdout.strip(), "UPLOAD_LIMIT": str(LIMIT)}
    settings |= {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    command = [caddy, "run", "--config", str(root / "deploy" / "Caddyfile"), "--adapter", "caddyfile"]
    authority = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    with (folder / "caddy.log").open("wb") as log:
        running = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
        try:
            found = Door(
                f"https://localhost:{https}", f"http://localhost:{http}", f"http://127.0.0.1:{health}", authority
            )
            deadline = time.monotonic() + 30
            while not authority.is_file() or asyncio.run(status(found, "GET", found.health + "/healthz")) != 200:
                assert running.poll() is None and time.monotonic() < deadline, (folder / "caddy.log").read_text()
                time.sleep(0.2)
            yield found
        finally:
            running.terminate()
            running.wait(20)


async def asked(door: Door, method: str, path: str, **how: Any) -> tuple[int, bytes, Any]:
    """(status, body, headers) of one request; TLS is checked against Caddy's own authority."""
    tls = ssl.create_default_context(cafile=str(door.authority)) if door.authority.is_file() else None
    url = path if "://" in path else door.url + path
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls or True)) as session,
        session.request(method, url, allow_redirects=False, **how) as reply,
    ):
        return reply.status, await reply.read(), reply.headers


async def status(door: Door, method: str, path: str, **how: Any) -> int:
    try:
        return (await asked(door, method, path, **how))[0]
    except aiohttp.ClientError:
        return 0


def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def all_routes(server: comfy_host.Server) -> list[tuple[str, str]]:
    """Every route that core and this pack have, with something in its blanks: (method, path)."""
    probe = server.host.comfy / "server.py"
    text = probe.read_text(encoding="utf-8") + (server.host.comfy / "app/user_manager.py").read_text(encoding="utf-8")
    found = re.findall(r"@routes\.(get|post|put|delete)\(\"([^\"]+)\"\)", text)
    core = [(method.upper(), re.sub(r"\{[^}]+\}", "x", path)) for method, path in found]
    assert len(core) >= 30
    ours = [("GET", "/facechain/check"), ("GET", "/facechain/styles"), ("POST", "/facechain/prompts")]
    others = [("GET", "/internal/logs"), ("GET", "/i18n"), ("GET", "/workflow_templates"), ("GET", "/extensions/x.js")]
    plain = [*core, *ours, *others, ("GET", "/"), ("GET", "/assets/index.js"), ("PUT", "/"), ("OPTIONS", "/prompt")]
    return [*plain, *((method, f"/api{path}") for method, path in plain)]


@pytest.mark.parametrize("headers", [{}, login(USER, "a long passwore"), login("ben", PASSWORD)])
def test_no_route_answers_without_the_login(door: Door, server: comfy_host.Server, headers: Headers) -> None:
    routes = all_routes(server) if not headers else [("GET", "/"), ("POST", "/prompt"), ("GET", "/view?filename=a.png")]

    async def statuses() -> dict[tuple[str, str], tuple[int, bytes]]:
        tls = ssl.create_default_context(cafile=str(door.authority))
        answers = {}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), headers=headers) as session:
            for method, path in routes:
                async with session.request(method, door.url + path, allow_redirects=False) as reply:
                    answers[method, path] = reply.status, await reply.read()
        return answers

    answers = asyncio.run(statuses())
    assert {route for route, (code, body) in answers.items() if code != 401 or body} == set()
    assert len(answers) == len(set(routes))


def test_no_websocket_opens_without_the_login(door: Door) -> None:
    async def first_message(headers: Headers) -> Any:
        tls = ssl.create_default_context(cafile=str(door.authority))
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), headers=headers) as session,
            session.ws_connect(f"{door.url}/ws?clientId=door") as events,
        ):
            return await events.receive_json(timeout=20)

    for headers in ({}, login(USER, "wrong")):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            asyncio.run(first_message(headers))
        assert refused.value.status == 401
    assert asyncio.run(first_message(LOGIN))["type"] == "status"


def test_pictures_go_in_and_out_with_the_login_alone(door: Door, server: comfy_host.Server) -> None:
    async def through() -> tuple[bytes, list[int], list[str]]:
        tls = ssl.create_default_context(cafile=str(door.authority))
        connector, seen = aiohttp.TCPConnector(ssl=tls), []
        async with aiohttp.ClientSession(connector=connector, headers=LOGIN, raise_for_status=True) as session:
            form = aiohttp.FormData()
            form.add_field("image", picture(), filename="door.png")
            await session.post(f"{door.url}/upload/image", data=form)
            nodes = {"1": {"class_type": "LoadImage", "inputs": {"image": "door.png"}}}
            nodes["2"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "door"}}
            async with session.ws_connect(f"{door.url}/ws?clientId=door2") as events:
                async with session.post(f"{door.url}/prompt", json={"prompt": nodes, "client_id": "door2"}) as reply:
                    job = (await reply.json())["prompt_id"]
                while True:
                    event = await events.receive_json(timeout=60)
                    seen.append(event["type"])
                    if event["type"] == "executing" and event["data"]["node"] is None:
                        break
            async with session.get(f"{door.url}/history/{job}") as reply:
                (made,) = (await reply.json())[job]["outputs"]["2"]["images"]
            async with session.get(f"{door.url}/view", params=made) as reply:
                drawn = await reply.read()
        places = [f"/view?filename={made['filename']}&type=output", "/view?filename=door.png&type=input"]
        places += [f"/api{place}" for place in places]
        return drawn, [await status(door, "GET", place) for place in places], seen

    drawn, refused, seen = asyncio.run(through())
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(drawn))), np.asarray(Image.open(io.BytesIO(picture()))))
    assert refused == [401] * 4
    assert "execution_start" in seen
    assert USER not in server.log.read_text(errors="replace").replace("anna/", "")


def test_too_large_an_upload_is_refused(door: Door, server: comfy_host.Server) -> None:
    assert server.base
    form = aiohttp.FormData()
    form.add_field("image", b"x" * (LIMIT + 1000), filename="large.png")
    code = asyncio.run(status(door, "POST", "/upload/image", data=form, headers=LOGIN))
    assert code in (413, 0, 502)  # Caddy cuts it off; what the client sees of that depends on who is faster
    assert not (server.base / "input" / "large.png").exists()


@pytest.mark.parametrize(
    ("method", "mode", "code"),
    [("POST", "no-cors", 403), ("GET", "no-cors", 403), ("GET", "websocket", 403), ("GET", "navigate", 200)],
)
def test_another_site_cannot_use_the_login_that_the_browser_knows(
    door: Door, method: str, mode: str, code: int
) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
    path = "/prompt" if method == "POST" else "/system_stats"
    assert asyncio.run(status(door, method, path, headers=headers | LOGIN)) == code


def test_answers_come_over_tls_and_say_little(door: Door) -> None:
    code, body, headers = asyncio.run(asked(door, "GET", door.plain + "/system_stats", headers=LOGIN))
    assert code == 308 and headers["Location"].startswith("https://") and not body
    code, _, headers = asyncio.run(asked(door, "GET", "/system_stats", headers=LOGIN))
    assert code == 200 and headers["Strict-Transport-Security"] and headers["X-Content-Type-Options"] == "nosniff"
    assert "Caddy" not in headers.getall("Server", []) and "WWW-Authenticate" not in headers


def test_the_health_check_tells_whether_comfyui_answers_and_nothing_else(door: Door) -> None:
    assert asyncio.run(asked(door, "GET", door.health + "/healthz"))[:2] == (200, b"alive")
    for path in ("/", "/system_stats", "/view?filename=door.png", "/healthz/../view"):
        assert asyncio.run(status(door, "GET", door.health + path)) == 404, path


def test_the_caddyfile_is_formatted_and_the_compose_file_shows_caddy_alone(root: Path) -> None:
    file = root / "deploy" / "Caddyfile"
    done = subprocess.run([caddy_program(), "fmt", str(file)], capture_output=True, text=True)
    assert done.stdout == file.read_text(encoding="utf-8")
    compose = yaml.safe_load((root / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["caddy"]
    assert compose["services"]["comfyui"]["networks"] == ["inside"] and compose["networks"]["inside"]["internal"]
    known = {line.split("=")[0] for line in (root / "deploy/example.env").read_text().splitlines() if "=" in line}
    used = set(re.findall(r"\$\{(\w+)", (root / "deploy" / "compose.yaml").read_text(encoding="utf-8")))
    assert used == known
