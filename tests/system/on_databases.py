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

from again import again
from database import SERVERS
from engines import SKIP
from servers import World, need_shardsm

TESTS = (('run_transcripts.py', '--workers', '4', '--parser', 'scan'), ('real_router.py',), ('restart.py',))
OTHERS = (('run_transcripts.py',), ('real_listen.py',),
          ('subscriptions.py',), ('several_sms.py',), ('zombies.py',), ('dialled.py',), ('order.py',), ('both_links.py',), ('bad_requests.py',),
          ('verify.py', 'held', 'verified', 'guesses', 'empty code', 'deleted', 'not stored'))


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
        return SKIP
    passed = failed = 0
    for kind in there:
        with World() as world:
            server = SERVERS[kind](world)
            try:
                for test in tests:
                    more = again(test, {'SYSTEM_TEST_DATABASE': '%s %d' % (kind, server.port)}, 'on ' + kind)
                    passed, failed = passed + more[0], failed + more[1]
            finally:
                server.close()
    print('# %d passed, %d failed' % (passed, failed), flush=True)
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
