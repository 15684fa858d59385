#!/usr/bin/python3
"""bench/overload.py - what a healthy link's messages take while others do their worst, against an idle server, and the memory it costs.

One link pings itself, a message between its two sessions at a time; others flood, do not read, write to one user all together, log in by the
thousand on a database that stands still, keep a worker busy. On few cores a part of what that costs others is the machine's doing: who is busy
has them. So the same is done to another server beside the one that is measured, which shares nothing with it but the cores; and again
to this one, on one worker, where the healthy link's acceptor, that worker and who measures get a core whenever they want one (real-time
priority, which wants root), as they do where there is a core for each thread. Others, the attacked link's acceptor among them, have what is left.
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


def threads_of(pid):
    """Thread -> its name, and how long it ran."""
    found = {}
    for thread in os.listdir('/proc/%d/task' % pid):
        with open('/proc/%d/task/%s/comm' % (pid, thread)) as comm, open('/proc/%d/task/%s/schedstat' % (pid, thread)) as ran:
            found[int(thread)] = comm.read().split()[0], int(ran.read().split()[0])
    return found


def way_of(site, pinger):
    """The acceptor and the worker that pings go through."""
    before = threads_of(site.process.pid)
    pings(site, pinger, 300)
    after = threads_of(site.process.pid)
    way = sorted(after, key=lambda t: after[t][1] - before.get(t, (0, 0))[1])[-2:]
    way = {after[t][0]: t for t in way}
    return way['acceptor'], way['shard']


@contextlib.contextmanager
def cores_for(acceptor, worker):
    """They, and this thread, run when they want to: the worker on the last core, the others on the first."""
    cores = sorted(os.sched_getaffinity(0))
    for thread, core, priority in ((worker, cores[-1], 5), (acceptor, cores[0], 10), (0, cores[0], 15)):
        os.sched_setaffinity(thread, {core})
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, cores)


def may_have_cores():
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        return False
    return len(os.sched_getaffinity(0)) > 1


def rss(pid):
    with open('/proc/%d/status' % pid) as f:
        return {k: int(v) / 1024 for k, v in re.findall(r'^(VmRSS|VmHWM):\s+(\d+) kB', f.read(), re.M)}


def measure(name, args, beside=False, cores=False):
    """Round trips in us, sorted; the server's peak in MB; limits that were reached. beside: it is done to another server. cores: of their own."""
    with contextlib.ExitStack() as sites:
        threads = {'workers': 1, 'acceptors': 2} if cores else {'workers': args.workers}
        site = sites.enter_context(overload.Site(args.limits, **threads))
        attacked = sites.enter_context(overload.Site(args.limits, **threads)) if beside else site
        pinger = site.c2s.start('pinger@' + DOMAIN + '/r')
        pings(site, pinger, 200)
        own = cores_for(*way_of(site, pinger)) if cores else contextlib.nullcontext()
        stop = SITUATIONS[name](attacked)
        try:
            time.sleep(0.5)
            with own:
                times = pings(site, pinger, args.pings)
            if not site.process.running():
                raise RuntimeError('the server is gone:\n' + site.process.tail())
            hits = {k[len('shardsm_limit_hits_total{limit="'):-2]: int(v) for k, v in site.metrics().items() if 'limit_hits' in k and v}
            return times, rss(site.process.pid)['VmHWM'], hits
        finally:
            stop()


def at(runs, q):
    return statistics.median(t[min(len(t) - 1, int(len(t) * q))] for t, _, _ in runs)


def main():
    args = arguments()
    servers.SHARDSM = os.path.join(args.build, 'src', 'shardsm')
    servers.need_shardsm()
    ways = [{}, {'beside': True}] + ([{'cores': True}] if may_have_cores() else [])
    if len(ways) == 2:
        print('cores of their own: not measured, that wants two cores, and root for real-time priority')
    print('us, one message; p99 in times of idle, each in the same way%30s%24s%24s' % ('at this server', 'at another beside it', 'cores of their own'))
    print('%-30s%10s%s%10s%10s  %s' % ('', '', '%8s%8s%8s' % ('median', 'p99', 'times') * len(ways), 'max', 'peak MB', 'limits hit'))
    idle = None
    for name in ['idle', args.only] if args.only else SITUATIONS:
        runs = [[] for _ in ways]
        for _ in range(args.rounds):   # in turn
            for way, some in zip(ways, runs):
                some.append(measure(name, args, **way))
        p99 = [at(some, 0.99) for some in runs]
        idle = idle or p99
        print('%-40s%s%10.0f%10.0f  %s' % (
            name, ''.join('%8.0f%8.0f%8.1f' % (at(some, 0.5), worst, worst / least) for some, worst, least in zip(runs, p99, idle)),
            at(runs[0], 1), max(m for _, m, _ in runs[0]), ', '.join('%s %d' % h for h in runs[0][-1][2].items())), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
