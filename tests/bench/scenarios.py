#!/usr/bin/python3
"""tests/bench/scenarios.py - every scenario of shardsm-bench against a real shardsm; then with a proxy between them that does one
thing wrong, which the run must fail for, and name.

Threads: two for each link of a proxy.
Owns: the servers that it starts, and the proxy's sockets.
"""
import html.parser
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../system'))
from servers import Report, World, need_shardsm

BENCH = os.environ.get('SHARDSM_BENCH', os.path.abspath('bench/shardsm-bench'))
REPORT = os.path.join(HERE, '../../bench/report.py')
RELAY = os.path.abspath('bench/relay')
VOID = {'meta', 'polyline', 'line', 'rect', 'i'}

# Arguments, and the phases that must be in the report, with their operations.
GOOD = {
    'chat': (['--ops', '300', '--links', '3', '--to', 'mixed', '--body', '0,8-100x3,5000'], {'start': 20, 'presence': 20, 'chat': 300, 'end': 20}),
    'login': (['--login-rate', '2000'], {'start': 20, 'presence': 20, 'end': 20}),
    'iq': (['--ops', '200'], {'ping': 200, 'ping-full': 200}),
    'presence': (['--ops', '200', '--contacts', '7', '--links', '2'], {'presence-change': 200}),
    'roster': (['--ops', '100', '--contacts', '7'], {'roster-get': 100}),
    'offline': (['--ops', '200'], {'store': 200, 'flush': 200}),
    'idle': (['--ops', '100', '--hold', '1', '--rounds', '2'], {'hold': 20, 'chat': 100, 'ping': 100, 'held-start': 2000, 'held-presence': 2000, 'held-end': 2000}),
    'mix': (['--ops', '1000', '--contacts', '6', '--rate', '4000'], {'chat': None, 'presence-change': None, 'login': None, 'flush': None}),
}
COMMON = ['--sessions', '20', '--seed', '3', '--timeout', '1', '--quiet']

IQ_RESULT = r"<iq [^>]*type='result'[^>]* id='p|<iq [^>]* id='p[^>]* type='result'"
DELAYED = r"<message [^>]* id='o.*urn:xmpp:delay"
CHANGE = r"(?=.* from='user(\d+)@).*:c2s='(?!\1').*<status>"  # not the sender's own copy
# Scenario, which routes, what is done to the fifth of them, what the report must say.
FAULTS = [
    ('iq', IQ_RESULT, 'lost', ' 1 lost'), ('iq', IQ_RESULT, 'twice', ' 1 twice'), ('iq', IQ_RESULT, 'wrong session', ' 1 misdelivered'),
    ('iq', IQ_RESULT, 'error', ' 1 bounced'), ('iq', IQ_RESULT, 'wrong from', ' 1 with a wrong from'),
    ('iq', r"<iq [^>]*type='get'", 'wrong session', ' 1 misdelivered'), ('iq', r"<iq [^>]*type='get'", 'twice', ' 1 twice'),
    ('presence', CHANGE, 'lost', ' 1 lost'), ('presence', CHANGE, 'twice', ' 1 twice'), ('presence', CHANGE, 'wrong session', ' 1 misdelivered'),
    ('presence', CHANGE, 'wrong from', ' 1 with a wrong from'), ('presence', CHANGE, 'late', ' 1 out of order'),
    ('roster', r'jabber:iq:roster', 'lost', ' 1 lost'), ('roster', r'jabber:iq:roster', 'shorter', ' 1 altered'),
    ('roster', r'jabber:iq:roster', 'wrong session', ' 1 misdelivered'),
    ('offline', DELAYED, 'lost', ' 1 lost'), ('offline', DELAYED, 'twice', ' 1 twice'), ('offline', DELAYED, 'late', ' 1 out of order'),
    ('offline', DELAYED, 'wrong session', ' 1 misdelivered'), ('offline', DELAYED, 'unstamped', ' 1 altered'),
    ('login', r"action='ended'", 'lost', ' 1 lost'), ('login', r"action='started'", 'twice', ' 1 twice'), ('login', r"action='ended'", 'hang up', 'a link was lost'),
    ('mix', DELAYED, 'lost', ' 1 lost'), ('mix', r"<message [^>]* id='b", 'twice', ' 1 twice'),
]

