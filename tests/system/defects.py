#!/usr/bin/python3
"""defects.py - the known defects of jabberd2's sm 2.7.0: each is named by a test, and those that no transcript can show are tested here.
Threads: one, a log reader for each server, and where it is said a thread that watches the database.
Owns: the servers that it starts.

usage: defects.py [--stock] [ROW...]   --stock runs the cases against jabberd2's own sm, where each must fail.
"""
import sys
sys.dont_write_bytecode = True
import glob
import hashlib
import os
import re
import signal
import socket
import sqlite3
import threading
import time

from component import FakeC2S, Hub, Session, attr
from database import PostgresqlServer
from fake_router import FakeRouter
from run_transcripts import Server
from servers import SBIN, SECONDS, Report, World, free_port, need_jabberd2, need_shardsm

HERE = os.path.dirname(os.path.abspath(__file__))
DOMAIN = 'defects.test'
NS_ROSTER = 'jabber:iq:roster'

# Each row, and what is wrong there. A test names the rows that it shows.
ROWS = {
    'S1': 'SQL injection through filter values', 'S2': 'unblocking a long JID overflows a buffer', 'S3': 'an AMP rule without an action',
    'S4': 'a namespace with a quote in it', 'S5': "presence from another resource's name", 'S6': 'disco shows strangers which accounts exist',
    'S7': 'a deleted account can still log in', 'S8': 'session ids can be guessed', 'S9': 'elements and attributes that are not there',
    'S10': 'session ids are looked up without their namespace',
    'P1': "disco#info of a client's full JID", 'P2': 'a storm of presences among own resources', 'P3': 'own presence is not reflected',
    'P4': 'presence before the approval', 'P5': 'requests that wait are lost', 'P6': 'approval without a request',
    'P7': 'a subscription to a full JID', 'P8': 'roster versions', 'P9': 'pushes without a version', 'P10': 'delivery by type',
    'P11': 'errors are stored', 'P12': 'the answer to unknown requests', 'P13': 'requests of blocked JIDs', 'P14': 'pushes of blocks',
    'P15': 'unblocking for good', 'P16': 'declining a default list for good', 'P17': 'pushes and conflicts of privacy lists',
    'P18': 'message expiry', 'P19': 'messages of the day', 'P20': 'negative priorities', 'P21': 'stored messages deleted undelivered',
    'P22': 'vCards lose fields', 'P23': 'no vCard', 'P24': "somebody else's roster", 'P25': 'vacation replies', 'P26': 'unavailable from all',
    'P27': 'odd time zones', 'P28': 'AMP answers', 'P29': "an account's features and items", 'P30': 'announcements',
    'O1': 'the database blocks everybody', 'O2': 'giving up is no success', 'O3': 'ghosts and zombies', 'O4': 'failed starts are heard',
    'O5': 'bind and connect errors at start', 'O6': 'a bad roster template', 'O8': 'loading what nobody needs', 'O9': 'atomic rows, times and text',
    'O7': 'no reload, no metrics, no administration',
}


def rows_are_named():
    """Every row stands in a transcript's comments or in a test program's text, in a test that is run."""
    named = {}
    for path in glob.glob(HERE + '/transcripts/*.txt'):
        with open(path, encoding='utf-8') as f:
            note(named, path, ''.join(line for line in f if line.startswith('#')))
    programs = [p for p in glob.glob(HERE + '/*.py') if os.path.basename(p) != 'defects.py'] + glob.glob(HERE + '/../module/*.c')
    for path in programs:
        with open(path, encoding='utf-8') as f:
            note(named, path, f.read())
    for row in CASES:
        named.setdefault(row, []).append('defects.py')
    missing = [row for row in ROWS if row not in named]
    assert not missing, 'no test is about ' + ', '.join('%s (%s)' % (row, ROWS[row]) for row in missing)


def note(named, path, text):
    for row in set(re.findall(r'\b[SPO]\d{1,2}\b', text)):
        named.setdefault(row, []).append(os.path.basename(path))


