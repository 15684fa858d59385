#!/usr/bin/python3
"""supervision.py - what a service manager hears: readiness, reloads, the end; and that a thread that is stuck is found out.
Threads: one, and a log reader for each server.
Owns: the servers that it starts, the socket of a service manager.

usage: supervision.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import ctypes
import os
import signal
import socket
import sqlite3
import time

from reload import DOMAIN, Site
from servers import SECONDS, SKIP, in_world, run_cases

WATCHDOG_S = 4
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000   # threads too
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Manager:
    """systemd's end of the socket."""

    def __init__(self, world, abstract=False, watchdog=0):
        self.path = '\0shardsm-test-%d' % os.getpid() if abstract else world.path('notify')
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.watchdog = watchdog

    def __enter__(self):
        os.environ['NOTIFY_SOCKET'] = self.path.replace('\0', '@')
        if self.watchdog:
            os.environ['WATCHDOG_USEC'] = str(self.watchdog * 1000000)
        return self

    def __exit__(self, *_):
        for name in ('NOTIFY_SOCKET', 'WATCHDOG_USEC'):
            os.environ.pop(name, None)
        self.sock.close()

    def next(self, seconds=SECONDS):
        """The lines of the next message; None: there was none."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(4096).decode().split('\n')
        except TimeoutError:
            return None

    def until(self, wanted):
        """The message with that line, and what came before it."""
        before = []
        while True:
            got = self.next()
            assert got is not None, 'no %s, only %s' % (wanted, before)
            if any(line.startswith(wanted) for line in got):
                return got, before
            before += got


class Frozen:
    """A thread of the server that does not run. Only a tracer can stop one alone."""

    def __init__(self, pid, name):
        tids = [t for t in os.listdir('/proc/%d/task' % pid) if read('/proc/%d/task/%s/comm' % (pid, t)).strip() == name]
        self.tid = int(tids[0])

    def __enter__(self):
        for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
            if libc.ptrace(request, self.tid, None, None):
                print('# skipped: ptrace: %s' % os.strerror(ctypes.get_errno()))
                sys.exit(SKIP)
        os.waitpid(self.tid, WALL)   # until it has stopped
        return self

    def __exit__(self, *_):
        if libc.ptrace(PTRACE_DETACH, self.tid, None, None):
            os.waitpid(self.tid, WALL)   # it was killed meanwhile, and ends when its tracer has seen it


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def life(world):
    """Ready when it listens, reloading and ready again, stopping; the abstract namespace, as containers have it."""
    with Manager(world, abstract=True) as manager:
        here = Site(world)
        _, before = manager.until('READY=1')
        assert not before, before
        manager.until('STATUS=0 sessions')
        here.user('alice')
        manager.until('STATUS=1 sessions, 1 users in memory')
        here.process.kill(signal.SIGHUP)
        got, _ = manager.until('RELOADING=1')
        usec = int(got[1].partition('MONOTONIC_USEC=')[2])
        assert 0 <= time.monotonic() * 1e6 - usec < 60e6, got
        manager.until('READY=1')
        here.process.kill(signal.SIGTERM)
        got, _ = manager.until('STOPPING=1')
        assert 'EXTEND_TIMEOUT_USEC=5000000' in got, got
        assert here.process.wait() == 0
        here.close()


def router_first(world):
    """Behind a router: not ready before the names are bound, and its time to start is extended."""
    with Manager(world) as manager:
        listener = socket.socket()
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        world.shardsm(world.sm_config([DOMAIN], router=listener.getsockname()[1], retry=(-1, -1)))
        got, before = manager.until('STATUS=')
        assert 'waiting for the router at 127.0.0.1' in got[0], got
        got, before = manager.until('EXTEND_TIMEOUT_USEC=')
        got, more = manager.until('EXTEND_TIMEOUT_USEC=')
        assert 'READY=1' not in before + more + got, (before, more)
        listener.close()


def stuck(world, name):
    """One thread is frozen: it is named, the watchdog goes hungry; when it goes on, all is well again."""
    with Manager(world, watchdog=WATCHDOG_S) as manager:
        here = Site(world)
        manager.until('WATCHDOG=1')
        with Frozen(here.process.pid, name):
            here.process.wait_line(r'\[error\] %s: no sign of life for \d+ ms \(thread \d+\)' % name)
            manager.sock.setblocking(False)
            while True:
                try:
                    manager.sock.recv(4096)
                except BlockingIOError:
                    break
            end = time.monotonic() + WATCHDOG_S / 2   # twice as long as it takes to be fed
            while (left := end - time.monotonic()) > 0:
                got = manager.next(left)
                assert got is None or 'WATCHDOG=1' not in got, 'fed while %s is stuck' % name
        here.process.wait_line(r'%s: alive again' % name)
        manager.until('WATCHDOG=1')
        assert len([line for line in here.process.lines if 'no sign of life' in line]) == 1, here.process.tail()
        here.close()


def stuck_shard(world):
    stuck(world, 'shard 2')


def stuck_acceptor(world):
    stuck(world, 'acceptor 0')


def locked_database(world):
    """A store that waits for its database is no thread that is stuck."""
    with Manager(world, watchdog=WATCHDOG_S) as manager:
        here = Site(world)
        alice = here.user('alice')
        lock = sqlite3.connect(world.db, isolation_level=None)
        lock.execute('BEGIN EXCLUSIVE')
        alice.send("<iq type='set' id='slow'><query xmlns='jabber:iq:roster'><item jid='x@y.test'/></query></iq>")
        end = time.monotonic() + WATCHDOG_S
        while time.monotonic() < end:
            manager.until('WATCHDOG=1')
        assert not [got for got in alice.queue if got.get('id') == 'slow'], 'the database was not locked'
        lock.execute('ROLLBACK')
        lock.close()
        while alice.next('the answer').get('id') != 'slow':
            pass
        assert not [line for line in here.process.lines if 'no sign of life' in line], here.process.tail()
        here.close()


def nobody(world):
    """A socket that is not there, or is none, is a warning and nothing else."""
    for path in ('/nowhere/notify', 'vsock:2:1234', '/' + 'x' * 200):
        os.environ['NOTIFY_SOCKET'] = path
        try:
            here = Site(world)
        finally:
            del os.environ['NOTIFY_SOCKET']
        here.process.wait_line('NOTIFY_SOCKET: .*the service manager is told nothing')
        assert here.process.stop() == 0
        here.close()


CASES = {f.__name__.replace('_', '-'): f for f in (life, router_first, stuck_shard, stuck_acceptor, locked_database, nobody)}


if __name__ == '__main__':
    sys.exit(run_cases(CASES, in_world))
