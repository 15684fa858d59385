#!/usr/bin/python3
"""tests/bench/scaling.py - the simulation behind `make bench-scaling`: that it does what can be worked out by hand, that a measurement
of a real server gives what the simulation wants, and that a page comes of it. Figures are not tested.

Threads: one.
Owns: temporary directories.
"""
import contextlib
import io
import os
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '../system'), os.path.join(HERE, '../../bench')]  # both have a servers.py
from servers import Report, need_shardsm
sys.modules.pop('servers')
sys.path.remove(os.path.join(HERE, '../system'))
import scaling
import scaling_measure
import scaling_sim
from scaling_sim import Costs, Load, Simulation

FLAT = Costs(acceptor_message=0.5, shard_message=1.0)


def check_capacity():
    """With costs of messages alone, the slowest station is the capacity: 0.5 us of acceptors, 1 us of shards."""
    for acceptors, shards, want in ((1, 8, 2.0), (4, 2, 2.0), (2, 3, 3.0)):
        got = Simulation(FLAT, Load(links=16), acceptors + shards, acceptors, shards, window=4000).run(60000)
        assert abs(got['per_s'] / 1e6 - want) < 0.12 * want, (acceptors, shards, got['per_s'])
        busy = max(got['acceptors' if acceptors == 1 else 'shards'])
        assert busy > 0.97, got


def check_cores():
    """Three microseconds of threads on one core, or on two."""
    costs = FLAT.with_changes(bench_message=1.5)
    for cores, want in ((1, 1 / 3), (2, 2 / 3)):
        got = Simulation(costs, Load(links=4), cores, 1, 2, window=500, generator=True).run(30000)
        assert abs(got['per_s'] / 1e6 - want) < 0.1 * want, (cores, got['per_s'])


def check_bursts():
    """One message under way travels alone and pays for everything: turn, two bursts, sleeps, wakes, a write."""
    costs = Costs(acceptor_message=1, acceptor_turn=2, acceptor_wake=3, shard_message=2, shard_turn=5, shard_sleep=7, write=11)
    sim = Simulation(costs, Load(links=1), 2, 1, 1, window=1)
    got = sim.run(400)
    assert abs(got['burst'] - 1) < 0.01 and abs(got['writes'] - 1) < 0.01, got
    # To itself the shard posts while it is awake: one wake and one sleep, by two bursts.
    want = 1 + 2 + 3 + 2 + 2 * 5 + 7 + 11 + scaling_sim.WAKE_LATENCY_US * 2
    assert abs(got['p50'] - want) < 0.5, (got, want)
    many = Simulation(costs, Load(links=1), 2, 1, 1, window=1000).run(20000)
    assert many['burst'] > 50 and many['writes'] < 0.05, many


def check_hot_user():
    """All for one user: one shard does half of the work of every message, and no number of shards helps."""
    got = Simulation(FLAT, Load(links=16, hot_user=1.0), 20, 4, 16, window=4000).run(60000)
    assert 1.6 < got['per_s'] / 1e6 < 2.05 and max(got['shards']) > 0.97 > 3 * sorted(got['shards'])[0], got


def check_seed():
    runs = [Simulation(FLAT, Load(seed=seed, zipf=1.0), 4, 1, 3, window=300).run(5000) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def check_open_loop():
    got = Simulation(FLAT, Load(), 4, 1, 3, rate=0.5).run(20000)
    assert abs(got['per_s'] / 1e6 - 0.5) < 0.03 and abs(got['acceptors'][0] - 0.25) < 0.03, got


def check_fit():
    rows = [(1, b, w) for b, w in ((0.01, 0.02), (0.5, 0.5), (1, 1), (0.1, 0.6), (2, 1))]
    factors, error = scaling_sim.least_squares(rows, [0.4 + 3 * b + 0 * w for _, b, w in rows])
    assert all(abs(a - b) < 0.01 for a, b in zip(factors, (0.4, 3, 0))) and error < 0.01, (factors, error)
    factors, _ = scaling_sim.least_squares([(1, 1), (1, 2), (1, 3)], [3, 2, 1])
    assert min(factors) >= 0, factors


def check_measure():
    """A real server, a simulation of it, and what is told of both."""
    with tempfile.TemporaryDirectory() as d:
        build = os.path.dirname(os.path.dirname(os.path.abspath(os.environ.get('SHARDSM', 'src/shardsm'))))
        runs = [(2, 1, 2, ['--sessions', '20', '--ops', str(n), '--window', str(w)]) for w, n in ((1, 3000), (50, 40000))]
        figures = scaling_measure.measure(build, os.path.join(d, 'work'), runs, lambda text: None)
        assert len(figures) == 2, figures
        alone, many = figures
        assert alone['burst'] < 2 < many['burst'] and alone['turns'] > many['turns'] and alone['writes'] > many['writes'], figures
        assert all(f['acceptor_us'] > 0 and f['shard_us'] > 0 and 0 < f['share'] <= 1 for f in figures), figures
        rows = scaling.validate(figures, FLAT)
        predicted = [scaling.predict(FLAT, 4)]
        day = {kind: {'acceptor': 0.5, 'shard': 4.0, 'writer': 1.0, 'readers': 0.0} for kind, *_ in scaling.DAY}
        assert scaling.day(day, 4, 1)[1] == 'shard' and scaling.day(day, 64, 32)[1] == 'writer'
        with contextlib.redirect_stdout(io.StringIO()):
            scaling.tell(d, FLAT, {'acceptor': 0.1}, figures, rows, predicted, day, [])
        with open(os.path.join(d, 'scaling.html'), encoding='utf-8') as f:
            page = f.read()
        assert page.count('<svg') == 4 and 'http:' not in page and 'More cores' in page, page[:300]


def main():
    need_shardsm()
    report = Report()
    for check in (check_capacity, check_cores, check_bursts, check_hot_user, check_seed, check_open_loop, check_fit, check_measure):
        report.case(check.__name__, check)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
