#!/usr/bin/python3
"""bench/guard.py - counts the instructions that operations take, and compares them with what is written in guard.txt.

Runs BUILD/bench/guard (a session manager on one thread, real but for that) under valgrind's callgrind, once for each scenario. Counts
are those of acceptor, shards and store, libraries included and the kernel not. No clock is in them: they repeat within a few tenths of a
percent on a busy machine, too.
Exit status: 0 nothing takes more than it may, 1 something does, 2 nothing could be compared.
Threads: one; as many valgrinds as there are cores.
Owns: a temporary directory.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

FUNCTIONS = 12  # kept of each scenario
# The C library picks its string functions by processor: here it takes the same ones everywhere. jemalloc measures the machine, too.
ENVIRONMENT = {
    'GLIBC_TUNABLES': 'glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-BMI2,-SSE4_2,-SSE4_1,-SSSE3,-LZCNT,-MOVBE,-RTM',
    'MALLOC_CONF': 'narenas:2,dirty_decay_ms:-1,muzzy_decay_ms:-1',
    'LC_ALL': 'C',
}
HEADER = '''\
# bench/guard.txt - instructions of one operation, as bench/guard.py counts them: `make bench-guard` compares, and
# `make bench-guard GUARD_FLAGS=--rebase` writes this file anew for the compiler, flags and libraries at hand. Do that in the commit that
# changes them, and say there why. Of each scenario: all; of that, what is the program's own code and not a library's; what the store's
# threads do; below it the functions that take most, themselves.
'''


class Failed(Exception):
    """Nothing can be counted, and why."""


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, check=False, **more)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or f'status {done.returncode}').splitlines()
        raise Failed(f"{' '.join(command)}: {' / '.join(said[-3:])}")
    return done.stdout


class Profile:
    """Instructions by function and object, from what callgrind writes of one thread."""

    NAME = re.compile(r'(fn|ob|cfn|cob)=\((\d+)\)(?: (.*))?')

    def __init__(self, path):
        self.by_function = {}  # (function, object) -> instructions
        names, at, skip = {'fn': {}, 'ob': {}}, {'fn': '', 'ob': ''}, False
        with open(path, encoding='utf-8', errors='replace') as f:
            for line in f:
                if line[:1] in '0123456789+-*':
                    if not skip:
                        key = (at['fn'], at['ob'])
                        self.by_function[key] = self.by_function.get(key, 0) + int(line.split()[1])
                    skip = False
                elif line.startswith('calls='):
                    skip = True  # what follows is the callee's
                elif found := self.NAME.match(line):
                    kind, number, name = found.groups()
                    known = names[kind[-2:]]
                    if name is not None:
                        known[number] = name
                    if kind in at:
                        at[kind] = known[number]

    def of(self, function):
        return any(name == function for name, _ in self.by_function)


class Counts:
    """One scenario: instructions of an operation."""

    def __init__(self, total, own, store, functions):
        self.total, self.own, self.store, self.functions = total, own, store, functions

    @classmethod
    def of_profiles(cls, profiles, ops):
        server, store = profiles[0].by_function, {}
        for p in profiles[1:]:
            if p.of('lane_main'):
                for key, n in p.by_function.items():
                    store[key] = store.get(key, 0) + n
        both = dict(server)
        for key, n in store.items():
            both[key] = both.get(key, 0) + n
        by_name = {}
        for (name, place), n in both.items():
            name = 'in:' + os.path.basename(place) if name.startswith('0x') else name  # it has no symbols
            name = re.sub(r"'\d+$|\.(part|constprop|isra|cold)\.\d+", '', name).replace(' ', '')
            by_name[name] = by_name.get(name, 0) + n
        most = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
        own = sum(n for (_, place), n in both.items() if os.path.basename(place) == 'guard')
        return cls(round(sum(both.values()) / ops), round(own / ops), round(sum(store.values()) / ops),
                   {name: round(n / ops) for name, n in most})

    def text(self, name):
        lines = [f'scenario {name} {self.total} own {self.own} store {self.store}']
        return lines + [f'  {n} {f}' for f, n in list(self.functions.items())[:FUNCTIONS]]


def read_baselines(path):
    """(build, libraries) -> scenario -> Counts"""
    found, here, last = {}, None, None
    with open(path, encoding='utf-8') as f:
        for number, line in enumerate(f, 1):
            words = line.split()
            try:
                if not words or line.startswith('#'):
                    continue
                if words[0] == 'build':
                    build = line[6:].strip()
                elif words[0] == 'libraries':
                    here = found.setdefault((build, line[10:].strip()), {})
                elif words[0] == 'scenario':
                    last = here[words[1]] = Counts(int(words[2]), int(words[4]), int(words[6]), {})
                else:
                    last.functions[words[1]] = int(words[0])
            except (ValueError, IndexError, TypeError, AttributeError, UnboundLocalError) as why:
                raise Failed(f'{path}, line {number}: not understood; --rebase writes it anew') from why
    return found


def write_baselines(path, all_of_them):
    lines = []
    for (build, libraries), scenarios in sorted(all_of_them.items()):
        lines += ['', f'build {build}', f'libraries {libraries}']
        for name, counts in scenarios.items():
            lines += counts.text(name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(HEADER + '\n'.join(lines) + '\n')


class Guard:
    """The program at hand, and the directory that it is run in."""

    def __init__(self, build, source, work):
        self.program = os.path.join(os.path.abspath(build), 'bench/guard')
        self.bench = os.path.join(os.path.abspath(build), 'bench/shardsm-bench')
        self.sample = os.path.join(source, '..', 'doc/sm.xml')
        self.work = work
        self.names = run([self.program, '-', 'list']).split()
        built, libc = run([self.program, '-', 'build']).splitlines()
        compiler, flags, *rest = built.split(', ')
        self.build = ', '.join([compiler, ' '.join(sorted(flags.split())), *rest])
        self.libraries = f'{libc}, {self.versions_of_libraries()}'

    def versions_of_libraries(self):
        """Those that a message or a login goes through, by the names of their files."""
        found = []
        for line in sorted(run(['ldd', self.program]).splitlines()):
            match = re.match(r'\s*lib(urcu-qsbr|mxml|idn|sqlite3|jemalloc)\.so\S* => (\S+)', line)
            if match:
                found.append(os.path.basename(os.path.realpath(match[2])))
        return ' '.join(found)

    def config(self, directory):
        """The sample configuration, with its own database and nothing to dial."""
        with open(self.sample, encoding='utf-8') as f:
            text = f.read()
        text = text.replace('localhost.localdomain', 'localhost').replace('/var/lib/jabberd2/sqlite.db', f'{directory}/sm.db')
        path = f'{directory}/sm.xml'
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return path

    def fill(self):
        """The database that every scenario gets a copy of."""
        run([self.program, self.config(self.work), 'tables'], cwd=self.work)
        users = ['--sql', '--sessions', '101', '--contacts', '100']
        with sqlite3.connect(f'{self.work}/sm.db') as db:
            db.executescript(run([self.bench, '--scenario', 'offline', *users]))
        db.close()

    def play(self, name, *below):
        """Runs a scenario, below a program or alone. The directory it ran in, and its operations; wrong answers are a failure."""
        directory = os.path.join(self.work, name)
        os.mkdir(directory)
        shutil.copy(f'{self.work}/sm.db', directory)
        return directory, int(run([*below, self.program, self.config(directory), name], cwd=directory))

    def count(self, name):
        directory, ops = self.play(name, 'valgrind', '-q', '--tool=callgrind', '--instr-atstart=no', '--separate-threads=yes',
                                   '--fair-sched=yes', '--dump-line=no', '--callgrind-out-file=callgrind')
        threads = sorted(f for f in os.listdir(directory) if re.fullmatch(r'callgrind-\d+', f))
        counts = Counts.of_profiles([Profile(os.path.join(directory, f)) for f in threads], ops)
        if counts.total < 100:
            raise Failed(f'{name}: callgrind counted next to nothing (built before valgrind was there? Then make clean all)')
        return counts

    def count_all(self, names):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return dict(zip(names, pool.map(self.count, names)))


def percent(now, before):
    return 100 * (now - before) / before if before else 0.0


def growth(now, before):
    """What grew, of the functions of which both are known."""
    names = {*list(now.functions)[:FUNCTIONS], *before.functions}
    rows = [(now.functions.get(f, 0) - before.functions.get(f, 0), f) for f in names if f in before.functions or f in now.functions]
    known = [(d, f) for d, f in rows if f in before.functions]
    new = [(d, f) for d, f in rows if f not in before.functions and d > min(before.functions.values(), default=0)]
    return [f'      {d:+7,} {f}' + ('' if f in before.functions else ' (was not among the first)')
            for d, f in sorted(known + new, reverse=True)[:6] if d > 0]


def compare(counted, baseline, same_libraries, margin):
    bad = 0
    print(f"{'instructions of one':<18}{'before':>10}{'now':>10}{'':>8}   of it own code {'before':>10}{'now':>10}")
    for name, now in counted.items():
        before = baseline.get(name)
        if not before:
            print(f'{name:<18}{"":>10}{now.total:>10,}   is not in the file: --rebase')
            continue
        more = percent(now.own, before.own)
        if same_libraries:
            more = max(more, percent(now.total, before.total))
        print(f'{name:<18}{before.total:>10,}{now.total:>10,}{percent(now.total, before.total):>+7.1f}%{"":18}{before.own:>10,}{now.own:>10,}'
              f'{percent(now.own, before.own):>+7.1f}%' + (f'   MORE THAN {margin:g} % MORE' if more > margin else
                                                           '   less: --rebase keeps it so' if more < -margin else ''))
        if more > margin:
            bad += 1
            print('    what grew most:', *(growth(now, before) or ['      nothing of it is among the functions in the file']), sep='\n')
    return bad


def arguments():
    p = argparse.ArgumentParser(description='Counts the instructions of fixed scenarios and compares them with bench/guard.txt.')
    p.add_argument('build', nargs='?', default='.', help='directory in which shardsm was built')
    p.add_argument('--rebase', action='store_true', help='write what is counted to the file')
    p.add_argument('--margin', type=float, default=5, help='percent that an operation may take more [5]')
    p.add_argument('--only', default='', help='scenarios, with commas between')
    p.add_argument('--file', default=os.path.join(os.path.dirname(os.path.abspath(__file__)), 'guard.txt'))
    p.add_argument('--dry', action='store_true', help='run the scenarios without valgrind, and count nothing')
    p.add_argument('--profile', action='store_true', help='print the functions of each scenario, too')
    return p.parse_args()


def choose(baselines, guard):
    """The baseline of this build, and whether the libraries are the same."""
    if (guard.build, guard.libraries) in baselines:
        return baselines[guard.build, guard.libraries], True
    for (build, libraries), found in baselines.items():
        if build == guard.build:
            print(f'libraries differ ({guard.libraries}; in the file: {libraries}): the program\'s own code alone is compared')
            return found, False
    known = '; '.join(build for build, _ in baselines) or 'nothing'
    raise Failed(f"this build is {guard.build}, the file knows {known}: configure with that compiler and those flags, or --rebase to add this build")


def work_in(directory, args):
    guard = Guard(args.build, os.path.dirname(os.path.abspath(__file__)), directory)
    names = args.only.split(',') if args.only else guard.names
    if unknown := set(names) - set(guard.names):
        raise Failed(f"--only {','.join(sorted(unknown))}: must be of {', '.join(guard.names)}")
    if args.dry:
        guard.fill()
        for name in names:
            print(f'{name}: {guard.play(name)[1]} operations')
        return 0
    baselines = read_baselines(args.file) if os.path.exists(args.file) else {}
    if not args.rebase:
        baseline, same = choose(baselines, guard)
    guard.fill()
    counted = guard.count_all(names)
    if args.profile:
        print('\n'.join(line for name, counts in counted.items() for line in counts.text(name)))
    if args.rebase:
        here = baselines.setdefault((guard.build, guard.libraries), {})
        here.update(counted)
        write_baselines(args.file, baselines)
        print(f'{args.file}: {len(counted)} scenarios of {guard.build}, {guard.libraries}')
        return 0
    bad = compare(counted, baseline, same, args.margin)
    print(f'{len(counted) - bad} as before or less, {bad} over the margin')
    return 1 if bad else 0


def main():
    args = arguments()
    if not args.dry and not shutil.which('valgrind'):
        print('guard.py: valgrind is missing: install the Debian package valgrind', file=sys.stderr)
        return 2
    directory = tempfile.mkdtemp(prefix='guard.')
    try:
        return work_in(directory, args)
    except (Failed, OSError) as why:
        print(f'guard.py: {why}', file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
