"""Whom a socket hears, or is connected to, after many other sockets have dialled the same frontend.

forgotten.py udp|connected|tcp|itself FRONTEND PORT SERVER PORT: prints [address, port]
"""
import json
import socket
import sys

what, frontend, port, server, server_port = sys.argv[1:]
frontend, server = (frontend, int(port)), (server, int(server_port))
family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
kind = socket.SOCK_STREAM if what == "tcp" else socket.SOCK_DGRAM


def made(kind):
    s = socket.socket(family, kind)
    s.settimeout(20)
    return s


def flood():
    """More sockets than the table has room for."""
    for _ in range(600):
        with made(socket.SOCK_DGRAM) as other:
            other.connect(frontend)
            other.connect(frontend)


listener = made(kind)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(server)
client = made(kind)
if what == "tcp":
    listener.listen()
    client.connect(frontend)
    flood()
    print(json.dumps(client.getpeername()[:2]))
elif what == "connected":
    client.connect(frontend)
    flood()
    print(json.dumps(client.getpeername()[:2]))
else:
    client.sendto(b"question", frontend)
    asker = listener.recvfrom(100)[1]
    if what == "itself":
        client.connect(server)
        print(json.dumps(client.getpeername()[:2]))
    else:
        flood()
        listener.sendto(b"answer", asker)
        print(json.dumps(client.recvfrom(100)[1][:2]))
