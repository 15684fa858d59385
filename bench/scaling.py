#!/usr/bin/python3
"""bench/scaling.py - how far threads carry: costs of each measured here, and what they make on machines with more cores, simulated.

Measures a message's cost to acceptors and shards by their numbers, by burst and by links (scaling_measure.py), fits what a message, a
burst, a wake and a write cost, checks a simulation (scaling_sim.py) with these costs against the same runs, then asks it about 4, 16 and
64 cores. Last, others' latency here while one pair of users and their c2s flood the server.
Writes OUT/scaling.txt, OUT/scaling.html and OUT/scaling.json.
Exit status: 0 all was measured, 1 some runs gave no figures, 2 nothing can be measured.
Threads: starts one or two servers and load generators at a time.
Owns: the directories of its runs, below OUT.
"""
import argparse
import html
import json
import math
import os
import signal
import sys

import report
import scaling_measure
import scaling_sim

# What a packet costs more when the thread that reads it is on another core than the one that wrote it: batches of 64, two threads on two
# cores against both on one, 87 and 29 ns a packet. Between sockets it is more.
TRANSFER_US = 0.058
CORES = (4, 16, 64)
SESSIONS = ['--sessions', '1000']
# Of a thousand operations of a day, as in shardsm-bench's scenario mix: how many, which runs and phases say what one costs.
DAY = [('message', 670, 'chat', 'chat'), ('ping', 120, 'idle', 'ping'), ('presence to 100', 100, 'presence', 'presence-change'),
       ('start', 60, 'idle', 'held-start'), ('first presence', 60, 'idle', 'held-presence'), ('end', 60, 'idle', 'held-end'),
       ('roster of 100', 40, 'roster', 'roster-get'), ('stored message', 100, 'offline', 'store')]
KINDS = {'chat': ['--scenario', 'chat', '--sessions', '1000', '--ops', '200000'],
         'idle': ['--scenario', 'idle', '--sessions', '1000', '--hold', '0', '--ops', '50000', '--rounds', '5'],
         'presence': ['--scenario', 'presence', '--sessions', '200', '--contacts', '100', '--ops', '2000', '--window', '200'],
         'roster': ['--scenario', 'roster', '--sessions', '200', '--contacts', '100', '--ops', '10000'],
         'offline': ['--scenario', 'offline', '--sessions', '200', '--ops', '20000']}


def say(text):
    print(text, file=sys.stderr, flush=True)


def plan(scale):
    """(shards, acceptors, links, arguments) of every run."""
    def closed(n, window):
        return [*SESSIONS, '--ops', str(max(2000, int(n * scale))), '--window', str(window)]
    threads = [(s, a) for s in (1, 2, 4, 8) for a in (1, 2, 4)]
    runs = [(s, a, 4, closed(200000, 2000)) for s, a in threads]
    runs += [(s, a, 4, [*SESSIONS, '--ops', str(max(2000, int(8000 * scale))), '--rate', '5000']) for s, a in threads]
    runs += [(1, 1, 1, closed(n, w)) for w, n in ((1, 4000), (4, 10000), (16, 40000), (64, 100000), (256, 100000), (2000, 200000))]
    return runs + [(2, 2, 16, closed(n, w)) for w, n in ((16, 20000), (256, 60000), (2000, 200000))]


# --- the simulation against the runs -----------------------------------------------------------------------------------

def validate(figures, costs):
    """One row for each closed loop: seen, simulated."""
    rows = []
    for f in figures:
        if f['rate']:
            continue
        load = scaling_sim.Load(users=1000, links=f['links'])
        sim = scaling_sim.Simulation(costs.with_changes(transfer=0.0), load, os.cpu_count() or 2, f['acceptors'], f['shards'], window=f['window'],
                                     generator=True)  # the costs were measured with the transfers in them
        got = sim.run(min(40000, f['window'] * 30 + 3000))
        rows.append({**f, 'sim': got})
    return rows


