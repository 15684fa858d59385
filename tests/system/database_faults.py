#!/usr/bin/python3
"""database_faults.py - PostgreSQL and MariaDB fail in every way, under the load of a c2s; what was acknowledged is kept, once.
Threads: for each database server one, its proxy's, and a log reader for each process.
Owns: the servers that it starts.

usage: database_faults.py [postgresql] [mariadb] [-k FAULT]
In each fault: who needs no database is served; the others wait, or are answered with an error of type wait; afterwards
everything is stored again without anybody's help, every roster item and vCard that was answered with a result is there, and
every message is there exactly once, or was bounced.
"""
import sys
sys.dont_write_bytecode = True
import argparse
import collections
import os
import signal
import socket
import threading
import time

import engines
from component import FakeC2S, Hub, Marks
from database import SERVERS
from servers import Report, World, free_port, need_shardsm
from tcp_proxy import Proxy

DOMAIN = 'example.test'
TIMEOUTS = ('<connect-timeout>2</connect-timeout><statement-timeout>1</statement-timeout><reach-timeout>2</reach-timeout>')
PATIENCE = 60   # seconds for a request to be answered, all timeouts one after the other
BURST = 30
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sm';"


class Fault:
    """begin() breaks the database, end() mends it. refused: somebody must have been told to wait before it is mended."""
    refused = False

    def __init__(self, site):
        self.site, self.server, self.proxy = site, site.server, site.proxy

    def sql(self, postgresql, mariadb):
        return self.server.root(postgresql if self.server.KIND == 'postgresql' else mariadb)

    def throw_out(self):
        """Every connection of shardsm is ended by the server."""
        self.sql(TERMINATE, self.kill())

    def kill(self):
        """MariaDB has no statement that ends whoever a query finds."""
        if self.server.KIND == 'postgresql':
            return ''
        found = self.server.root("SELECT id FROM information_schema.processlist WHERE user = 'sm';").split()
        return ''.join('KILL %s;' % n for n in found)

    def end(self):
        pass


class Restart(Fault):
    """the server is restarted"""
    def begin(self):
        self.server.stop()

    def end(self):
        self.server.start()


class Kill(Restart):
    """the server is killed, and back later than requests wait"""
    refused = True

    def begin(self):
        self.server.stop(signal.SIGKILL)


class Freeze(Fault):
    """all processes of the server stop for longer than anybody waits"""
    refused = True

    def begin(self):
        self.frozen = self.server.family()
        for pid in self.frozen:
            os.kill(pid, signal.SIGSTOP)

    def end(self):
        for pid in self.frozen:
            os.kill(pid, signal.SIGCONT)


class Cut(Fault):
    """all connections are cut"""
    def begin(self):
        self.proxy.cut()


class Unreachable(Fault):
    """connections are cut, and new ones refused"""
    refused = True

    def begin(self):
        self.proxy.set('refuse')

    def end(self):
        self.proxy.set('pass')


class Silent(Unreachable):
    """the network swallows everything, and no connection is closed"""
    def begin(self):
        self.proxy.set('silent')


class Password(Fault):
    """the password is another one for a while"""
    refused = True

    def begin(self):
        self.sql("ALTER ROLE sm PASSWORD 'another';", "SET PASSWORD FOR 'sm'@'%' = PASSWORD('another');")
        self.throw_out()

    def end(self):
        self.sql("ALTER ROLE sm PASSWORD 'unsaid';", "SET PASSWORD FOR 'sm'@'%' = PASSWORD('unsaid');")


class ReadOnly(Fault):
    """the database takes no writes"""
    refused = True

    def begin(self):
        self.sql('ALTER SYSTEM SET default_transaction_read_only = on;', 'SET GLOBAL read_only = 1;')
        self.sql('SELECT pg_reload_conf();', 'SELECT 1;')
        self.throw_out()

    def end(self):
        self.sql('ALTER SYSTEM RESET default_transaction_read_only;', 'SET GLOBAL read_only = 0;')
        self.sql('SELECT pg_reload_conf();', 'SELECT 1;')


class TooMany(Fault):
    """the server lets nobody more in"""
    refused = True

    def begin(self):
        self.others = [socket.create_connection(('127.0.0.1', self.server.port)) for _ in range(10)]
        self.sql('ALTER ROLE sm CONNECTION LIMIT 0;' + TERMINATE, 'SET GLOBAL max_connections = 10;' + self.kill())

    def end(self):
        for other in self.others:
            other.close()
        self.sql('ALTER ROLE sm CONNECTION LIMIT -1;', "SET GLOBAL max_connections = 150;")


class Locked(Fault):
    """somebody else holds locks on the tables"""
    refused = True
    LOCK = {'postgresql': 'BEGIN; LOCK TABLE queue, "roster-items" IN ACCESS EXCLUSIVE MODE;',
            'mariadb': 'LOCK TABLES queue WRITE, `roster-items` WRITE;'}

    def begin(self):
        self.other = self.site.database.session(self.LOCK[self.server.KIND])

    def end(self):
        self.other.close()


