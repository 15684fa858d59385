#!/usr/bin/python3
"""bench/report.py - one page of the figures of one or more runs, to be opened without a network: no script, drawings inline.

usage: report.py [--table FILE] RUN.json ... >report.html     (RUN.json: written by shardsm-bench --json)
Threads: one.
Owns: nothing.
"""
import argparse
import html
import json
import math
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 250, 56, 14, 12, 34
COLORS = 6  # of the style's c0, c1, ...

STYLE = '''
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1f2328;--soft:#667079;--line:#e3e5e8;--bad:#c62f35;
--c0:#2a78d0;--c1:#d9730d;--c2:#2f9461;--c3:#8b5fbf;--c4:#c2447c;--c5:#7a7f1c}
@media(prefers-color-scheme:dark){:root{--bg:#15181c;--card:#1d2126;--ink:#e6e8ea;--soft:#98a2ac;--line:#323840;--bad:#ff7b72;
--c0:#5aa5f2;--c1:#f0984a;--c2:#5cc48f;--c3:#b892e8;--c4:#ee7fae;--c5:#c4c95a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:32px 24px 64px;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:40px 0 12px}p{margin:4px 0;color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:16px;align-items:start}
figure{margin:0;padding:14px 16px;background:var(--card);border:1px solid var(--line);border-radius:10px;overflow-x:auto}
figcaption{font-weight:600;margin-bottom:8px}svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}.grid{stroke:var(--line);stroke-width:1}
.wide{margin-top:16px;background:var(--card);border:1px solid var(--line);border-radius:10px;overflow-x:auto;padding:4px 16px 10px}
pre{font:12.5px/1.55 ui-monospace,"DejaVu Sans Mono",monospace;margin:10px 0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:5px 10px;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}tr:last-child td{border:0}
.part td:first-child{padding-left:26px}.part{color:var(--soft)}.bad{color:var(--bad);font-weight:600}
.key{display:flex;flex-wrap:wrap;gap:4px 16px;margin-top:6px;font-size:13px;color:var(--soft)}
.key i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}
''' + ''.join(f'.l{i}{{fill:none;stroke:var(--c{i});stroke-width:2;stroke-linejoin:round}}.f{i}{{fill:var(--c{i});background:var(--c{i})}}'
              for i in range(COLORS))


def short(v):
    """A number for an axis or a label."""
    for size, unit in ((1e9, 'G'), (1e6, 'M'), (1e4, 'k')):
        if abs(v) >= size:
            return f'{v / (1e3 if unit == "k" else size):.3g}{unit}'
    return f'{v:,.0f}' if abs(v) >= 1000 else f'{v:.3g}'


def ticks(low, high, n=5):
    if high <= low:
        return [low]
    raw = (high - low) / n
    step = 10 ** math.floor(math.log10(raw))
    step *= next(m for m in (1, 2, 5, 10) if step * m >= raw)
    first = math.ceil(low / step)
    return [i * step for i in range(first, int(high / step + 1e-9) + 1)]


def key(names):
    return '<div class="key">' + ''.join(f'<span><i class="f{c % COLORS}"></i>{html.escape(n)}</span>' for c, n in names) + '</div>'


class Plot:
    """Lines over two axes. log: decades across."""

    def __init__(self, x_range, y_max, x_title, log=False):
        self.low, self.high = x_range
        self.high = self.high if self.high > self.low else self.low + 1
        self.y_max = y_max or 1
        self.log = log
        self.parts = []
        self.axes(x_title)

    def x(self, v):
        f = ((math.log10(v) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low)) if self.log
             else (v - self.low) / (self.high - self.low))
        return LEFT + f * (WIDTH - LEFT - RIGHT)

    def y(self, v):
        return HEIGHT - BOTTOM - v / self.y_max * (HEIGHT - TOP - BOTTOM)

    def axes(self, x_title):
        for v in ticks(0, self.y_max):
            self.parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(v):.1f}" y2="{self.y(v):.1f}"/>'
                              f'<text x="{LEFT - 6}" y="{self.y(v) + 4:.1f}" text-anchor="end">{short(v)}</text>')
        marks = ([10.0 ** e for e in range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)] if self.log
                 else ticks(self.low, self.high, 7))
        for v in marks:
            anchor = 'end' if self.x(v) > WIDTH - 40 else 'middle'
            self.parts.append(f'<text x="{self.x(v):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="{anchor}">{short(v)}</text>')
        self.parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">{html.escape(x_title)}</text>')

    def line(self, color, points):
        if points:
            text = ' '.join(f'{self.x(a):.1f},{self.y(b):.1f}' for a, b in points)
            self.parts.append(f'<polyline class="l{color % COLORS}" points="{text}"/>')

    def svg(self, title):
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title, True)}">{"".join(self.parts)}</svg>'


