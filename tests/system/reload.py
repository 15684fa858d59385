#!/usr/bin/python3
"""reload.py - sm.xml read again by a running server (defect O7): what changes at once, what stays, and that nothing is lost meanwhile.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

usage: reload.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import os
import re
import signal
import time

from component import FakeC2S, Hub, Session
from servers import SECONDS, World, run_cases

DOMAIN = 'reload.test'
NS_ROSTER = 'jabber:iq:roster'
NS_INFO = 'http://jabber.org/protocol/disco#info'
NS_ITEMS = 'http://jabber.org/protocol/disco#items'


class Site:
    """A server with a c2s, whose file can be edited and read again."""

    def __init__(self, world, extra='', **options):
        self.world = world
        self.process, self.port = world.listening_shardsm([DOMAIN], extra=extra, **options)
        with open(world.path('sm.xml')) as f:
            self.first = f.read()
        self.hub = Hub()
        self.c2s = self.link('c2s')
        self.c2s.online(DOMAIN)

    def link(self, name, **kw):
        return FakeC2S(self.hub, ('127.0.0.1', self.port), name, **kw).connect()

    def user(self, name, resource='r'):
        self.c2s.create('%s@%s' % (name, DOMAIN))
        return self.c2s.start('%s@%s/%s' % (name, DOMAIN, resource))

    ask = staticmethod(Session.ask)

    def edit(self, *changes):
        """The first file with those changes."""
        text = self.first
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        self.world.write('sm.xml', text)

    def reload(self, good=True):
        """Sends SIGHUP; the lines that the log has about it."""
        before = len(self.process.lines)
        self.process.kill(signal.SIGHUP)
        self.process.wait_line(': read again, in force' if good else 'the old configuration stays in force', before)
        return '\n'.join(self.process.lines[before:])

    def close(self):
        self.hub.close()


def acls(site):
    """Who may send to everybody."""
    carl = site.user('carl')
    carl.send('<presence/>')
    message = "<message to='%s/announce/online' id='a'><body>x</body></message>" % DOMAIN

    def may():
        carl.send(message)
        while True:
            got = carl.next('the announcement, or that it is forbidden')
            if got.name == 'message':
                return got.get('type') != 'error'
    assert not may()
    site.edit(("<acl type='all'>", "<acl type='broadcast'><jid>carl@%s</jid></acl><acl type='all'>" % DOMAIN))
    site.reload()
    assert may()
    site.edit()
    site.reload()
    assert not may()


def limits(site):
    """Of users, of packets, of accounts."""
    alice = site.user('alice')
    body = "<message to='%s' id='m'><body>%s</body></message>" % (alice.jid, 'x' * 6000)
    alice.send(body)
    assert alice.next('a message').get('id') == 'm'
    site.edit(('<roster></roster>', '<roster><maxitems>1</maxitems></roster>'), ('<user><template>', '<user><auto-create/><template>'),
              ('</sm>', '<limits><frame-bytes>5000</frame-bytes><privacy-lists>1</privacy-lists></limits></sm>'))
    site.reload()
    for i, kind in enumerate(('result', 'error')):
        got = site.ask(alice, 'set', "<query xmlns='%s'><item jid='x%d@y.test'/></query>" % (NS_ROSTER, i))
        assert got.get('type') == kind, got
        got = site.ask(alice, 'set', "<query xmlns='jabber:iq:privacy'><list name='l%d'><item action='allow' order='1'/></list></query>" % i)
        assert got.get('type') == kind, got
    assert site.c2s.start('nobody@%s/r' % DOMAIN).sm, 'an account is made'
    # a link that was there already has the new limit too
    other = site.link('c2s-large')
    other.online(DOMAIN)
    session = other.start('alice@%s/large' % DOMAIN)
    session.send(body)
    site.hub.until(lambda: other.eof or session.queue, 'the end of the link that sent too much, or an answer')
    if not other.eof:
        assert session.next('an answer').get('type') == 'error'
    site.edit()
    site.reload()
    alice.send(body)
    while alice.next('the large message').get('id') != 'm':
        pass


def texts(site):
    """Templates, and what the server says of itself."""
    template = site.world.write('roster.xml', "<query xmlns='%s'><item jid='help@y.test' name='Help'/></query>" % NS_ROSTER)
    alice = site.user('alice')

    def contacts(session):
        return [i.get('jid') for i in site.ask(session, 'get', "<query xmlns='%s'/>" % NS_ROSTER).find('query').elements()]
    assert contacts(alice) == []
    site.edit(('<template></template>', '<template><roster>%s</roster></template>' % template),
              ('<identity><category>server</category><type>im</type><name>Jabber IM server<',
               '<identity><category>gateway</category><type>sms</type><name>Renamed<'), ('<agents/>', ''),
              ("<items></items>", "<items><item jid='rooms.test' name='Rooms'/></items>"),
              ('<discovery>', '<discovery><serverinfo><admin-addresses><value>xmpp:me@x.test</value></admin-addresses></serverinfo>'),
              ('<offline></offline>', '<offline><dropmessages/></offline>'),
              ('<amp></amp>', '<amp><disableactions><drop/></disableactions></amp>'))
    site.reload()
    assert contacts(site.user('bob')) == ['help@y.test']
    info = site.ask(alice, 'get', "<query xmlns='%s'/>" % NS_INFO, DOMAIN)
    identity = info.find('query').find('identity')
    assert [identity.get(a) for a in ('category', 'type', 'name')] == ['gateway', 'sms', 'Renamed'], info
    assert 'jabber:iq:agents' not in str(info), info
    assert site.ask(alice, 'get', "<query xmlns='jabber:iq:agents'/>", DOMAIN).get('type') == 'error'
    assert 'xmpp:me@x.test' in str(info), info
    items = site.ask(alice, 'get', "<query xmlns='%s'/>" % NS_ITEMS, DOMAIN).find('query').elements()
    assert ('rooms.test', 'Rooms') in [(i.get('jid'), i.get('name')) for i in items], items
    site.c2s.create('away@' + DOMAIN)
    alice.send("<message to='away@%s' id='gone'><body>x</body></message>" % DOMAIN)
    got = alice.next('the message, come back')
    assert (got.get('id'), got.get('type')) == ('gone', 'error'), got
    site.edit()
    site.reload()
    items = site.ask(alice, 'get', "<query xmlns='%s'/>" % NS_ITEMS, DOMAIN).find('query').elements()
    assert 'rooms.test' not in [i.get('jid') for i in items], items
    assert contacts(site.user('cat')) == []


def passwords(site):
    """Those that components log in with."""
    listen = "<port>%d</port><user>jabberd</user><pass>" % site.port
    site.edit((listen + 'secret<', listen + 'other<'))
    site.reload()
    assert site.link('late', password='other').online(DOMAIN) is None
    alice = site.user('alice')   # those that are in stay in
    assert site.ask(alice, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN).get('type') == 'result'
    try:
        site.link('wrong', password='secret')
    except Exception:
        pass
    else:
        raise AssertionError('the old password is still good')
    # other addresses need a restart, and their passwords with them: those of the addresses that are there stay
    for port in (5, 6):
        site.edit((listen + 'secret<', '<port>%d</port><user>%s</user><pass>moved<' % (port, 'x' * 64)))
        assert 'addresses of listen' in site.reload()
        assert site.link('moved-%d' % port, password='other').online(DOMAIN) is None
    site.edit()
    site.reload()
    assert site.link('again').online(DOMAIN) is None


def log(site):
    """Another place for the log."""
    path = site.world.path('other.log')
    site.edit(("<log type='stdout'><file>", "<log type='file'><file>%s</file><ident>x</ident><!--" % path), ('</file></log>', '--></log>'))
    before = len(site.process.lines)
    site.process.kill(signal.SIGHUP)
    site.hub.until(lambda: site.hub.pump(0.01) or (os.path.exists(path) and 'read again' in open(path).read()), 'the other log')
    site.user('dora')
    site.hub.until(lambda: site.hub.pump(0.01) or 'session started: jid=dora@' in open(path).read(), 'a line in the other log')
    assert 'dora' not in '\n'.join(site.process.lines[before:])
    site.edit()
    site.process.kill(signal.SIGHUP)
    site.process.wait_line('read again', before)
    site.user('emil')
    site.process.wait_line('session started: jid=emil@', before)


def bad_files(site):
    """Every fault is told, and nothing changes."""
    alice = site.user('alice')

    def same():
        info = site.ask(alice, 'get', "<query xmlns='%s'/>" % NS_INFO, DOMAIN)
        return info.find('query').find('identity').get('name') == 'Jabber IM server'
    renamed = ('<name>Jabber IM server<', '<name>Renamed<')
    site.edit(renamed, ('<roster></roster>', '<roster><maxitems>many</maxitems></roster>'),
              ('</sm>', '<limits><depth>1</depth></limits></sm>'), ("<acl type='all'>", "<acl type='all'><jid>@@</jid>"),
              ('<busy-timeout>5000', '<busy-timeout>soon'))
    told = site.reload(good=False)
    for what in ('roster.maxitems: "many" is not a number', 'limits.depth: "1" is not', '"@@" is not a JID', 'busy-timeout: "soon"'):
        assert what in told, told
    assert same()
    site.edit(renamed, ('</sm>', '</ms>'))
    site.reload(good=False)
    assert same()
    os.remove(site.world.path('sm.xml'))
    assert 'No such file' in site.reload(good=False)
    assert same()
    site.edit(renamed)
    site.reload()
    assert not same()


def restart_needed(site):
    """What cannot change is named, and the rest is in force."""
    site.edit(('<workers>4<', '<workers>2<'), ('<id>reload.test</id>', '<id>reload.test</id><id>more.test</id>'),
              ('<module>iq-ping</module>', ''), ('PRAGMA synchronous = NORMAL;', ''), ('<port>%d<' % site.port, '<port>5<'),
              ('<name>Jabber IM server<', '<name>Renamed<'))
    told = site.reload()
    for what in ('threads', 'local', 'modules', 'storage'):
        assert re.search(r'%s is another one now: that needs a restart' % what, told), (what, told)
    assert 'addresses of listen' in told and ' router is' not in told, told
    alice = site.user('alice')
    info = site.ask(alice, 'get', "<query xmlns='%s'/>" % NS_INFO, DOMAIN)
    assert info.find('query').find('identity').get('name') == 'Renamed', info
    assert site.ask(alice, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN).get('type') == 'result'
    site.edit()
    assert 'restart' not in site.reload()


def under_load(site):
    """Messages in both directions while the file is read again a thousand times: each comes, in order."""
    pairs = [(site.user('a%d' % i), site.user('b%d' % i)) for i in range(8)]
    long = '<name>%s<' % ('Renamed ' * 20)
    got, reloads, sent = {}, 0, 0
    before = len(site.process.lines)
    for session in (s for pair in pairs for s in pair):
        got[session.jid] = 0
    deadline = time.monotonic() + 10 * SECONDS
    while reloads < 1000 or min(got.values()) < sent:
        assert time.monotonic() < deadline, '%d reloads, %s' % (reloads, got)
        if reloads < 1000:
            site.edit(*([('<name>Jabber IM server<', long)] if sent % 2 else []))
            site.process.kill(signal.SIGHUP)
            for one, other in pairs:
                one.send("<message to='%s' id='%d' type='chat'><body>x</body></message>" % (other.jid, sent))
                other.send("<message to='%s' id='%d' type='chat'><body>x</body></message>" % (one.jid, sent))
            sent += 1
        site.hub.pump(0.002)
        for session in (s for pair in pairs for s in pair):
            while session.queue:
                message = session.next('a message')
                assert message.get('id') == str(got[session.jid]), (session.jid, message, got[session.jid])
                got[session.jid] += 1
        reloads = sum(': read again, in force' in line for line in site.process.lines[before:])
    info = site.ask(pairs[0][0], 'get', "<query xmlns='%s'/>" % NS_INFO, DOMAIN)
    assert info.find('query').find('identity').get('name') in ('Jabber IM server', ('Renamed ' * 20).strip()), info
    print('# %d messages during %d reloads' % (sum(got.values()), reloads))


CASES = (acls, limits, texts, passwords, log, bad_files, restart_needed, under_load)


def run(case):
    with World() as world:
        site = Site(world)
        try:
            case(site)
            assert site.process.stop() == 0, 'exit status:\n' + site.process.tail()
        finally:
            site.close()


if __name__ == '__main__':
    sys.exit(run_cases(CASES, run))
