#!/usr/bin/python3
"""bench/overload.py - what a healthy link's messages take while others do their worst, against an idle server, and the memory it costs.

One link pings itself, a message between its two sessions at a time; others flood, do not read, write to one user all together, log in by the
thousand on a database that stands still, keep a worker busy. On few cores a part of what that costs others is the machine's doing: who is busy
has them. So the same is done to another server beside the one that is measured, which shares nothing with it but the cores.
Exit status: 0 measured, 1 the server did not bear it.
Threads: a process for each flood; one here.
Owns: a directory that is removed.
"""
import argparse
import contextlib
import os
import re
import select
import socket
import statistics
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
sys.path.insert(0, os.path.join(ROOT, 'tests', 'system'))
sys.dont_write_bytecode = True

import component   # noqa: E402
import overload   # noqa: E402
import servers   # noqa: E402

DOMAIN = overload.DOMAIN


def arguments():
    p = argparse.ArgumentParser(description="A healthy link's latency under attacks on others.")
    p.add_argument('build', nargs='?', default='.', help='directory in which shardsm was built')
    p.add_argument('--pings', type=int, default=2000, help='in each situation')
    p.add_argument('--workers', type=int, default=2)
    p.add_argument('--only', choices=[s for s in SITUATIONS if s != 'idle'], help='this situation alone, and idle to compare with')
    p.add_argument('--rounds', type=int, default=3, help='medians of so many')
    p.add_argument('--limits', default='', help='more of them, XML')
    return p.parse_args()


def message(session, to, ident='f', size=1000):
    return ("<route xmlns='http://jabberd.jabberstudio.org/ns/component/1.0' to='%s' from='%s'>%s</route>" % (
        session.home, session.c2s.names[0],
        component.with_session("<message to='%s' type='chat' id='%s'><body>%s</body></message>" % (to, ident, 'x' * size), session.cid,
                               session.sm))).encode()