class Bench:
    """A server with a c2s."""

    def __init__(self, world, stock, server=None):
        self.server = server or Server(world, [DOMAIN], stock, 4, 'scan')
        self.hub = Hub()
        self.c2s = self.link('c2s-defects')
        self.c2s.online(DOMAIN)

    def link(self, name):
        return FakeC2S(self.hub, self.server.address(), name).connect()

    def user(self, name, resource='r', link=None):
        self.c2s.create('%s@%s' % (name, DOMAIN))
        return (link or self.c2s).start('%s@%s/%s' % (name, DOMAIN, resource))

    ask = staticmethod(Session.ask)

    def set(self, session, payload):
        got = self.ask(session, 'set', payload)
        assert got.get('type') == 'result', got
        return got

    def close(self):
        self.hub.close()


# -- security -------------------------------------------------------------------------------------------------------------

HOSTILE = ("x'); CREATE TABLE pwned(i int); --", "x\\'); CREATE TABLE pwned(i int); --", "'||(SELECT 1)||'", "$$); DROP TABLE active; --", "\\", "'",
           '"; DROP TABLE "active"; --', "(a=1)(b)", ")", "*)(jid=*")


def hostile_texts(bench, tables):
    """Each text, wherever a client may put one that becomes part of a query; it comes back as it went in. tables() stays as it is."""
    before = tables()
    alice, bob = bench.user('alice'), bench.user('bob')
    for i, text in enumerate(HOSTILE):
        a = attr(text)
        jid = attr('a%d@%s/%s' % (i, DOMAIN, text))
        bench.set(alice, "<query xmlns='%s'><item jid=%s name=%s><group>%s</group></item></query>" % (NS_ROSTER, jid, a, a[1:-1]))
        items = bench.ask(alice, 'get', "<query xmlns='%s'/>" % NS_ROSTER).find('query').elements()
        assert text in [item.get('name') for item in items], 'the roster holds %s' % [item.get('name') for item in items]
        assert 'a%d@%s/%s' % (i, DOMAIN, text) in [item.get('jid') for item in items]
        bench.set(alice, "<query xmlns='%s'><item jid=%s subscription='remove'/></query>" % (NS_ROSTER, jid))
        bench.set(alice, "<vCard xmlns='vcard-temp'><FN>%s</FN></vCard>" % a[1:-1])
        fn = bench.ask(bob, 'get', "<vCard xmlns='vcard-temp'/>", alice.bare).find('vCard').find('FN')
        assert fn.text() == text, fn
        # names and namespaces may be refused; what is taken is given back
        if bench.ask(alice, 'set', "<query xmlns='jabber:iq:privacy'><list name=%s><item action='allow' order='1'/></list></query>" % a).get('type') == 'result':
            lists = bench.ask(alice, 'get', "<query xmlns='jabber:iq:privacy'/>").find('query').elements()
            assert text in [l.get('name') for l in lists], lists
            bench.set(alice, "<query xmlns='jabber:iq:privacy'><list name=%s/></query>" % a)
        bench.set(alice, "<block xmlns='urn:xmpp:blocking'><item jid=%s/></block>" % jid)
        bench.set(alice, "<unblock xmlns='urn:xmpp:blocking'><item jid=%s/></unblock>" % jid)
        namespace = re.sub('[\'"|<>&]', '', text) or 'urn:x'   # what jabberd2's router would break of
        bench.ask(alice, 'set', "<query xmlns='jabber:iq:private'><x xmlns=%s/></query>" % attr(namespace))
        bench.c2s.command('create', '%s@%s' % (text, DOMAIN), '1', to=DOMAIN)
        bench.c2s.answer('create')
        alice.send("<message to=%s><body>%s</body></message>" % (attr(text + '@' + DOMAIN), a[1:-1]))
        assert tables() == before, '%s: the tables are others now' % text
    assert bench.ask(alice, 'get', "<query xmlns='%s'/>" % NS_ROSTER).get('type') == 'result'
    assert bench.user('carol').sm   # accounts are what they were


def s1_sqlite(world, stock):
    bench = Bench(world, stock)
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"
    hostile_texts(bench, lambda: query(world, tables))
    bench.close()


