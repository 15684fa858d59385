#!/usr/bin/python3
"""valgrind.py - whole servers under valgrind's memcheck: loaded, asked everything, and ended by SIGTERM. No error, and nothing is left.
Threads: one.
Owns: the tests that it runs, one after the other, and valgrind's logs.

Last, the same with faults planted (planted_faults.c), which must be found.
usage: valgrind.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import glob
import os
import re
import shutil

from again import again
from engines import SKIP
from load import BENCH
from servers import SHARDSM, World, run_cases

HERE = os.path.dirname(os.path.abspath(__file__))
PLANTED = os.environ.get('SHARDSM_PLANTED', os.path.abspath('tests/system/planted_faults.so'))
SUPPRESSIONS = os.path.join(os.path.dirname(HERE), 'valgrind.supp')
# What a server keeps until the process ends, in blocks: its threads' counters, what libraries keep for themselves, and for each domain its board
# and its message of the day (announce.c). With one for each session, account or packet there would be more.
KEPT = 40
TRANSCRIPTS = len(glob.glob(os.path.join(HERE, 'transcripts', '*.txt')))   # each has a domain
SCRIPT = """#!/bin/sh
exec {preload} valgrind --leak-check=full --show-leak-kinds={kinds} --errors-for-leak-kinds={kinds} \\
\t--num-callers=30 --soname-synonyms=somalloc='*jemalloc*' --suppressions='{suppressions}' --log-file='{logs}/%p' '{shardsm}' "$@"
"""


class Watched:
    """A shardsm that the tests start as they would the real one."""

    def __init__(self, world, planted=False, served=True):
        self.logs = world.path('logs')
        for name in ('logs', 'src'):
            os.mkdir(world.path(name))
        os.symlink(SHARDSM + '-ctl', world.path('src/shardsm-ctl'))
        os.symlink(os.path.join(os.path.dirname(SHARDSM), '../tests'), world.path('tests'))   # bad_requests.py asks a program there
        self.program = world.write('src/shardsm', SCRIPT.format(preload="env LD_PRELOAD='%s'" % PLANTED if planted else '', logs=self.logs,
                                                                kinds='definite,indirect,possible' if served else 'definite,indirect',
                                                                suppressions=SUPPRESSIONS, shardsm=SHARDSM))
        os.chmod(self.program, 0o755)

    def run(self, *test):
        """Failed cases of the test."""
        slow = {'SYSTEM_TEST_SECONDS': '120', 'SYSTEM_TEST_EXTRA': '<stop-timeout>100</stop-timeout>'}
        return again(test, dict(slow, SHARDSM=self.program, SHARDSM_BENCH=BENCH), 'under valgrind')[1]

    def ends(self):
        """valgrind's last word on each server that ended by itself: (errors, blocks that were still known at the end, log)."""
        for path in glob.glob(os.path.join(self.logs, '*')):
            with open(path, encoding='utf-8', errors='replace') as f:
                text = f.read()
            errors = re.search(r'ERROR SUMMARY: ([\d,]+) errors', text)
            if errors and 'HEAP SUMMARY' in text:
                kept = re.search(r'still reachable: [\d,]+ bytes in ([\d,]+) blocks', text)
                yield number(errors), number(kept) if kept else 0, text


def number(found):
    return int(found.group(1).replace(',', ''))


def clean(*tests, domains=1, served=True):
    """served: no server ends before it served, as one does that checks its configuration or cannot have its port: what it knows by then goes
    with it, stacks of threads too, to which valgrind finds no way."""
    def case():
        with World() as world:
            watched = Watched(world, served=served)
            failed = sum(watched.run(*test) for test in tests)
            ends = list(watched.ends())
            for errors, kept, text in ends:
                assert not errors, '%d errors:\n%s' % (errors, text[:20000])
                assert not served or kept <= KEPT + 2 * domains, '%d blocks were kept to the end:\n%s' % (kept, text[-3000:])
            assert not failed, '%d cases failed' % failed
            assert len(ends) >= len(tests), 'valgrind saw %d servers end' % len(ends)
            print('# %d servers ended, with %d blocks at most' % (len(ends), max(end[1] for end in ends)), flush=True)
    return case


def planted():
    """The faults do the servers no harm, so that the test itself may pass; only valgrind sees them."""
    with World() as world:
        watched = Watched(world, True)
        watched.run('loaded.py', '1')
        logs = [text for errors, _, text in watched.ends() if errors]
        assert logs, 'no error was reported'
        for what in ('definitely lost in loss record', r'depends on uninitialised value\(s\)'):
            assert any(re.search(what, text) for text in logs), '%s was not reported:\n%s' % (what, logs[0][:5000])


CASES = {
    'under load': clean(('loaded.py', '4')),
    'every transcript': clean(('run_transcripts.py', '--workers', '4', '--parser', 'scan'), domains=TRANSCRIPTS),
    'bad requests': clean(('bad_requests.py',)),
    'bad input': clean(('bad_input.py',), served=False),
    'stopping': clean(('stopping.py', 'what-had-come', 'slow-database')),
    'faults that were planted': planted,
}


def main():
    if not shutil.which('valgrind'):
        print('# skipped: valgrind is missing: install the Debian package valgrind')
        return SKIP
    return run_cases(CASES)


if __name__ == '__main__':
    sys.exit(main())
