#!/usr/bin/python3
"""crash_loop.py - kill -9 at random moments, over and over on one database: what was answered is there, no stored message is lost.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

usage: crash_loop.py [ROUNDS [SEED]]

Each round starts the server, compares all that earlier rounds were promised with what it now says, sends a random mixture of
writes and messages, and kills it: in the middle of that, while it stops, or while it starts. Without arguments: 30 rounds, 500 in make check-full.
"""
import sys
sys.dont_write_bytecode = True
import array
import fcntl
import os
import random
import signal
import socket
import termios

from component import Closed, FakeC2S, Hub, Marks
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


class Promise:
    """One thing that a client can set. Its value is the last that was acknowledged, or one that was sent after it."""

    def __init__(self, name, write, read, pick):
        self.name, self.write, self.read, self.pick = name, write, read, pick
        self.sent = ['']   # '': not there
        self.acknowledged = 0

    def set(self, value):
        self.sent.append(value)
        return len(self.sent) - 1

    def check(self, node):
        value = self.pick(node)
        may = self.sent[self.acknowledged:]
        assert value in may, '%s is %r; acknowledged was %r' % (self.name, value, may[0])
        self.sent, self.acknowledged = [value], 0


def text_of(node, *path):
    for name in path:
        node = next((e for e in node.elements() if e.name == name), None)
        if node is None:
            return ''
    return node.text()


def item_name(jid):
    def pick(node):
        for item in node.elements()[0].elements():
            if item.get('jid') == jid:
                groups = [g.text() for g in item.elements()]
                assert groups == [item.get('name')], 'half a roster item: %s' % item
                return item.get('name')
        return ''
    return pick


def list_value(node):
    items = [i for l in node.elements()[0].elements() for i in l.elements()]
    return items[0].get('value').partition('@')[0] if items else ''


def promises():
    """Values are words; each shape has a request that sets it, one that reads it, and where the word then is."""
    roster = "<query xmlns='jabber:iq:roster'>%s</query>"
    out = [Promise('roster item %d' % i, roster % ("<item jid='c%d@far.test' name='{0}'><group>{0}</group></item>" % i), roster % '',
                   item_name('c%d@far.test' % i)) for i in range(8)]
    private = "<query xmlns='jabber:iq:private'><x xmlns='urn:test:%d'>%s</x></query>"
    out += [Promise('private %d' % i, private % (i, '{0}'), private % (i, ''), lambda n: text_of(n, 'query', 'x')) for i in range(3)]
    out.append(Promise('vcard', "<vCard xmlns='vcard-temp'><FN>{0}</FN><NOTE>{0}</NOTE></vCard>", "<vCard xmlns='vcard-temp'/>",
                       lambda n: text_of(n, 'vCard', 'FN')))
    out.append(Promise('privacy list', "<query xmlns='jabber:iq:privacy'><list name='l'><item type='jid' value='{0}@far.test' "
                       "action='deny' order='1'><message/></item></list></query>",
                       "<query xmlns='jabber:iq:privacy'><list name='l'/></query>", list_value))
    return out