def typical(pairs):
    """Of (simulated, seen): the middle factor between them, and how far two in three are from it at most."""
    logs = sorted(math.log(a / b) for a, b in pairs if a > 0 and b > 0)
    middle = logs[len(logs) // 2]
    away = sorted(abs(x - middle) for x in logs)
    return math.exp(middle), math.exp(away[int(len(away) * 2 / 3)])


# --- more cores ----------------------------------------------------------------------------------------------------------

def splits(cores):
    """Numbers of acceptors worth a look."""
    return sorted({max(1, round(cores * f)) for f in (0.03, 0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.5)} & set(range(1, cores)))


def first_wall(got):
    a, s = max(got['acceptors']), max(got['shards'])
    return 'acceptor' if a > s + 0.03 else 'shard' if s > a + 0.03 else 'both'


def average(values):
    return sum(values) / len(values)


def capacity(costs, cores, acceptors, **load):
    """Messages a second with a core for each thread and as much to do as they can."""
    sim = scaling_sim.Simulation(costs, scaling_sim.Load(**{'links': max(4, cores), **load}), cores, acceptors, cores - acceptors, window=200 * cores)
    return sim.run(1500 * cores + 5000)


def waits(costs, cores, acceptors, rate):
    sim = scaling_sim.Simulation(costs, scaling_sim.Load(links=max(4, cores)), cores, acceptors, cores - acceptors, rate=rate)
    return sim.run(800 * cores + 6000)


def predict(costs, cores):
    by_split = [(a, capacity(costs, cores, a)) for a in splits(cores)]
    for a, got in by_split:
        say(f'{cores} cores, {a} acceptors: {got["per_s"] / 1e6:.2f} M/s')
    best, top = max(by_split, key=lambda x: x[1]['per_s'])
    shapes = {'one acceptor': by_split[0][1] if by_split[0][0] == 1 else capacity(costs, cores, 1),
              'all alike': top,
              'Zipf (exponent 1)': capacity(costs, cores, best, zipf=1.0),
              'one user gets 10 % of all': capacity(costs, cores, best, hot_user=0.1),
              'one c2s has half of all': capacity(costs, cores, best, hot_link=0.5),
              'four links': capacity(costs, cores, best, links=4),
              'a write costs a third': capacity(costs.with_changes(write=costs.write / 3), cores, best)}
    return {'cores': cores, 'splits': by_split, 'best': best, 'shapes': shapes,
            'waits': {load: waits(costs, cores, best, top['per_s'] * load / 1e6) for load in (0.5, 0.8)}}


# --- a day's mix, by demand ----------------------------------------------------------------------------------------------

def demands(build, work):
    """Operation -> microseconds of acceptor, shard, the thread that writes the database, those that read it."""
    runs = {}
    for name, args in KINDS.items():
        say(f'cost of {name}')
        try:
            runs[name] = scaling_measure.Run(build, work, 2, 1, 1, args)
        except (scaling_measure.servers.Failed, OSError) as why:
            say(f'  no figures: {why}')
    found = {}
    for kind, _, run, phase in DAY:
        if run not in runs:
            continue
        us = dict.fromkeys(('acceptor', 'shard', 'writer', 'readers'), 0.0)
        for t in runs[run].phase(phase)['threads']:
            place = next((k for k in ('acceptor', 'shard') if t['name'].startswith(k)), None)
            if t['name'].startswith('store'):
                place = 'writer' if t['name'].endswith(' 0') else 'readers'
            if place:
                us[place] += t['us_per_op']
        found[kind] = us
    return found


def day(found, cores, acceptors):
    """Thousands of such operations a second until a station is full, and which: by demand alone, without waits."""
    share = {kind: n / sum(n for k, n, _, _ in DAY if k in found) for kind, n, _, _ in DAY if kind in found}
    us = {place: sum(share[k] * found[k][place] for k in share) for place in ('acceptor', 'shard', 'writer', 'readers')}
    room = {'acceptor': acceptors, 'shard': cores - acceptors, 'writer': 1, 'readers': max(1, cores // 4)}
    most = {place: 1e6 * room[place] / u for place, u in us.items() if u > 0}
    wall = min(most, key=most.get)
    return most[wall], wall, {place: min(1.0, most[wall] / m) for place, m in most.items()}


# --- one who is loud ----------------------------------------------------------------------------------------------------

def loud(build, work, scale):
    """Latency of 200 sessions that send 2,000 messages a second: alone; with two users elsewhere on the machine flooding another
    server; with them flooding this one, over a c2s of their own."""
    quiet = ['--sessions', '200', '--ops', str(max(1000, int(10000 * scale))), '--rate', '2000', '--links', '3']
    rows = []
    for title, where in (('alone', None), ('flood at another server', 'other'), ('flood at this one', 'same')):
        say(f'latency of others: {title}')
        try:
            rows.append((title, scaling_measure.beside(build, work, quiet, where)))
        except (scaling_measure.servers.Failed, OSError) as why:
            say(f'  no figures: {why}')
    return rows


# --- what is told ---------------------------------------------------------------------------------------------------------

def lines_of_costs(costs, errors):
    c = costs
    return [
        'Costs, microseconds of processor time (fitted; what is left of error, root mean square: '
        + ', '.join(f'{k} {e:.0%}' for k, e in errors.items()) + '):',
        f'  acceptor: {c.acceptor_message:.3f} a message, {c.acceptor_turn:.2f} a turn, {c.acceptor_wake:.1f} to wake a shard that sleeps',
        f'  shard:    {c.shard_message:.3f} a message (both shards together), {c.shard_turn:.2f} a burst, {c.shard_sleep:.1f} a sleep, {c.write:.2f} a write to a link',
        f'  between cores: {c.transfer:.3f} a packet']


def table_validation(rows):
    out = ['shards acceptors links window   M/s seen  of a whole machine  simulated   burst seen  simulated   writes/msg seen  simulated']
    for f in rows:
        whole = f['ops_per_s'] / f['share'] / 1e6
        out.append(f"{f['shards']:>6} {f['acceptors']:>9} {f['links']:>5} {f['window']:>6} {f['ops_per_s'] / 1e6:>10.3f} {whole:>19.2f} {f['sim']['per_s'] / 1e6:>10.2f}"
                   f" {f['burst']:>12.1f} {f['sim']['burst']:>10.1f} {f['writes']:>17.3f} {f['sim']['writes']:>10.3f}")
    for name, pairs in (('throughput', [(f['sim']['per_s'], f['ops_per_s'] / f['share']) for f in rows]),
                        ('burst', [(f['sim']['burst'], f['burst']) for f in rows]), ('writes', [(f['sim']['writes'], f['writes']) for f in rows])):
        middle, away = typical(pairs)
        out.append(f'{name}: simulated is {middle:.2f} times what was seen in the middle; two in three are within a factor of {away:.2f} of that')
    out.append(f'share of the machine that these runs got: {min(f["share"] for f in rows):.0%} to {max(f["share"] for f in rows):.0%}; "of a whole machine" is seen / share')
    return out


def table_waits(figures):
    out = ['shards acceptors  us/message: acceptor  shard   packets a burst  sleeps/msg  p50 ms   p99 ms     (5,000 messages a second, 4 links)']
    for f in figures:
        if f['rate']:
            out.append(f"{f['shards']:>6} {f['acceptors']:>9} {f['acceptor_us']:>21.2f} {f['shard_us']:>6.2f} {f['burst']:>17.2f} {f['sleeps']:>11.2f} {f['p50_ms']:>7.2f} {f['p99_ms']:>8.2f}")
    return out


def table_cores(predicted):
    out = ['cores  acceptors : shards   M messages/s   full first   acceptors  shards   writes/msg   one acceptor   p99 at 50 %   at 80 %']
    for p in predicted:
        top = p['shapes']['all alike']
        out.append(f"{p['cores']:>5} {p['best']:>10} : {p['cores'] - p['best']:<6} {top['per_s'] / 1e6:>14.1f} {first_wall(top):>12} {average(top['acceptors']):>11.0%}"
                   f" {average(top['shards']):>7.0%} {top['writes']:>12.3f} {p['shapes']['one acceptor']['per_s'] / 1e6:>14.1f} {p['waits'][0.5]['p99']:>10.0f} us {p['waits'][0.8]['p99']:>6.0f} us")
    return out


def table_shapes(predicted):
    names = list(predicted[0]['shapes'])
    out = ['M messages/s, and the busiest acceptor and shard'.ljust(50) + ''.join(f"{p['cores']} cores".rjust(24) for p in predicted)]
    for name in names:
        out.append(name.ljust(50) + ''.join(f"{p['shapes'][name]['per_s'] / 1e6:>10.1f}  {max(p['shapes'][name]['acceptors']):>4.0%}  {max(p['shapes'][name]['shards']):>4.0%}"
                                            for p in predicted))
    return out


def table_day(found, predicted):
    out = ['us of one'.ljust(24) + ''.join(k.rjust(10) for k in ('acceptor', 'shard', 'writer', 'readers'))]
    for kind, us in found.items():
        out.append(kind.ljust(24) + ''.join(f'{us[k]:>10.2f}' for k in ('acceptor', 'shard', 'writer', 'readers')))
    for p in predicted:
        rate, wall, used = day(found, p['cores'], p['best'])
        out.append(f"{p['cores']} cores: {rate / 1e3:,.0f} k operations a second, then the {wall} is full; used: " + ', '.join(f'{k} {v:.0%}' for k, v in used.items()))
    return out


def table_loud(rows):
    out = ['others: 2,000 messages a second of 200 sessions'.ljust(52) + 'p50 ms    p99 ms   p99.9 ms     messages/s of the flood']
    for title, got in rows:
        q = got['latency_ms']
        out.append(f"{title:<50}{q['p50']:>8.3f}{q['p99']:>10.3f}{q['p99.9']:>11.3f}{got['flood']:>28,.0f}")
    return out


def figures_html(figures, rows, predicted):
    """Drawings: cost by burst, bursts seen and simulated, throughput by acceptors, capacity by cores."""
    points = sorted((f['burst'], f['acceptor_us'], f['shard_us']) for f in figures)
    cost = report.Plot((1, 10 ** math.ceil(math.log10(max(p[0] for p in points) + 1))), max(max(p[1], p[2]) for p in points) * 1.05, 'packets that a shard finds waiting', log=True)
    cost.line(0, [(max(1, b), a) for b, a, _ in points])
    cost.line(1, [(max(1, b), s) for b, _, s in points])
    out = [report.figure('measured: processor time of a message in us, by burst', cost.svg('cost by burst'), [(0, 'acceptor'), (1, 'shards')])]
    bursts = report.Plot((0, len(rows) - 1), max(max(r['burst'], r['sim']['burst']) for r in rows) * 1.05, 'run of the table below')
    bursts.line(0, [(i, r['burst']) for i, r in enumerate(rows)])
    bursts.line(1, [(i, r['sim']['burst']) for i, r in enumerate(rows)])
    out.append(report.figure('packets a burst, measured and simulated, here', bursts.svg('bursts'), [(0, 'measured'), (1, 'simulated')]))
    top = max(g['per_s'] for p in predicted for _, g in p['splits']) / 1e6
    by = report.Plot((0, 50), top * 1.05, 'acceptors, % of the cores')
    for i, p in enumerate(predicted):
        by.line(i, [(100 * a / p['cores'], g['per_s'] / 1e6) for a, g in p['splits']])
    out.append(report.figure('simulated: M messages a second', by.svg('throughput by acceptors'), [(i, f"{p['cores']} cores") for i, p in enumerate(predicted)]))
    cap = report.Plot((4, 64), top * 1.05, 'cores')
    cap.line(0, [(p['cores'], p['shapes']['all alike']['per_s'] / 1e6) for p in predicted])
    cap.line(1, [(p['cores'], p['shapes']['one acceptor']['per_s'] / 1e6) for p in predicted])
    cap.line(2, [(p['cores'], p['shapes']['one user gets 10 % of all']['per_s'] / 1e6) for p in predicted])
    out.append(report.figure('simulated: M messages a second at the best split', cap.svg('capacity by cores'), [(0, 'all alike'), (1, 'one acceptor'), (2, 'one user gets 10 %')]))
    return '<div class="cards">' + ''.join(out) + '</div>'


REASONING = '''\
What is measured and what is not. Measured on this machine: processor time of acceptors and shards, bursts, sleeps and writes, over loopback,
with the load generator beside them. Simulated: everything on more cores than this machine has. There each thread has a core, the c2s are on
other machines and cost nothing here, a thread that is woken runs after 5 us, and a c2s answers after 100 us. Not in it: memory bandwidth,
several sockets (NUMA), interrupts of network cards. A write is as dear as over loopback, which charges the reader's part of TCP to the writer;
"a write costs a third" says what that is worth. Capacity is with 200 messages under way for each core: with more, bursts are longer and writes fewer.'''


def tell(out, costs, errors, figures, rows, predicted, found, loud_rows):
    parts = [('Costs', lines_of_costs(costs, errors)), ('More cores (simulated)', table_cores(predicted)), ('Shapes of load (simulated, best split)', table_shapes(predicted)),
             ("A day's mix, by demand", table_day(found, predicted) if found else ['not measured']),
             ('One who is loud (measured here)', table_loud(loud_rows)), ('The simulation against this machine', table_validation(rows)),
             ('At a low rate (measured here)', table_waits(figures))]
    text = REASONING + '\n\n' + '\n\n'.join(title + '\n' + '\n'.join(lines) for title, lines in parts) + '\n'
    with open(os.path.join(out, 'scaling.txt'), 'w', encoding='utf-8') as f:
        f.write(text)
    body = ''.join(f'<h2>{html.escape(t)}</h2><div class="wide"><pre>{html.escape(chr(10).join(lines))}</pre></div>' for t, lines in parts)
    with open(os.path.join(out, 'scaling.html'), 'w', encoding='utf-8') as f:
        f.write('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>'
                f'<title>shardsm: scaling</title><style>{report.STYLE}</style></head><body><h1>How far threads carry</h1><p>{html.escape(REASONING)}</p>'
                f'{figures_html(figures, rows, predicted)}{body}</body></html>\n')
    print(text, end='')


def arguments():
    p = argparse.ArgumentParser(description='Measures what a message costs each thread, and simulates more cores.')
    p.add_argument('build', nargs='?', default='.', help='directory in which shardsm was built')
    p.add_argument('--out', default='bench-report', help='directory for the figures')
    p.add_argument('--scale', type=float, default=1.0, help='factor on the number of operations')
    p.add_argument('--from', dest='saved', help='measured before: a scaling.json')
    args = p.parse_args()
    if args.scale <= 0:
        p.error('--scale must be more than 0')
    return args


def measured(args):
    if args.saved:
        with open(args.saved, encoding='utf-8') as f:
            return json.load(f)
    build, work, runs = os.path.abspath(args.build), os.path.join(os.path.abspath(args.out), 'work'), plan(args.scale)
    figures = scaling_measure.measure(build, work, runs, say)
    found = demands(build, work)
    return {'figures': figures, 'missing': len(runs) - len(figures), 'demands': found, 'loud': loud(build, work, args.scale)}


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    os.makedirs(args.out, exist_ok=True)
    try:
        got = measured(args)
    except (OSError, ValueError) as why:
        print(f'scaling.py: {why}: build shardsm, and install the Debian packages jabberd2 and sqlite3', file=sys.stderr)
        return 2
    closed = [f for f in got['figures'] if not f['rate']]
    if len(closed) < 6:
        print('scaling.py: too few runs gave figures', file=sys.stderr)
        return 2
    with open(os.path.join(args.out, 'scaling.json'), 'w', encoding='utf-8') as f:
        json.dump(got, f, indent=1)
    costs, errors = scaling_sim.fit(closed, TRANSFER_US)
    rows = validate(got['figures'], costs)
    predicted = [predict(costs, cores) for cores in CORES]
    tell(args.out, costs, errors, got['figures'], rows, predicted, got['demands'], got['loud'])
    return 1 if got['missing'] else 0


if __name__ == '__main__':
    sys.exit(main())
