"""bench/scaling_sim.py - a simulation of the threads that a message passes, driven by measured costs: discrete events, the same for a seed.

A message: read with all that its link holds by the link's acceptor, posted in a batch to its sender's shard, from there to its
addressee's, rendered there, and written at the end of that shard's burst with what else goes to the same link, by whoever finds nobody
writing. A thread takes all that waits for it (a burst) and sleeps when there is nothing. Threads share cores where there are fewer.
Threads: one.
Owns: nothing.
"""
import bisect
import collections
import heapq
import itertools
import random

BATCHES = (5, 23, 93)  # packets that fill the first, second and each further batch of a burst: full ones are posted before its end
READ = 700          # frames that one read of a link holds
SLICE_US = 30.0     # a thread keeps its core at least so long where others wait
# What is not measured here: from a wake to the first instruction on a core of its own, and from the server to a c2s and back.
WAKE_LATENCY_US = 5.0
ROUND_TRIP_US = 100.0


class Costs:
    """Microseconds of processor time."""

    def __init__(self, **values):
        self.acceptor_message = self.acceptor_turn = self.acceptor_wake = 0.0
        self.shard_message = self.shard_turn = self.shard_sleep = self.write = 0.0
        self.bench_message = self.bench_turn = 0.0
        self.transfer = 0.0  # of a packet between cores, for who reads it
        for name, value in values.items():
            assert hasattr(self, name), name
            setattr(self, name, value)

    def with_changes(self, **values):
        return Costs(**{**vars(self), **values})


class Load:
    """Who writes to whom. zipf 0: everybody alike. hot_user: share of all messages that are for one user. hot_link: share of all senders
    and addressees that are behind one c2s."""

    def __init__(self, users=20000, links=4, zipf=0.0, hot_user=0.0, hot_link=0.0, seed=1):
        self.random = random.Random(seed)
        self.users, self.links, self.hot_user, self.hot_link = users, links, hot_user, hot_link
        r = random.Random(seed + 1)
        self.hash = [r.random() for _ in range(users)]
        self.link = [0 if r.random() < hot_link else r.randrange(links) for _ in range(users)]
        weights = itertools.accumulate((1 / (i + 1) ** zipf for i in range(users))) if zipf else None
        self.steps = list(weights) if weights else None

    def pick(self):
        if not self.steps:
            return int(self.random.random() * self.users)
        return min(self.users - 1, bisect.bisect(self.steps, self.random.random() * self.steps[-1]))

    def message(self):
        """(sender, addressee)"""
        return self.pick(), 0 if self.hot_user and self.random.random() < self.hot_user else self.pick()


class Thread:
    def __init__(self, kind, index):
        self.kind, self.index = kind, index
        self.inbox, self.life = [], None  # its generator while it does not sleep
        self.busy = self.since = self.bursts = self.taken = 0.0


class Link:
    def __init__(self):
        self.writing, self.pending, self.writes = False, [], 0


