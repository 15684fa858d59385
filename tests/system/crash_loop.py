#!/usr/bin/python3
"""crash_loop.py - kill -9 at random moments, over and over on one database: what was answered is there, no stored message is lost.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

usage: crash_loop.py [ROUNDS [SEED]] [--on postgresql mariadb]

Each round starts the server, compares all that earlier rounds were promised with what it now says, sends a random mixture of
writes and messages, and kills it: in the middle of that, while it stops, or while it starts; on a database server also that one, and
then the other. Without arguments: 30 rounds on SQLite, 8 on PostgreSQL; in make check-full 500, and 100 on each database server.
"""
import sys
sys.dont_write_bytecode = True
import argparse
import array
import fcntl
import os
import random
import signal
import socket
import termios

from component import Closed, FakeC2S, Hub, Marks, Timeout
from crash_chains import Day, Mortal, Pair, ask
from crash_promises import LISTS, choice, promises, text_of
from database import SERVERS
from servers import Died, Report, World, need_shardsm

DOMAIN = 'crash.test'
OPERATIONS = 150  # sent in one round
BODIES = (1, 40, 1000, 10000)  # bytes
FULL = 20, 400000  # messages, and bytes of each: more than the buffers of a link hold
ROOM = 65536  # of bob's socket, bytes
EVENT = 'jabber:x:event'  # XEP-0022: the server says when it has stored a message


def unread(sock):
    """Bytes that wait in a socket."""
    count = array.array('i', [0])
    fcntl.ioctl(sock, termios.FIONREAD, count)
    return count[0]


