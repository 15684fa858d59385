#!/usr/bin/python3
"""bad_requests.py - every IQ request that the server handles, with every mistake in it: one answer, the right one, and nothing changes.
Threads: one, and a log reader for the server.
Owns: the server that it starts.

request_table.py says what is right. A refused set has changed nothing: the state is fetched again, from memory and, after a new login, from
the database. The same request in another spelling is the same request. --spell and --refuse do one half; further words name requests.
"""
import sys
sys.dont_write_bytecode = True
import copy
import os
import re
import subprocess

import request_table as table
from component import FakeC2S, Hub, attr
from servers import SHARDSM, Report, World, need_shardsm
from xmltree import NS_CLIENT, NS_STANZAS, Node, parse

DOMAIN = 'requests.test'
LONG_VALUE, LONG_TEXT = 'x' * 4000, 'x' * 20000
TEXTS = {'FN', 'FAMILY', 'start', 'end', 'message', 'group', 's'}   # elements whose text means something
UNKNOWN = 'unknown@y.test'


# -- mistakes -------------------------------------------------------------------------------------------------------------

def below(node, path=''):
    """(path, parent, element) of everything below an element."""
    for child in node.elements():
        where = path + child.name
        yield where, node, child
        yield from below(child, where + '/')


def at(root, where):
    return next((parent, node) for path, parent, node in below(root) if path == where)


def mutations(payload):
    """(place, mistake, payload) of every mistake in the payload, but those of the whole stanza."""
    def mutant(where, change):
        root = copy.deepcopy(payload)
        parent, node = (None, root) if where == 'payload' else at(root, where)
        change(parent, node)
        return root.to_xml('')

    def put(name, value):
        return lambda parent, node: setattr(node, name, value)

    extra = {'extra child': lambda parent, node: node.children.append(Node('urn:extra', 'extra')),
             'extra attribute': lambda parent, node: node.attrs.update({('', 'extra'): 'x'})}
    for mistake, change in dict(extra, **{
            'misnamed': put('name', payload.name + 'x'), 'foreign': put('ns', 'urn:foreign'),
            'no namespace': lambda parent, node: rename(node, node.ns, NS_CLIENT),
            'extra text': lambda parent, node: node.children.append('text')}).items():
        yield 'payload', mistake, mutant('payload', change)
    for where, _, element in list(below(payload)):
        for mistake, change in dict(extra, **{
                'missing': lambda parent, node: parent.children.remove(node),
                'doubled': lambda parent, node: parent.children.append(copy.deepcopy(node)),
                'misnamed': put('name', element.name + 'x'), 'foreign': put('ns', 'urn:foreign'),
                'empty': lambda parent, node: (node.attrs.clear(), node.children.clear())}).items():
            if mistake == 'empty' and not element.attrs and not element.children and element.name in TEXTS:
                continue   # it is already
            yield where, mistake, mutant(where, change)
        if element.name in TEXTS and where != 'list/item/message':
            yield where, 'over-long text', mutant(where, put('children', [LONG_TEXT]))
        if element.name in ('start', 'end'):
            yield where, 'wrong text', mutant(where, put('children', ['yesterday']))
        if element.ns == 'urn:s':
            yield where, 'no namespace', mutant(where, put('ns', payload.ns))
        for _, name in list(element.attrs):
            yield where + '@' + name, 'missing', mutant(where, lambda parent, node, n=name: node.attrs.pop(('', n)))
            for mistake, value in (('empty', ''), ('over-long', LONG_VALUE), ('wrong', '@@@'), ('unknown', UNKNOWN)):
                if mistake == 'unknown' and not (name == 'jid' or (name == 'name' and where != 'item')):
                    continue
                yield where + '@' + name, mistake, mutant(where, lambda parent, node, n=name, v=value: node.attrs.update({('', n): v}))


def rename(node, old, new):
    if node.ns == old:
        node.ns = new
    for child in node.elements():
        rename(child, old, new)


def stanza(kind, ident, to, payload, more=''):
    ident = '' if ident is None else " id='%s'" % ident
    kind = '' if kind is None else " type='%s'" % kind
    return '<iq%s%s%s%s>%s</iq>' % (kind, ident, '' if to is None else ' to=' + attr(to), more, payload)


