#!/usr/bin/python3
"""databases.py - what jabberd2's sm wrote, shardsm reads whole, and the other way round; on SQLite, PostgreSQL and MariaDB.
Threads: one for each of the two sides, and a log reader for each server.
Owns: the servers that it starts.

Each scenario of migrations/ is played up to its --- by both servers, each on a database of its own. The rows must be alike.
Then each of the two databases is given to each of the two servers, which plays the rest: it must see the same, whoever wrote.
A difference after --- names its reader: REASON -old ACTOR: XML is one that jabberd2's sm sees only in what jabberd2's sm wrote,
+new one that shardsm sees only in what shardsm wrote. `unread old REASON`: that reader cannot read what it wrote itself.

usage: databases.py [--rewrite] [-k NAME] [sqlite] [postgresql] [mariadb]
"""
import sys
sys.dont_write_bytecode = True
import os
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import argparse
import glob
import threading

import differences
import rows
from database import SERVERS as DATABASE_SERVERS, Sqlite
from play import Player
from scenario import load, load_reasons
from servers import Report, World, need_jabberd2, need_shardsm
from side import WIDTH, Side, together

SERVERS = ('stock', 'shardsm')
WIDE = '\U0001F600'


class Run(threading.Thread):
    """One server on one database, with one part of every scenario. before: the run whose database this goes on with."""

    def __init__(self, kind, scenarios, world, database, before=None):
        super().__init__()
        self.kind, self.scenarios, self.world, self.database, self.before = kind, scenarios, world, database, before
        self.outcome, self.accounts, self.rows, self.failure = {}, {}, {}, None

    def run(self):
        try:
            self.play()
        except Exception as e:   # reported by whoever joins this thread
            self.failure = e

    def play(self):
        side = Side(self.kind, self.world, self.database)
        for crowd in (True, False):
            side.drive([self.part(side, s) for s in self.scenarios if s.alone() != crowd], WIDTH if crowd else 1)
        side.stop()
        self.rows = rows.by_scenario(self.database, self.scenarios)

    def part(self, side, scenario):
        player = Player(side, scenario)
        texts = [s.text for s in scenario.steps]
        cut = texts.index('---')
        steps = scenario.steps[cut + 1:] if self.before else scenario.steps[:cut]
        if self.before:
            player.accounts = list(self.before.accounts[scenario])

        def generator():
            yield from player.play(steps)
            yield from player.finish()

        def told(failure):
            self.outcome[scenario] = failure or player.seen
            self.accounts[scenario] = player.accounts
        return generator(), told


class Database:
    """The runs on one kind of database."""

    def __init__(self, kind, scenarios, make, directories):
        self.kind = kind
        self.written = together([Run(server, scenarios, world, make(world)) for server, world in zip(SERVERS, directories)])
        self.read = {}
        for name, reader in zip(('old', 'new'), SERVERS):
            pair = []
            for writer, world in zip(self.written, directories):
                pair.append(Run(reader, scenarios, world, writer.database.copy(name), writer))
            self.read[name] = together(pair)


def complain(scenario, database, reasons, rewrite):
    """Raises AssertionError with every complaint about one scenario."""
    for run in database.written + [r for pair in database.read.values() for r in pair]:
        if isinstance(run.outcome[scenario], Exception):
            raise run.outcome[scenario]
    cut = next(s for s in scenario.steps if s.text == '---')
    complaints = ['no reason is called ' + r for r in scenario.unread().values() if r not in reasons]
    found = [(cut, '', differences.between(*(r.rows[scenario.serial] for r in database.written)))]
    for name, pair in database.read.items():
        if name in scenario.unread():
            continue
        for (step, seen), (_, other) in zip(*(r.outcome[scenario] for r in pair)):
            found.append((step, name, differences.between(seen, other)))
        found.append((scenario.steps[-1], name, differences.between(*(r.rows[scenario.serial] for r in pair))))
    for step, name, differing in found:
        for complaint in differences.unexplained(step, differing, name, reasons):
            complaints.append(complaint + ' (%s)' % {'': 'rows', 'old': "read by jabberd2's sm", 'new': 'read by shardsm'}[name])
        if rewrite:
            differences.rewrite(step, differing, name)
    if complaints:
        raise AssertionError('\n#   '.join([scenario.title] + complaints))


def without_wide_characters(scenarios):
    """jabberd2's tables for MariaDB hold characters of up to three bytes, and it loses what has a longer one, or half of it."""
    for step in (step for s in scenarios for step in s.steps):
        step.text = step.text.replace(WIDE, '')
        step.listed = [(*listed[:-1], listed[-1].replace(WIDE, '')) for listed in step.listed]


def play(report, kind, reasons, options):
    files = load(sorted(glob.glob(os.path.join(HERE, 'migrations', '*.txt'))))
    scenarios = [s for f in files for s in f.scenarios if options.k in s.name]
    if kind == 'mariadb':
        without_wide_characters(scenarios)
    with World() as one, World() as two:
        server = None
        if kind in DATABASE_SERVERS:
            if not DATABASE_SERVERS[kind].there():
                print('# skipped on %s: its server is not installed' % kind)
                return
            server = DATABASE_SERVERS[kind](one)
        try:
            runs = Database(kind, scenarios, lambda world: server.database() if server else Sqlite(world.dir), (one, two))
            for scenario in scenarios:
                report.case('%s on %s' % (scenario.name, kind), complain, scenario, runs, reasons, options.rewrite)
            if options.rewrite and kind != 'mariadb':
                for file in files:
                    file.save()
        finally:
            if server:
                server.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--rewrite', action='store_true')
    parser.add_argument('-k', default='')
    parser.add_argument('kinds', nargs='*', choices=['sqlite', 'postgresql', 'mariadb', []])
    options = parser.parse_args()
    need_shardsm()
    need_jabberd2('router', 'sm')
    reasons = load_reasons(os.path.join(HERE, 'reasons.txt'))
    report = Report()
    for kind in options.kinds or ('sqlite', 'postgresql', 'mariadb'):
        play(report, kind, reasons, options)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
