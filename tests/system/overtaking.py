#!/usr/bin/python3
"""overtaking.py - what is read from the database for somebody does not overtake what happened while it was read.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.
"""
import sys
sys.dont_write_bytecode = True
import sqlite3

from defects import DOMAIN, NS_ROSTER, Bench
from servers import Report, World, need_shardsm


def see(alice, bob, got):
    """The next that alice gets, if it tells of bob: a session of his is here or gone; a stored row says that the account is away."""
    stanza = alice.next('what is known of bob')
    source = stanza.get('from') or ''
    if stanza.get('id') == 'last':
        got.append('last')
    elif stanza.name == 'presence' and source.startswith(bob.bare):
        got.append('away' if source == bob.bare else 'gone' if stanza.get('type') else 'here')


def probe_answer(world):
    """A probe for somebody who is away is answered with a stored row. Who came and went meanwhile has told more than it knows."""
    bench = Bench(world, False)
    alice, bob, carol = (bench.user(u) for u in ('alice', 'bob', 'carol'))
    for session in (alice, bob):
        session.send('<presence/>')
    alice.send("<presence type='subscribe' to='%s'/>" % bob.bare)
    while bob.next('the request').get('type') != 'subscribe':
        pass
    bob.send("<presence type='subscribed' to='%s'/>" % alice.bare)
    bob.send('<presence><status>old</status></presence>')
    bench.ask(alice, 'get', "<x xmlns='urn:x'/>", bob.bare)
    bench.c2s.end(bob)
    bench.set(carol, "<query xmlns='%s'><item jid='x@y.test'/></query>" % NS_ROSTER)   # what was written before is committed
    bench.ask(alice, 'get', "<x xmlns='urn:x'/>", bob.bare)
    alice.queue.clear()

    lock = sqlite3.connect(world.db, isolation_level=None)
    lock.execute('BEGIN EXCLUSIVE')
    carol.send("<iq type='set' id='slow'><query xmlns='%s'><item jid='z@y.test'/></query></iq>" % NS_ROSTER)
    alice.send("<presence type='unavailable'/>")
    alice.send('<presence/>')
    bench.ask(alice, 'get', "<x xmlns='urn:x'/>", bob.bare)   # behind the probe
    bob = bench.c2s.start(bob.jid)
    bob.send('<presence/>')
    bob.send("<presence type='unavailable'><status>bye</status></presence>")
    lock.execute('COMMIT')
    lock.close()
    while carol.next('the answer of the database').get('id') != 'slow':
        pass
    alice.send("<presence type='unavailable'/>")
    alice.send('<presence/>')   # asks again: rows are read in order, behind this answer no other is on its way
    got = []
    while 'gone' not in got or 'away' not in got[got.index('gone'):]:
        see(alice, bob, got)
    alice.send("<iq type='get' id='last' to='%s'><x xmlns='urn:x'/></iq>" % bob.bare)
    while 'last' not in got:
        see(alice, bob, got)
    if got[0] == 'away':   # the first answer was read before bob was loaded, and was true then
        got.pop(0)
    assert got == ['here', 'gone', 'away', 'last'], got
    bench.close()


def main():
    need_shardsm()
    report = Report()
    with World() as world:
        report.case('the answer to a probe', probe_answer, world)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