def query(world, sql):
    db = sqlite3.connect(world.db)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


class OnPostgreSQL(Server):
    def __init__(self, world, database, stock):
        self.database = database
        super().__init__(world, [DOMAIN], stock, 4, 'scan')

    def start(self):
        self.router, self.port = self.world.router()
        config = self.world.sm_config([DOMAIN], router=self.port, workers=0 if self.stock else 4)
        self.database.configure(config)
        self.process = self.world.stock_sm(config) if self.stock else self.world.shardsm(config)
        self.process.wait_line('ready for sessions')


def s1_pgsql(world, stock):
    if not PostgresqlServer.there():
        print('# S1 not run on PostgreSQL: its server is not installed')
        return
    server = PostgresqlServer(world)
    try:
        database = server.database()
        bench = Bench(world, stock, OnPostgreSQL(world, database, stock))
        hostile_texts(bench, lambda: database.ask('SELECT count(*) FROM information_schema.tables;'))
        assert bench.server.process.running()
        bench.close()
        bench.server.process.stop()
    finally:
        server.close()


def s8(world, stock):
    """128 bits that nobody knows behind the tag of the account; no id of a request comes twice, and none tells the next."""
    bench = Bench(world, stock)
    ids = []
    for user in ('alice', 'bob'):
        bench.c2s.create('%s@%s' % (user, DOMAIN))
        mine = []
        for _ in range(64):   # the same JID again and again, many in one second
            session = bench.c2s.start('%s@%s/r' % (user, DOMAIN))
            mine.append(session.sm)
            now = time.time()
            bench.c2s.end(session)
            for second in range(-2, 3):
                stamp = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(now + second))
                assert session.sm != hashlib.sha1((stamp + session.jid).encode()).hexdigest(), 'it is made of the time and the JID'
        ids.append(mine)
    every = ids[0] + ids[1]
    assert len(set(every)) == len(every), 'an id came twice'
    for ident in every:
        assert re.fullmatch('[0-9a-f]{40}', ident), ident
    for mine in ids:
        assert len({i[:8] for i in mine}) == 1, 'more than one tag for an account'
    assert ids[0][0][:8] != ids[1][0][:8], 'one tag for both accounts'
    values = [int(i[8:], 16) for i in every]
    for bit in range(128):
        ones = sum(v >> bit & 1 for v in values)
        assert 24 < ones < 104, 'bit %d is set in %d of 128 ids' % (bit, ones)
    session = bench.c2s.start('alice@%s/r' % DOMAIN)
    bench.ask(session, 'get', "<query xmlns='%s'/>" % NS_ROSTER)
    pushes = set()
    for i in range(64):
        session.send("<iq type='set' id='s'><query xmlns='%s'><item jid='x%d@y.test'/></query></iq>" % (NS_ROSTER, i))
        for got in (session.next('push or result'), session.next('result or push')):
            if got.get('type') == 'set':
                pushes.add(got.get('id'))
    assert len(pushes) == 64, '%d different ids of 64 pushes' % len(pushes)
    for part in (slice(0, 8), slice(8, 16)):
        assert len({i[part] for i in pushes}) == 64, 'who knows one id of a push can guess the next: %s' % sorted(pushes)[:4]
    bench.close()


# -- protocol -------------------------------------------------------------------------------------------------------------

