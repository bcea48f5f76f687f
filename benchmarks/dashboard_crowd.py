"""Many pages that read slowly: each takes 200 bytes a second of its stream."""

from __future__ import annotations

import contextlib
import socket
import sys
import time


def page(port: int, token: str, topic: str) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect(("127.0.0.1", port))
    ask = f"GET {topic} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    connection.sendall(ask.encode())
    connection.recv(64)
    connection.setblocking(False)
    return connection


def main(port: int, token: str, topic: str, count: int) -> None:
    pages = [page(port, token, topic) for _ in range(count)]
    print("connected", flush=True)
    while True:
        time.sleep(1)
        for one in pages:
            with contextlib.suppress(BlockingIOError):
                one.recv(200)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
