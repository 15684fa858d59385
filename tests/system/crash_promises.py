"""crash_promises.py - what clients set in the crash loop, and may hold the server to once it was acknowledged.
Threads: none; values only.
Owns: nothing.
"""
NS_VACATION = 'http://jabber.org/protocol/vacation'
DATES = '2001-01-01T00:00:00Z', '2001-02-01T00:00:00Z'   # over: nobody gets an answer
BLOCKING = "<%s xmlns='urn:xmpp:blocking'><item jid='%s@far.test'/></%s>"


class Promise:
    """One thing that a client can set. Its value is the last that was acknowledged, or one that was sent after it.

    write, read: requests, {0} for the value. pick: the value in the answer, a word; '' where there is none. take: what takes it away.
    values: those that it may have, where not every word will do.
    """

    def __init__(self, name, write, read, pick, take=None, values=()):
        self.name, self.write, self.read, self.pick, self.take, self.values = name, write, read, pick, take, values
        self.sent = ['']   # '': not there
        self.acknowledged = 0

    def set(self, value):
        self.sent.append(value)
        return len(self.sent) - 1

    def next(self, rng, word):
        """A value to set: another one, or none for what is there."""
        choice = rng.choice([v for v in self.values or (word,) if v != self.sent[-1]])
        return '' if self.take and self.sent[-1] and rng.random() < 0.2 or not choice else choice

    def request(self, value):
        return self.write.format(value) if value else self.take

    def check(self, node):
        """node: the answer; None: there is nothing."""
        value = self.pick(node) if node is not None else ''
        may = self.sent[self.acknowledged:]
        assert value in may, '%s is %r; acknowledged was %r' % (self.name, value, may[0])
        self.sent, self.acknowledged = [value], 0


def text_of(node, *path):
    for name in path:
        node = next((e for e in node.elements() if e.name == name), None)
        if node is None:
            return ''
    return node.text()


def item_name(jid):
    def pick(node):
        for item in node.elements()[0].elements():
            if item.get('jid') == jid:
                groups = [g.text() for g in item.elements()]
                assert groups == [item.get('name')], 'half a roster item: %s' % item
                return item.get('name')
        return ''
    return pick


def card_name(node):
    name = text_of(node, 'vCard', 'FN')
    assert text_of(node, 'vCard', 'NOTE') == name, 'half a vcard: %s' % node
    return name


def list_value(node):
    items = [i for l in node.elements()[0].elements() for i in l.elements()]
    return items[0].get('value').partition('@')[0] if items else ''


def blocked(jid):
    """'on' or ''."""
    return lambda node: 'on' if jid in [i.get('jid') for i in node.elements()[0].elements()] else ''


def vacation(node):
    query = next(iter(node.elements()), None)
    texts = {e.name: e.text() for e in query.elements()} if query is not None else {}
    assert not texts or (texts['start'], texts['end']) == DATES, 'half a vacation: %s' % node
    return texts.get('message', '')


def default_list(node):
    return next((e.get('name') for e in node.elements()[0].elements() if e.name == 'default'), '')


def promises():
    """Values are words; each shape has a request that sets it, one that reads it, and where the word then is."""
    roster = "<query xmlns='jabber:iq:roster'>%s</query>"
    out = [Promise('roster item %d' % i, roster % ("<item jid='c%d@far.test' name='{0}'><group>{0}</group></item>" % i), roster % '',
                   item_name('c%d@far.test' % i), roster % ("<item jid='c%d@far.test' subscription='remove'/>" % i)) for i in range(8)]
    private = "<query xmlns='jabber:iq:private'><x xmlns='urn:test:%d'>%s</x></query>"
    out += [Promise('private %d' % i, private % (i, '{0}'), private % (i, ''), lambda n: text_of(n, 'query', 'x')) for i in range(3)]
    out.append(Promise('vcard', "<vCard xmlns='vcard-temp'><FN>{0}</FN><NOTE>{0}</NOTE></vCard>", "<vCard xmlns='vcard-temp'/>",
                       card_name))
    out.append(Promise('privacy list', "<query xmlns='jabber:iq:privacy'><list name='l'><item type='jid' value='{0}@far.test' "
                       "action='deny' order='1'><message/></item></list></query>",
                       "<query xmlns='jabber:iq:privacy'><list name='l'/></query>", list_value))
    for i in range(4):
        out.append(Promise('blocked %d' % i, BLOCKING % ('block', 'x%d' % i, 'block'), "<blocklist xmlns='urn:xmpp:blocking'/>", blocked('x%d@far.test' % i),
                           BLOCKING % ('unblock', 'x%d' % i, 'unblock'), ('', 'on')))
    out.append(Promise('vacation', "<query xmlns='%s'><start>%s</start><end>%s</end><message>{0}</message></query>" % (NS_VACATION, *DATES),
                       "<query xmlns='%s'/>" % NS_VACATION, vacation, "<query xmlns='%s'/>" % NS_VACATION))
    return out


def choice():
    """Which of two lists an account has by default: of another account, as what is blocked stands in the default list."""
    default = "<query xmlns='jabber:iq:privacy'><default%s/></query>"
    return Promise('default list', default % " name='{0}'", "<query xmlns='jabber:iq:privacy'/>", default_list, default % '', ('one', 'two'))


LISTS = ["<query xmlns='jabber:iq:privacy'><list name='%s'><item action='allow' order='1'/></list></query>" % name for name in ('one', 'two')]