def figure(title, drawing, names=()):
    return f'<figure><figcaption>{html.escape(title)}</figcaption>{drawing}{key(names) if len(names) > 0 else ""}</figure>'


def name_of(run):
    return run['label'] or run['role']


def of_phase(runs, name):
    """Color, run's name and phase, of the runs that have it."""
    return [(c, name_of(r), p) for c, r in enumerate(runs) for p in r['phases'] if p['name'] == name]


def latency_figure(name, found):
    """How many of a hundred operations took at most so long."""
    found = [(c, n, p['histogram']) for c, n, p in found if p['histogram']]
    if not found:
        return ''
    low = min(max(h[0][0], 1e-3) for _, _, h in found)
    high = max(h[-1][0] for _, _, h in found)
    low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(max(high, low * 1.01)))
    plot = Plot((low, high), 100, 'ms', log=True)
    for color, _, h in found:
        total, seen, points = sum(n for _, n in h), 0, [(max(h[0][0], low), 0)]
        for ms, n in h:
            seen += n
            points.append((max(ms, low), 100 * seen / total))
        plot.line(color, points)
    title = f'{name}: % of operations within'
    return figure(title, plot.svg(title), [(c, n) for c, n, _ in found])


def bars(rows, unit, title):
    """Horizontal bars; a row is its name and parts (color, value)."""
    most = max(sum(v for _, v in parts) for _, parts in rows) or 1
    left, step = 150, 30
    height = step * len(rows) + 6
    out = []
    for i, (name, parts) in enumerate(rows):
        x, y = float(left), i * step + 6
        out.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{html.escape(name)}</text>')
        for color, v in parts:
            w = v / most * (WIDTH - left - 76)
            out.append(f'<rect class="f{color % COLORS}" x="{x:.1f}" y="{y}" width="{w:.1f}" height="19" rx="2"/>')
            x += w
        out.append(f'<text x="{x + 6:.1f}" y="{y + 14}">{short(sum(v for _, v in parts))} {unit}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(title, True)}">{"".join(out)}</svg>'


def kind_of_thread(name):
    """'shard 3' and 'shard 0' are of a kind."""
    words = name.rstrip('0123456789 ')
    return words or name


def thread_figure(name, found):
    found = [(n, p['threads']) for _, n, p in found if p.get('threads')]
    if not found:
        return ''
    kinds, rows = [], []
    for n, threads in found:
        parts = {}
        for t in threads:
            if t['us_per_op'] > 0:
                kind = kind_of_thread(t['name'])
                parts[kind] = parts.get(kind, 0) + t['us_per_op']
        kinds += [k for k in parts if k not in kinds]
        rows.append((n, [(kinds.index(k), v) for k, v in parts.items()]))
    title = f'{name}: processor time of one operation, by thread'
    return figure(title, bars(rows, 'us', title), list(enumerate(kinds)))


def rate_points(run):
    """Operations a second between two samples of a phase, by the middle of the time."""
    points = []
    for (t0, p0, d0, _), (t1, p1, d1, _) in zip(run['samples'], run['samples'][1:]):
        if p0 == p1 and t1 > t0 and d1 >= d0:
            points.append(((t0 + t1) / 2, (d1 - d0) / (t1 - t0)))
    return points


def time_figures(runs):
    out = []
    known = [(c, name_of(r)) for c, r in enumerate(runs)]
    end = max((r['samples'][-1][0] for r in runs if r['samples']), default=0)
    for title, get in (('operations a second, over time', rate_points),
                       ("memory of the session manager in MB, over time", lambda r: [(s[0], s[3] / 1024) for s in r['samples'] if s[3]])):
        series = [(c, get(r)) for c, r in enumerate(runs)]
        if end and any(len(s) > 1 for _, s in series):
            plot = Plot((0, end), max(v for _, s in series for _, v in s) * 1.05, 'seconds')
            for color, points in series:
                plot.line(color, points)
            out.append(figure(title, plot.svg(title), known))
    return ''.join(out)


def phase_table(runs):
    head = ('', 'operations', 'failed', 'a second', 'sm us', 'bench us', 'p50 ms', 'p99 ms', 'p99.9 ms', 'max ms', 'MB')
    out = ['<div class="wide"><table><tr>', *(f'<th>{h}</th>' for h in head), '</tr>']
    for run in runs:
        for p in run['phases']:
            kind = ' class="part"' if p['part'] else ''
            lat = p['latency_ms']
            cells = [f"{p['ops']:,}", f"{p['failed']:,}", f"{p['ops_per_s']:,.0f}", f"{p['sm_cpu_us_per_op']:.2f}" if 'threads' in p else '',
                     '' if p['part'] else f"{p['bench_cpu_us_per_op']:.2f}", *(f"{lat[q]:.3f}" for q in ('p50', 'p99', 'p99.9', 'max')),
                     f"{p['rss_kb'] / 1024:.1f}" if 'threads' in p else '']
            title = html.escape(p['name'] if len(runs) == 1 else f"{name_of(run)}: {p['name']}")
            out.append(f'<tr{kind}><td>{title}</td>' + ''.join(f'<td>{c}</td>' for c in cells) + '</tr>')
    return ''.join(out) + '</table></div>'


def describe(run):
    text = (f"{name_of(run)}: as {run['role']}, {run['sessions']:,} sessions, {run['contacts']:,} contacts, {run['operations']:,} operations, "
            f"{'rate ' + format(run['rate'], ',') if run['rate'] else 'window ' + format(run['window'], ',')}, seed {run['seed']}")
    failure = f' <span class="bad">failed: {html.escape(run["failure"])}</span>' if run['failure'] else ''
    return f'<p>{html.escape(text)}{failure}</p>'


def by_load(runs):
    """Runs of one scenario and size stand side by side."""
    groups = {}
    for run in runs:
        groups.setdefault((run['scenario'], run['sessions'], run['contacts']), []).append(run)
    return groups


def section(load, runs):
    scenario, sessions, contacts = load
    title = f"{scenario}, {sessions:,} sessions" + (f', {contacts:,} contacts each' if contacts else '')
    names = []
    for run in runs:
        names += [p['name'] for p in run['phases'] if p['name'] not in names]
    figures = ''.join(thread_figure(n, of_phase(runs, n)) + latency_figure(n, of_phase(runs, n)) for n in names)
    return (f'<section><h2>{html.escape(title)}</h2>{"".join(describe(r) for r in runs)}'
            f'<div class="cards">{time_figures(runs)}{figures}</div>{phase_table(runs)}</section>\n')


def page(runs, table=''):
    """The whole page; table: text that goes first."""
    machine = runs[0]['machine'] if runs else {'cores': 0, 'load': 0}
    head = (f'<h1>shardsm-bench</h1><p>{machine["cores"]} cores, load {machine["load"]} when the first of these runs began. '
            'Where threads are more than cores, latencies are those of the scheduler, too.</p>')
    text = f'<h2>Side by side</h2><div class="wide"><pre>{html.escape(table)}</pre></div>' if table else ''
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>'
            f'<title>shardsm-bench</title><style>{STYLE}</style></head><body>{head}{text}'
            + ''.join(section(load, group) for load, group in by_load(runs).items()) + '</body></html>\n')


def read_run(path):
    with open(path, encoding='utf-8') as f:
        run = json.load(f)
    if not isinstance(run, dict) or run.get('schema') != 'shardsm-bench' or run.get('version') != 1:
        raise ValueError('must be written by shardsm-bench --json, version 1')
    return run


def main():
    p = argparse.ArgumentParser(prog='shardsm-bench-report', description='A page of the figures of one or more runs, on standard output.')
    p.add_argument('--table', help='a text that goes first')
    p.add_argument('runs', nargs='+', metavar='RUN.json', help='written by shardsm-bench --json')
    args = p.parse_args()
    runs, text = [], ''
    try:
        for path in args.runs:
            runs.append(read_run(path))
        if args.table:
            path = args.table
            with open(path, encoding='utf-8') as f:
                text = f.read()
    except (OSError, ValueError) as why:
        print(f'shardsm-bench-report: {path}: {why}', file=sys.stderr)
        return 2
    sys.stdout.write(page(runs, text))
    return 0


if __name__ == '__main__':
    sys.exit(main())
