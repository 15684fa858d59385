#!/usr/bin/python3
"""stanzas.py - the same stanzas for jabberd2's sm and for shardsm: equal answers and equal rows, or a reason.
Threads: one for each of the two sides, and a log reader for each server.
Owns: the servers that it starts.

usage: stanzas.py [--rewrite] [--pair stock,stock] [FILE...] [-k NAME]
--rewrite puts the differences that were found into the files, new ones with the reason ?, which no run accepts: look at each.
--pair stock,stock plays against jabberd2's sm twice: what is listed must then be missed, nothing else may be found.
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
from database import Sqlite
from play import Player
from scenario import load, load_reasons
from servers import Report, World, need_jabberd2, need_shardsm
from side import WIDTH, Side, together


class Run(threading.Thread):
    """All scenarios of one config against one side. outcome: scenario -> [(step, actor -> lines)], or the trouble it met."""

    def __init__(self, kind, scenarios, config):
        super().__init__()
        self.kind, self.scenarios, self.config = kind, scenarios, config
        self.outcome, self.rows, self.failure = {}, {}, None

    def run(self):
        try:
            with World() as world:
                self.play(world)
        except Exception as e:   # reported by whoever joins this thread
            self.failure = e

    def play(self, world):
        database = Sqlite(world.dir)
        side = Side(self.kind, world, database, self.config)
        for crowd in (True, False):
            side.drive([self.whole(side, s) for s in self.scenarios if s.alone() != crowd], WIDTH if crowd else 1)
        side.stop()
        self.rows = rows.by_scenario(database, self.scenarios)

    def whole(self, side, scenario):
        player = Player(side, scenario)

        def generator():
            yield from player.play(scenario.steps)
            yield from player.finish()

        def told(failure):
            self.outcome[scenario] = failure or player.seen
            if failure and scenario.alone():
                side.revive()
        return generator(), told


def compare(scenario, pair, reasons, rewrite):
    """Raises AssertionError with every complaint."""
    outcomes = [run.outcome[scenario] for run in pair]
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    complaints = []
    found = [(step, differences.between(seen, ours)) for (step, seen), (_, ours) in zip(*outcomes)]
    found.append((scenario.steps[-1], differences.between(*(run.rows[scenario.serial] for run in pair))))
    for step, differing in found:
        complaints += differences.unexplained(step, differing, '', reasons)
        if rewrite:
            differences.rewrite(step, differing, '')
    if complaints:
        raise AssertionError('\n#   '.join([scenario.title] + complaints))


def play(report, files, pair, reasons, options):
    """Files that share a config share their servers."""
    scenarios = [s for f in files for s in f.scenarios if not options.k or options.k in s.name]
    runs = together([Run(kind, scenarios, files[0].config) for kind in pair])
    for scenario in scenarios:
        report.case(scenario.name, compare, scenario, runs, reasons, options.rewrite)


def unused(files, reasons):
    everything = [s for f in files + load(glob.glob(os.path.join(HERE, 'migrations', '*.txt'))) for s in f.scenarios]
    used = {l[0] for s in everything for step in s.steps for l in step.listed}
    used.update(reason for s in everything for reason in s.unread().values())
    idle = sorted(set(reasons) - used)
    assert not idle, 'reasons that justify nothing: ' + ' '.join(idle)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--rewrite', action='store_true')
    parser.add_argument('--pair', default='stock,shardsm')
    parser.add_argument('-k', default='')
    parser.add_argument('files', nargs='*')
    options = parser.parse_args()
    need_shardsm()
    need_jabberd2('router', 'sm')
    everything = sorted(glob.glob(os.path.join(HERE, 'scenarios', '*.txt')))
    files = load([os.path.abspath(f) for f in options.files] or everything)
    reasons = load_reasons(os.path.join(HERE, 'reasons.txt'))
    report = Report()
    for config in sorted({f.config for f in files}):
        play(report, [f for f in files if f.config == config], options.pair.split(','), reasons, options)
    if not options.files:
        report.case('every reason is needed', unused, files, reasons)
    if options.rewrite:
        for file in files:
            file.save()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