def p21(world, stock):
    """A c2s that dies with its pipe full: what was not written to it is still stored."""
    bench = Bench(world, stock)
    alice = bench.user('alice')
    bench.c2s.create('bob@' + DOMAIN)
    text = 'x' * 60000
    count = 400   # more than two sockets hold
    for i in range(count):
        alice.send("<message to='bob@%s' id='q%d' type='chat'><body>%s</body></message>" % (DOMAIN, i, text))
    bench.ask(alice, 'get', "<x xmlns='urn:x'/>", 'bob@' + DOMAIN)
    deaf_hub = Hub()   # read when it is asked, and not while others are
    deaf = FakeC2S(deaf_hub, bench.server.address(), 'c2s-deaf').connect()
    deaf.online(DOMAIN)
    bob = deaf.start('bob@%s/deaf' % DOMAIN)
    bob.send('<presence/>')
    deaf_hub.until(lambda: bob.queue, 'the first message')
    bench.ask(alice, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN)
    deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    deaf_hub.close()
    bench.hub.until(lambda: bench.c2s.adverts.get('c2s-deaf') is False, 'the end of the deaf c2s')
    bob = bench.c2s.start('bob@%s/r' % DOMAIN)
    bob.send('<presence/>')
    got = []
    while not got or got[-1] != 'q%d' % (count - 1):
        ident = bob.next('a stored message (%d came)' % len(got)).get('id', '')
        if ident.startswith('q'):
            got.append(ident)
    first = int(got[0][1:])
    assert got == ['q%d' % i for i in range(first, count)], 'not in order, or not all from the first: %s ...' % got[:5]
    bench.close()


ZONES = (('IST-5:30', '+05:30'), ('NST3:30', '-03:30'), ('UTC0', '+00:00'), ('CET-1CEST,J1/0,J365/25', '+02:00'), ('NPT-5:45', '+05:45'))


def p27(world, stock):
    for zone, offset in ZONES:
        os.environ['TZ'] = zone
        try:
            with World() as own:
                bench = Bench(own, stock)
                answer = bench.ask(bench.user('alice'), 'get', "<time xmlns='urn:xmpp:time'/>", DOMAIN)
                tzo = answer.find('time').find('tzo').text()
                bench.close()
        finally:
            del os.environ['TZ']
        assert tzo == offset, '%s: %s instead of %s' % (zone, tzo, offset)


# -- operations -----------------------------------------------------------------------------------------------------------

def o1(world, stock):
    """While a write waits for the database, everybody else goes on; and the write is done when it can be."""
    bench = Bench(world, stock)
    alice, bob, carol = (bench.user(u) for u in ('alice', 'bob', 'carol'))
    for session in (bob, carol):
        session.send('<presence/>')
        bench.ask(session, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN)
    lock = sqlite3.connect(world.db, isolation_level=None)
    lock.execute('BEGIN EXCLUSIVE')
    alice.send("<iq type='set' id='slow'><query xmlns='%s'><item jid='x@y.test'/></query></iq>" % NS_ROSTER)
    began = time.monotonic()
    for i in range(50):
        bob.send("<message to='carol@%s/r' id='m%d' type='chat'><body>x</body></message>" % (DOMAIN, i))
        while carol.next('a message while the database is locked').get('id') != 'm%d' % i:
            pass
    assert time.monotonic() - began < 2, 'fifty messages took %.1f s' % (time.monotonic() - began)
    assert not alice.queue, 'answered before it was written: %s' % alice.queue[0]
    lock.execute('COMMIT')
    lock.close()
    got = alice.next('the answer of the database')
    assert (got.get('id'), got.get('type')) == ('slow', 'result'), got
    bench.close()


def o2(world, stock):
    """A router that does not come back: the exit status says that this was no normal end."""
    router, port = world.router()
    config = world.sm_config([DOMAIN], router=port, retry=(1, 1), workers=0 if stock else 2)
    process = world.stock_sm(config) if stock else world.shardsm(config)
    process.wait_line('ready for sessions')
    router.stop(signal.SIGKILL)
    status = process.wait(10)
    assert status != 0, 'exit status 0:\n' + process.tail()


def o5_bind(world, stock):
    """A domain that the router refuses is no detail: it is named, and the exit status is not 0."""
    hub = Hub()
    router = FakeRouter(hub)
    config = world.sm_config([DOMAIN, 'second.test'], router=router.port, retry=(0, 0), workers=0 if stock else 2)
    argv = [os.path.join(SBIN, 'jabberd2-sm')] if stock else None
    process = world.run('sm', argv + ['-c', config]) if stock else world.shardsm(config)
    sm = router.accept()
    bind = type(sm).on_element

    def refuse_second(node):
        sm.bind_error = 403 if node.get('name') == 'second.test' else 0
        return bind(sm, node)
    sm.on_element = refuse_second
    try:
        hub.until(lambda: sm.eof, 'the sm to give up')
        assert process.wait(10) != 0, 'exit status 0:\n' + process.tail()
        assert 'second.test' in '\n'.join(process.lines[4:]) or '403' in '\n'.join(process.lines), process.tail()
    finally:
        router.close()


