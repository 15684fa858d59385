#!/usr/bin/python3
"""soak.py - hours of a day's mix, with everything going wrong beside it: nothing is lost, memory and descriptors stay where they are.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

usage: soak.py [SECONDS [SEED [DIRECTORY]]]      (make soak: two hours; make check-full: ten minutes)

A listening shardsm on SQLite carries shardsm-bench's mix at a steady rate; that run checks every answer, and one loss fails it. Beside
it, on links of their own, peers flood, babble, freeze, die with their sessions, and connect without a word; the database is locked
by another program, the server is stopped and goes on, its configuration is read again. Memory, descriptors and threads are
sampled; in the last quarter they must be what they were in the second. DIRECTORY gets soak.csv and soak.svg.
"""
import sys
sys.dont_write_bytecode = True
import os
import random
import signal
import socket
import sqlite3
import subprocess
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'system'))
from component import HEADER, Closed, Component, FakeC2S, Hub, Timeout, attr
from load import make_users, start_load
from servers import Died, Report, World, need_shardsm
from xmltree import NS_STREAMS

DOMAIN = 'soak.test'
SESSIONS, CONTACTS, RATE = 2000, 10, 300
EVERY = 5        # seconds between two samples
FAULT = 3        # seconds between two faults, on average
PEOPLE = 40      # of the peers that die
ROOM = 1.05      # memory may differ by this much between the two quarters
SLACK = 4 << 20  # bytes, and by this


class Server:
    """The server under test, and what its process holds."""

    def __init__(self, world):
        self.world = world
        self.process, port = world.listening_shardsm([DOMAIN], extra='<limits><link-queue-bytes>4194304</link-queue-bytes></limits>')
        self.address = ('127.0.0.1', port)

    def sample(self):
        """Resident bytes, open descriptors, threads."""
        status = open('/proc/%d/status' % self.process.pid).read()
        fields = dict(line.split(':\t', 1) for line in status.splitlines() if ':\t' in line)
        return (int(fields['VmRSS'].split()[0]) * 1024, len(os.listdir('/proc/%d/fd' % self.process.pid)), int(fields['Threads']))


