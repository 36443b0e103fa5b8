"""Answer one line on a TCP port: the kernel size it was asked with, and who answers."""

import os
import socket
import sys

with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    connection, _ = server.accept()
    with connection, connection.makefile("rw") as stream:
        stream.write(f"{os.environ['NAME']} got {stream.readline()}")
