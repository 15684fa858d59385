#!/usr/bin/python3
"""stopping.py - SIGTERM: what had come is worked off, who comes is turned away, and the end is in time whatever hangs.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

usage: stopping.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import signal
import sqlite3
import time

from component import attr
from reload import DOMAIN, Site
from servers import SECONDS, in_world, run_cases

EXIT_LEFT = 3
LONG = 600   # a stop-timeout that no test waits for


def site(world, seconds):
    return Site(world, extra='<stop-timeout>%d</stop-timeout>' % seconds)


def closed(here, link):
    here.hub.until(lambda: link.eof, 'the end of the stream')
    assert not link.broken, link.broken


def locked(world):
    lock = sqlite3.connect(world.db, isolation_level=None)
    lock.execute('BEGIN EXCLUSIVE')
    return lock


def what_had_come(world):
    """Messages are delivered, an account is made; the start of a session that waits for it is refused."""
    here = site(world, LONG)
    alice, bob = here.user('alice'), here.user('bob')
    lock = locked(world)
    for i in range(50):
        alice.send("<message to='%s' id='m%d'><body>x</body></message>" % (bob.jid, i))
    here.c2s.command('create', 'carol@' + DOMAIN, '4710')
    here.c2s.command('start', 'carol@%s/late' % DOMAIN, '4711')
    here.process.kill(signal.SIGTERM)
    here.process.wait_line('shutting down')
    lock.execute('ROLLBACK')
    lock.close()
    assert here.c2s.answer('create').elements()[0].get('action') == 'created'
    failed = here.c2s.answer('start', '4711').elements()[0]
    assert failed.get('action') == 'start' and failed.session('failed') == '1', failed
    closed(here, here.c2s)
    assert [got.get('id') for got in bob.queue if got.name == 'message'] == ['m%d' % i for i in range(50)], bob.queue
    assert (alice.ended, bob.ended) == ('ended', 'ended'), (alice.ended, bob.ended)
    assert here.process.wait() == 0
    here.close()


def roster_set(session):
    session.send("<iq type='set' id='slow'><query xmlns='jabber:iq:roster'><item jid='x@y.test'/></query></iq>")


def held_up(world, here, signals):
    """A database that is locked: the status says that something had to be left, nobody heard that it was stored, and sessions ended."""
    alice = here.user('alice')
    lock = locked(world)
    roster_set(alice)
    before = len(here.process.lines)
    for _ in range(signals):
        here.process.kill(signal.SIGTERM)
        here.process.wait_line('shutting down', before)
        before = len(here.process.lines)
    status = here.process.wait()
    lock.execute('ROLLBACK')
    lock.close()
    assert status == EXIT_LEFT, status
    here.process.wait_line(r'the time is up \(the database is at work\)')
    here.hub.until(lambda: here.c2s.eof, 'the end of the stream')
    assert alice.ended == 'ended', alice.queue
    assert not [got for got in alice.queue if got.get('id') == 'slow' and got.get('type') == 'result'], 'acknowledged, and not stored'
    db = sqlite3.connect(world.db)
    assert db.execute('SELECT count(*) FROM "roster-items"').fetchone() == (0,), 'stored after all'
    db.close()
    here.close()


def dead_database(world):
    began = time.monotonic()
    held_up(world, site(world, 2), 1)
    assert time.monotonic() - began < SECONDS


def second_signal(world):
    held_up(world, site(world, LONG), 2)


def slow_database(world):
    """A database that comes back in time: what had come is stored, and acknowledged before the end."""
    here = site(world, LONG)
    alice = here.user('alice')
    lock = locked(world)
    roster_set(alice)
    here.process.kill(signal.SIGTERM)
    here.process.wait_line('shutting down')
    lock.execute('ROLLBACK')
    lock.close()
    closed(here, here.c2s)
    assert [got.get('type') for got in alice.queue if got.get('id') == 'slow'] == ['result'], alice.queue
    assert here.process.wait() == 0
    db = sqlite3.connect(world.db)
    assert db.execute('SELECT jid FROM "roster-items"').fetchall() == [('x@y.test',)]
    db.close()
    here.close()


def deaf_link(world):
    """A c2s that does not read: it is left with what was meant for it, the others get theirs."""
    here = site(world, 2)
    deaf = here.link('deaf')
    alice = here.user('alice')
    here.c2s.create('bob@' + DOMAIN)
    bob = deaf.start('bob@%s/r' % DOMAIN)
    here.hub.links.remove(deaf)   # from here on nobody reads it
    text = 'x' * 60000
    for i in range(400):
        alice.send('<message to=%s><body>%s</body></message>' % (attr(bob.jid), text))
    here.ask(alice, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN)
    here.process.kill(signal.SIGTERM)
    closed(here, here.c2s)
    assert alice.ended == 'ended', alice.queue
    status = here.process.wait()
    assert status == EXIT_LEFT, 'exit status %d:\n%s' % (status, here.process.tail())
    here.process.wait_line('not all that was meant for them written')
    deaf.sock.close()
    here.close()


CASES = {f.__name__.replace('_', '-'): f for f in (what_had_come, dead_database, second_signal, slow_database, deaf_link)}


if __name__ == '__main__':
    sys.exit(run_cases(CASES, in_world))
