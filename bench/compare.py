#!/usr/bin/python3
"""bench/compare.py - what the same load costs jabberd2's own sm, shardsm and a bare relay, interleaved in one run.

Prints a table of medians with ratio and spread, and writes DIR/runs/*.json, DIR/table.txt and DIR/report.html.
Exit status: 0 every run was right, 1 one failed, 2 nothing can be compared.
Threads: starts one server and one load generator at a time.
Owns: the directory of its runs, below DIR; databases are removed after their run.
"""
import argparse
import os
import shutil
import signal
import statistics
import sys

import report
import servers

# A run: its name, operations for jabberd2's sm and for the others, and the load generator's arguments.
RUNS = {
    'few': (50000, 500000, ['--scenario', 'chat', '--sessions', '200']),
    'many': (30000, 500000, ['--scenario', 'idle', '--sessions', '5000', '--hold', '0']),
    'paced': (10000, 10000, ['--scenario', 'chat', '--sessions', '1000', '--rate', '5000']),
    'offline': (5000, 50000, ['--scenario', 'offline', '--sessions', '200']),
    'contacts': (300, 3000, ['--scenario', 'presence', '--sessions', '200', '--contacts', '100', '--window', '200']),
    'roster': (3000, 20000, ['--scenario', 'roster', '--sessions', '200', '--contacts', '100']),
}


def cpu(phase):
    return lambda run: next((p['sm_cpu_us_per_op'] for p in run['phases'] if p['name'] == phase), None)


def latency(quantile):
    return lambda run: next((p['latency_ms'][quantile] for p in run['phases'] if p['name'] == 'chat'), None)


def memory(run):
    """KB of a session that has sent presence, by the memory that all of them took."""
    phases = {p['name']: p for p in run['phases']}
    if 'presence' not in phases:
        return None
    return (phases['presence']['rss_kb'] - phases['start']['rss_before_kb']) / phases['start']['ops']


# What is told of which run.
ROWS = [
    ('message between two of 200 sessions', 'us', 'few', cpu('chat')),
    ('message between two of 5,000 sessions', 'us', 'many', cpu('chat')),
    ("session's start, user loaded", 'us', 'many', cpu('held-start')),
    ('first presence, no contacts', 'us', 'many', cpu('held-presence')),
    ("session's end", 'us', 'many', cpu('held-end')),
    ('memory of an idle session', 'KB', 'many', memory),
    ('message stored for a user away', 'us', 'offline', cpu('store')),
    ('ping to the server', 'us', 'many', cpu('ping')),
    ('presence change to 100 contacts', 'us', 'contacts', cpu('presence-change')),
    ('roster of 100 contacts', 'us', 'roster', cpu('roster-get')),
    ('latency at 5,000 messages a second, median', 'ms', 'paced', latency('p50')),
    ('latency at 5,000 messages a second, p99', 'ms', 'paced', latency('p99')),
]


def arguments():
    p = argparse.ArgumentParser(description="Compares the cost of the same load on jabberd2's sm, shardsm and a bare relay.")
    p.add_argument('build', nargs='?', default='.', help='directory in which shardsm was built')
    p.add_argument('--stock', default='/usr/sbin/jabberd2-sm', help="jabberd2's sm; left out where there is none")
    p.add_argument('--rounds', type=int, default=3, help='each round runs every load on every server')
    p.add_argument('--runs', default=','.join(RUNS), help='which of ' + ', '.join(RUNS))
    p.add_argument('--scale', type=float, default=1.0, help='factor on the number of operations')
    p.add_argument('--out', default='bench-report', help='directory for the figures')
    args = p.parse_args()
    unknown = set(args.runs.split(',')) - set(RUNS)
    if unknown:
        p.error(f"--runs {','.join(sorted(unknown))}: must be of {', '.join(RUNS)}")
    if args.rounds < 1 or args.scale <= 0:
        p.error('--rounds must be 1 or more, --scale more than 0')
    return args