class Dropped(Fault):
    """the database is dropped, and made anew from a copy"""
    refused = True

    def begin(self):
        self.site.settle()
        self.name = self.site.database.name
        if self.server.KIND == 'postgresql':
            self.server.root('ALTER DATABASE %s ALLOW_CONNECTIONS false;' % self.name)
            self.throw_out()
            self.server.root('ALTER DATABASE %s RENAME TO away;' % self.name)
        else:
            self.dump = self.site.database.dump()
            self.server.root('DROP DATABASE %s;' % self.name)

    def end(self):
        if self.server.KIND == 'postgresql':
            self.server.root('ALTER DATABASE away RENAME TO %s; ALTER DATABASE %s ALLOW_CONNECTIONS true;' % (self.name, self.name))
        else:
            self.site.database.create().ask(self.dump)


class Site:
    """A server, shardsm on it through a proxy, and people: alice writes to bob, who is away; carol and dave talk."""

    def __init__(self, world, server):
        self.world, self.server = world, server
        self.proxy = Proxy(server.port)
        self.database = server.new().create()
        config = world.sm_config([DOMAIN], listen=free_port())
        engines.KINDS[server.KIND](self.proxy.port, self.database.name).configure(config, TIMEOUTS)
        self.process = world.shardsm(config)
        self.hub = Hub()
        self.c2s = FakeC2S(self.hub, ('127.0.0.1', world.port_of(self.process))).connect()
        self.c2s.online(DOMAIN)
        for user in ('alice', 'bob', 'carol', 'dave'):
            self.c2s.create('%s@%s' % (user, DOMAIN))
        self.alice, self.carol, self.dave = (self.c2s.start('%s@%s/x' % (u, DOMAIN)) for u in ('alice', 'carol', 'dave'))
        for session in (self.carol, self.dave):
            session.send('<presence/>')
        self.marks = Marks(self.hub)
        self.marks.flush([self.carol, self.dave], [])
        self.count = 0
        self.open = {}             # id of a request -> what it stores
        self.stored = {}           # roster items that were acknowledged
        self.vcard = self.vcards = 0   # the last that was acknowledged, and asked for
        self.messages = {}         # id -> the mark behind it
        self.bounced, self.refused, self.wrong = set(), 0, []

    def burst(self, n=BURST):
        for _ in range(n):
            self.count += 1
            item = 'f%d@far.test' % self.count
            self.open['r%d' % self.count] = item
            self.alice.send("<iq type='set' id='r%d'><query xmlns='jabber:iq:roster'><item jid='%s' name='n%d'><group>g</group></item>"
                            "</query></iq>" % (self.count, item, self.count))
            self.messages['m%d' % self.count] = mark = 'mark-m%d' % self.count
            self.alice.send("<message type='chat' to='bob@%s' id='m%d'><body>x</body></message>" % (DOMAIN, self.count))
            self.alice.send("<iq type='get' to='bob@%s' id='%s'><mark xmlns='urn:test:mark'/></iq>" % (DOMAIN, mark))
        self.vcards = self.count
        self.open['v%d' % self.count] = None
        self.alice.send("<iq type='set' id='v%d'><vCard xmlns='vcard-temp'><FN>%d</FN></vCard></iq>" % (self.count, self.count))

    def take(self):
        """Sorts what alice was answered."""
        while self.alice.queue:
            node = self.alice.queue.popleft()
            ident, kind = node.get('id', ''), node.get('type')
            if kind == 'error':
                self.refused += 1
                if node.find('error').get('type') != 'wait':
                    self.wrong.append(str(node))
            if node.name == 'message' and kind == 'error':
                self.bounced.add(ident)
            if ident in self.open and kind in ('result', 'error'):
                item = self.open.pop(ident)
                if kind == 'result' and item:
                    self.stored[item] = 'n' + ident[1:]
                elif kind == 'result':
                    self.vcard = int(ident[1:])

    def answered(self):
        self.take()
        return not self.open and all(m in self.alice.marks for m in self.messages.values())

    def settle(self):
        self.hub.until(self.answered, lambda: 'answers: %s; shardsm says\n%s' % (sorted(self.open)[:4], self.process.tail()), PATIENCE)

    def until_refused(self, before):
        def refused():
            self.take()
            return self.refused > before
        self.hub.until(refused, lambda: 'somebody to be told to wait; shardsm says\n' + self.process.tail(), PATIENCE)

    def served(self):
        """Talk between people who are there, and what the server knows by itself."""
        self.count += 1
        self.carol.send("<message type='chat' to='%s' id='t%d'><body>x</body></message>" % (self.dave.jid, self.count))
        self.carol.send("<iq type='get' to='%s' id='p%d'><ping xmlns='urn:xmpp:ping'/></iq>" % (DOMAIN, self.count))
        self.hub.until(lambda: any(n.get('id') == 't%d' % self.count for n in self.dave.queue), 'a message while the database is away')
        self.hub.until(lambda: any(n.get('id') == 'p%d' % self.count for n in self.carol.queue), 'a pong while the database is away')

    def recover(self):
        """Writes are taken again, and reads answered: tried as clients do, who were told to wait."""
        deadline = time.monotonic() + PATIENCE
        while True:
            before = len(self.stored)
            self.burst(1)
            self.settle()
            if len(self.stored) > before and self.reads():
                return
            assert time.monotonic() < deadline, 'nothing is stored any more; shardsm says\n' + self.process.tail()
            self.hub.pump(0.2)   # a client that was told to wait does

    def reads(self):
        """So many at once that every connection has some: each finds its server again by itself."""
        for i in range(BURST):
            self.alice.send("<iq type='get' id='read%d'><vCard xmlns='vcard-temp'/></iq>" % i)
        self.hub.until(lambda: len(self.alice.queue) == BURST, 'answers to reads', PATIENCE)
        kinds = {n.get('type') for n in self.alice.queue}
        self.take()
        return kinds == {'result'}

    def check(self):
        assert not self.wrong, '%d errors are not of type wait: %s' % (len(self.wrong), self.wrong[0])
        self.check_alice()
        self.check_bob()
        assert self.process.running(), 'shardsm ended:\n' + self.process.tail()

    def check_alice(self):
        self.alice.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        answer = self.alice.next('the roster')
        assert answer.get('type') == 'result', 'the roster: %s' % answer
        items = [(i.get('jid'), i.get('name')) for i in answer.elements()[0].elements()]
        twice = [i for i, n in collections.Counter(j for j, _ in items).items() if n > 1]
        lost = [i for i in self.stored.items() if i not in items]
        assert not lost and not twice, '%d of %d acknowledged items lost: %s; twice: %s' % (len(lost), len(self.stored), lost[:3], twice[:3])
        self.alice.send("<iq type='get' id='card'><vCard xmlns='vcard-temp'/></iq>")
        answer = self.alice.next('the vCard')
        assert answer.get('id') == 'card' and answer.get('type') == 'result', 'the vCard: %s' % answer
        name = int(answer.elements()[0].elements()[0].text())
        assert self.vcard <= name <= self.vcards, 'vCard %d of %d to %d' % (name, self.vcard, self.vcards)

    def check_bob(self):
        bob = self.c2s.start('bob@%s/b' % DOMAIN)
        bob.send('<presence/>')
        self.marks.flush([bob], ['bob@' + DOMAIN])
        got = collections.Counter(n.get('id') for n in bob.queue if n.name == 'message')
        bob.end()
        self.hub.until(lambda: bob.ended, "the end of bob's session")
        twice = [i for i, n in got.items() if n > 1]
        lost = [i for i in self.messages if i not in got and i not in self.bounced]
        both = [i for i in got if i in self.bounced]
        assert not lost and not twice and not both, '%d messages: lost %s, twice %s, bounced and stored %s' % (
            len(self.messages), lost[:5], twice[:5], both[:5])
        self.messages.clear()
        self.bounced.clear()

    def close(self):
        self.hub.close()
        self.process.stop(signal.SIGTERM, PATIENCE)
        self.proxy.close()