class Flood:
    """A process that writes the same bytes for ever, and reads, or does not, what comes."""

    def __init__(self, links, block, read=True):
        self.pid = os.fork()
        if self.pid:
            return
        try:
            os.nice(5)   # what is measured is the server, not this machine's scheduler
            self.run([link.sock for link in links], block if isinstance(block, list) else [block] * len(links), read)
        finally:
            os._exit(0)

    @staticmethod
    def run(socks, blocks, read):
        left = {s: memoryview(b) for s, b in zip(socks, blocks)}
        start = dict(left)
        while socks:
            r, w, _ = select.select(socks if read else [], socks, [])
            for s in r:
                if not s.recv(1 << 20):
                    return
            for s in w:
                n = s.send(left[s][:1 << 18])
                left[s] = left[s][n:] or start[s]

    def stop(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


def block(one):
    return one * max(1, (1 << 20) // len(one))


def pings(site, pinger, n):
    """Round trips, us. Between two, nothing is on its way."""
    sock, one, times = site.c2s.sock, message(pinger, pinger.jid, 'ping', 40), []
    sock.setblocking(True)
    sock.settimeout(60)
    for _ in range(n):
        begin, seen = time.perf_counter_ns(), b''
        sock.sendall(one)
        while b"id='ping'" not in seen or not seen.endswith(b'</route>'):
            got = sock.recv(65536)
            if not got:
                raise RuntimeError('the healthy link was closed')
            seen += got
        times.append((time.perf_counter_ns() - begin) / 1000)
        time.sleep(0.001)
    sock.setblocking(False)
    return sorted(times)


# -- situations: each returns what stops it ------------------------------------------------------------------------------------------

def idle(site):
    return lambda: None


def not_reading(site):
    slow, fast = site.connect('slow', component.Hub(), 65536), site.connect('fast', component.Hub())
    target, source = slow.start('target@' + DOMAIN + '/r'), fast.start('source@' + DOMAIN + '/r')
    return Flood([fast], block(message(source, target.jid))).stop


def flooding(site):
    link = site.connect('flood', component.Hub())
    a, b = link.start('fa@' + DOMAIN + '/r'), link.start('fb@' + DOMAIN + '/r')
    return Flood([link], block(message(a, b.jid))).stop


def all_to_one(site):
    links = [site.connect('crowd%d' % i, component.Hub()) for i in range(4)]
    target = links[0].start('victim@' + DOMAIN + '/r')
    blocks = [block(message(link.start('c%d@%s/r' % (i, DOMAIN)), target.jid, size=100)) for i, link in enumerate(links)]
    return Flood(links, blocks).stop


def logins(site):
    link = site.connect('storm', component.Hub())
    locked = overload.Locked(site)
    starts = ''.join("<route xmlns='http://jabberd.jabberstudio.org/ns/component/1.0' to='%s' from='storm'><sc:session xmlns:sc='%s' "
                     "sc:c2s='%d' action='start' target='s%d@%s/r' id='q'/></route>" % (DOMAIN, component.NS_SESSION, i, i, DOMAIN)
                     for i in range(200000)).encode()
    flood = Flood([link], starts)

    def stop():
        flood.stop()
        locked.release()
    return stop


def busy_worker(site):
    link = site.connect('busy', component.Hub())
    user = link.start('busy@' + DOMAIN + '/r')
    fields = ''.join('<F%d>%s</F%d>' % (i, 'x' * 100, i) for i in range(1000))
    vcard = "<iq type='set' id='v'><vCard xmlns='vcard-temp'>%s<FN>%s</FN></vCard></iq>" % (fields, 'x' * 20000)   # parsed whole, then refused
    one = ("<route xmlns='http://jabberd.jabberstudio.org/ns/component/1.0' to='%s' from='busy'>%s</route>" % (
        user.home, component.with_session(vcard, user.cid, user.sm))).encode()
    return Flood([link], block(one)).stop


SITUATIONS = {'idle': idle, 'a c2s that does not read': not_reading, 'a c2s that floods': flooding, 'one user flooded by all': all_to_one,
              'a login storm, store locked': logins, 'a worker kept busy': busy_worker}


def rss(pid):
    with open('/proc/%d/status' % pid) as f:
        return {k: int(v) / 1024 for k, v in re.findall(r'^(VmRSS|VmHWM):\s+(\d+) kB', f.read(), re.M)}


def measure(name, args, beside=False):
    """Round trips in us, sorted; the server's peak in MB; limits that were reached. beside: it is done to another server."""
    with contextlib.ExitStack() as sites:
        site = sites.enter_context(overload.Site(args.limits, workers=args.workers))
        attacked = sites.enter_context(overload.Site(args.limits, workers=args.workers)) if beside else site
        pinger = site.c2s.start('pinger@' + DOMAIN + '/r')
        pings(site, pinger, 200)
        stop = SITUATIONS[name](attacked)
        try:
            time.sleep(0.5)
            times = pings(site, pinger, args.pings)
            if not site.process.running():
                raise RuntimeError('the server is gone:\n' + site.process.tail())
            hits = {k[len('shardsm_limit_hits_total{limit="'):-2]: int(v) for k, v in site.metrics().items() if 'limit_hits' in k and v}
            return times, rss(site.process.pid)['VmHWM'], hits
        finally:
            stop()


def main():
    args = arguments()
    servers.SHARDSM = os.path.join(args.build, 'src', 'shardsm')
    servers.need_shardsm()
    idle_p99 = None
    print('%-30s%10s%10s%10s%20s%14s%12s  %s' % ('us, one message', 'median', 'p99', 'max', 'beside: median', 'p99', 'peak MB', 'limits hit'))
    for name in ['idle', args.only] if args.only else SITUATIONS:
        runs, others = [], []
        for _ in range(args.rounds):   # in turn
            runs.append(measure(name, args))
            others.append(runs[-1] if name == 'idle' else measure(name, args, beside=True))
        at, other = ([statistics.median(t[min(len(t) - 1, int(len(t) * q))] for t, _, _ in some) for q in (0.5, 0.99, 1)]
                     for some in (runs, others))
        idle_p99 = idle_p99 or at[1]
        print('%-30s%10.0f%10.0f%10.0f%20.0f%14.0f%12.0f  %s%s' % (
            name, *at, *other[:2], max(m for _, m, _ in runs), 'p99 %.1fx of idle, %.1fx of beside; ' % (at[1] / idle_p99, at[1] / other[1]),
            ', '.join('%s %d' % h for h in runs[-1][2].items())), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