def o5_connect(world, stock):
    """An address that cannot be reached at all is a failed attempt like any other: no start that hangs."""
    config = world.sm_config([DOMAIN], router=free_port(), retry=(1, 1), workers=0 if stock else 2)
    with open(config) as f:
        text = f.read()
    world.write('sm.xml', text.replace('<router><ip>127.0.0.1<', '<router><ip>255.255.255.255<'))
    process = world.run('sm', [os.path.join(SBIN, 'jabberd2-sm'), '-c', config]) if stock else world.shardsm(config)
    assert process.wait(min(6, SECONDS)) != 0, 'exit status 0:\n' + process.tail()


def o6(world, stock):
    """A template with items that are none: they are left out, the others are there."""
    template = world.write('roster.xml', "<query xmlns='%s'>\n<item name='none'/>\n<item jid='@@@' name='bad'/>\n"
                           "<item jid='help@y.test' name='Help' subscription='both'><group>Support</group></item>\n</query>\n" % NS_ROSTER)

    class WithTemplate(Server):
        def start(self):
            extra = '<user><template><roster>%s</roster></template></user>' % template
            self.options['extra'] = extra
            if not self.stock:
                return super().start()
            self.world.make_schema()
            self.router, self.port = self.world.router()
            self.process = self.world.stock_sm(self.world.sm_config(self.domains, router=self.port, workers=0, extra=extra))
            return None
    bench = Bench(world, stock, WithTemplate(world, [DOMAIN], stock, 4, 'scan'))
    alice = bench.user('alice')
    items = bench.ask(alice, 'get', "<query xmlns='%s'/>" % NS_ROSTER).find('query').elements()
    assert [(i.get('jid'), i.get('name')) for i in items] == [('help@y.test', 'Help')], [str(i) for i in items]
    bench.close()


def o8(world, stock):
    """A message for somebody who is away needs no roster: with that table out of reach it is stored all the same."""
    bench = Bench(world, stock)
    alice = bench.user('alice')
    bench.c2s.create('bob@' + DOMAIN)
    change(world, 'ALTER TABLE "roster-items" RENAME TO "roster-away"')
    alice.send("<message to='bob@%s' id='m' type='chat'><body>x</body></message>" % DOMAIN)
    got = bench.ask(alice, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN)
    deadline = time.monotonic() + SECONDS
    while not query(world, 'SELECT 1 FROM queue') and time.monotonic() < deadline:
        bench.hub.pump(0.02)
        assert not alice.queue, 'it came back: %s' % alice.queue[0]
    assert query(world, 'SELECT 1 FROM queue'), 'it was not stored'
    assert got.get('type') == 'result'
    change(world, 'ALTER TABLE "roster-away" RENAME TO "roster-items"')
    bob = bench.c2s.start('bob@%s/r' % DOMAIN)
    bob.send('<presence/>')
    while bob.next('the message').get('id') != 'm':
        pass
    bench.close()


def change(world, sql):
    db = sqlite3.connect(world.db, timeout=5)
    with db:
        db.execute(sql)
    db.close()


def o9_rows(world, stock):
    """Who reads the database beside the server sees the old vCard or the new one, never none and never two."""
    bench = Bench(world, stock)
    alice = bench.user('alice')
    bench.set(alice, "<vCard xmlns='vcard-temp'><FN>0</FN></vCard>")
    seen, stop = {}, threading.Event()

    def watch():
        db = sqlite3.connect(world.db)
        while not stop.is_set():
            n = db.execute('SELECT count(*) FROM vcard').fetchone()[0]
            seen[n] = seen.get(n, 0) + 1
        db.close()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for i in range(300):
            bench.set(alice, "<vCard xmlns='vcard-temp'><FN>%d</FN></vCard>" % i)
    finally:
        stop.set()
        watcher.join()
    assert set(seen) == {1}, 'how many rows were seen, and how often: %s' % seen
    bench.close()


