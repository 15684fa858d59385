#!/usr/bin/python3
"""subscriptions.py - the subscription state machine of RFC 6121 appendix A, every state with every stanza, in and out.
Threads: one.
Owns: the server that it starts.

The contact lives on a component's domain, so that it can send what no honest server would, and sees all that is sent to it.
A state is told by what anybody can see of it: the roster item; who gets initial presence (from), who is probed (to), and
whether a request is delivered to a resource that comes online (pending in).
--stock shows what jabberd2's own sm makes of it.
"""
import sys
sys.dont_write_bytecode = True

from component import FakeC2S, Hub, Marks, attr
from run_transcripts import Server
from servers import Report, World, need_jabberd2, need_shardsm
from xmltree import NS_CLIENT

DOMAIN, FAR = 'subs.test', 'far.test'
ROSTER = 'jabber:iq:roster'

# Each state: subscription, pending out, pending in; and how to get there: what the contact (in) and the user (out) send.
STATES = {
    'None': ('none', False, False, ()),
    'None+Out': ('none', True, False, ('out subscribe',)),
    'None+In': ('none', False, True, ('in subscribe',)),
    'None+Out+In': ('none', True, True, ('out subscribe', 'in subscribe')),
    'To': ('to', False, False, ('out subscribe', 'in subscribed')),
    'To+In': ('to', False, True, ('out subscribe', 'in subscribed', 'in subscribe')),
    'From': ('from', False, False, ('in subscribe', 'out subscribed')),
    'From+Out': ('from', True, False, ('in subscribe', 'out subscribed', 'out subscribe')),
    'Both': ('both', False, False, ('in subscribe', 'out subscribed', 'out subscribe', 'in subscribed')),
}

# RFC 6121 A.2 and A.3: for each stanza, the state before -> the state after where it changes, and the states in which it
# must be routed on (out) or delivered (in). In every other state it must not be.
ALL = tuple(STATES)
TABLE = {
    'out subscribe': ({'None': 'None+Out', 'None+In': 'None+Out+In', 'From': 'From+Out'}, ALL),
    'out unsubscribe': ({'None+Out': 'None', 'None+Out+In': 'None+In', 'To': 'None', 'To+In': 'None+In',
                         'From+Out': 'From', 'Both': 'From'}, ALL),
    'out subscribed': ({'None+In': 'From', 'None+Out+In': 'From+Out', 'To+In': 'Both'}, ('None+In', 'None+Out+In', 'To+In')),
    'out unsubscribed': ({'None+In': 'None', 'None+Out+In': 'None+Out', 'To+In': 'To', 'From': 'None',
                          'From+Out': 'None+Out', 'Both': 'To'},
                         ('None+In', 'None+Out+In', 'To+In', 'From', 'From+Out', 'Both')),
    'in subscribe': ({'None': 'None+In', 'None+Out': 'None+Out+In', 'To': 'To+In'}, ('None', 'None+Out', 'To')),
    'in unsubscribe': ({'None+In': 'None', 'None+Out+In': 'None+Out', 'To+In': 'To', 'From': 'None',
                        'From+Out': 'None+Out', 'Both': 'To'},
                       ('None+In', 'None+Out+In', 'To+In', 'From', 'From+Out', 'Both')),
    'in subscribed': ({'None+Out': 'To', 'None+Out+In': 'To+In', 'From+Out': 'Both'}, ('None+Out', 'None+Out+In', 'From+Out')),
    'in unsubscribed': ({'None+Out': 'None', 'None+Out+In': 'None+In', 'To': 'None', 'To+In': 'None+In',
                         'From+Out': 'From', 'Both': 'From'},
                        ('None+Out', 'None+Out+In', 'To', 'To+In', 'From+Out', 'Both')),
}


