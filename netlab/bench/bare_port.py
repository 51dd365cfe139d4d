"""A server that does nothing for strangers but let them go: what they cost a machine by being on it.

    python -m netlab.bench.bare_port

Prints {"port": N}, then accepts on loopback, reads once and resets, for ever.
"""

from __future__ import annotations

import json
import select
import socket
import struct

BACKLOG = 4096
READ_BYTES = 1024
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: as a relay lets go of them


def main() -> None:
    """Serve until somebody ends this process."""
    connections: dict[int, socket.socket] = {}
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener, select.epoll() as epoll:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        epoll.register(listener, select.EPOLLIN)
        while True:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    connection, _ = listener.accept()
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    connections[connection.fileno()] = connection
                    epoll.register(connection, select.EPOLLIN)
                else:
                    with connections.pop(fd) as connection:
                        connection.recv(READ_BYTES)


if __name__ == "__main__":
    main()