# Options that cannot be, and what would be right.
ERRORS = [
    ([], '--c2s IP:PORT, --router PORT and --relay'), (['--c2s', 'here'], 'must be IP:PORT'), (['--router', '0', '--sessions', '0'], 'from 1 to'),
    (['--router', '0', '--body', '5-2'], 'a range (20-2000)'), (['--router', '0', '--body', '70000'], '60000 bytes at most'),
    (['--router', '0', '--scenario', 'lunch'], 'must be one of'), (['--relay', '127.0.0.1:1', '--scenario', 'iq'], '--scenario chat'),
    (['--router', '0', '--to', 'nobody'], 'full, bare or mixed'), (['--sql', '--sessions', '5', '--contacts', '5'], 'fewer than the 5 sessions'),
    (['--sql', '--sessions', '5', '--contacts', '3'], 'must be even'), (['--router', '0', '--rate', 'fast'], 'must be a number'),
]


class Proxy:
    """Between the load generator and shardsm; spoils one route on its way back."""

    def __init__(self, target, pattern='', fault=''):
        self.target, self.pattern, self.fault = target, re.compile(pattern), fault
        self.count, self.held, self.key, self.spoilt = 0, None, None, False
        self.lock = threading.Lock()
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(('127.0.0.1', self.target))
            threading.Thread(target=self.pump, args=(near, far, lambda x: x), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, self.spoil), daemon=True).start()

    def close(self):
        self.listener.close()

    @staticmethod
    def pump(source, sink, change):
        """Whole elements alone are changed; what goes before the first route is passed on as it is."""
        data = ''
        try:
            while chunk := source.recv(65536):
                data += chunk.decode()
                cut = data.rfind('</route>') + 8 if '<route' in data else len(data)
                if cut >= 8 or '<route' not in data:
                    sink.sendall(''.join(change(e) for e in re.findall(r'.*?</route>|.+', data[:cut], re.S)).encode())
                    data = data[cut:]
        except (OSError, ConnectionError):
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @staticmethod
    def pair(route):
        """Who wrote to whom."""
        return re.search(r" from='([^']*)'", route[route.index('>') + 1:])[1], re.search(r":c2s='(\d+)'", route)[1]

    def spoil(self, route):
        with self.lock:
            if self.held and route.endswith('</route>') and self.pattern.search(route) and self.pair(route) == self.key:
                late, self.held = self.held, None
                return route + late
            if not self.fault or not self.pattern.search(route):
                return route
            self.count += 1
            if self.count < 5 or self.spoilt:
                return route
            return self.apply(route)

    def apply(self, route):
        self.spoilt = True
        if self.fault == 'lost':
            return ''
        if self.fault == 'twice':
            return route + route
        if self.fault == 'late':
            self.held, self.key = route, self.pair(route)
            return ''
        if self.fault == 'hang up':
            raise ConnectionError
        change = {
            'wrong session': (r":c2s='(\d+)'", lambda m: ":c2s='%d'" % (int(m[1]) % 20 + 1)),
            'wrong from': (r"(<(?:iq|presence) [^>]* from=')", r'\1x'), 'error': (r"type='result'", "type='error'"),
            'shorter': (r'<item [^>]*?/>|<item .*?</item>', ''), 'unstamped': (r'urn:xmpp:delay', 'urn:xmpp:dalay'),
        }[self.fault]
        changed = re.sub(*change, route, count=1)
        assert changed != route, 'the fault changes nothing in ' + route
        return changed


def bench(*args):
    return subprocess.run([BENCH, *args], capture_output=True, text=True, timeout=120, check=False)


def play(scenario, world, more=(), pattern='', fault=''):
    """A server of its own for each run: nothing is left over from another."""
    args, _ = GOOD[scenario]
    args = ['--scenario', scenario, *COMMON, *args]
    sm, port = world.listening_shardsm(['localhost'])
    users = bench('--sql', *args).stdout
    with sqlite3.connect(world.db, timeout=30) as db:
        db.executescript(users)
    proxy = Proxy(port, pattern, fault) if fault else None
    try:
        done = bench('--c2s', f'127.0.0.1:{proxy.port if proxy else port}', '--pid', str(sm.pid), *args, *more)
    finally:
        if proxy:
            proxy.close()
    assert not fault or proxy.spoilt, 'there was nothing to spoil: ' + done.stdout + done.stderr
    return done


