#!/usr/bin/python3
"""log_lines.py - the lines that operators' scripts look for, word for word and level for level as jabberd2's sm writes them.
Threads: one, and a log reader.
Owns: the servers that it starts.

usage: log_lines.py [--stock]   --stock plays it against jabberd2's own sm: the same lines must come.

Behind jabberd2's router, where the sm stands that is replaced. Each act says what it logs, whole and in order; at the start and the end,
where shardsm has more to say, what jabberd2's sm says must be there, in its order.
"""
import sys
sys.dont_write_bytecode = True
import argparse
import os
import re
import signal

from component import FakeC2S, Hub
from fake_router import FakeRouter
from servers import SBIN, SECONDS, Report, World, need_jabberd2, need_shardsm

DOMAIN, OTHER = 'log.test', 'two.test'
LINE = re.compile(r'^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} \[(\w+)\] (.*)')
SLOW = 6   # seconds: jabberd2's sm looks for signals every five


class Site:
    """An sm behind jabberd2's router, with a c2s."""

    def __init__(self, world, stock, extra=''):
        self.world, self.stock = world, stock
        if stock:
            world.make_schema()
        self.router, self.port = world.router()
        config = world.sm_config([DOMAIN, OTHER], router=self.port, workers=0 if stock else 2, admins='', extra=extra)
        self.process = world.stock_sm(config) if stock else world.shardsm(config)
        self.process.wait_line('ready for sessions')
        self.hub = Hub()
        self.c2s = FakeC2S(self.hub, ('127.0.0.1', self.port)).connect()
        self.c2s.online(DOMAIN)
        self.seen = len(self.process.lines)

    def lines(self, start=0):
        return [m.groups() for m in map(LINE.match, self.process.lines[start:]) if m]

    def logs(self, *expected):
        """Exactly those lines came since the last time."""
        expected = [tuple(line.split(' ', 1)) for line in expected]
        self.process.wait_line(re.escape(expected[-1][1]), self.seen, SLOW + SECONDS)
        got = self.lines(self.seen)
        self.seen = len(self.process.lines)
        assert got == expected, 'logged %s, not %s' % (got, expected)

    def failed(self, action, target, to=DOMAIN):
        """An action that fails; jabberd2's sm leaves the answer to it without sc:sm, but it comes."""
        self.c2s.command(action, target, '7', to=to)
        payload = self.c2s.answer(action, '7').elements()[0]
        assert payload.session('failed') == '1', payload


def beginning(site):
    got = site.lines()
    written = ('info', 'process id is %d, written to %s' % (site.process.pid, site.world.path('sm.pid')))
    assert written in got, got   # shardsm writes it when nothing can go wrong any more
    wanted = [('notice', 'starting up'), ('notice', "initialised storage driver 'sqlite'"), ('notice', '[%s] configured' % DOMAIN), ('notice', '[%s] configured' % OTHER),
              ('notice', 'attempting connection to router at 127.0.0.1, port=%d' % site.port),
              ('notice', 'connection to router established'), ('notice', 'sm ready for sessions')]
    assert [line for line in got if line in wanted] == wanted, got
    versions = [text for _, text in got if text.startswith('version: ')]
    assert len(versions) == 1, versions
    with open(site.world.path('sm.pid'), encoding='ascii') as f:
        assert f.read() == str(site.process.pid), 'the pid and nothing else'


def sessions(site):
    alice = 'alice@' + DOMAIN
    site.c2s.create(alice)
    site.logs('notice created user: jid=' + alice)
    site.c2s.start(alice + '/r')
    site.logs('notice session started: jid=%s/r' % alice)
    second = site.c2s.start(alice + '/r')
    site.logs('notice session replaced: jid=%s/r' % alice)
    other = site.c2s.start(alice + '/s')
    site.logs('notice session started: jid=%s/s' % alice)
    other.send("<iq id='1' to='%s'/>" % alice)
    site.logs('error dropping iq without type')
    other.send("<iq type='odd' id='2' to='%s'/>" % alice)
    site.logs('error dropping iq with bad type "odd"')
    site.c2s.end(other)
    site.logs('notice session ended: jid=%s/s' % alice)
    site.c2s.end(second)
    site.logs('notice session ended: jid=%s/r' % alice, 'notice user unloaded jid=' + alice)


