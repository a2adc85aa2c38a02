"""A bad line to a hub: it forwards requests, and does to files what networks and disks do."""

import http.client
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Line:
    """What happens to the bytes of files, until it is changed."""

    hub: str
    flip: int | None = None  # the byte of a body in which one bit is flipped
    cut: int | None = None  # bytes of a body after which the line breaks
    ranges: bool = True  # whether Range is passed on
    busy: int = 0  # how often a file is answered with 503 first
    pause: float = 0.0  # seconds for each 16 kB
    only: str = "/resolve/"  # paths that are touched
    away: str | None = None  # where files are redirected to
    url: str = ""
    sent: list[tuple[str, int, int]] = field(default_factory=list)  # path, from, bytes
    tokens: list[str | None] = field(default_factory=list)


def line_to(hub_url):
    """A line that runs, and the call that ends it."""
    line = Line(hub_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = dict(self.headers)
            line.tokens.append(headers.get("Authorization"))
            touched = line.only in self.path and self.command == "GET"
            if touched and not line.ranges:
                headers.pop("Range", None)
            if touched and line.busy:
                line.busy -= 1
                return self.answer(503, {"Content-Length": "0"}, b"", touched=False)
            if touched and line.away:
                moved = {"Location": line.away + self.path, "Content-Length": "0"}
                return self.answer(302, moved, b"", touched=False)
            connection = http.client.HTTPConnection(urlsplit(line.hub).netloc, timeout=30)
            try:
                connection.request(self.command, self.path, body, headers)
                got = connection.getresponse()
                data = got.read()
                kept = {
                    key: value
                    for key, value in got.headers.items()
                    if key.lower() not in ("transfer-encoding", "connection", "server", "date")
                }
                self.answer(got.status, kept, data, touched)
            finally:
                connection.close()

        def answer(self, status, headers, data, touched):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if not touched:
                self.wfile.write(data)
                return
            match = re.match(r"bytes (\d+)-", headers.get("content-range", ""))
            start, count = int(match[1]) if match else 0, 0
            data = bytearray(data)
            if line.flip is not None and start <= line.flip < start + len(data):
                data[line.flip - start] ^= 4
            if line.cut is not None and line.cut < len(data):
                del data[line.cut :]
                self.close_connection = True
            try:
                for place in range(0, len(data), 16_384):
                    time.sleep(line.pause)
                    piece = data[place : place + 16_384]
                    self.wfile.write(piece)
                    count += len(piece)
            except (BrokenPipeError, ConnectionResetError):  # the other side was killed
                self.close_connection = True
            finally:
                line.sent.append((self.path, start, count))

        do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = forward

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    line.url = f"http://127.0.0.1:{server.server_port}"

    def end():
        server.shutdown()
        server.server_close()

    return line, end