class Faults:
    """What goes wrong. Each opens what it needs and leaves nothing behind but what the server must clear away."""

    def __init__(self, server, seed):
        self.server = server
        self.random = random.Random(seed)
        self.hub = Hub()
        self.count = {}
        self.later = []   # (time, function)
        self.locked = False
        self.kinds = (self.flood, self.babble, self.silence, self.die, self.freeze, self.lock, self.stop, self.reload, self.big)
        c2s = self.c2s('people')
        for number in range(PEOPLE):
            c2s.create('f%d@%s' % (number, DOMAIN))
        c2s.close()

    def c2s(self, name):
        return FakeC2S(self.hub, self.server.address, 'fault-%s-%d' % (name, self.random.randrange(1 << 40))).connect()

    def undo(self, now):
        """What has lasted long enough."""
        due = [l for l in self.later if l[0] <= now]
        self.later = [l for l in self.later if l[0] > now]
        for _, function in due:
            function()

    def step(self, now):
        kind = self.random.choice(self.kinds)
        self.count[kind.__name__] = self.count.get(kind.__name__, 0) + 1
        try:
            kind(now)
        except (Closed, Timeout, ConnectionError) as e:
            raise AssertionError('fault %s: %s' % (kind.__name__, e)) from e

    def pump(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(l.sock is not None and not l.eof for l in self.hub.links):
            self.hub.pump(0.05)

    def flood(self, _):
        """Twenty thousand routes to nobody, answers unread, gone in the middle of a frame."""
        link = self.c2s('flood')
        link.out += b"<route xmlns='http://jabberd.jabberstudio.org/ns/component/1.0' to='nobody.test' from='x'><message xmlns='jabber:client'/></route>" * 20000
        link.flush()
        self.pump(0.3)
        link.close()

    def babble(self, _):
        link = Component(self.hub, self.server.address)
        link.sock.setblocking(True)
        try:
            link.sock.sendall(self.random.choice((b'', (HEADER % (NS_STREAMS, '')).encode())) + self.random.randbytes(5000))
        except OSError:
            pass   # the server need not read it to the end
        link.close()

    def silence(self, now):
        """Connections that never speak."""
        socks = [socket.create_connection(self.server.address) for _ in range(20)]
        self.later.append((now + 5, lambda: [s.close() for s in socks]))

    def people(self, c2s):
        sessions = [c2s.start('f%d@%s/%s' % (n, DOMAIN, c2s.name)) for n in range(PEOPLE)]
        for session in sessions:
            session.send('<presence><status>%s</status></presence>' % ('s' * self.random.randrange(1000)))
        return sessions

    def die(self, _):
        """A c2s is gone with its sessions."""
        c2s = self.c2s('die')
        self.people(c2s)
        c2s.close()

    def freeze(self, now):
        """A c2s reads nothing any more, and is written to."""
        c2s = self.c2s('freeze')
        sessions = self.people(c2s)
        self.hub.links.remove(c2s)
        sender = self.c2s('sender')
        one = sender.start('f0@%s/%s' % (DOMAIN, sender.name))
        for _ in range(30):
            for session in sessions[:10]:
                one.send("<message type='chat' to=%s><body>%s</body></message>" % (attr(session.jid), 'x' * 10000))
        self.pump(0.5)
        sender.close()
        self.later.append((now + 10, c2s.sock.close))

    def big(self, _):
        """Stored messages come and go."""
        c2s = self.c2s('big')
        one = c2s.start('f1@%s/%s' % (DOMAIN, c2s.name))
        for number in range(20):
            one.send("<message type='chat' to='f%d@%s'><body>%s</body></message>" % (number, DOMAIN, 'x' * 2000))
        self.pump(0.2)
        c2s.close()

    def lock(self, now):
        """Another program writes into the database, and takes its time."""
        if self.locked:
            return   # it would wait for itself
        self.locked = True
        db = sqlite3.connect(self.server.world.db, timeout=30, isolation_level=None)
        db.execute('BEGIN IMMEDIATE')

        def unlock():
            db.execute('ROLLBACK')
            db.close()
            self.locked = False
        self.later.append((now + self.random.uniform(1, 4), unlock))

    def stop(self, _):
        """SIGSTOP for a second."""
        self.server.process.kill(signal.SIGSTOP)
        time.sleep(1)   # nothing can be waited for: it is the silence that is wanted
        self.server.process.kill(signal.SIGCONT)

    def reload(self, _):
        self.server.process.kill(signal.SIGHUP)


def arguments(seed):
    return ['--domain', DOMAIN, '--scenario', 'mix', '--sessions', str(SESSIONS), '--contacts', str(CONTACTS), '--presence', '--seed', str(seed)]


def drive(server, load, faults, seconds, csv):
    """Samples until the load ends: (seconds since the start, bytes, descriptors, threads)."""
    begin = time.monotonic()
    samples, next_fault = [], begin + FAULT
    csv.write('seconds,rss,descriptors,threads\n')
    while load.running():
        now = time.monotonic()
        assert server.process.running(), 'the server died:\n' + server.process.tail()
        assert now - begin < seconds * 1.2 + 120, 'the load does not end:\n' + load.tail(30)
        if not samples or now - begin >= samples[-1][0] + EVERY:
            samples.append((now - begin, *server.sample()))
            csv.write('%.1f,%d,%d,%d\n' % samples[-1])
            csv.flush()
        faults.undo(now)
        if now >= next_fault and now - begin < seconds:
            faults.step(now)
            next_fault = now + faults.random.uniform(0.2, 2) * FAULT
        try:
            load.child.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
    return samples


def middle(values):
    return sorted(values)[len(values) // 2]


def verdict(samples, seconds):
    quarters = [[s for s in samples if k * seconds / 4 <= s[0] < (k + 1) * seconds / 4] for k in range(4)]
    assert all(quarters), 'too short to say anything'
    for name, column, room, slack in (('resident bytes', 1, ROOM, SLACK), ('descriptors', 2, 1, 25), ('threads', 3, 1, 0)):
        was, now = (middle([s[column] for s in q]) for q in (quarters[1], quarters[3]))
        print('# %s: median %d in the second quarter, %d in the last, at most %d' % (name, was, now, max(s[column] for s in samples)))
        assert now <= was * room + slack, '%s grow: %d, then %d' % (name, was, now)


def plot(samples, path):
    """Memory and descriptors over time."""
    width, height, end = 900, 160, samples[-1][0] or 1
    out = ["<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif' font-size='12'>" % (width + 90, 2 * height + 90),
           "<rect width='100%' height='100%' fill='white'/>"]
    for row, (name, column, unit) in enumerate((('resident memory, MB', 1, 1e6), ('open descriptors', 2, 1))):
        top = 30 + row * (height + 40)
        most = max(s[column] for s in samples) / unit * 1.1
        points = ' '.join('%.1f,%.1f' % (60 + s[0] / end * width, top + height - s[column] / unit / most * height) for s in samples)
        out.append("<text x='60' y='%d'>%s (to %.0f), over %.0f minutes</text>" % (top - 8, name, most, end / 60))
        out.append("<rect x='60' y='%d' width='%d' height='%d' fill='none' stroke='#999'/>" % (top, width, height))
        out.append("<polyline points='%s' fill='none' stroke='#06c'/>" % points)
    with open(path, 'w') as f:
        f.write('\n'.join(out) + '\n</svg>\n')


def soak(world, seconds, seed, directory):
    world.make_schema()
    make_users(world, arguments(seed))
    server = Server(world)
    faults = Faults(server, seed)
    load = start_load(world, server.address[1], [*arguments(seed), '--rate', str(RATE), '--duration', str(seconds), '--ops', str(RATE * seconds),
                                                 '--timeout', '60', '--pid', str(server.process.pid), '--json', world.path('load.json')])
    with open(os.path.join(directory, 'soak.csv'), 'w') as csv:
        samples = drive(server, load, faults, seconds, csv)
    plot(samples, os.path.join(directory, 'soak.svg'))
    print('# faults: ' + ', '.join('%s %d' % kv for kv in sorted(faults.count.items())))
    print('\n'.join('# ' + line for line in load.lines[-30:]))
    assert load.wait() == 0, 'the load lost something:\n' + load.tail(30)
    verdict(samples, seconds)
    faults.hub.close()
    assert server.process.stop(signal.SIGTERM, 30) == 0, server.process.tail()


def main():
    need_shardsm()
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 600 if os.environ.get('SHARDSM_CHECK_FULL') else 7200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    directory = sys.argv[3] if len(sys.argv) > 3 else '.'
    report = Report()
    with World() as world:
        report.case('%d seconds of a day, seed %d' % (seconds, seed), soak, world, seconds, seed, directory)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