class Case:
    """One user and one contact."""

    def __init__(self, bench, number, state, stanza):
        self.bench = bench
        self.user = 'u%d@%s' % (number, DOMAIN)
        self.contact = 'c%d@%s' % (number, FAR)
        self.state, self.stanza = state, stanza
        moves, acted = TABLE[stanza]
        self.after = moves.get(state, state)
        self.acted = state in acted

    def flush(self):
        self.bench.marks.flush([s for s in self.bench.c2s.sessions.values() if s.bare == self.user], [self.user],
                               [(self.bench.far, 'mark@' + FAR)])

    def take(self, session):
        """What came for a session, and for the contact, so far: lists of nodes."""
        self.flush()
        came = list(session.queue)
        session.queue.clear()
        far = [r.elements()[0] for r in self.bench.far.inbox]
        self.bench.far.inbox.clear()
        assert not session.faults, session.faults
        return came, far

    def act(self, session, move):
        side, kind = move.split()
        if side == 'out':
            session.send("<presence type='%s' to=%s/>" % (kind, attr(self.contact)))
        else:
            self.bench.far.route(DOMAIN, "<presence xmlns='%s' type='%s' from=%s to=%s/>" % (
                NS_CLIENT, kind, attr(self.contact), attr(self.user)))
            # the component's own order: what follows from it is behind this answer
            self.bench.far_ping(self.contact, self.user)
        return self.take(session)

    def run(self):
        bench = self.bench
        bench.c2s.create(self.user)
        session = bench.c2s.start(self.user + '/r')
        session.send("<iq type='get' id='roster'><query xmlns='%s'/></iq>" % ROSTER)
        session.send('<presence/>')
        self.take(session)
        for move in STATES[self.state][3]:
            self.act(session, move)
        came, far = self.act(session, self.stanza)
        self.check_came(came)
        self.check_far(far)
        bench.c2s.end(session)
        self.take(session)
        self.check_state()

    def check_came(self, came):
        """The user's resource: the stanza itself where it must be delivered, and a push when the roster changed."""
        side, kind = self.stanza.split()
        presences = [n for n in came if n.name == 'presence' and n.get('type') in
                     ('subscribe', 'subscribed', 'unsubscribe', 'unsubscribed')]
        want = [kind] if side == 'in' and self.acted else []
        got = [n.get('type') for n in presences]
        assert got == want, 'delivered to the user: %s, expected %s' % (got, want)
        pushes = [n for n in came if n.name == 'iq' and n.get('type') == 'set']
        visible = STATES[self.state][:2] != STATES[self.after][:2]
        assert pushes or not visible, 'no roster push for %s -> %s' % (self.state, self.after)
        for push in pushes:
            self.check_item(push.elements()[0].elements()[0], 'pushed')
        if side == 'in' and presences and pushes:   # RFC 6121 3.1.6, 3.2.3, 3.3.3: this order must be
            assert came.index(presences[0]) < came.index(pushes[0]), 'the push comes before the stanza'

    def check_far(self, far):
        """The contact: the stanza itself where it must be routed, and the presence that comes or goes with it."""
        side, kind = self.stanza.split()
        types = [n.get('type', 'available') for n in far if n.name == 'presence']
        for n in far:
            if n.get('type') in ('subscribe', 'subscribed', 'unsubscribe', 'unsubscribed'):
                assert n.get('from') == self.user, 'not from the bare JID: %s' % n
                assert n.get('to') == self.contact, 'not to the contact: %s' % n
        had, has = (STATES[s][0] in ('from', 'both') for s in (self.state, self.after))
        need, may = [], ['probe']
        if side == 'out' and self.acted:
            need.append(kind)
        if has and not had:
            need.append('available')
        if had and not has:
            need.append('unavailable')
        if side == 'in' and kind == 'subscribe' and had:
            need.append('subscribed')   # RFC 6121 3.1.3: answered on the user's behalf
            may.append('available')
        if side == 'in' and kind == 'unsubscribe' and self.acted and self.state != 'None+In':
            need.append('unsubscribed')   # RFC 6121 A.3.2; not to a stranger: no account would be silent (RFC 6120 13.11)
        for t in need:
            assert t in types, 'the contact got %s, without %s' % (types, t)
        for t in types:
            assert t in need or t in may, 'the contact got %s, with %s' % (types, t)
        if 'subscribed' in types and 'available' in types:
            assert types.index('subscribed') < types.index('available'), 'presence comes before subscribed (P4)'

    def check_item(self, item, where):
        subscription, out, _, _ = STATES[self.after]
        got = (item.get('jid'), item.get('subscription'), item.get('ask'))
        want = (self.contact, subscription, 'subscribe' if out else None)
        assert got == want, '%s: %s, expected %s' % (where, got, want)

    def check_state(self):
        """Whatever can be seen of the state, by a resource that comes online."""
        subscription, out, pending, _ = STATES[self.after]
        session = self.bench.c2s.start(self.user + '/check')
        session.send("<iq type='get' id='roster'><query xmlns='%s'/></iq>" % ROSTER)
        came, _ = self.take(session)
        items = came[0].elements()[0].elements()
        if items:
            assert len(items) == 1, 'more than one roster item: %s' % came[0]
            self.check_item(items[0], 'in the roster')
        else:
            assert subscription == 'none' and not out, 'no item in the roster in state ' + self.after
        session.send('<presence/>')
        came, far = self.take(session)
        requests = [n for n in came if n.get('type') == 'subscribe']
        assert len(requests) == (1 if pending else 0), '%d requests delivered at login in state %s' % (len(requests), self.after)
        types = [n.get('type', 'available') for n in far]
        assert ('available' in types) == (subscription in ('from', 'both')), 'initial presence in state %s: %s' % (self.after, types)
        assert ('probe' in types) == (subscription in ('to', 'both')), 'probes in state %s: %s' % (self.after, types)
        self.bench.c2s.end(session)
        self.take(session)


class Bench:
    """The links of all cases to one server."""

    def __init__(self, server):
        self.server = server
        self.hub = Hub()
        self.pings = 0
        self.connect()

    def connect(self):
        self.c2s = FakeC2S(self.hub, self.server.address(), 'c2s').connect()
        self.c2s.online(DOMAIN)
        self.far = FakeC2S(self.hub, self.server.address(), FAR).connect()
        self.marks = Marks(self.hub)

    def far_ping(self, contact, user):
        """Waits until everything that the contact sent to the user has been dealt with."""
        self.pings += 1
        ident = 'mark-far-%d' % self.pings
        self.far.route(DOMAIN, "<iq xmlns='%s' type='get' id='%s' from=%s to=%s><mark xmlns='urn:test:mark'/></iq>" % (
            NS_CLIENT, ident, attr(contact), attr(user)))
        self.hub.until(lambda: ident in self.far.marks or self.far.eof, 'the answer to ' + ident)

    def again(self):
        self.hub.close()
        self.server.restart(False)
        self.connect()


def main():
    stock = sys.argv[1:] == ['--stock']
    if stock:
        need_jabberd2('router', 'sm')
    else:
        need_shardsm()
    report = Report()
    with World() as world:
        bench = Bench(Server(world, [DOMAIN], stock, 0 if stock else 4, 'scan'))
        cases = [Case(bench, i * len(STATES) + k, state, stanza)
                 for i, stanza in enumerate(TABLE) for k, state in enumerate(STATES)]
        good = [c for c in cases if report.case('%s, %s' % (c.state, c.stanza), c.run)]
        bench.again()
        for case in good:
            report.case('%s, %s: after a restart' % (case.state, case.stanza), case.check_state)
        bench.hub.close()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