class Loop:
    def __init__(self, world, seed, database=None):
        self.world, self.database = world, database
        self.random = random.Random(seed)
        self.promises = {'alice': promises(), 'dora': [choice()]}
        self.pairs = [Pair(number, DOMAIN) for number in range(3)]
        self.day = Day(DOMAIN)
        self.mortal = None
        self.word = 0
        self.sent = 0
        self.stored = set()     # messages that the server said are stored and have not been handed over
        self.seen = set()       # handed over in a round that was killed: may come again
        self.gone = set()       # handed over, and the server said goodbye in order: must not
        self.acknowledged = self.handed = self.repeated = self.deleted = 0

    def begin(self):
        self.process, port = self.world.listening_shardsm([DOMAIN])
        self.hub = Hub()
        self.c2s = FakeC2S(self.hub, ('127.0.0.1', port)).connect()
        self.c2s.online(DOMAIN)

    def end(self):
        while any(not link.eof for link in self.hub.links):
            self.hub.pump(1)
        self.hub.close()
        self.world.processes.remove(self.process)

    def killed(self):
        self.process.stop(signal.SIGKILL)
        self.end()

    def people(self):
        """The accounts of the loop, made in its first round."""
        for bare in ('alice', 'bob', 'dora', 'admin'):
            self.c2s.create('%s@%s' % (bare, DOMAIN))
        for jid in (jid for pair in self.pairs for jid in pair.jids):
            self.c2s.create(jid)
        dora = self.c2s.start('dora@%s/r' % DOMAIN)
        for number, made in enumerate(LISTS):
            ask(dora, made, 'set', 'list%d' % number)
            assert dora.answer('list%d' % number).get('type') == 'result'

    def check(self):
        """All that was promised is read."""
        for who, promised in self.promises.items():
            session = self.sessions[who]
            for number, promise in enumerate(promised):
                ask(session, promise.read, 'get', 'read%d' % number)
            for number, promise in enumerate(promised):
                node = session.answer('read%d' % number)
                if node.get('type') == 'error':
                    assert node.find('error').elements()[0].name == 'item-not-found', node
                promise.check(node if node.get('type') == 'result' else None)
        marks = Marks(self.hub)
        for pair in self.pairs:
            pair.open(self.hub, self.c2s, marks)
        self.day.open(self.c2s)
        self.day.check(self.c2s, marks, self.word)
        if self.mortal:
            self.mortal.check(self.c2s)
            self.mortal = None

    def work(self):
        """Sends a round's mixture. {id: (promise, index)}"""
        due = {}
        if self.random.random() < 0.5:
            self.mortal = Mortal('mortal%d@%s' % (self.word, DOMAIN))
            self.mortal.make(self.c2s)
        end = self.random.randrange(2 * OPERATIONS)   # of the mortal; or not
        for number in range(OPERATIONS):
            what = self.random.random()
            if self.mortal and number == end:
                self.mortal.delete(self.c2s)
            if what < 0.45:
                self.write(self.sessions['alice'], self.random.choice(BODIES))
            elif what < 0.48:
                self.word += 1
                self.day.set('w%d' % self.word)
            else:
                who, promised = self.random.choice(list(self.promises.items()) + [('alice', self.promises['alice'])] * 5)
                due['w%d' % number] = self.promise(self.sessions[who], self.random.choice(promised), 'w%d' % number)
        return due

    def promise(self, session, promise, ident):
        self.word += 1
        value = promise.next(self.random, 'w%d' % self.word)
        index = promise.set(value)
        ask(session, promise.request(value), 'set', ident)
        return promise, index

    def until(self, condition, what):
        """Waits; the subscriptions go on meanwhile."""
        def going_on():
            for pair in self.pairs:
                pair.go()
            return condition() or self.c2s.eof
        self.hub.until(going_on, what)

    def write(self, alice, size):
        self.sent += 1
        alice.send("<message type='chat' to='bob@%s' id='m%d'><body>%s</body><x xmlns='%s'><offline/></x></message>" % (
            DOMAIN, self.sent, 'x' * size, EVENT))

    def answered(self, due, refused=False):
        """What the server acknowledged: requests by their results, messages by the event that says that they are stored.
        refused: it may have had reason to refuse some."""
        for node in [n for session in self.sessions.values() for n in session.queue]:
            event = node.find('x', EVENT) if node.name == 'message' and node.get('type') != 'error' else None
            if event is not None:
                self.stored.add(int(text_of(node, 'x', 'id')[1:]))
            elif node.get('id') in due and (node.get('type') == 'result' or not refused):
                assert node.get('type') == 'result', 'refused: %s' % node
                promise, index = due[node.get('id')]
                promise.acknowledged = max(promise.acknowledged, index)
                self.acknowledged += 1
        for session in self.sessions.values():
            session.queue.clear()
        for chain in (*self.pairs, self.day):
            chain.killed()
        if self.mortal:
            self.mortal.hear(self.c2s)
            self.deleted += self.mortal.deleted

    def received(self, bob, order=True):
        numbers = [int(n.get('id')[1:]) for n in bob.queue if n.name == 'message' and n.get('type') == 'chat']
        assert not order or numbers == sorted(set(numbers)), 'stored messages out of order, or twice: %s' % numbers
        again = self.gone & set(numbers)
        assert not again, 'came once more after an orderly stop: %s' % sorted(again)[:5]
        self.repeated += len(self.seen & set(numbers))
        self.handed += len(numbers)
        self.stored -= set(numbers)
        self.seen |= set(numbers)
        bob.queue.clear()

    # -- the kinds of rounds ------------------------------------------------------------------------------------------------------

    def round(self):
        kinds = (self.writing, self.writing, self.writing, self.delivering, self.stopping, self.starting)
        kind = self.random.choice(kinds + (self.database_killed,) * 3 if self.database else kinds)
        kind()

    def opening(self):
        self.begin()
        self.sessions = {who: self.c2s.start('%s@%s/a' % (who, DOMAIN)) for who in self.promises}
        self.check()
        return self.sessions['alice']

    def writing(self):
        """Killed after some answers."""
        alice = self.opening()
        due = self.work()
        wanted = self.random.randrange(0, OPERATIONS // 2)
        self.until(lambda: len(alice.queue) >= wanted, 'answers')
        self.killed()
        self.answered(due)

    def database_killed(self):
        """The database server is killed while it is at work, and comes back; what was in hand may be refused, and is answered."""
        alice = self.opening()
        due = self.work()
        wanted = self.random.randrange(0, OPERATIONS // 2)
        self.until(lambda: len(alice.queue) >= wanted, 'answers')
        self.database.stop(signal.SIGKILL)
        if self.random.random() < 0.5:   # both at once
            self.killed()
            self.database.start()
        else:
            self.database.start()
            self.until(lambda: due.keys() <= {n.get('id') for s in self.sessions.values() for n in s.queue}, 'an answer to every request')
            self.killed()
        self.answered(due, refused=True)

    def delivering(self):
        """Killed while bob gets his messages, while his c2s does not read them, or not at all."""
        alice = self.opening()
        end = self.random.choice((self.killed_delivering, self.killed_delivering, self.killed_unread, self.orderly))
        if end == self.killed_unread:
            for _ in range(FULL[0]):
                self.write(alice, FULL[1])
            self.hub.until(lambda: len(alice.queue) == FULL[0], 'the events')
            self.answered({})
        c2s = FakeC2S(self.hub, self.c2s.sock.getpeername(), 'second').connect()
        c2s.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        c2s.online(DOMAIN)
        bob = c2s.start('bob@%s/b' % DOMAIN)
        bob.send('<presence/>')
        end(alice, bob)

    def killed_delivering(self, _, bob):
        wanted = self.random.randrange(1, len(self.stored) + 2)
        self.hub.until(lambda: len(bob.queue) >= wanted, 'messages')   # his own presence is one
        self.killed()
        self.received(bob)

    def killed_unread(self, alice, bob):
        """Nobody reads what is written for bob, and other things are committed meanwhile: that deletes nothing of it."""
        self.hub.links.remove(bob.c2s)
        self.hub.until(lambda: unread(bob.c2s.sock) > ROOM // 2 or self.poke(alice), 'the first of them')
        for number in range(3):
            promise, index = self.promise(alice, self.random.choice(self.promises['alice']), 'unread%d' % number)
            assert alice.answer('unread%d' % number).get('type') == 'result'
            promise.acknowledged = index
        self.process.stop(signal.SIGKILL)
        self.hub.add(bob.c2s)
        self.end()
        self.received(bob)

    def poke(self, alice):
        """Something for the hub to wait for."""
        alice.send("<iq type='get' id='mark-poke'><mark xmlns='urn:test:mark'/></iq>")

    def orderly(self, _, bob):
        Marks(self.hub).flush([bob], ['bob@' + DOMAIN])
        self.received(bob)
        assert not self.stored, '%d stored messages never came: %s' % (len(self.stored), sorted(self.stored)[:5])
        assert self.process.stop(signal.SIGTERM) == 0
        self.end()
        self.gone |= self.seen
        self.seen.clear()

    def stopping(self):
        """Killed while it stops in order."""
        alice = self.opening()
        due = self.work()
        wanted = self.random.randrange(0, 20)
        self.until(lambda: len(alice.queue) >= wanted, 'answers')
        self.process.kill(signal.SIGTERM)
        self.hub.until(lambda: alice.ended or self.c2s.eof or self.random.random() < 0.2, 'the end')
        self.killed()
        for session in self.sessions.values():
            for node in list(session.queue):   # a server that stops may refuse what comes then
                if node.get('type') == 'error':
                    error = node.find('error')
                    assert error.get('type') == 'wait' or error.elements()[0].name == 'service-unavailable', node
                    session.queue.remove(node)
        self.answered(due)

    def starting(self):
        """Killed before it is ready."""
        process = self.world.shardsm(self.world.path('sm.xml'))
        try:
            process.wait_line(self.random.choice(('version:', 'threads:', 'listening')))
        except Died:
            assert 'in use' in process.tail(), process.tail()
        process.stop(signal.SIGKILL)
        self.world.processes.remove(process)


def loop(world, rounds, seed, database=None):
    test = Loop(world, seed, database)
    test.begin()
    test.people()
    test.killed()
    for number in range(rounds):
        try:
            test.round()
        except (AssertionError, Closed, Died, Timeout) as e:
            raise AssertionError('round %d of seed %d: %s' % (number, seed, e)) from e
    test.opening()
    bob = test.c2s.start('bob@%s/b' % DOMAIN)
    bob.send('<presence/>')
    Marks(test.hub).flush([bob], ['bob@' + DOMAIN])
    test.received(bob)
    assert not test.stored, '%d stored messages never came: %s' % (len(test.stored), sorted(test.stored)[:5])
    assert test.process.stop(signal.SIGTERM) == 0
    test.end()
    steps = sum(pair.count for pair in test.pairs)
    print('# %d rounds, seed %d: %d writes acknowledged, %d messages handed over, %d of them again after a kill, %d steps of subscriptions, '
          '%d accounts deleted' % (rounds, seed, test.acknowledged, test.handed, test.repeated, steps, test.deleted))
    assert test.acknowledged and test.handed and steps, 'nothing was acknowledged, or nothing stored: the test shows nothing'


def on_server(report, kind, rounds, seed):
    """On a database server of its own, which is killed too."""
    with World() as world:
        server = SERVERS[kind](world)
        os.environ['SYSTEM_TEST_DATABASE'] = '%s %d' % (kind, server.port)
        try:
            report.case('kill -9 on %s in %d rounds, seed %d' % (kind, rounds, seed), loop, world, rounds, seed, server)
        finally:
            del os.environ['SYSTEM_TEST_DATABASE']
            server.close()


def main():
    full = bool(os.environ.get('SHARDSM_CHECK_FULL'))
    parser = argparse.ArgumentParser()
    parser.add_argument('rounds', nargs='?', type=int)
    parser.add_argument('seed', nargs='?', type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument('--on', choices=list(SERVERS), nargs='*', help='on these servers alone')
    options = parser.parse_args()
    need_shardsm()
    report = Report()
    if not options.on:
        rounds = options.rounds or (500 if full else 30)
        with World() as world:
            report.case('kill -9 in %d rounds, seed %d' % (rounds, options.seed), loop, world, rounds, options.seed)
    for kind in options.on or ([] if options.rounds else list(SERVERS) if full else ['postgresql']):
        if not SERVERS[kind].there():
            print('# not run on %s: its server is not installed' % kind)
            continue
        on_server(report, kind, options.rounds or (100 if full else 8), options.seed)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