def refusals(site):
    bob = 'bob@' + DOMAIN
    site.c2s.create(bob)
    site.logs('notice created user: jid=' + bob)
    site.failed('create', bob)
    site.logs('error request to create already-active user: jid=' + bob)
    site.failed('create', 'bob@else.test')
    site.logs('error request to create user for non-serviced domain: jid=bob@else.test')
    site.failed('start', 'bob@else.test/r')
    site.logs('error request to start session in non-serviced domain: jid=bob@else.test/r')
    site.failed('start', 'nobody@%s/r' % DOMAIN)
    site.logs("notice user not found and user.auto-create not enabled, can't start session: jid=nobody@%s/r" % DOMAIN)


def deletion(site):
    carol = 'carol@' + DOMAIN
    site.c2s.create(carol)
    site.c2s.start(carol + '/r')
    site.logs('notice created user: jid=' + carol, 'notice session started: jid=%s/r' % carol)
    site.c2s.delete(carol)
    site.logs('notice session ended: jid=%s/r' % carol, 'notice user unloaded jid=' + carol, 'notice deleted user: jid=' + carol)


def c2s_gone(site):
    dave = 'dave@' + DOMAIN
    site.c2s.create(dave)
    link = FakeC2S(site.hub, ('127.0.0.1', site.port), 'c2s-two').connect()
    link.online(DOMAIN)
    link.start(dave + '/r')
    site.logs('notice created user: jid=' + dave, 'notice session started: jid=%s/r' % dave)
    link.close()
    site.logs('notice session ended: jid=%s/r' % dave, 'notice user unloaded jid=' + dave)


def hang_up(site):
    site.process.kill(signal.SIGHUP)
    site.process.wait_line('log started', site.seen, SLOW + SECONDS)
    got = site.lines(site.seen)
    wanted = [('notice', 'reopening log ...'), ('notice', 'log started')]
    assert got[:2] == wanted, got


def ending(site):
    eve = 'eve@' + DOMAIN
    site.c2s.create(eve)
    site.c2s.start(eve + '/r')
    site.process.wait_line('session started: jid=' + eve)
    site.seen = len(site.process.lines)
    assert site.process.stop(signal.SIGTERM, SLOW + SECONDS) == 0
    got = site.lines(site.seen)
    wanted = [('notice', 'shutting down'), ('notice', 'session ended: jid=%s/r' % eve), ('notice', 'user unloaded jid=' + eve),
              ('notice', 'connection to router closed')]
    assert [line for line in got if line in wanted] == wanted, got
    site.hub.close()


def auto_created(stock):
    with World() as world:
        site = Site(world, stock, '<user><auto-create/></user>')
        frank = 'frank@' + DOMAIN
        site.c2s.start(frank + '/r')
        site.logs('notice created user: jid=' + frank, 'notice session started: jid=%s/r' % frank)
        site.hub.close()


def no_router(stock):
    """Nobody there, for as often as the config says."""
    with World() as world:
        if stock:
            world.make_schema()
        hub = Hub()
        port = FakeRouter(hub).port
        hub.close()   # and gone
        config = world.sm_config([DOMAIN], router=port, workers=0 if stock else 2, admins='', retry=(1, 1))
        if stock:
            process = world.run('jabberd2-sm', [os.path.join(SBIN, 'jabberd2-sm'), '-c', config])
        else:
            process = world.shardsm(config)
        process.wait_line(r'\[notice\] attempting connection to router at 127\.0\.0\.1, port=%d' % port)
        process.wait_line(r'\[notice\] attempting reconnect \(1 left\)', 0, SLOW + SECONDS)
        process.wait_line(r'\[notice\] connection to router closed')
        process.wait_line(r'\[notice\] shutting down', 0, SLOW + SECONDS)
        process.wait(SLOW + SECONDS)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--stock', action='store_true')
    stock = parser.parse_args().stock
    need_shardsm()
    need_jabberd2('router', 'sm')
    report = Report()
    with World() as world:
        site = Site(world, stock)
        for name, case in (('the start', beginning), ('sessions', sessions), ('what is refused', refusals), ('an account deleted', deletion),
                           ('a c2s that goes', c2s_gone), ('SIGHUP', hang_up), ('the end', ending)):
            report.case(name, case, site)
    report.case('an account made at login', auto_created, stock)
    report.case('no router', no_router, stock)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
