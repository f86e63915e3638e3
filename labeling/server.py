"""A real Label Studio on this machine: installed apart, started with a login that is ready.

Server, data and login lie under `.kefu/label_studio`. Its environment is its own, because the server
pins Django and some two hundred packages that the rest of the project has no use for.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from filelock import FileLock
from rich.console import Console

from data.files import write_json
from labeling.client import HOME, LabelStudioError, Login

__all__ = ["install_server", "run_server", "running_server"]

REQUIREMENTS = Path(__file__).with_name("server-requirements.txt")
START_SECONDS = 300
_BANNED = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
)


def install_server(home: Path = HOME) -> Path:
    """Make the server's environment if it is missing or its requirements changed; returns its program.

    Raises:
        LabelStudioError: pip failed; its own message stands above.
    """
    environment = home / "environment"
    installed = environment / "installed.txt"
    program = environment / "bin" / "label-studio"
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / "install.lock"):
        wanted = REQUIREMENTS.read_text(encoding="utf-8")
        if program.exists() and installed.exists() and installed.read_text(encoding="utf-8") == wanted:
            return program
        print(f"installing Label Studio into {environment} (1 to 5 minutes, once)", file=sys.stderr)
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "-q", "--no-deps", "-r", str(REQUIREMENTS)])
        if done.returncode:
            raise LabelStudioError(
                f"installing {REQUIREMENTS.name} failed (exit {done.returncode}), see above"
            )
        installed.write_text(wanted, encoding="utf-8")
    return program


def run_server(port: int = 8080, home: Path = HOME) -> None:
    """Start the server, say where it is and how to log in, and wait for Ctrl-C."""
    console = Console(highlight=False)
    install_server(home)
    with console.status("starting Label Studio (the first time makes its database: about a minute)"):
        context = running_server(port, home)
        login = context.__enter__()
    try:
        console.print(f"Label Studio: [bold]{login.url}[/]", f"user:     {login.user}", sep="\n")
        console.print(f"password: {login.password}", "API key:  in .kefu/label_studio/login.json", sep="\n")
        console.print("next: kefu label init, kefu label push FILE. Ctrl-C stops the server; data stay.")
        while True:
            time.sleep(3600)
    finally:
        context.__exit__(None, None, None)


@contextmanager
def running_server(port: int = 0, home: Path = HOME, environment: Path | None = None) -> Iterator[Login]:
    """A server that answers, with its data under `home`; stopped at the end.

    Args:
        port: 0 picks a free one.
        environment: where the server is installed, if not under `home`.

    Raises:
        LabelStudioError: the port is taken, or the server did not start; says where its log is.
    """
    program = install_server(environment or home)
    port = port or _free_port()
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise LabelStudioError(
                f"port {port} is in use; choose another with --port, or stop what is there"
            )
    login = _login(home, port)
    data = home / "data"
    data.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(program), "start", "--no-browser", "--port", str(port), "--internal-host", "127.0.0.1"],
            env=_settings(login, data),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        _wait(login.url, process, log)
        yield login
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = log.read_text(encoding="utf-8", errors="replace")[-600:]
            raise LabelStudioError(f"Label Studio ended at its start (exit {process.returncode}):\n{tail}")
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise LabelStudioError(f"Label Studio did not answer within {START_SECONDS} s; see {log}")


def _login(home: Path, port: int) -> Login:
    """The stored login, or a new one with a random password and key; only its owner may read the file."""
    path = home / "login.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    login = Login(
        url=f"http://127.0.0.1:{port}",
        token=known.get("token") or secrets.token_hex(20),
        user=known.get("user") or "lead@kefu.local",
        password=known.get("password") or secrets.token_urlsafe(9),
    )
    home.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    write_json(path, login.as_dict())
    return login


def _settings(login: Login, data: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LABEL_STUDIO_")}
    return kept | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data.resolve()),
        "LABEL_STUDIO_USERNAME": login.user,
        "LABEL_STUDIO_PASSWORD": login.password,
        "LABEL_STUDIO_USER_TOKEN": login.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        # The ML backend is on this machine, where Label Studio would not ask by default; other private
        # addresses stay forbidden.
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": ",".join(_BANNED),
        # Nothing about the shop or its chats leaves the machine.
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