def o9_text_and_times(world, stock):
    """Characters of four bytes, and times after 2038."""
    assert not stock, "jabberd2's clock cannot be moved"
    clock = world.write('clock', str(20 * 366 * 86400))
    os.environ['SHARDSM_CLOCK_OFFSET_FILE'] = clock
    try:
        bench = Bench(world, stock)
    finally:
        del os.environ['SHARDSM_CLOCK_OFFSET_FILE']
    alice, bob = bench.user('alice'), bench.user('bob')
    name = '\U0001F600 \U00020000 \u00e4'
    bench.set(alice, "<query xmlns='%s'><item jid='x@y.test' name=%s/></query>" % (NS_ROSTER, attr(name)))
    bench.c2s.end(alice)
    alice = bench.c2s.start(alice.jid)
    items = bench.ask(alice, 'get', "<query xmlns='%s'/>" % NS_ROSTER).find('query').elements()
    assert [i.get('name') for i in items] == [name], items
    utc = bench.ask(alice, 'get', "<time xmlns='urn:xmpp:time'/>", DOMAIN).find('time').find('utc').text()
    assert utc > '2040', utc
    for session, kind, to in ((alice, 'subscribe', bob), (bob, 'subscribed', alice)):
        session.send("<presence type='%s' to='%s'/>" % (kind, to.bare))
        bench.ask(session, 'get', "<x xmlns='urn:x'/>", to.bare)
        bench.ask(to, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN)
    bench.c2s.end(bob)
    seconds = int(bench.ask(alice, 'get', "<query xmlns='jabber:iq:last'/>", bob.bare).find('query').get('seconds'))
    assert 0 <= seconds < 60, '%d seconds since a moment ago' % seconds
    alice.send("<message to='%s' id='m'><body>x</body></message>" % bob.bare)
    bench.ask(alice, 'get', "<x xmlns='urn:x'/>", bob.bare)
    bob = bench.c2s.start(bob.jid)
    bob.send('<presence/>')
    while True:
        got = bob.next('the message that was stored')
        if got.get('id') == 'm':
            break
    assert got.find('delay').get('stamp') > '2040', got
    bench.close()


CASES = {
    'S1': (s1_sqlite, s1_pgsql), 'S8': (s8,), 'P21': (p21,), 'P27': (p27,), 'O1': (o1,), 'O2': (o2,), 'O5': (o5_bind, o5_connect), 'O6': (o6,),
    'O8': (o8,), 'O9': (o9_rows, o9_text_and_times),
}
NOT_IN_STOCK = {s1_sqlite: 'its SQLite driver binds values', o9_text_and_times: 'its clock cannot be moved',
                o8: 'it reads the roster, but goes on without what it could not read'}
BEHIND_ROUTER = (s1_pgsql, o2)


def run(function, stock):
    with World() as world:
        function(world, stock)


def must_fail(function):
    try:
        run(function, True)
    except Exception as e:
        print('#   %s' % str(e).replace('\n', '\n#   '))
        return
    raise AssertionError('it passes there too')


def main():
    words = sys.argv[1:]
    stock = '--stock' in words
    rows = [w for w in words if w in CASES] or list(CASES)
    if stock:
        need_jabberd2('router', 'sm')
    else:
        need_shardsm()
    router = os.access(os.path.join(SBIN, 'jabberd2-router'), os.X_OK)
    report = Report()
    report.case('every row is named by a test', rows_are_named)
    for row in rows:
        for function in CASES[row]:
            name = '%s %s: %s' % (row, ROWS[row], function.__name__)
            if function in BEHIND_ROUTER and not router:
                print("# %s is not run: jabberd2's router is not installed" % name)
            elif not stock:
                report.case(name, run, function, False)
            elif function in NOT_IN_STOCK:
                print('# %s is not run: %s' % (name, NOT_IN_STOCK[function]))
            else:
                report.case(name + ' (stock differs)', must_fail, function)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