# -- other spellings ------------------------------------------------------------------------------------------------------

def references(text):
    return ''.join('&#x%X;' % ord(c) if i % 2 else '&#%d;' % ord(c) for i, c in enumerate(text))


def spell(node, outer, write):
    """An element in a spelling. write: tag(node, outer) -> (name, declarations), value(text) for attributes and text(text)."""
    name, declared = write['tag'](node, outer)
    attrs = ''.join(write['attr'] % (k[1], write['value'](v)) for k, v in node.attrs.items())
    inner = write['gap'].join(write['text'](c) if isinstance(c, str) else spell(c, node.ns, write) for c in node.children)
    return '<%s%s%s%s>%s</%s%s>' % (name, declared, attrs, write['space'], inner, name, write['space'])


def spellings(payload):
    """(how, the iq's declarations, payload)."""
    def default(node, outer):
        return node.name, '' if node.ns == outer else " xmlns='%s'" % node.ns

    def prefixed(node, outer):
        return 'q:' + node.name, '' if node.ns == outer else " xmlns:q='%s'" % node.ns

    def above(node, outer):
        return ('p:' + node.name, '') if node.ns == payload.ns else default(node, outer)

    def uri(node, outer):
        return node.name, '' if node.ns == outer else ' xmlns="%s"' % references(node.ns)

    plain = {'tag': default, 'attr': " %s='%s'", 'value': str, 'text': str, 'gap': '', 'space': ''}
    yield 'a prefix on each element', '', spell(payload, NS_CLIENT, dict(plain, tag=prefixed))
    yield 'a prefix from above', " xmlns:p='%s'" % payload.ns, spell(payload, NS_CLIENT, dict(plain, tag=above))
    yield 'references', '', spell(payload, NS_CLIENT, dict(plain, tag=uri, value=references, text=references))
    yield 'double quotes and white space', '', '\n ' + spell(payload, NS_CLIENT, dict(plain, attr='\n\t%s = "%s"', gap='\n  ', space=' ')) + '\n'
    yield 'CDATA', '', spell(payload, NS_CLIENT, dict(plain, text=lambda t: '<![CDATA[%s]]>' % t))


# -- the ones who ask -----------------------------------------------------------------------------------------------------

def condition(iq):
    """What an answer says: result, or the condition of its error."""
    if iq.get('type') == 'result':
        return table.OK
    error = iq.find('error', NS_CLIENT)
    assert iq.get('type') == 'error' and error is not None, 'no answer: %s' % iq
    return next(c.name for c in error.elements() if c.ns == NS_STANZAS)


def essence(iq):
    """An answer, for comparison: without addresses and id, without what time does to it."""
    iq = copy.deepcopy(iq)
    iq.attrs = {('', 'type'): iq.get('type')}
    text = sorted_xml(iq)
    text = re.sub(r' seconds="\d+"', '', text)
    return re.sub(r'<utc>[^<]*', '<utc>', text)


def sorted_xml(node):
    children = sorted(sorted_xml(c) if isinstance(c, Node) else c.strip() for c in node.children)
    return '<%s{%s}%s>%s</>' % (node.name, node.ns, ''.join(' %s="%s"' % (k[1], v) for k, v in sorted(node.attrs.items())
                                                         if k[0] == ''), ''.join(children))


