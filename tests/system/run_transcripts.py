#!/usr/bin/python3
"""run_transcripts.py - plays transcripts/*.txt against one running server.
Threads: one.
Owns: the server that it starts.

usage: run_transcripts.py [--stock] [--behind direct|router] [--workers N] [--parser scan|mxml] [FILE...]
Without options it plays everything with 4 workers, with 1 worker, with 8 workers and mini-XML as the route parser, and, where
jabberd2 is installed, behind jabberd2's router, with local packets delivered directly and through the router.
--stock plays against jabberd2's own sm and router: a file with a line `# stock differs: WHY` must fail there.
"""
import sys
sys.dont_write_bytecode = True
import argparse
import glob
import os
import re
import signal

from servers import SBIN, SECONDS, Report, World, need_jabberd2, need_shardsm
from transcript import Player, read_lines

# Files that a run behind jabberd2's router leaves out: what its reprinting spoils, and restarts, which it does not survive.
LISTENING = re.compile(r'^(# only listening|restart|crash|stop)\b', re.M)
HERE = os.path.dirname(os.path.abspath(__file__))
# Workers, parser, and how local packets go behind a router.
MATRIX = ((4, 'scan', ''), (1, 'scan', ''), (8, 'mxml', ''), (4, 'scan', 'direct'), (4, 'scan', 'router'))

FULL = tuple((workers, parser, '') for workers in (1, 4, 8, 64) for parser in ('scan', 'mxml')) + tuple(r for r in MATRIX if r[2])   # make check-full


class Server:
    """The server under test; start again on the same database and port config."""

    def __init__(self, world, domains, stock, workers, parser, behind=''):
        self.world, self.domains, self.stock, self.behind = world, domains, stock, behind
        self.options = dict(workers=workers, parser=parser)
        self.router = None
        self.start()

    def start(self):
        if not self.stock and not self.behind:
            self.process, self.port = self.world.listening_shardsm(self.domains, **self.options)
            return
        if self.router is None and self.stock:
            self.world.make_schema()
        if self.router is None or not self.router.running():
            self.router, self.port = self.world.router()
        if self.behind:
            extra = '<local-delivery>%s</local-delivery>' % self.behind
            self.process = self.world.shardsm(self.world.sm_config(self.domains, router=self.port, extra=extra, **self.options))
            self.process.wait_line('ready for sessions')
            return
        config = self.world.sm_config(self.domains, router=self.port, workers=0)
        self.process = self.world.stock_sm(config)

    def revive(self):
        """After a case that killed it; jabberd2's router does not always survive the loss of an sm either."""
        if self.router is not None and not self.router.running():
            self.process.cleanup()
        if not self.process.running():
            self.world.processes.remove(self.process)
            self.start()

    def address(self):
        return ('127.0.0.1', self.port)

    def terminate(self):
        self.process.kill(signal.SIGTERM)

    def restart(self, crash):
        if crash:
            self.process.stop(signal.SIGKILL)
        else:
            status = self.process.stop(signal.SIGTERM, max(8, SECONDS))
            assert status == 0, 'exit status %d after SIGTERM' % status
        self.world.processes.remove(self.process)
        self.start()


def play(server, domain, path):
    player = Player(server, domain)
    try:
        player.play(path)
    finally:
        player.close()
    assert server.process.running(), 'the server died:\n' + server.process.tail()


def play_all(report, files, stock, workers, parser, behind):
    domains = ['t%d.test' % i for i in range(len(files))]
    if stock:   # a world for each: what went wrong in one shows in the next (P19), or kills the server
        for domain, path in zip(domains, files):
            with World() as world:
                play_file(report, Server(world, [domain], True, workers, parser), domain, path, 'stock')
        return
    tag = '%dw-%s%s' % (workers, parser, '-behind-' + behind if behind else '')
    with World() as world:
        server = Server(world, domains, stock, workers, parser, behind)
        for domain, path in zip(domains, files):
            if behind and LISTENING.search(open(path).read()):
                continue
            play_file(report, server, domain, path, tag)
            server.revive()


def play_file(report, server, domain, path, tag):
    name = '%s/%s' % (tag, os.path.basename(path)[:-4])
    differs = server.stock and re.search(r'^# stock differs: (.*)', open(path).read(), re.M)
    if not differs:
        report.case(name, play, server, domain, path)
    else:
        report.case(name + ' (stock differs: %s)' % differs.group(1), must_fail, server, domain, path)


def must_fail(server, domain, path):
    try:
        play(server, domain, path)
    except Exception as e:
        print('#   ' + str(e).replace('\n', '\n#   '))
        return
    raise AssertionError('it passes there too')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--stock', action='store_true')
    parser.add_argument('--workers', type=int)
    parser.add_argument('--parser')
    parser.add_argument('--behind')
    parser.add_argument('files', nargs='*')
    args = parser.parse_args()
    files = args.files or sorted(glob.glob(os.path.join(HERE, 'transcripts', '*.txt')))
    report = Report()
    if args.stock:
        need_jabberd2('router', 'sm')
        play_all(report, files, True, 0, '', '')
    else:
        need_shardsm()
        runs = FULL if os.environ.get('SHARDSM_CHECK_FULL') else MATRIX
        if args.workers or args.parser or args.behind:
            runs = ((args.workers or 4, args.parser or 'scan', args.behind or ''),)
        elif not os.access(os.path.join(SBIN, 'jabberd2-router'), os.X_OK):
            print("# not played behind jabberd2's router: install the Debian package jabberd2")
            runs = [r for r in runs if not r[2]]
        for workers, route_parser, behind in runs:
            play_all(report, files, False, workers, route_parser, behind)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
