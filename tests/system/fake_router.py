"""fake_router.py - a router that one sm dials: every byte that it gets can be seen, every byte that it sends can be chosen.
Threads: one.
Owns: its listening socket and its end of the sm's link, until close().
"""
import base64
import collections
import os
import socket

from component import HEADER, Closed, Link, attr, digest_fields, digest_response
from xmltree import NS_COMPONENT, NS_SASL, NS_STREAMS


class FakeRouter:
    """Listens as a router for one sm that dials it; binds and routes are answered and kept."""

    def __init__(self, hub, password='secret'):
        self.hub, self.password = hub, password
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.sm = None

    def accept(self, bind_error=0):
        self.sm = RouterSide(self.hub, self.hub.accept(self.listener, 'a connection to the router'), self.password)
        self.sm.bind_error = bind_error
        return self.sm

    def close(self):
        self.listener.close()
        if self.sm is not None:
            self.sm.close()


class RouterSide(Link):
    """The router's end of an sm's link."""

    def __init__(self, hub, sock, password):
        super().__init__(hub, sock)
        self.password = password
        self.user = None
        self.bound = []
        self.bind_error = 0
        self.routes = collections.deque()
        self.greeted = False
        self.nonce = os.urandom(12).hex()

    def receive(self):
        super().receive()
        if self.reader.header is not None and not self.greeted:
            self.greeted = True
            self.send(HEADER % (NS_STREAMS, " id='%s'" % os.urandom(8).hex()))
            mechanisms = '' if self.user else "<mechanisms xmlns='%s'><mechanism>DIGEST-MD5</mechanism></mechanisms>" % NS_SASL
            self.send("<stream:features xmlns:stream='%s'>%s</stream:features>" % (NS_STREAMS, mechanisms))

    def on_element(self, node):
        if node.ns == NS_SASL:
            return self.on_sasl(node)
        if node.ns == NS_COMPONENT and node.name == 'bind':
            error = self.bind_error
            if not error:
                self.bound.append(node.get('name'))
            self.send("<bind xmlns='%s'%s%s></bind>" % (NS_COMPONENT, " multi='to'" if node.get('multi') else '',
                                                        " error='%d'" % error if error else ''))
            return True
        if node.ns == NS_COMPONENT and node.name == 'route':
            self.routes.append(node)
            return True
        return False

    def on_sasl(self, node):
        if node.name == 'auth':
            challenge = 'realm="jabberd-router", nonce="%s", qop="auth", charset=utf-8, algorithm=md5-sess' % self.nonce
            self.send("<challenge xmlns='%s'>%s</challenge>" % (NS_SASL, base64.b64encode(challenge.encode()).decode()))
        elif node.name == 'response':
            fields = digest_fields(base64.b64decode(node.text()).decode())
            uri = fields.get('digest-uri', '')
            if fields.get('response') != digest_response(fields, fields.get('username'), self.password, uri):
                self.send("<failure xmlns='%s'><not-authorized/></failure>" % NS_SASL)
                return True
            proof = 'rspauth=' + digest_response(fields, fields['username'], self.password, uri, '')
            self.send("<success xmlns='%s'>%s</success>" % (NS_SASL, base64.b64encode(proof.encode()).decode()))
            self.user = fields['username']
            self.restart()
            self.greeted = False
        return True

    def route(self, to, source, payload):
        self.send('<route xmlns=%s to=%s from=%s>%s</route>' % (attr(NS_COMPONENT), attr(to), attr(source), payload))

    def advertise(self, name, online=True):
        self.send("<presence xmlns='%s' from=%s%s/>" % (NS_COMPONENT, attr(name), '' if online else " type='unavailable'"))

    def next_route(self, what):
        self.hub.until(lambda: self.routes or self.eof, what)
        if not self.routes:
            raise Closed('%s: the link was closed' % what)
        return self.routes.popleft()
