"""tcp_proxy.py - a proxy in front of a server on loopback, that cuts its connections, or lets them fall silent.
Threads: one, which does all the work; the test's calls only change its mode, and return when it has.
Owns: its sockets, until close().
"""
import os
import select
import socket
import struct
import threading


class Proxy:
    def __init__(self, port):
        self.target = ('127.0.0.1', port)
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.peers = {}            # socket -> its other half
        self.mode = 'pass'         # 'refuse': every connection is reset; 'silent': nothing comes through, nothing is closed
        self.wake, self.waker = os.pipe()
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def set(self, mode):
        with self.changed:
            self.wanted = mode
            os.write(self.waker, b'x')
            assert self.changed.wait_for(lambda: self.mode == mode, 10), 'the proxy is gone'

    def cut(self):
        """All connections are reset; new ones pass."""
        self.set('refuse')
        self.set('pass')

    def close(self):
        self.set('closed')
        self.thread.join()

    def run(self):
        while self.mode != 'closed':
            watched = [self.listener, self.wake] + (list(self.peers) if self.mode == 'pass' else [])
            for ready in select.select(watched, [], [])[0]:
                if ready is self.wake:
                    self.change()
                elif ready is self.listener:
                    self.accept()
                elif ready in self.peers:
                    self.forward(ready)

    def change(self):
        os.read(self.wake, 1)
        # What was silent does not come to life again: the network forgot it.
        if self.wanted in ('refuse', 'closed') or self.mode == 'silent':
            for peer in list(self.peers):
                self.drop(peer)
        with self.changed:
            self.mode = self.wanted
            self.changed.notify_all()

    def accept(self):
        client = self.listener.accept()[0]
        if self.mode == 'refuse':
            self.reset(client)
        elif self.mode == 'silent':
            self.peers[client] = None
        else:
            try:
                server = socket.create_connection(self.target)
            except OSError:
                self.reset(client)
                return
            self.peers[client], self.peers[server] = server, client

    def forward(self, source):
        try:
            data = source.recv(65536)
            if data:
                self.peers[source].sendall(data)
                return
        except OSError:
            pass
        self.drop(source)

    def drop(self, peer):
        """A connection, both halves of it; more than once does no harm."""
        for half in (self.peers.get(peer), peer):
            if half in self.peers:
                del self.peers[half]
                self.reset(half)

    @staticmethod
    def reset(peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        peer.close()