class Loop:
    def __init__(self, world, seed):
        self.world = world
        self.random = random.Random(seed)
        self.promises = promises()
        self.word = 0
        self.sent = 0
        self.stored = set()     # messages that the server said are stored and have not been handed over
        self.seen = set()       # handed over in a round that was killed: may come again
        self.gone = set()       # handed over, and the server said goodbye in order: must not
        self.acknowledged = self.handed = self.repeated = 0

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

    def ask(self, session, body, kind='get', ident='ask'):
        session.send("<iq type='%s' id='%s'>%s</iq>" % (kind, ident, body))

    def check(self, alice):
        """Every promise is read."""
        for number, promise in enumerate(self.promises):
            self.ask(alice, promise.read, ident='read%d' % number)
        for number, promise in enumerate(self.promises):
            answer = alice.next('the answer about ' + promise.name)
            assert answer.get('id') == 'read%d' % number, answer
            if answer.get('type') == 'error':
                assert answer.find('error').elements()[0].name == 'item-not-found', answer
                assert '' in promise.sent[promise.acknowledged:], '%s is gone: acknowledged was %r' % (
                    promise.name, promise.sent[promise.acknowledged])
            else:
                promise.check(answer)

    def work(self, alice):
        """Sends a round's mixture. {id: (promise, index)}"""
        due = {}
        for number in range(OPERATIONS):
            if self.random.random() < 0.5:
                self.write(alice, self.random.choice(BODIES))
            else:
                promise = self.random.choice(self.promises)
                self.word += 1
                index = promise.set('w%d' % self.word)
                due['w%d' % number] = (promise, index)
                self.ask(alice, promise.write.format('w%d' % self.word), 'set', 'w%d' % number)
        return due

    def write(self, alice, size):
        self.sent += 1
        alice.send("<message type='chat' to='bob@%s' id='m%d'><body>%s</body><x xmlns='%s'><offline/></x></message>" % (
            DOMAIN, self.sent, 'x' * size, EVENT))

    def answered(self, alice, due):
        """What the server acknowledged: requests by their results, messages by the event that says that they are stored."""
        for node in alice.queue:
            event = node.find('x', EVENT) if node.name == 'message' else None
            if event is not None:
                self.stored.add(int(text_of(node, 'x', 'id')[1:]))
            elif node.get('id') in due:
                assert node.get('type') == 'result', 'refused: %s' % node
                promise, index = due[node.get('id')]
                promise.acknowledged = max(promise.acknowledged, index)
                self.acknowledged += 1
        alice.queue.clear()

    def received(self, bob, order=True):
        numbers = [int(n.get('id')[1:]) for n in bob.queue if n.name == 'message']
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
        kind = self.random.choice((self.writing, self.writing, self.writing, self.delivering, self.stopping, self.starting))
        kind()

    def opening(self):
        self.begin()
        alice = self.c2s.start('alice@%s/a' % DOMAIN)
        self.check(alice)
        return alice

    def writing(self):
        """Killed after some answers."""
        alice = self.opening()
        due = self.work(alice)
        wanted = self.random.randrange(0, OPERATIONS // 2)
        self.hub.until(lambda: len(alice.queue) >= wanted or self.c2s.eof, 'answers')
        self.killed()
        self.answered(alice, due)

    def delivering(self):
        """Killed while bob gets his messages, while his c2s does not read them, or not at all."""
        alice = self.opening()
        end = self.random.choice((self.killed_delivering, self.killed_delivering, self.killed_unread, self.orderly))
        if end == self.killed_unread:
            for _ in range(FULL[0]):
                self.write(alice, FULL[1])
            self.hub.until(lambda: len(alice.queue) == FULL[0], 'the events')
            self.answered(alice, {})
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
            self.word += 1
            promise = self.random.choice(self.promises)
            promise.acknowledged = promise.set('w%d' % self.word)
            self.ask(alice, promise.write.format('w%d' % self.word), 'set', 'unread%d' % number)
            while alice.next('a result').get('id') != 'unread%d' % number:
                pass
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
        due = self.work(alice)
        wanted = self.random.randrange(0, 20)
        self.hub.until(lambda: len(alice.queue) >= wanted or self.c2s.eof, 'answers')
        self.process.kill(signal.SIGTERM)
        self.hub.until(lambda: alice.ended or self.c2s.eof or self.random.random() < 0.2, 'the end')
        self.killed()
        for node in list(alice.queue):   # a server that stops may refuse what comes then
            if node.get('type') == 'error':
                error = node.find('error')
                assert error.get('type') == 'wait' or error.elements()[0].name == 'service-unavailable', node
                alice.queue.remove(node)
        self.answered(alice, due)

    def starting(self):
        """Killed before it is ready."""
        process = self.world.shardsm(self.world.path('sm.xml'))
        try:
            process.wait_line(self.random.choice(('version:', 'threads:', 'listening')))
        except Died:
            assert 'in use' in process.tail(), process.tail()
        process.stop(signal.SIGKILL)
        self.world.processes.remove(process)


def loop(world, rounds, seed):
    test = Loop(world, seed)
    test.begin()
    for user in ('alice', 'bob'):
        test.c2s.create('%s@%s' % (user, DOMAIN))
    test.killed()
    for number in range(rounds):
        try:
            test.round()
        except (AssertionError, Closed, Died) as e:
            raise AssertionError('round %d of seed %d: %s' % (number, seed, e)) from e
    test.opening()
    bob = test.c2s.start('bob@%s/b' % DOMAIN)
    bob.send('<presence/>')
    Marks(test.hub).flush([bob], ['bob@' + DOMAIN])
    test.received(bob)
    assert not test.stored, '%d stored messages never came: %s' % (len(test.stored), sorted(test.stored)[:5])
    assert test.process.stop(signal.SIGTERM) == 0
    test.end()
    print('# %d rounds, seed %d: %d writes acknowledged, %d messages handed over, %d of them again after a kill' % (
        rounds, seed, test.acknowledged, test.handed, test.repeated))
    assert test.acknowledged and test.handed, 'nothing was acknowledged, or nothing stored: the test shows nothing'


def main():
    need_shardsm()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500 if os.environ.get('SHARDSM_CHECK_FULL') else 30
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    report = Report()
    with World() as world:
        report.case('kill -9 in %d rounds, seed %d' % (rounds, seed), loop, world, rounds, seed)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
