"""A server that answers connections in the order of a script, badly where the script says so."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
import time

ANALYSIS = {
    "category": {
        "label": "refund_progress",
        "zh": "退款进度",
        "group": "aftersale",
        "score": 0.9,
        "top": [{"label": "refund_progress", "score": 0.9}],
        "abstain": False,
    },
    "emotion": {
        "label": "anxious",
        "zh": "焦急",
        "polarity": "negative",
        "score": 0.8,
        "scores": {"anxious": 0.8},
    },
    "alert": {"level": 1, "zh": "提示客服", "reasons": ["情绪：焦急（80%）"]},
    "model": {"category": "c@1", "emotion": "e@1", "snapshot": "s", "policy": 2},
}
REFUSAL = {"errors": [{"field": "service", "reason": "busy"}]}


def reply(status=200, body=ANALYSIS, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


CLOSE = "close"
"""Read the request and close without a word, as a server does with an idle connection."""
HANG = "hang"
DRIP = "drip"


class Naughty(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, script):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.seen, self.connections = list(script), [], 0
        self.over, self.lock = threading.Event(), threading.Lock()
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def times(self):
        return [seen["time"] for seen in self.seen]


class Handler(socketserver.StreamRequestHandler):
    server: Naughty
    disable_nagle_algorithm = True

    def handle(self):
        with self.server.lock:
            self.server.connections += 1
        while True:
            line = self.rfile.readline()
            if not line.strip():
                return
            headers = {}
            while raw := self.rfile.readline().strip():
                name, _, value = raw.decode().partition(":")
                headers[name.lower()] = value.strip()
            body = self.rfile.read(int(headers.get("content-length", 0)))
            with self.server.lock:
                seen = {"line": line.decode().strip(), "headers": headers, "body": body}
                self.server.seen.append({**seen, "time": time.monotonic()})
                act = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
            if act == CLOSE:
                return
            if act == HANG:
                self.server.over.wait(20)
                return
            if act == DRIP:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
                while not self.server.over.wait(0.05):
                    self.wfile.write(b" ")
                return
            self.wfile.write(act(body) if callable(act) else act)


@contextlib.contextmanager
def naughty(*script):
    """Runs the script's answers, one for each request, the last one for ever."""
    with Naughty(script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()
