#!/usr/bin/python3
"""fanout.py - a presence for many contacts: each gets it once, in the order sent and whole, but for who must not hear it.
Threads: one.
Owns: the servers that it starts.

Long names, so that the list of addressees goes in several pieces; contacts on every shard and on two links; one of them blocks the sender,
one is blocked by it, one is offline and one has a list of its own that lets presence pass.
"""
import sys
sys.dont_write_bytecode = True

from component import FakeC2S, Hub, Marks, attr
from servers import Report, World, need_shardsm

DOMAIN = 'fanout.test'
CONTACTS, CHANGES = 50, 5
NS_BLOCKING = 'urn:xmpp:blocking'


def name(i):
    return '%s-%d@%s' % ('contact' * 130, i, DOMAIN)


def statuses(session, sender):
    """What a session heard from the sender, in order: ids of available presence, 'unavailable'."""
    return [node.get('type') or node.get('id', '') for node in session.queue if node.name == 'presence' and node.get('from') == sender.jid]


def run(workers):
    with World() as world:
        process, port = world.listening_shardsm([DOMAIN], workers=workers)
        hub = Hub()
        try:
            broadcasts(hub, port)
            assert process.running(), process.tail()
        finally:
            hub.close()


def broadcasts(hub, port):
    links = [FakeC2S(hub, ('127.0.0.1', port), 'c2s-%d' % i).connect() for i in range(2)]
    links[0].online(DOMAIN)
    marks = Marks(hub)
    star = start(links[0], 'star@' + DOMAIN)
    contacts = [start(links[i % 2], name(i)) for i in range(CONTACTS)]
    everybody = [star] + contacts
    for contact in contacts:
        contact.send("<presence type='subscribe' to=%s/>" % attr(star.bare))
    marks.flush(everybody, [])
    for contact in contacts:
        star.send("<presence type='subscribed' to=%s/>" % attr(contact.bare))
    marks.flush(everybody, [])
    deaf, blocked, offline, choosy = contacts[:4]
    block(deaf, star.bare)
    block(choosy, 'nobody@else.test')
    offline.end()
    live = [s for s in contacts if s is not offline]
    marks.flush(live, [])  # not with the sender: nothing of its reaches whoever blocks it
    hearers = [s for s in live if s is not deaf]
    talk(marks, star, hearers, 'a')
    assert not any(i.startswith('a') for i in statuses(deaf, star)), statuses(deaf, star)
    # The sender's own list: every contact is asked about one by one.
    block(star, blocked.bare)
    hearers.remove(blocked)
    marks.flush([star] + hearers, [])
    assert statuses(blocked, star)[-1] == 'unavailable', statuses(blocked, star)
    for session in (deaf, blocked):
        session.queue.clear()
    talk(marks, star, hearers, 'b')
    star.end()
    hub.until(lambda: star.ended, 'the end of the sender')
    marks.flush(live, [])
    for contact in hearers:
        assert statuses(contact, star)[-1] == 'unavailable', contact.jid
    for contact in (deaf, blocked):
        assert statuses(contact, star) == [], contact.jid


def block(session, jid):
    session.send("<iq type='set' id='b'><block xmlns='%s'><item jid=%s/></block></iq>" % (NS_BLOCKING, attr(jid)))


def start(link, bare):
    link.create(bare)
    session = link.start(bare + '/r')
    session.send('<presence/>')
    return session


def talk(marks, star, hearers, letter):
    due = ['%s%d' % (letter, i) for i in range(CHANGES)]
    for session in hearers:
        session.queue.clear()
    for i, ident in enumerate(due):
        star.send("<presence id='%s'><show>away</show><status>&lt;%d&gt; &amp; 'so' on</status></presence>" % (ident, i))
    # Some of them share a shard with those who must not hear it: what went there has been worked off.
    marks.flush([star] + hearers, [])
    for contact in hearers:
        assert not contact.faults, contact.faults[0]
        assert statuses(contact, star) == due, '%s heard %s' % (contact.jid, statuses(contact, star))
        for i, node in enumerate(n for n in contact.queue if n.get('id') in due):
            text = [e.text() for e in node.elements() if e.name == 'status']
            assert text == ["<%d> & 'so' on" % i] and node.get('to') == contact.jid, (contact.jid, text)


def main():
    need_shardsm()
    report = Report()
    for workers in (1, 4):
        report.case('%d contacts, %d workers' % (CONTACTS, workers), run, workers)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