class Simulation:
    """cores: of the machine. window: messages under way (closed loop); rate: messages a microsecond (open loop), one of them.
    generator: the load comes from one thread on the same cores, as measured here; else from elsewhere, at no cost."""

    def __init__(self, costs, load, cores, acceptors, shards, window=0, rate=0.0, generator=False):
        self.costs, self.load, self.cores, self.window, self.rate = costs, load, cores, window, rate
        self.acceptors = [Thread('acceptor', i) for i in range(acceptors)]
        self.shards = [Thread('shard', i) for i in range(shards)]
        self.generator = Thread('bench', 0) if generator else None
        self.threads = self.acceptors + self.shards + ([self.generator] if generator else [])
        self.shard_of = [int(h * shards) for h in load.hash]
        self.acceptor_of = [i % acceptors for i in range(load.links)]
        self.links = [Link() for _ in range(load.links)]
        self.events, self.order, self.now = [], itertools.count(), 0.0
        self.free, self.queue = cores, collections.deque()
        self.done, self.latencies = 0, []
        # With fewer cores than threads, a packet may find its next thread on the core that it comes from.
        self.transfer = costs.transfer * (1 - 1 / min(cores, len(self.threads))) if len(self.threads) > 1 else 0.0

    def at(self, t, what, *args):
        heapq.heappush(self.events, (t, next(self.order), what, args))

    # --- threads and cores ---------------------------------------------------------------------------------------------

    def post(self, thread, packets):
        """Packets arrive. What waking costs has been the poster's."""
        thread.inbox.extend(packets)
        if not thread.life:
            thread.life = self.burst(thread)
            self.at(self.now + WAKE_LATENCY_US, self.want_core, thread)

    def want_core(self, thread):
        if self.free:
            self.free -= 1
            self.begin(thread)
        else:
            self.queue.append(thread)

    def begin(self, thread):
        thread.since = self.now
        self.step(thread)

    def go_on(self, thread):
        """A step ends: who woke meanwhile has a better right to the core than who has had it for a while."""
        if self.queue and self.now - thread.since >= SLICE_US:
            self.queue.append(thread)
            self.begin(self.queue.popleft())
        else:
            self.step(thread)

    def step(self, thread):
        us = next(thread.life, None)
        if us is not None:
            thread.busy += us
            self.at(self.now + us, self.go_on, thread)
            return
        thread.life = None
        if self.queue:
            self.begin(self.queue.popleft())
        else:
            self.free += 1

    # --- what they do: generators of how long a step takes, which act when it is over ------------------------------------

    def burst(self, thread):
        slept = True
        while thread.inbox:
            taken, thread.inbox = thread.inbox, []
            thread.bursts += 1
            thread.taken += len(taken)
            yield from {'acceptor': self.accept, 'shard': self.shard, 'bench': self.generate}[thread.kind](taken, slept)
            slept = False

    def accept(self, taken, _):
        us, open_ = self.costs.acceptor_turn * max(1.0, len(taken) / READ), {}
        for p in taken:
            us += self.costs.acceptor_message
            if self.put(open_, self.shard_of[p[0]], (0, *p)):
                yield us
                us = 0.0
                self.post_full(open_, self.shard_of[p[0]])
        yield from self.flush(us, open_)

    def shard(self, taken, slept):
        us, open_, out = self.costs.shard_turn + (self.costs.shard_sleep if slept else 0.0), {}, {}
        each = self.costs.shard_message / 2 + self.transfer
        for p in taken:
            us += each
            if p[0] == 1:
                out.setdefault(self.load.link[p[2]], []).append(p)
            elif self.put(open_, self.shard_of[p[2]], (1, *p[1:])):
                yield us
                us = 0.0
                self.post_full(open_, self.shard_of[p[2]])
        yield from self.flush(us, open_)
        for index, packets in out.items():
            yield from self.write(self.links[index], packets)

    @staticmethod
    def put(open_, shard, packet):
        """True: the batch is full."""
        batch = open_.setdefault(shard, [[], 0])
        batch[0].append(packet)
        return len(batch[0]) == BATCHES[batch[1]]

    def post_full(self, open_, shard):
        batch, nth = open_[shard]
        open_[shard] = [[], min(nth + 1, len(BATCHES) - 1)]
        self.post(self.shards[shard], batch)

    def flush(self, us, open_):
        for shard, (batch, _) in open_.items():
            if batch:
                yield us + (0.0 if self.shards[shard].life else self.costs.acceptor_wake)
                us = 0.0
                self.post(self.shards[shard], batch)
        if us:
            yield us

    def write(self, link, packets):
        link.pending.extend(packets)
        if link.writing:  # whoever writes takes it along
            return
        link.writing = True
        while link.pending:
            packets, link.pending = link.pending, []
            link.writes += 1
            yield self.costs.write
            self.arrived(packets)
        link.writing = False

    # --- the c2s -------------------------------------------------------------------------------------------------------

    def arrived(self, packets):
        if self.generator:
            self.post(self.generator, packets)
            return
        self.finish(packets)
        if self.window:
            self.at(self.now + ROUND_TRIP_US, self.send, len(packets))

    def finish(self, packets):
        self.done += len(packets)
        self.latencies.extend((self.now - p[3], p[1], p[2]) for p in packets)

    def send(self, n):
        by_acceptor = {}
        for _ in range(n):
            sender, to = self.load.message()
            by_acceptor.setdefault(self.acceptor_of[self.load.link[sender]], []).append((sender, to, self.now))
        for a, packets in by_acceptor.items():
            self.post(self.acceptors[a], packets)

    def generate(self, taken, _):
        yield self.costs.bench_turn + len(taken) * self.costs.bench_message
        self.finish(taken)
        self.send(len(taken))

    def poisson(self):
        self.send(1)
        self.at(self.now + self.load.random.expovariate(self.rate), self.poisson)

    # --- a run ---------------------------------------------------------------------------------------------------------

    def run(self, messages, warm=0.25):
        """Figures of so many messages, the first of them left out."""
        if self.window:
            self.send(self.window)
        else:
            self.poisson()
        begun = None
        while self.done < messages and self.events:
            self.now, _, what, args = heapq.heappop(self.events)
            what(*args)
            if begun is None and self.done >= messages * warm:
                begun = (self.now, self.done, [t.busy for t in self.threads], [t.bursts for t in self.threads], [t.taken for t in self.threads],
                         sum(link.writes for link in self.links), len(self.latencies))
        return self.figures(*begun)

    def figures(self, since, done, busy, bursts, taken, writes, seen):
        us, n = max(self.now - since, 1e-9), max(1, self.done - done)
        used = [min(1.0, (t.busy - b) / us) for t, b in zip(self.threads, busy)]
        a, s = len(self.acceptors), len(self.shards)
        shard_bursts = sum(t.bursts - b for t, b in zip(self.shards, bursts[a:a + s]))
        latencies = sorted(x for x, _, _ in self.latencies[seen:])
        others = sorted(x for x, _, to in self.latencies[seen:] if to)
        return {'per_s': 1e6 * n / us, 'acceptors': used[:a], 'shards': used[a:a + s],
                'burst': sum(t.taken - b for t, b in zip(self.shards, taken[a:a + s])) / max(1, shard_bursts),
                'writes': (sum(link.writes for link in self.links) - writes) / n, 'p50': quantile(latencies, 0.5), 'p99': quantile(latencies, 0.99),
                'p99_others': quantile(others, 0.99)}


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0


