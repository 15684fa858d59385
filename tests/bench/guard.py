#!/usr/bin/python3
"""tests/bench/guard.py - the instruction guard: that its scenarios still get their answers, and that it says what is over the margin.

Nothing is counted here: that is `make bench-guard`, and needs the build that bench/guard.txt is about.
Threads: one.
Owns: temporary files.
"""
import contextlib
import io
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.join(HERE, '../../bench')
sys.path[:0] = [os.path.join(HERE, '../system'), BENCH]  # both have a servers.py: the tests' is meant
import guard
from servers import Report

PROFILE = '''\
version: 1
events: Ir
ob=(1) /somewhere/bench/guard
fl=(1) a.c
fn=(1) shard_turn
0 10
+0 5
cfn=(2) work
calls=3 0
0 1000
fn=(2)
0 700
cob=(2) /lib/libc.so.6
cfn=(3) memcpy
calls=1 0
* 30
ob=(2)
fn=(3)
0 30
fn=(4) 0x00000000000ff650
0 40
'''
STORE = 'ob=(1) /somewhere/bench/guard\nfn=(1) lane_main\n0 100\n'
OTHER = 'ob=(1) /somewhere/bench/guard\nfn=(1) call_rcu_thread\n0 5000\n'


def counted():
    with tempfile.TemporaryDirectory() as d:
        paths = []
        for i, text in enumerate((PROFILE, STORE, OTHER)):
            paths.append(f'{d}/callgrind-{i}')
            with open(paths[-1], 'w', encoding='utf-8') as f:
                f.write(text)
        return guard.Counts.of_profiles([guard.Profile(p) for p in paths], 5)


def check_profile():
    c = counted()
    assert (c.total, c.own, c.store) == (177, 163, 20), vars(c)
    assert list(c.functions.items())[:2] == [('work', 140), ('lane_main', 20)] and c.functions['in:libc.so.6'] == 8, c.functions


def check_file():
    with tempfile.TemporaryDirectory() as d:
        before = {('gcc 1', 'libc 2'): {'message': counted()}, ('gcc 2', 'libc 2'): {}}
        guard.write_baselines(f'{d}/g', before)
        after = guard.read_baselines(f'{d}/g')
        assert vars(after['gcc 1', 'libc 2']['message']) == vars(counted()), after
        with open(f'{d}/g', 'a', encoding='utf-8') as f:
            f.write('nonsense\n')
        try:
            guard.read_baselines(f'{d}/g')
        except guard.Failed as why:
            assert 'line' in str(why) and '--rebase' in str(why), why
        else:
            raise AssertionError('nonsense was read')


def compared(change, same_libraries=True):
    now = counted()
    change(now)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        bad = guard.compare({'message': now}, {'message': counted()}, same_libraries, 5)
    return bad, out.getvalue()


def slower(c):
    c.total, c.own, c.functions['work'] = 190, 176, 153


def check_compare():
    assert compared(lambda c: None)[0] == 0
    bad, said = compared(slower)
    assert bad == 1 and 'MORE THAN 5 % MORE' in said and '+13 work' in said and 'message' in said, said
    # A library of another version may take what it likes; the program's own code may not.
    assert compared(lambda c: setattr(c, 'total', 400), same_libraries=False)[0] == 0
    assert compared(lambda c: setattr(c, 'total', 400))[0] == 1
    assert compared(slower, same_libraries=False)[0] == 1


def check_other_build():
    class Other:
        build, libraries = 'cc 0', 'libc 0'
    try:
        guard.choose({('gcc 1', 'libc 2'): {}}, Other)
    except guard.Failed as why:
        assert 'cc 0' in str(why) and 'gcc 1' in str(why) and '--rebase' in str(why), why
    else:
        raise AssertionError('compared with another compiler')


def check_scenarios():
    done = subprocess.run([sys.executable, os.path.join(BENCH, 'guard.py'), '--dry', '.'], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and 'message: 1280 operations' in done.stdout, done.stdout + done.stderr


def main():
    report = Report()
    for check in (check_profile, check_file, check_compare, check_other_build, check_scenarios):
        report.case(check.__name__, check)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
