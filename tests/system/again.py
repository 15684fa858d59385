"""again.py - the tests of this directory once more, as programs of their own, in other surroundings: another database, another machine.
Threads: none.
Owns: one test at a time.
"""
import os
import re
import subprocess
import sys

from engines import SKIP

HERE = os.path.dirname(os.path.abspath(__file__))


def again(test, environment, where, seconds=1800):
    """Runs (file, argument...); passed and failed cases. One that says nothing, or does not end, has failed."""
    try:
        done = subprocess.run([sys.executable, os.path.join(HERE, test[0]), *test[1:]], env=dict(os.environ, **environment), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors='replace', timeout=seconds)
        status, out = done.returncode, done.stdout
    except subprocess.TimeoutExpired as e:
        status, out = 'none', '%s\nstill running after %d s' % ((e.stdout or b'').decode(errors='replace'), seconds)
    found = re.findall(r'^# (\d+) passed, (\d+) failed', out, re.M)
    passed, failed = (int(n) for n in found[-1]) if found else (0, 0)
    skipped = status == SKIP and not found
    failed = failed or (0 if status == 0 or skipped else 1)
    print('%s %s: %s' % (' '.join(test), where, 'skipped' if skipped else '%d passed, %d failed' % (passed, failed)), flush=True)
    if failed or skipped:
        shown = [l for l in out.splitlines() if not l.startswith(('ok ', '# %d passed' % passed))]
        print('\n'.join('    ' + l for l in shown), flush=True)
    return passed, failed
