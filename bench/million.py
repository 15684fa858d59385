#!/usr/bin/python3
"""bench/million.py - what operations cost while very many sessions are held, and the same with few: the ratio should be 1.

Sessions with presence on a listening shardsm; then messages, pings, and users who come and go, in the scenario `idle`.
Exit status: 0 every run was right, 1 one failed, 2 it cannot begin.
Threads: starts one server and one load generator at a time.
Owns: the directory of its runs, below DIR; databases are removed after their run.
"""
import argparse
import os
import shutil
import signal
import statistics
import sys

import servers

ROWS = [('message', 'chat'), ('ping to the server', 'ping'), ("session's start", 'held-start'), ('first presence', 'held-presence'),
        ("session's end", 'held-end')]


def arguments():
    p = argparse.ArgumentParser(description='Cost of operations while many sessions are held, against few.')
    p.add_argument('build', nargs='?', default='.', help='directory in which shardsm was built')
    p.add_argument('--sessions', type=int, default=1000000, help='how many to hold')
    p.add_argument('--few', type=int, default=1000, help='to compare with')
    p.add_argument('--few-rounds', type=int, default=3, help='runs with few: half of them before, half behind')
    p.add_argument('--ops', type=int, default=200000, help='messages, and pings')
    p.add_argument('--hold', type=int, default=10, help='seconds of silence')
    p.add_argument('--out', default='bench-million', help='directory for the figures')
    return p.parse_args()


def one(build, out, sessions, number, args):
    work = os.path.join(out, 'work')
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    print(f'{sessions:,} sessions', file=sys.stderr)
    load = ['--scenario', 'idle', '--sessions', str(sessions), '--ops', str(args.ops), '--hold', str(args.hold), '--timeout', '120', '--quiet',
            '--label', f'{sessions:,} sessions']
    try:
        got = servers.run_listening(f'{build}/src/shardsm', f'{build}/bench/shardsm-bench', work, load)
    finally:
        for name in ('report', 'run.json', 'bench.log'):
            if os.path.exists(f'{work}/{name}'):
                shutil.copy(f'{work}/{name}', f'{out}/{sessions}.{number}.{name}')
        shutil.rmtree(work)
    return got


def phase(run, name):
    return next(p for p in run['phases'] if p['name'] == name)


def table(few, many, args):
    lines = [f"{'':26}{f'{args.few:,} held':>16}{f'{args.sessions:,} held':>18}{'ratio':>8}"]
    for title, name in ROWS:
        small = statistics.median(phase(r, name)['sm_cpu_us_per_op'] for r in few)
        big = phase(many, name)['sm_cpu_us_per_op']
        lines.append(f"{title:26}{small:13.2f} us{big:15.2f} us{big / small if small else 0:8.2f}")
    start, presence, hold = phase(many, 'start'), phase(many, 'presence'), phase(many, 'hold')
    used = presence['rss_kb'] - start['rss_before_kb']
    lines += [
        f"{'start of all of them':26}{'':16}{start['sm_cpu_us_per_op']:15.2f} us   {start['ops_per_s']:,.0f} a second",
        f"{'first presence of all':26}{'':16}{presence['sm_cpu_us_per_op']:15.2f} us   {presence['ops_per_s']:,.0f} a second",
        f"{'end of all of them':26}{'':16}{phase(many, 'end')['sm_cpu_us_per_op']:15.2f} us   {phase(many, 'end')['ops_per_s']:,.0f} a second",
        f"{'memory of a session':26}{'':16}{used / start['ops']:15.2f} KB   {presence['rss_kb'] / 1048576:.2f} GB in all, this program {many['bench_rss_kb'] / 1048576:.2f} GB",
        f"{'silence':26}{'':16}{hold['sm_cpu_us_per_op'] * hold['ops'] / hold['wall_s'] / 1e4:15.3f} % of a core",
    ]
    return '\n'.join(lines) + '\n'


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    build, out = os.path.abspath(args.build), os.path.abspath(args.out)
    os.makedirs(out, exist_ok=True)
    few, many = [], None
    try:
        for number in range(args.few_rounds + 1):
            if number == (args.few_rounds + 1) // 2:
                many = one(build, out, args.sessions, number, args)
            else:
                few.append(one(build, out, args.few, number, args))
    except servers.Failed as why:
        print(f'million.py: {why}', file=sys.stderr)
        return 1
    except OSError as why:
        print(f'million.py: {why}: build shardsm, and install the Debian packages jabberd2 and sqlite3', file=sys.stderr)
        return 2
    text = table(few, many, args)
    print(text, end='')
    with open(os.path.join(out, 'table.txt'), 'w', encoding='utf-8') as f:
        f.write(text)
    return 0


if __name__ == '__main__':
    sys.exit(main())
