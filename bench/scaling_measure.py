"""bench/scaling_measure.py - what a message costs the threads that it passes, by numbers of shards, acceptors and links and by burst.

Processor time and counts of the server's own, by difference over the messages alone; a noisy machine changes them less than it changes
wall time.
Threads: one.
Owns: a directory for each run, removed after it.
"""
import json
import os
import re
import shutil
import socket
import time

import servers

THREADS = '<threads><workers>%d</workers><acceptors>%d</acceptors><store>2</store></threads><control><socket>%s</socket></control>\n'


def ask(path, question):
    """One question to the control socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(question.encode() + b'\n')
        with s.makefile(encoding='utf-8') as f:
            return f.read()


def counts(path):
    found = {}
    for line in ask(path, 'metrics').splitlines():
        key, _, value = line.rpartition(' ')
        if key.startswith(('shardsm_', 'process_')):
            found[key] = float(value)
    return found


def machine_busy():
    """Processor seconds of everybody, and what of it was idle."""
    with open('/proc/stat', encoding='utf-8') as f:
        t = [int(v) for v in f.readline().split()[1:9]]
    return sum(t), t[3] + t[4]


class Site:
    """A server with so many threads, and the users of both domains."""

    DOMAINS = '<id>localhost</id>\n    <id>flood.localhost</id>'

    def __init__(self, build, work, shards, acceptors, args):
        self.bench, self.program, self.work = os.path.join(build, 'bench/shardsm-bench'), os.path.join(build, 'src/shardsm'), work
        self.control = os.path.join(work, 'control')
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        servers.write_config(f'{work}/sm.xml', f'{work}/sm.db', None)
        with open(f'{work}/sm.xml', encoding='utf-8') as f:
            text = f.read()
        with open(f'{work}/sm.xml', 'w', encoding='utf-8') as f:
            f.write(text.replace('<id>localhost</id>', self.DOMAINS).replace('</sm>', THREADS % (shards, acceptors, self.control) + '</sm>'))
        servers.make_database(f'{work}/sm.db', self.bench, args)

    def __enter__(self):
        self.sm = servers.start_sm(self.program, self.work)
        self.port = servers.wait_until(lambda: re.search(r'port=(\d+)\] listening for components', servers.read(f'{self.work}/sm.log')), self.sm,
                                       self.program)[1]
        servers.wait_until(self.answers, self.sm, f"{self.program}'s control socket")
        return self

    def answers(self):
        try:
            return ask(self.control, 'status')
        except OSError:
            return None

    def __exit__(self, *_):
        servers.stop(self.sm)
        shutil.rmtree(self.work, ignore_errors=True)

    def load(self, name, args):
        directory = os.path.join(self.work, name)
        os.makedirs(directory)
        return directory, servers.load(self.bench, directory, ['--c2s', f'127.0.0.1:{self.port}', '--pid', str(self.sm.pid), '--quiet', *args])

    def messages(self):
        return counts(self.control).get('shardsm_stanzas_total{direction="in",kind="message"}', 0)


FLOOD = ['--domain', 'flood.localhost', '--name', 'flood', '--sessions', '2', '--ops', '3000000', '--window', '4000']


def beside(build, work, quiet, where):
    """The phase of the messages of a load that is measured while two users flood: 'same' server, an 'other', None: nobody does."""
    with Site(build, f'{work}.1', 2, 2, [*quiet, '--domain', 'localhost']) as site, Site(build, f'{work}.2', 2, 2, FLOOD) as other:
        loud, flood = {'same': site, 'other': other}.get(where), None
        if loud is site:
            servers.fill_database(f'{site.work}/sm.db', site.bench, FLOOD)
        try:
            if loud:
                _, flood = loud.load('flood', FLOOD)
                servers.wait_until(lambda: loud.messages() > 1000, flood, 'the flood')
            sent, begun = (loud or site).messages(), time.monotonic()
            directory, generator = site.load('quiet', quiet)
            report = servers.finish(generator, directory)
            sent, took = (loud or site).messages() - sent, time.monotonic() - begun
        finally:
            servers.stop(flood)
    chat = next(p for p in report['phases'] if p['name'] == 'chat')
    chat['flood'] = (sent - (chat['ops'] if loud is site else 0)) / took if loud else 0.0
    return chat


class Run:
    """A server with so many threads, under one load."""

    def __init__(self, build, work, shards, acceptors, links, args):
        self.shards, self.acceptors, self.links = shards, acceptors, links
        args = ['--links', str(links), *args]
        with Site(build, work, shards, acceptors, args) as site:
            directory, generator = site.load('run', args)
            try:
                self.watch(site.control, generator)
                self.report = servers.finish(generator, directory)
            finally:
                servers.stop(generator)

    def watch(self, control, generator):
        """Counts when the messages begin, and the last ones seen before the sessions end."""
        self.first = self.last = None
        while generator.poll() is None:
            now = counts(control)
            messages = now.get('shardsm_stanzas_total{direction="in",kind="message"}', 0)
            if now.get('shardsm_session_ends_total'):
                break
            stamp = (now, machine_busy(), time.monotonic())
            if messages and not self.first:
                self.first = stamp
            if messages:
                self.last = stamp
            time.sleep(0.01)

    def phase(self, name='chat'):
        return next(p for p in self.report['phases'] if p['name'] == name)

    def figures(self):
        """Per message, over the phase of the messages: processor time by kind of thread; by counts, between two looks at them."""
        p = self.phase()
        by_kind = {}
        for t in p['threads']:
            kind = t['name'].rstrip('0123456789 ')
            by_kind[kind] = by_kind.get(kind, 0) + t['us_per_op']
        a, b = self.first[0], self.last[0]
        more = {k: b[k] - a.get(k, 0) for k in b}
        n = more['shardsm_stanzas_total{direction="in",kind="message"}'] or 1
        total, idle = (y - x for x, y in zip(self.first[1], self.last[1]))
        ticks = os.sysconf('SC_CLK_TCK')
        ours = (p['sm_cpu_us_per_op'] + p['bench_cpu_us_per_op']) * n / 1e6
        per = {'turns': 'shardsm_worker_burst_packets_count', 'sleeps': 'shardsm_sleeps_total{thread="worker"}',
               'acceptor_turns': 'shardsm_acceptor_turns_total', 'acceptor_sleeps': 'shardsm_sleeps_total{thread="acceptor"}',
               'wakes': 'shardsm_wakes_total', 'reads': 'shardsm_link_reads_total', 'writes': 'shardsm_link_writes_total'}
        return {'shards': self.shards, 'acceptors': self.acceptors, 'links': self.links, 'window': self.report['window'],
                'rate': self.report['rate'], 'ops_per_s': p['ops_per_s'], 'acceptor_us': by_kind.get('acceptor', 0), 'shard_us': by_kind.get('shard', 0),
                'bench_us': p['bench_cpu_us_per_op'], 'burst': more['shardsm_worker_burst_packets_sum'] / (more['shardsm_worker_burst_packets_count'] or 1),
                **{k: more[v] / n for k, v in per.items()}, 'p50_ms': p['latency_ms']['p50'], 'p99_ms': p['latency_ms']['p99'],
                'share': min(1.0, ours / max(ours, (total - idle) / ticks)) if total else 1.0, 'seen': n}


def measure(build, work, plan, say):
    """plan: (shards, acceptors, links, arguments). One dict of figures for each that went well."""
    found = []
    for i, (shards, acceptors, links, args) in enumerate(plan, 1):
        say(f'{i} of {len(plan)}: {shards} shards, {acceptors} acceptors, {links} links, {" ".join(args)}')
        try:
            found.append(Run(build, work, shards, acceptors, links, args).figures())
        except (servers.Failed, TypeError, OSError) as why:
            say(f'  no figures: {why}')
    return found


def save(path, figures):
    with open(path, 'w', encoding='utf-8') as f:
        json.dump(figures, f, indent=1)