def play(site, kind):
    fault = kind(site)
    site.burst()
    fault.begin()
    try:
        before = site.refused
        site.burst()
        site.served()
        if fault.refused:
            site.until_refused(before)
            site.served()
    finally:
        fault.end()
    site.settle()
    site.recover()
    site.check()


FAULTS = (Restart, Kill, Freeze, Cut, Unreachable, Silent, Password, ReadOnly, TooMany, Locked, Dropped)


def play_all(report, kind, wanted):
    with World() as world:
        server = SERVERS[kind](world)
        sites = []
        try:
            if not report.case('%s: shardsm starts' % kind, lambda: sites.append(Site(world, server))):
                return
            for fault in FAULTS:
                if wanted in fault.__doc__:
                    report.case('%s: %s' % (kind, fault.__doc__), play, sites[0], fault)
            report.case('%s: shardsm stops' % kind, sites[0].close)
        finally:
            server.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('-k', default='')
    parser.add_argument('kinds', nargs='*', choices=[*SERVERS, []])
    options = parser.parse_args()
    need_shardsm()
    there = [k for k in options.kinds or SERVERS if SERVERS[k].there()]
    if not there:
        print("# skipped: neither PostgreSQL's nor MariaDB's server is installed")
        return 77
    reports = [Report() for _ in there]
    # Most of the time goes by in timeouts: both servers suffer at once.
    threads = [threading.Thread(target=play_all, args=(report, kind, options.k)) for report, kind in zip(reports, there)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Report()
    whole.passed, whole.failed = sum(r.passed for r in reports), sum(r.failed for r in reports)
    return whole.finish()


if __name__ == '__main__':
    sys.exit(main())
