"""One kind of socket a run, as Node.js cannot make it: prints what the socket was told, as JSON."""
import json
import socket
import struct
import sys
import threading

MPTCP = 262


def family(address):
    return socket.AF_INET6 if ':' in address else socket.AF_INET


def udp(address):
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.settimeout(5)
    return s


def ask(address, port, *destinations):
    """All destinations at once from one socket: from whom the answers came."""
    s = udp(destinations[0])
    for d in destinations:
        s.sendto(b'q', (d, int(port)))
    return [s.recvfrom(500)[1][0] for _ in destinations]


def turns(address, port, pod, pod_port):
    """By the Service, to the pod itself, by the Service: each answered before the next."""
    s = udp(address)
    heard = []
    for to in ((address, int(port)), (pod, int(pod_port)), (address, int(port)), (pod, int(pod_port))):
        s.sendto(b'q', to)
        heard.append(s.recvfrom(500)[1][0])
    return heard


def mptcp(address, port):
    s = socket.socket(family(address), socket.SOCK_STREAM, MPTCP)
    s.settimeout(5)
    s.connect((address, int(port)))
    s.recv(500)
    return s.getpeername()[:2]


def fastopen(address, port):
    s = socket.socket(family(address), socket.SOCK_STREAM)
    s.sendto(b'x', 0x20000000, (address, int(port)))
    s.recv(500)
    return s.getpeername()[:2]


def original(address, port, listen):
    """A proxy beside the process, to which nat output redirects: what the proxy takes for the destination."""
    proxy = socket.socket()
    proxy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    proxy.bind(('0.0.0.0', int(listen)))
    proxy.listen(1)

    def serve():
        c, _ = proxy.accept()
        to, raw = struct.unpack('!2xH4s8x', c.getsockopt(socket.SOL_IP, 80, 16))
        c.send(json.dumps([socket.inet_ntoa(raw), to]).encode())
        c.close()

    threading.Thread(target=serve, daemon=True).start()
    s = socket.socket()
    s.settimeout(5)
    s.connect((address, int(port)))
    return json.loads(s.recv(500))


def bind(address, port, kind):
    s = socket.socket(family(address), socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    if family(address) == socket.AF_INET6:
        s.setsockopt(41, 26, 0)
    s.bind((address, int(port)))
    return 'bound'


try:
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
except OSError as error:
    print(json.dumps(type(error).__name__ + ' ' + str(error.errno)))