class Comparison:
    """The servers, and what came out of each run."""

    def __init__(self, args):
        build = os.path.abspath(args.build)
        self.bench = os.path.join(build, 'bench/shardsm-bench')
        shardsm = os.path.join(build, 'src/shardsm')
        self.servers = {}
        if os.access(args.stock, os.X_OK):
            self.servers['jabberd2'] = (servers.run_behind_router, args.stock)
        else:
            print(f"compare.py: {args.stock} is missing: install jabberd2 to compare with its sm", file=sys.stderr)
        self.servers['shardsm, routed'] = (servers.run_behind_router, shardsm)
        self.servers['shardsm'] = (servers.run_listening, shardsm)
        self.servers['relay'] = (servers.run_relay, os.path.join(build, 'bench/relay'))
        self.out = os.path.abspath(args.out)
        self.args = args
        self.results = {}  # (run, server) -> one report for each round
        self.failed = 0

    def one(self, name, server, number):
        stock_ops, ops, load = RUNS[name]
        function, program = self.servers[server]
        work = os.path.join(self.out, 'work')
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        count = max(100, int((stock_ops if server == 'jabberd2' else ops) * self.args.scale))
        if server == 'jabberd2' and name == 'many':
            load = [*load, '--rounds', '2']  # as many again would take minutes
        if server == 'relay' and name == 'many':
            load = ['--scenario', 'chat', '--sessions', '5000']
        try:
            got = function(program, self.bench, work, ['--quiet', '--label', server, '--ops', str(count), *load])
        except (servers.Failed, OSError) as why:
            print(f'compare.py: {server}, {name}: {why}', file=sys.stderr)
            shutil.copytree(work, os.path.join(self.out, f'failed.{name}.{number}'), dirs_exist_ok=True)
            self.failed += 1
            return
        self.results.setdefault((name, server), []).append(got)
        label = server.replace(', ', '-')
        shutil.copy(f'{work}/run.json', os.path.join(self.out, 'runs', f'{name}.{label}.{number}.json'))

    def run(self):
        os.makedirs(os.path.join(self.out, 'runs'), exist_ok=True)
        for number in range(1, self.args.rounds + 1):
            for name in self.args.runs.split(','):
                for server in self.servers:
                    if server != 'relay' or name in ('few', 'many', 'paced'):
                        print(f'round {number} of {self.args.rounds}: {name}, {server}', file=sys.stderr)
                        self.one(name, server, number)
        shutil.rmtree(os.path.join(self.out, 'work'), ignore_errors=True)

    def values(self, row, server):
        _, _, run, figure = row
        found = [figure(r) for r in self.results.get((run, server), [])]
        return [v for v in found if v is not None]

    def cell(self, row, server):
        """Median, how many times less than jabberd2's, spread."""
        values, stock = self.values(row, server), self.values(row, 'jabberd2')
        if not values:
            return ''
        m = statistics.median(values)
        text = f'{m:.3g} {row[1]}' if m < 1000 else f'{m:,.0f} {row[1]}'
        if stock and server != 'jabberd2' and m > 0:
            text += f' ({statistics.median(stock) / m:.3g}x)'
        return text + (f' {(max(values) - min(values)) / m * 100:3.0f}%' if m > 0 else '')

    def table(self):
        rows = [r for r in ROWS if any(self.values(r, s) for s in self.servers)]
        cells = [['', *self.servers]] + [[r[0], *(self.cell(r, s) for s in self.servers)] for r in rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines = ['  '.join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip() for row in cells]
        return '\n'.join(lines) + (
            f'\n\nus: processor time of the whole process for one operation, system calls included; medians of {self.args.rounds} interleaved rounds;'
            "\nin brackets how many times less than jabberd2's sm; then the spread, (highest - lowest) / median.\n")


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    comparison = Comparison(args)
    for need in (comparison.bench, os.path.join(os.path.abspath(args.build), 'src/shardsm'), servers.SM_XML, servers.SCHEMA):
        if not os.path.exists(need):
            print(f'compare.py: {need} is missing: build shardsm, and install the Debian package jabberd2', file=sys.stderr)
            return 2
    if not shutil.which('sqlite3'):
        print('compare.py: sqlite3 is missing: install the Debian package sqlite3', file=sys.stderr)
        return 2
    comparison.run()
    text = comparison.table()
    print(text, end='')
    with open(os.path.join(comparison.out, 'table.txt'), 'w', encoding='utf-8') as f:
        f.write(text)
    last = [runs[-1] for runs in comparison.results.values()]
    with open(os.path.join(comparison.out, 'report.html'), 'w', encoding='utf-8') as f:
        f.write(report.page(last, text))
    print(f'{comparison.out}/report.html')
    return 1 if comparison.failed else 0


if __name__ == '__main__':
    sys.exit(main())
