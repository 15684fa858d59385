"""xmltree.py - XML elements as values: an incremental stream reader on expat, and a comparison with wildcards.
Threads: one; nothing here is shared.
Owns: nothing outside the values that it returns.
"""
import re
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

NS_COMPONENT = 'http://jabberd.jabberstudio.org/ns/component/1.0'
NS_SESSION = 'http://jabberd.jabberstudio.org/ns/session/1.0'
NS_STREAMS = 'http://etherx.jabber.org/streams'
NS_SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
NS_CLIENT = 'jabber:client'
NS_ACCEPT = 'jabber:component:accept'
NS_STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas'
NS_XML = 'http://www.w3.org/XML/1998/namespace'


class Node:
    """An element: ns, name, attrs {(ns, name): value}, children (Node or str), in document order."""
    __slots__ = ('ns', 'name', 'attrs', 'children')

    def __init__(self, ns, name, attrs=None, children=None):
        self.ns, self.name = ns, name
        self.attrs = attrs or {}
        self.children = children or []

    def get(self, name, default=None, ns=''):
        return self.attrs.get((ns, name), default)

    def session(self, name):
        """An attribute of the session namespace (c2s, sm, failed)."""
        return self.attrs.get((NS_SESSION, name))

    def elements(self):
        return [c for c in self.children if isinstance(c, Node)]

    def text(self):
        return ''.join(c for c in self.children if isinstance(c, str))

    def find(self, name, ns=None):
        for c in self.elements():
            if c.name == name and (ns is None or c.ns == ns):
                return c
        return None

    def __str__(self):
        return self.to_xml('')

    def to_xml(self, outer):
        ns = '' if self.ns == outer else ' xmlns=' + quoteattr(self.ns, {"'": '&apos;'})
        attrs = ''.join(' %s=%s' % (('{%s}%s' % k) if k[0] else k[1], quoteattr(v))
                        for k, v in sorted(self.attrs.items()))
        inner = ''.join(c.to_xml(self.ns) if isinstance(c, Node) else escape(c) for c in self.children)
        return '<%s%s%s>%s</%s>' % (self.name, ns, attrs, inner, self.name)


def escape(text):
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')


def split_name(qualified):
    ns, _, name = qualified.rpartition(' ')
    return ns, name


class StreamReader:
    """Feeds on bytes as they come; header is the stream's root element once seen, take() gives complete top-level elements."""

    def __init__(self):
        self.header = None
        self.ended = False
        self.done = []
        self.stack = []
        self.parser = expat.ParserCreate('UTF-8', ' ')
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def feed(self, data):
        self.parser.Parse(data, False)

    def _start(self, tag, attrs):
        ns, name = split_name(tag)
        node = Node(ns, name, {split_name(k): v for k, v in attrs.items()})
        if self.header is None:
            self.header = node
            return
        if self.stack:
            self.stack[-1].children.append(node)
        self.stack.append(node)

    def _end(self, _tag):
        if not self.stack:
            self.ended = True
            return
        node = self.stack.pop()
        if not self.stack:
            self.done.append(node)

    def _text(self, text):
        if self.stack:
            self.stack[-1].children.append(text)

    def take(self):
        done, self.done = self.done, []
        return done


def parse(text, default_ns=NS_CLIENT):
    """One element from a fragment whose default namespace is default_ns; sc: and sm: name the session namespace."""
    reader = StreamReader()
    head = "<w xmlns='%s' xmlns:sc='%s' xmlns:sm='%s' xmlns:stream='%s'>" % (default_ns, NS_SESSION, NS_SESSION, NS_STREAMS)
    reader.feed((head + text + '</w>').encode())
    nodes = reader.take()
    if len(nodes) != 1:
        raise ValueError('%d elements instead of one in %s' % (len(nodes), text))
    return nodes[0]


class Matcher:
    """Compares an expected element with one that arrived.

    In an expected value or text: {any} any value; {=x} any value, remembered as x; {x} the value remembered before; an
    attribute that is {opt} may be there. The text ... lets further children be there. The order of attributes and of child elements does not count. An error's code
    attribute and <text/> count only where they are expected.
    """
    PLACE = re.compile(r'\{(=?[A-Za-z_][A-Za-z0-9_:/.@-]*)\}')

    def __init__(self, env=None):
        self.env = env if env is not None else {}

    def value(self, want, got):
        if '{' not in want:
            return want == got
        pattern, names, last = '', [], 0
        for m in self.PLACE.finditer(want):
            pattern += re.escape(want[last:m.start()])
            last = m.end()
            key = m.group(1)
            if key == 'any':
                pattern += '.+'
            elif key.startswith('='):
                names.append(key[1:])
                pattern += '(.+)'
            elif key in self.env:
                known = self.env[key]
                known = known if isinstance(known, (list, tuple)) else [known]
                pattern += '(?:' + '|'.join(re.escape(k) for k in known) + ')'
            else:
                raise ValueError('{%s} is not known' % key)
        pattern += re.escape(want[last:])
        m = re.fullmatch(pattern, got, re.S)
        if not m:
            return False
        for i, name in enumerate(names):
            self.env[name] = m.group(i + 1)
        return True

    def differs(self, want, got, path=''):
        """None when they are equal, else what differs."""
        path += '/' + got.name
        if (want.ns, want.name) != (got.ns, got.name):
            return '%s: {%s}%s, expected {%s}%s' % (path, got.ns, got.name, want.ns, want.name)
        is_error = got.name == 'error' and got.ns in (NS_CLIENT, NS_ACCEPT)
        for key, value in want.attrs.items():
            if value == '{opt}':
                continue
            if key not in got.attrs:
                return '%s: no attribute %s' % (path, key[1])
            if not self.value(value, got.attrs[key]):
                return "%s: %s='%s', expected '%s'" % (path, key[1], got.attrs[key], value)
        for key in got.attrs:
            if key not in want.attrs and not (is_error and key == ('', 'code')):
                return "%s: unexpected %s='%s'" % (path, key[1], got.attrs[key])
        text = want.text()
        more = '...' in text
        if not more and not self.value(text.strip(), got.text().strip()):
            return "%s: text '%s', expected '%s'" % (path, got.text(), text)
        return self._children(want, got, path, more, is_error)

    def _children(self, want, got, path, more, is_error):
        left = got.elements()
        for child in want.elements():
            why = '%s: no child %s' % (path, child.name)
            for candidate in left:
                saved = dict(self.env)
                reason = self.differs(child, candidate, path)
                if reason is None:
                    left.remove(candidate)
                    break
                self.env.clear()
                self.env.update(saved)
                if candidate.name == child.name:
                    why = reason
            else:
                return why
        if is_error:
            left = [c for c in left if (c.ns, c.name) != (NS_STANZAS, 'text')]
        if left and not more:
            return '%s: unexpected child %s' % (path, left[0])
        return None