class Asker:
    """One session, and what it gets for what it asks."""

    def __init__(self, bench, user):
        self.bench, self.bare = bench, '%s@%s' % (user, DOMAIN)
        bench.c2s.create(self.bare)
        self.login()

    def login(self):
        self.session = self.bench.c2s.start(self.bare + '/r')

    def relogin(self):
        self.bench.c2s.end(self.session)
        self.login()

    def ask(self, text, ident, account=None):
        """Sends it, then requests that are answered behind it by everybody who might answer. (answers, whatever else came)"""
        session, marks = self.session, {self.bench.ident(): DOMAIN}
        if account:
            marks[self.bench.ident()] = account
        session.send(text)
        for mark, to in marks.items():
            session.send(stanza('get', mark, to, "<ping xmlns='urn:xmpp:ping'/>"))
        came = []
        while marks:
            got = session.next('the answer to a ping behind %.200s' % text)
            if marks.pop(got.get('id'), None) is None:
                came.append(got)
        assert not session.faults, session.faults[0]
        answers = [g for g in came if g.name == 'iq' and g.get('type') in ('result', 'error') and g.get('id', '') in (ident, '')]
        return answers, [g for g in came if g not in answers]

    def request(self, kind, payload, to=None):
        """The only answer to a right request, and whatever else came."""
        ident = self.bench.ident()
        answers, others = self.ask(stanza(kind, ident, to, self.bench.fill(payload)), ident)
        assert len(answers) == 1, '%d answers to %s' % (len(answers), payload)
        return answers[0], others

    def set(self, payload):
        answer, _ = self.request('set', payload)
        assert condition(answer) == table.OK, '%s: %s' % (payload, answer)

    def state(self):
        """All that the server keeps for this user, as it shows it."""
        idents = [self.bench.ident() for _ in table.STATE]
        for ident, payload in zip(idents, table.STATE):
            self.session.send(stanza('get', ident, None, payload))
        answers = {}
        while len(answers) < len(idents):
            got = self.session.next('the state')
            assert got.get('id') in idents and got.get('id') not in answers, 'it came too late: %s' % got
            answers[got.get('id')] = essence(got)
        return [answers[i] for i in idents]

    def pushes(self):
        """What the server says of its own accord, after a change that it made."""
        self.session.queue.clear()


class Remote(Asker):
    """Somebody of another domain, behind a component."""

    def __init__(self, bench, address):
        self.bench, self.bare = bench, 'somebody@remote.test'
        self.link = FakeC2S(bench.hub, address, 'remote.test').connect()
        self.link.online(DOMAIN)
        self.session = self

    faults = ()

    def send(self, text):
        head = "<iq xmlns='%s' from='%s/r'" % (NS_CLIENT, self.bare)
        self.link.route(DOMAIN, text.replace('<iq', head if ' to=' in text else head + ' to=' + attr(DOMAIN), 1))

    def next(self, what):
        return self.link.next_route(what).elements()[0]


class Bench:
    def __init__(self, world):
        self.process, port = world.listening_shardsm([DOMAIN], name='requests')
        self.hub = Hub()
        self.c2s = FakeC2S(self.hub, ('127.0.0.1', port), 'c2s-requests').connect()
        self.count = 0
        self.friend, self.other, self.stranger = (Asker(self, name) for name in ('friend1', 'other', 'stranger'))
        self.remote = Remote(self, ('127.0.0.1', port))
        self.make_friends()
        self.asker = self.fresh()
        self.base = self.asker.state()
        for asker in (self.other, self.stranger):
            self.settle(asker)
        self.others = self.other.state()

    def ident(self):
        self.count += 1
        return 'i%d' % self.count

    @staticmethod
    def fill(payload):
        return payload.replace('{d}', DOMAIN)

    def settle(self, asker):
        for payload in table.BASE:
            asker.set(payload)
        asker.relogin()

    def fresh(self):
        """A user with the state that all requests are made for."""
        asker = Asker(self, 'user%d' % self.count)
        self.settle(asker)
        return asker

    def make_friends(self):
        """friend1 may ask other's account."""
        friend, other = self.friend, self.other
        for asker, kind, to in ((friend, 'subscribe', other), (other, 'subscribed', friend)):
            asker.session.send("<presence type='%s' to='%s'/>" % (kind, to.bare))
            for one in (friend, other):
                one.ask(stanza('get', self.ident(), to.bare, "<ping xmlns='urn:xmpp:ping'/>"), None, to.bare)
        for one in (friend, other):
            one.pushes()


# -- the two halves -------------------------------------------------------------------------------------------------------