# --- costs from measurements -------------------------------------------------------------------------------------------

def least_squares(rows, values, rounds=4000):
    """Factors, none below 0, so that the sum of squared relative errors is least. By coordinates: few of them, and well-behaved."""
    scaled = [([x / v for x in row], 1.0) for row, v in zip(rows, values) if v > 0]
    n = len(rows[0])
    factors = [0.0] * n
    left = [one for _, one in scaled]
    squares = [sum(row[j] ** 2 for row, _ in scaled) or 1.0 for j in range(n)]
    for _ in range(rounds):
        for j in range(n):
            step = sum(row[j] * e for (row, _), e in zip(scaled, left)) / squares[j]
            step = max(step, -factors[j])
            if step:
                factors[j] += step
                left = [e - step * row[j] for (row, _), e in zip(scaled, left)]
    return factors, (sum(e * e for e in left) / max(1, len(left))) ** 0.5


def fit(figures, transfer):
    """Costs from runs of scaling_measure.py, and the relative error that is left for each kind of thread."""
    acceptor, e1 = least_squares([(1, f['acceptor_turns'], f['wakes'] / 2) for f in figures], [f['acceptor_us'] for f in figures])
    shard, e2 = least_squares([(1, f['turns'], f['writes'], f['sleeps']) for f in figures], [f['shard_us'] for f in figures])
    bench, e3 = least_squares([(1, f['acceptor_turns']) for f in figures], [f['bench_us'] for f in figures])
    costs = Costs(acceptor_message=acceptor[0], acceptor_turn=acceptor[1], acceptor_wake=acceptor[2], shard_message=shard[0], shard_turn=shard[1],
                  write=shard[2], shard_sleep=max(0.0, shard[3] - acceptor[2] / 2), bench_message=bench[0], bench_turn=bench[1], transfer=transfer)
    return costs, {'acceptor': e1, 'shard': e2, 'bench': e3}
