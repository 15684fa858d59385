#!/usr/bin/python3
"""loaded.py - everything at once: a load of every kind, and beside it operators, scrapers, reloads and a c2s that vanishes; then the end.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

Nothing is lost, and the server ends with status 0: under a sanitizer, that it had nothing to report. For that it is; the soak test
(tests/soak.py) looks at losses for hours. Some seconds; with SHARDSM_CHECK_FULL (make check-full) some minutes.
usage: loaded.py [SECONDS of each load]
"""
import sys
sys.dont_write_bytecode = True
import os
import re
import signal
import subprocess
import time

from admin import Steered
from component import FakeC2S, attr
from load import make_users, start_load
from reload import DOMAIN
from servers import SECONDS, Report, World, need_shardsm

SESSIONS, CONTACTS = 60, 10
WAIT = 120   # seconds, for what a sanitizer slows down
COMMON = ['--domain', DOMAIN, '--sessions', str(SESSIONS), '--contacts', str(CONTACTS), '--seed', '7', '--timeout', str(WAIT), '--quiet',
          '--presence']
LOADS = {   # what one second of each is; as fast as it can, it would leave no time to the others
    'mix': ('--ops', 400, ['--scenario', 'mix', '--links', '2', '--rate', '400']),
    'chat': ('--ops', 2000, ['--scenario', 'chat', '--links', '3', '--to', 'mixed', '--body', '0-200x9,4000', '--rate', '2000']),
    'presence': ('--ops', 150, ['--scenario', 'presence', '--links', '2', '--rate', '150']),
    'offline': ('--ops', 300, ['--scenario', 'offline', '--rate', '300']),
    'login': ('--sessions', 60, ['--scenario', 'login', '--links', '3', '--login-rate', '100']),
}
LOG = re.compile(r'\[(debug|info|notice|warn)\] ')
VISITORS = ['v%d@%s' % (i, DOMAIN) for i in range(8)]
RENAMED = ('<name>Jabber IM server<', '<name>Renamed<')
LIMITED = ('</sm>', '<limits><frame-bytes>200000</frame-bytes></limits></sm>')


class Beside:
    """What happens while the server is at work, one thing after the other."""

    def __init__(self, site):
        self.site, self.count, self.turn = site, 0, 0
        self.things = (self.status, self.scrape, self.vanish, self.reload, self.steer, self.scrape, self.vanish)
        for bare in VISITORS:
            site.c2s.create(bare)

    def step(self):
        self.things[self.turn % len(self.things)]()
        self.turn += 1

    def status(self):
        for command in ('status', 'sessions', 'user ' + VISITORS[0]):
            self.site.say(command.encode() + b'\n')

    def steer(self):
        self.site.command('log-level ' + ('debug', 'info')[self.turn % 2])
        self.site.say(b'kick %s\n' % VISITORS[1].encode())

    def scrape(self):
        assert self.site.metrics()['shardsm_sessions'] >= 0

    def reload(self):
        """Alternately; who waits for it waits for every thread to stand still."""
        self.site.edit(*((RENAMED, LIMITED) if self.turn % 2 else ()))
        self.site.reload()

    def vanish(self):
        """A c2s with sessions at work, and then it is gone in the middle of a stanza; its people see each other go, or do not."""
        self.count += 1
        c2s = FakeC2S(self.site.hub, ('127.0.0.1', self.site.port), 'vanishing-%d' % self.count).connect()
        c2s.online(DOMAIN)
        sessions = [c2s.start('%s/r%d' % (bare, self.count)) for bare in VISITORS]
        for i, session in enumerate(sessions):
            peer = sessions[i - 1]
            session.send("<presence><priority>%d</priority></presence>" % i)
            session.send("<presence type='subscribe' to=%s/>" % attr(peer.bare))
            session.send("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid=%s name='n%d'/></query></iq>" % (attr(peer.bare), self.count))
            session.send("<message type='chat' to=%s><body>x</body></message>" % attr(peer.bare))
        self.site.hub.until(lambda: all(s.queue for s in sessions) or c2s.eof, 'the first answers', WAIT)
        c2s.send('<route to=')
        c2s.close()


def loaded(world, site, beside, load, seconds):
    """One load, with everything beside it."""
    count, each, arguments = load
    load = start_load(world, site.port, [*COMMON, *arguments, count, str(each * seconds)])
    turn = beside.turn
    end = time.monotonic() + seconds + WAIT
    while load.running():
        assert site.process.running(), 'the server died:\n' + site.process.tail(60)
        assert time.monotonic() < end, 'the load does not end:\n' + load.tail(30)
        beside.step()
        try:
            load.child.wait(0.1)
        except subprocess.TimeoutExpired:
            pass
    world.processes.remove(load)
    assert load.wait() == 0, 'the load lost something:\n' + load.tail(30)
    assert beside.turn - turn >= len(beside.things), 'only %d things happened beside it' % (beside.turn - turn)


def ends(site):
    """In order, with people online, and with nothing to be said against it."""
    site.user('last').send('<presence/>')
    status = site.process.stop(signal.SIGTERM, max(SECONDS, WAIT))
    said = [line for line in site.process.lines if not LOG.search(line)]
    assert status == 0, 'exit status %d:\n%s' % (status, '\n'.join('#   ' + line for line in said[:200]) or site.process.tail())


def main():
    need_shardsm()
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60 if os.environ.get('SHARDSM_CHECK_FULL') else 2
    report = Report()
    with World() as world:
        world.make_schema()
        make_users(world, [*COMMON, '--scenario', 'mix'])
        site = Steered(world)
        beside = Beside(site)
        for name, arguments in LOADS.items():
            if not report.case(name, loaded, world, site, beside, arguments, seconds):
                break
        report.case('the end', ends, site)
        site.close()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