class Trial:
    """One request from one kind of asker: every mistake in it."""

    def __init__(self, bench, request, scope, stranger=None):
        self.bench, self.request, self.scope, self.stranger = bench, request, scope, stranger
        self.payload = parse(bench.fill(request.xml))
        self.to = {'self': None, 'server': DOMAIN, 'account': bench.other.bare}[scope]
        self.wrong = []
        self.tried = 0

    def asker(self):
        if self.scope == 'self':
            return self.bench.asker
        return self.stranger or self.bench.friend

    def stanzas(self):
        """(place, mistake, id, stanza)"""
        right = self.payload.to_xml('')
        kind, to, ident = self.request.type, self.to, self.bench.ident
        foreign = "<x xmlns='urn:x'/>"
        for mistake, payload in (('no child', ''), ('text', 'text'), ('twice', right * 2), ('another behind', right + foreign),
                                 ('another in front', foreign + right)):
            i = ident()
            yield 'stanza', mistake, i, stanza(kind, i, to, payload)
        yield 'stanza', 'no id', '', stanza(kind, None, to, right)
        yield 'stanza', 'empty id', '', stanza(kind, '', to, right)
        for mistake, bad in (('no type', None), ('unknown type', 'fetch'), ('result', 'result'), ('error', 'error')):
            i = ident()
            yield 'stanza', mistake, i, stanza(bad, i, to, right)
        if self.stranger is not self.bench.remote:   # whose server has seen to that
            i = ident()
            yield 'stanza', 'spoofed from', i, stanza(kind, i, to, right, ' from=' + attr(self.bench.other.bare + '/r'))
            i = ident()
            yield 'stanza', 'to nobody', i, stanza(kind, i, '@@@', right)
        if self.scope == 'self':
            i = ident()
            yield 'stanza', 'to own bare', i, stanza(kind, i, self.asker().bare, right)
        if self.scope == 'self' and 'account' not in self.request.scopes:
            i = ident()
            yield 'stanza', 'to another', i, stanza(kind, i, self.bench.other.bare, right)
        i = ident()
        yield 'payload', 'the other type', i, stanza('set' if kind == 'get' else 'get', i, to, right)
        for place, mistake, payload in mutations(self.payload):
            i = ident()
            yield place, mistake, i, stanza(kind, i, to, payload)

    def run(self):
        for place, mistake, ident, text in self.stanzas():
            allowed, source = table.row(self.request.name, place, mistake)
            self.one('%s: %s' % (place, mistake), ident, text, allowed, source)
        self.finish()

    def finish(self):
        if not self.stranger and self.bench.other.state() != self.bench.others:
            self.wrong.append("it changed somebody else's state")
        assert not self.wrong, '%d of %d\n#   %s' % (len(self.wrong), self.tried, '\n#   '.join(self.wrong))

    def one(self, name, ident, text, allowed, source):
        self.tried += 1
        if self.stranger:
            allowed = allowed + ('forbidden', table.UNAVAILABLE)
        asker = self.asker()
        try:
            refused = self.answer(asker, ident, text, allowed)
            if self.scope != 'self':
                return
            if refused:
                self.unchanged(asker)
            else:
                asker.pushes()
                self.bench.asker = self.bench.fresh()
        except AssertionError as e:
            self.wrong.append('%s: %s (%s)' % (name, e, source))
            if self.scope == 'self':
                self.bench.asker = self.bench.fresh()

    def answer(self, asker, ident, text, allowed):
        """Did it change nothing?"""
        answers, others = asker.ask(text, ident, self.bench.other.bare)
        assert self.bench.process.running(), 'the server died:\n' + self.bench.process.tail()
        got = [condition(a) for a in answers]
        assert len(got) <= 1, '%d answers: %s' % (len(got), got)
        got = got[0] if got else table.SILENCE
        assert got in allowed, '%s instead of %s' % (got, ' or '.join(allowed))
        changed = got == table.OK and (self.request.changes or " type='set'" in text[:60])
        assert changed or not others, 'beside the answer came %s' % others[0]
        return not changed

    def unchanged(self, asker):
        assert asker.state() == self.bench.base, 'the state changed: %s' % asker.state()
        asker.relogin()
        assert asker.state() == self.bench.base, 'the state in the database changed: %s' % asker.state()