class Page(html.parser.HTMLParser):
    """Every element that is opened is closed, in turn; nothing is fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.drawings = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.drawings += tag == 'svg'
        if tag in ('script', 'link', 'img') or any(n in ('src', 'href') for n, _ in attrs):
            self.wrong.append(f'{tag} is not of this file')
        if tag != 'meta':
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag != 'meta':
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f'</{tag}> closes nothing')


def check_json(path, scenario, phases):
    with open(path, encoding='utf-8') as f:
        run = json.load(f)
    assert (run['schema'], run['version'], run['scenario'], run['failure']) == ('shardsm-bench', 1, scenario, ''), run
    found = {p['name']: p for p in run['phases']}
    for name, ops in phases.items():
        assert name in found, f'no phase {name} in {list(found)}'
        assert found[name]['failed'] == 0 and found[name]['ops'] == (ops or found[name]['ops']) > 0, (ops, found[name])
    for p in run['phases']:
        lat = p['latency_ms']
        assert lat['p50'] <= lat['p99'] <= lat['p99.9'] <= lat['max'], p
        assert p['part'] or p['name'] == 'mix' or sum(n for _, n in p['histogram']) in (p['ops'], p['ops'] / 10) or p['name'] in ('hold', 'flush'), p
        assert p['part'] or {t['name'][:5] for t in p['threads']} >= {'shard', 'accep'}, p['threads']
    assert all(len(s) == 4 and s[1] < len(run['phases']) for s in run['samples']), run['samples']
    return run


def check_good(scenario, pages):
    with World() as world:
        path = world.path('run.json')
        done = play(scenario, world, ['--json', path, '--label', '<"&>' + scenario])
        assert done.returncode == 0, done.stdout + done.stderr
        check_json(path, scenario, GOOD[scenario][1])
        made = subprocess.run([sys.executable, REPORT, path, path], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        page = Page()
        page.feed(made.stdout)
        assert not page.wrong and not page.open and page.drawings > 2, (page.wrong, page.open, page.drawings)
        pages.append(made.stdout)


def check_fault(scenario, pattern, fault, want):
    with World() as world:
        done = play(scenario, world, [], pattern, fault)
        assert done.returncode == 1 and want in done.stdout, f'exit code {done.returncode}\n{done.stdout}{done.stderr}'


def check_error(args, want):
    done = bench(*args)
    assert done.returncode == 2 and want in done.stderr and not done.stdout, f'exit code {done.returncode}\n{done.stdout}{done.stderr}'


def check_relay():
    with subprocess.Popen([RELAY], stdout=subprocess.PIPE, text=True) as relay:
        try:
            port = relay.stdout.readline().strip()
            done = bench('--relay', f'127.0.0.1:{port}', '--ops', '5000', '--body', '10-3000', '--quiet')
        finally:
            relay.terminate()
    assert done.returncode == 0, done.stdout + done.stderr


def check_same_seed():
    """The same seed makes the same users, another one others."""
    one, same, other = (bench('--sql', '--sessions', '50', '--contacts', '8', '--seed', s).stdout for s in '112')
    assert one == same != other and 'roster-items' in one, one


def check_report_errors():
    with World() as world:
        path = world.write('other.json', '{"schema": "other"}')
        done = subprocess.run([sys.executable, REPORT, path], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and 'written by shardsm-bench --json' in done.stderr, done.stderr


def main():
    need_shardsm()
    report, pages = Report(), []
    for scenario in GOOD:
        report.case(scenario, check_good, scenario, pages)
    for fault in FAULTS:
        report.case('%s: %s %s' % (fault[0], fault[2], fault[1]), check_fault, *fault)
    for args, want in ERRORS:
        report.case('error: ' + ' '.join(args), check_error, args, want)
    report.case('relay', check_relay)
    report.case('seed', check_same_seed)
    report.case('report of other files', check_report_errors)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
