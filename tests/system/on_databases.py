#!/usr/bin/python3
"""on_databases.py - whole servers on PostgreSQL and on MariaDB: the tests of this directory again, on a server of each.
Threads: one.
Owns: the database servers, and the tests that it runs one after the other.

usage: on_databases.py [--all] [postgresql] [mariadb] [-- TEST [ARGUMENT...]]
Every test gets databases of its own. --all (or SHARDSM_CHECK_FULL, which make check-full sets): also those that say little more there than on SQLite.
"""
import sys
sys.dont_write_bytecode = True
import argparse
import os
import re
import subprocess

from database import SERVERS
from servers import World, need_shardsm

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = (('run_transcripts.py', '--workers', '4', '--parser', 'scan'), ('real_router.py',), ('restart.py',))
OTHERS = (('run_transcripts.py', '--workers', '1', '--parser', 'scan'), ('run_transcripts.py', '--workers', '8', '--parser', 'mxml'),
          ('run_transcripts.py', '--behind', 'direct'), ('run_transcripts.py', '--behind', 'router'), ('real_listen.py',),
          ('subscriptions.py',), ('several_sms.py',), ('zombies.py',), ('dialled.py',), ('order.py',), ('both_links.py',), ('bad_requests.py',),
          ('verify.py', 'held', 'verified', 'guesses', 'empty code', 'deleted', 'not stored'))


def run(kind, server, test):
    """Passed and failed cases."""
    environment = dict(os.environ, SYSTEM_TEST_DATABASE='%s %d' % (kind, server.port))
    done = subprocess.run([sys.executable, os.path.join(HERE, test[0]), *test[1:]], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors='replace')
    found = re.findall(r'^# (\d+) passed, (\d+) failed', done.stdout, re.M)
    passed, failed = (int(n) for n in found[-1]) if found else (0, 0)
    skipped = done.returncode == 77 and not found
    failed = failed or (0 if done.returncode == 0 or skipped else 1)
    print('%s on %s: %s' % (' '.join(test), kind, 'skipped' if skipped else '%d passed, %d failed' % (passed, failed)), flush=True)
    if failed or skipped:
        shown = [l for l in done.stdout.splitlines() if not l.startswith(('ok ', '# ' + '%d passed' % passed))]
        print('\n'.join('    ' + l for l in shown), flush=True)
    return passed, failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--all', action='store_true')
    parser.add_argument('kinds', nargs='*', choices=[*SERVERS, []])
    own = sys.argv.index('--') if '--' in sys.argv else len(sys.argv)
    options = parser.parse_args(sys.argv[1:own])
    tests = [sys.argv[own + 1:]] if own < len(sys.argv) else TESTS + (OTHERS if options.all or os.environ.get('SHARDSM_CHECK_FULL') else ())
    need_shardsm()
    there = [k for k in options.kinds or SERVERS if SERVERS[k].there()]
    for kind in SERVERS:
        if kind not in there and kind in (options.kinds or SERVERS):
            print('# not run on %s: its server is not installed' % kind)
    if not there:
        return 77
    passed = failed = 0
    for kind in there:
        with World() as world:
            server = SERVERS[kind](world)
            try:
                for test in tests:
                    more = run(kind, server, test)
                    passed, failed = passed + more[0], failed + more[1]
            finally:
                server.close()
    print('# %d passed, %d failed' % (passed, failed), flush=True)
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