def refuse_more(bench):
    trial = Trial(bench, table.REQUESTS[0], 'self')
    for name, kind, scope, payload, allowed, source in table.MORE:
        trial.scope = scope
        to = {'self': None, 'server': DOMAIN, 'account': bench.other.bare}[scope]
        ident = bench.ident()
        trial.one(name, ident, stanza(kind, ident, to, bench.fill(payload)), allowed, source)
    trial.finish()


def ends_well(bench):
    """After all that it stops as it should; with a sanitizer, without a leak."""
    status = bench.process.stop()
    assert status == 0, 'exit status %d:\n%s' % (status, bench.process.tail(40))


def respell(bench, request, scope):
    """Each spelling gets the answer that the plain one gets, and does what that does."""
    payload = parse(bench.fill(request.xml))
    to = {'self': None, 'server': DOMAIN, 'account': bench.other.bare}[scope]
    want = None
    for how, declared, text in [('plain', '', payload.to_xml(''))] + list(spellings(payload)):
        if request.changes:
            bench.asker = bench.fresh()
        asker = bench.friend if scope == 'account' else bench.asker
        ident = bench.ident()
        answers, _ = asker.ask(stanza(request.type, ident, to, text, declared), ident, to)
        asker.pushes()
        assert len(answers) == 1, '%s: %d answers' % (how, len(answers))
        got = [essence(answers[0])]
        if request.changes:
            got += asker.state()
            asker.relogin()
            got += asker.state()
        if want is None:
            assert condition(answers[0]) == table.OK, 'the right request: %s' % answers[0]
            assert not request.changes or request.name == 'privacy-active' or got[1 + len(table.STATE):] != bench.base, 'it changes nothing'
            want = got
        different = [(w, g) for w, g in zip(want, got) if w != g]
        assert not different, '%s:\n#   plain %s\n#   this  %s' % ((how,) + different[0])
    if request.changes:
        bench.asker = bench.fresh()


def every_rule_is_known():
    """Each (scope, namespace) that a module says it answers stands in the table; as the other type each request is tried anyway."""
    program = os.path.join(os.path.dirname(SHARDSM), '..', 'tests', 'module', 'iq_rules')
    assert os.access(program, os.X_OK), program + ' is missing: make ' + 'tests/module/iq_rules builds it'
    rules = {tuple(line.split()) for line in subprocess.check_output([program]).decode().splitlines()}
    assert len(rules) > 20 and any(ns == table.NS_ROSTER for _, _, _, ns in rules), rules
    known = {(scope, parse(r.xml.replace('{d}', DOMAIN)).ns) for r in table.REQUESTS for scope in r.scopes}
    missing = {(module, scope, ns) for module, _, scope, ns in rules if (scope, ns) not in known and (scope, ns) not in table.NOT_HERE}
    assert not missing, 'modules answer what request_table.py does not have: %s' % sorted(missing)
    stale = set(table.NOT_HERE) - {(scope, ns) for _, _, scope, ns in rules}
    assert not stale, 'no module has %s any more' % sorted(stale)


def main():
    need_shardsm()
    report = Report()
    words = [w for w in sys.argv[1:] if not w.startswith('--')]
    requests = [r for r in table.REQUESTS if not words or r.name in words]
    tried = 0
    report.case('every rule of every module is in the table', every_rule_is_known)
    with World() as world:
        bench = Bench(world)
        for request in requests:
            for scope in request.scopes:
                name = '%s, %s' % (request.name, scope)
                if '--refuse' not in sys.argv:
                    report.case(name + ': other spellings', respell, bench, request, scope)
                if '--spell' in sys.argv:
                    continue
                strangers = {'': None}
                if scope == 'account':
                    strangers[' of a stranger'] = bench.stranger
                if scope != 'self':
                    strangers[', from another domain'] = bench.remote
                for who, stranger in strangers.items():
                    trial = Trial(bench, request, scope, stranger)
                    report.case(name + who + ': mistakes', trial.run)
                    tried += trial.tried
        if not words:
            report.case('further requests that are refused', refuse_more, bench)
        report.case('nothing is left behind', ends_well, bench)
        bench.hub.close()
    print('# %d mistakes' % tried)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
