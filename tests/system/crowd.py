#!/usr/bin/python3
"""crowd.py - very many sessions at once: their rows when their c2s is gone, their JIDs for an admin while they are there.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

Rows of a burst are written together, so each user's must still be that user's, and the last ones of a crowd come too.
"""
import sys
sys.dont_write_bytecode = True
import sqlite3

from component import FakeC2S, Hub, Session
from servers import Report, World, need_shardsm

DOMAIN = 'crowd.test'
USERS = 300


def start_all(c2s, jids):
    """All asked for before the first answer."""
    sessions = [Session(c2s, jid, c2s.new_id()) for jid in jids]
    for session in sessions:
        session.start(answer=False)
    for session in sessions:
        c2s.finish_start(session, c2s.answer('start', session.cid))
    return sessions


def rows(world, table, columns):
    db = sqlite3.connect(world.db)
    found = list(db.execute('SELECT "collection-owner", %s FROM "%s"' % (columns, table)))
    db.close()
    return found


def status_of(world, word):
    """The owners of the rows of status that say the word."""
    return sorted(owner for owner, status in rows(world, 'status', 'status') if status == word)


def last_presence_of_each(world, hub, c2s, sessions):
    everybody = sorted(s.bare for s in sessions)
    for session in sessions:
        session.send("<presence><show>away</show><status>I am %s</status></presence>" % session.bare)
    c2s.hub.until(lambda: all(s.queue for s in sessions), 'its own presence for everybody')
    c2s.close()
    hub.until(lambda: status_of(world, 'offline') == everybody, 'every row of status to say offline', 60)
    hub.until(lambda: len(rows(world, 'logout', 'time')) == USERS, 'a row of logout for everybody', 60)
    assert sorted(owner for owner, _ in rows(world, 'logout', 'time')) == everybody, 'somebody has two'
    for owner, show, login, logout, xml in rows(world, 'status', '"show", "last-login", "last-logout", "xml"'):
        assert show == '' and 0 < login <= logout, (owner, show, login, logout)
        assert '<status>I am %s</status>' % owner in xml, (owner, xml)


def listed(hub, sessions, admin):
    """Service discovery's list of sessions, which other threads than theirs read."""
    admin.send("<iq type='get' id='list' to='%s'><query xmlns='http://jabber.org/protocol/disco#items' node='sessions'/></iq>" %
               DOMAIN)
    answer = admin.next('the list of sessions')
    found = sorted(item.get('jid') for item in answer.find('query').elements())
    assert found == sorted(s.jid for s in sessions), '%d JIDs of %d: %s' % (len(found), len(sessions), found[:3])


def crowd():
    with World() as world:
        _, port = world.listening_shardsm([DOMAIN], extra='<user><auto-create/></user>')
        hub = Hub()
        c2s = FakeC2S(hub, ('127.0.0.1', port), 'c2s-crowd').connect()
        other = FakeC2S(hub, ('127.0.0.1', port), 'c2s-other').connect()
        admin = other.start('admin@%s/a' % DOMAIN)
        sessions = start_all(c2s, ['user%d@%s/%s' % (i, DOMAIN, r) for i in range(USERS // 2) for r in 'ab'])
        listed(hub, sessions + [admin], admin)
        for session in sessions[:USERS // 2]:
            session.end()
        for session in sessions[:USERS // 2]:
            hub.until(lambda: session.ended, 'ended for ' + session.jid)
        listed(hub, sessions[USERS // 2:] + [admin], admin)
        other.end(admin)
        hub.close()


def leaving():
    with World() as world:
        _, port = world.listening_shardsm([DOMAIN], extra='<user><auto-create/></user>')
        hub, crowds = Hub(), Hub()
        FakeC2S(hub, ('127.0.0.1', port), 'c2s-other').connect()
        c2s = FakeC2S(crowds, ('127.0.0.1', port), 'c2s-crowd').connect()
        sessions = start_all(c2s, ['user%d@%s/r' % (i, DOMAIN) for i in range(USERS)])
        online = sorted(s.bare for s in sessions)
        hub.until(lambda: status_of(world, 'online') == online, 'every row of status to say online', 60)
        last_presence_of_each(world, hub, c2s, sessions)
        crowds.close()
        hub.close()


def main():
    need_shardsm()
    report = Report()
    report.case('rows of a crowd', leaving)
    report.case('sessions of a crowd', crowd)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
