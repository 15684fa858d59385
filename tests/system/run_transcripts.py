#!/usr/bin/python3
"""run_transcripts.py - plays transcripts/*.txt against one running server.
Threads: one.
Owns: the server that it starts.

usage: run_transcripts.py [--stock] [--workers N] [--parser scan|mxml] [--delivery direct|router] [FILE...]
Without --workers and --parser it plays everything three times: 4 workers, 1 worker, and 8 workers with mini-XML as the route parser.
--stock plays against jabberd2's own sm and router: a file with a line `# stock differs: WHY` must fail there.
"""
import sys
sys.dont_write_bytecode = True
import argparse
import glob
import os
import re
import signal

from servers import Report, World, need_jabberd2, need_shardsm
from transcript import Player, read_lines

HERE = os.path.dirname(os.path.abspath(__file__))
MATRIX = ((4, 'scan'), (1, 'scan'), (8, 'mxml'))


class Server:
    """The server under test; start again on the same database and port config."""

    def __init__(self, world, domains, stock, workers, parser, extra=''):
        self.world, self.domains, self.stock = world, domains, stock
        self.options = dict(workers=workers, parser=parser, extra=extra)
        self.router = None
        self.start()

    def start(self):
        if not self.stock:
            self.process, self.port = self.world.listening_shardsm(self.domains, **self.options)
            return
        if self.router is None:
            self.world.make_schema()
        if self.router is None or not self.router.running():
            self.router, self.port = self.world.router()
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
            status = self.process.stop(signal.SIGTERM, 8)
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


def play_all(report, files, stock, workers, parser, extra):
    domains = ['t%d.test' % i for i in range(len(files))]
    tag = 'stock' if stock else '%dw-%s' % (workers, parser)
    with World() as world:
        server = Server(world, domains, stock, workers, parser, extra)
        for domain, path in zip(domains, files):
            name = '%s/%s' % (tag, os.path.basename(path)[:-4])
            differs = stock and re.search(r'^# stock differs: (.*)', open(path).read(), re.M)
            if not differs:
                report.case(name, play, server, domain, path)
            else:
                report.case(name + ' (stock differs: %s)' % differs.group(1), must_fail, server, domain, path)
            server.revive()


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
    parser.add_argument('--delivery')
    parser.add_argument('files', nargs='*')
    args = parser.parse_args()
    files = args.files or sorted(glob.glob(os.path.join(HERE, 'transcripts', '*.txt')))
    report = Report()
    if args.stock:
        need_jabberd2('router', 'sm')
        play_all(report, files, True, 0, '', '')
    else:
        need_shardsm()
        runs = MATRIX
        if args.workers or args.parser:
            runs = ((args.workers or 4, args.parser or 'scan'),)
        extra = '<local-delivery>%s</local-delivery>' % args.delivery if args.delivery else ''
        for workers, route_parser in runs:
            play_all(report, files, False, workers, route_parser, extra)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
