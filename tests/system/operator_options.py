#!/usr/bin/python3
"""operator_options.py - what an operator sets for everybody: services, rosters, limits, contact addresses, who may do what.
Threads: one.
Owns: the servers that it starts.

usage: operator_options.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import os
import sqlite3
import time

from component import FakeC2S, is_service_query
from module_options import StandIn, WithOptions, continue_with, with_options
from servers import METRICS, SECONDS, World, metrics, need_jabberd2, run_cases
from transcript import Player

INFO = 'http://jabber.org/protocol/disco#info'
ITEMS = 'http://jabber.org/protocol/disco#items'


class Case:
    """A server with settings, a player on it, and its database."""

    def __init__(self, extra='', domain='t.test', **options):
        self.world = World()
        try:
            self.server = self.start(extra, options)
            self.player = Player(self.server, domain)
            self.player.link('c2s')
        except BaseException:
            self.world.close()
            raise

    def start(self, extra, options):
        world = self.world

        class Server(WithOptions):
            def start(self):
                self.options.update(options)
                domains = self.options.pop('domains', self.domains)
                self.process, self.port = world.listening_shardsm(domains, **self.options)
                self.options['domains'] = domains

        return Server(world, extra.replace('{dir}', world.dir) + METRICS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.player.close()
        self.world.close()

    def play(self, text):
        continue_with(self.world, self.player, text.replace('\n  ', ''))

    def sql(self, script):
        """The rows of a SELECT; or runs statements."""
        if not script.startswith('SELECT'):
            self.forgets()
        with sqlite3.connect(self.world.db, timeout=5) as db:
            rows = db.execute(script).fetchall() if script.startswith('SELECT') else db.executescript(script).fetchall()
        db.close()
        return rows

    def forgets(self):
        """Until nobody without a session is in memory: what is published is read when somebody comes there."""
        deadline = time.monotonic() + SECONDS
        while (now := metrics(self.server.process))['shardsm_users'] > now['shardsm_sessions']:
            assert time.monotonic() < deadline, 'somebody stays in memory'

    def becomes(self, script, good):
        """The rows of a SELECT once they are good: what nobody waits for is written a little later. The last ones, if they never are."""
        deadline = time.monotonic() + SECONDS
        while not good(rows := self.sql(script)) and time.monotonic() < deadline:
            self.play('nothing\n')
        return rows


# -- services ---------------------------------------------------------------------------------------------------------------

class Service(FakeC2S):
    """A component that is asked what it is."""

    def __init__(self, case, name):
        super().__init__(case.player.hub, case.server.address(), name)
        self.asked = []
        self.join(name)
        self.hub.until(lambda: self.asked, 'the question what %s is' % name)

    def on_route(self, route):
        if is_service_query(route):
            self.asked.append(route)
        else:
            super().on_route(route)

    def answer_disco(self, content, ident=None, source=None):
        query = self.asked[-1].elements()[0]
        self.route(query.get('from'), "<iq xmlns='jabber:client' type='result' id='%s' from='%s' to='%s'><query xmlns='%s'>%s</query></iq>" % (
            ident or query.get('id'), source or self.name, query.get('from'), INFO, content))
        # What comes behind it from the same sender for the same addressee is answered behind it.
        self.route(query.get('from'), "<iq xmlns='jabber:client' type='get' id='behind' from='%s' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % (
            source or self.name, query.get('from')))
        self.next_route('the answer to what came behind')


STATIC = """<discovery><items>
<item jid='users.t.test' name='Old users' category='service' type='jud'><ns>jabber:iq:search</ns><ns>jabber:iq:register</ns></item>
<item jid='rooms.t.test' name='Rooms' category='conference' type='public'/></items></discovery>"""

ASK_ITEMS = """
alice/a > <iq type='get' id='i' to='{d}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>
alice/a < <iq type='result' id='i' from='{d}' to='alice@{d}/a'><query xmlns='http://jabber.org/protocol/disco#items'>%s</query></iq>
"""
ROOMS, OLD = "<item jid='rooms.t.test' name='Rooms'/>", "<item jid='users.t.test' name='Old users'/>"


def services():
    """Static ones are listed; a component that answers takes the place of its item; it is gone when it goes."""
    with Case(STATIC) as case:
        case.play('user alice\nsession alice/a\n' + ASK_ITEMS % (ROOMS + OLD))
        case.play("""
alice/a > <iq type='get' id='g' to='{d}'><query xmlns='jabber:iq:agents'/></iq>
alice/a < <iq type='result' id='g' from='{d}' to='alice@{d}/a'><query xmlns='jabber:iq:agents'>
  <agent jid='users.t.test'><name>Old users</name><service>jud</service><register/><search/></agent>
  <agent jid='rooms.t.test'><name>Rooms</name><service>public</service><groupchat/></agent></query></iq>
""")
        users = Service(case, 'users.t.test')
        assert len(users.asked) == 1, 'asked %d times' % len(users.asked)
        case.play(ASK_ITEMS % (ROOMS + OLD))
        # not what it was asked; not it that was asked: neither is listed
        users.answer_disco("<identity category='directory' type='user' name='Forged'/>", ident='nonesuch')
        users.answer_disco("<identity category='directory' type='user' name='Forged'/>", source='users.t.test/x')
        case.play(ASK_ITEMS % (ROOMS + OLD))
        users.answer_disco("<identity category='directory' type='user' name='Users &lt;new&gt;'/><identity category='x' type='y'/>"
                           "<feature var='jabber:iq:search'/>")
        new = "<item jid='users.t.test' name='Users &lt;new&gt;'/>"
        case.play(ASK_ITEMS % (ROOMS + new))
        # an answer counts once
        users.answer_disco("<identity category='directory' type='user' name='Other'/>")
        case.play(ASK_ITEMS % (ROOMS + new))
        # a server like this one is no service
        other = Service(case, 'other.test')
        other.answer_disco("<identity category='server' type='im' name='Other server'/>")
        case.play(ASK_ITEMS % (ROOMS + new))
        gateway = Service(case, 'gate.t.test')
        gateway.answer_disco("<identity category='gateway' type='sms'/>")
        case.play(ASK_ITEMS % (ROOMS + new + "<item jid='gate.t.test'/>"))
        for service in (users, other, gateway):
            service.close()
            until_offline(case, service.name)
        case.play(ASK_ITEMS % (ROOMS + OLD))


def until_offline(case, name):
    """The shards hear of a lost link behind everything that came over it, and before the other components do."""
    c2s = case.player.links['c2s']
    case.player.hub.until(lambda: c2s.adverts.get(name) is False, '%s to be offline' % name)


SERVERINFO = """
user alice
session alice/a
alice/a > <iq type='get' id='d1' to='{d}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>
alice/a < <iq type='result' id='d1' from='{d}' to='alice@{d}/a'><query xmlns='http://jabber.org/protocol/disco#info'>
  <identity category='server' type='im' name='Jabber IM server'/>
  <x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>
  <field var='admin-addresses' type='{opt}'><value>mailto:a&amp;b@x.test</value><value>xmpp:admins@x.test</value></field>
  <field var='abuse-addresses' type='{opt}'><value>mailto:abuse@x.test</value></field></x>...</query></iq>
"""

# -- who may do what ----------------------------------------------------------------------------------------------------------

ACLS = """<aci><acl type='broadcast'><jid>nobody@t.test</jid></acl><acl type='broadcast'><jid>carl@t.test</jid></acl>
<acl type='messages'><jid>mia@t.test</jid><jid>max@t.test/m</jid></acl><acl type='disco'><jid>dora@t.test/d</jid></acl></aci>"""

ACL_CASES = """
user carl mia max dora nobody
online carl/c mia/m max/m dora/d dora/e nobody/n
carl/c > <message to='{d}/announce/online' id='1'><body>x</body></message>
carl/c < <message from='{d}' to='{me}' id='1'><body>x</body></message>
mia/m < <message from='{d}' to='{me}' id='1'><body>x</body></message>
drop
# a repeated list replaces the one before
nobody/n > <message to='{d}/announce/online' id='2'><body>x</body></message>
nobody/n < <message type='error' from='{d}/announce/online' to='{me}' id='2'>{err:auth:forbidden}...</message>
nobody/n > <message to='{d}' id='3'><body>x</body></message>
mia/m < <message from='{d}' to='{me}' id='3'><subject>Fwd[nobody@{d}/n]: (none)</subject><body>x</body></message>
max/m < <message from='{d}' to='{me}' id='3'><subject>Fwd[nobody@{d}/n]: (none)</subject><body>x</body></message>
# who is named is not sent his own
max/m > <message to='{d}' id='4'><body>x</body></message>
mia/m < <message from='{d}' to='{me}' id='4'><subject>Fwd[max@{d}/m]: (none)</subject><body>x</body></message>
# a whole JID in a list is that resource alone
dora/d > <iq type='get' id='5' to='{d}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>
dora/d < <iq type='result' id='5' from='{d}' to='{me}'><query xmlns='http://jabber.org/protocol/disco#items'><item jid='{d}' node='sessions' name='Active sessions'/></query></iq>
dora/e > <iq type='get' id='6' to='{d}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>
dora/e < <iq type='result' id='6' from='{d}' to='{me}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>
nothing
"""

NO_ACL = """
user alice
online alice/a
alice/a > <message to='{d}' id='1'><body>x</body></message>
alice/a < <message type='error' from='{d}' to='{me}' id='1'>{err:cancel:service-unavailable}...</message>
nothing
"""


def acls():
    with Case(ACLS, admins='') as case:
        case.play(ACL_CASES)
    with Case(admins='') as case:
        case.play(NO_ACL)


# -- the message of the day ---------------------------------------------------------------------------------------------------

def hosts():
    """P19: each domain has its own."""
    with Case(domains=['t.test', 'u.test']) as case:
        case.play("""
user admin alice
online admin/adm
admin/adm > <message to='{d}/announce' id='1'><body>for t</body></message>
admin/adm < <message from='{d}' to='{me}' id='1'><body>for t</body></message>
""")
        other = Player(case.server, 'u.test')
        other.link('c2s')
        try:
            continue_with(case.world, other, """
user admin bob
session bob/b
bob/b > <presence/>
bob/b < <presence from='bob@{d}/b' to='{me}'/>
nothing
""")
            case.play("""
admin/adm > <message to='u.test/announce/online' id='2'><body>for u</body></message>
admin/adm > <message to='u.test/announce' id='3'><body>for u, later too</body></message>
nothing
""")
            continue_with(case.world, other, """
bob/b < <message from='{d}' to='{me}' id='2'><body>for u</body></message>
bob/b < <message from='{d}' to='{me}' id='3'><body>for u, later too</body></message>
nothing
""")
        finally:
            other.close()
        case.play("""
session alice/a
alice/a > <presence/>
alice/a <* <presence from='alice@{d}/a' to='{me}'/>
alice/a <* <message from='{d}' to='{me}' id='1'><delay xmlns='urn:xmpp:delay' from='{d}' stamp='{any}'/><body>for t</body></message>
nothing
""")


MOTD_ROW = """INSERT INTO "motd-message" ("collection-owner", "xml") VALUES ('t.test',
'NAD<route xmlns=''http://jabberd.jabberstudio.org/ns/component/1.0'' to=''t.test'' from=''sm''><message xmlns=''jabber:client'' from=''admin@t.test/adm'' to=''t.test/announce'' id=''h6''><delay xmlns=''urn:xmpp:delay'' from=''t.test'' stamp=''2020-11-22T06:36:53Z''/><subject>Motd</subject><body>it&apos;s</body></message></route>');
INSERT INTO "motd-times" ("collection-owner", "time") VALUES ('bob@t.test', 1606027013);
INSERT INTO "motd-times" ("collection-owner", "time") VALUES ('carol@t.test', 1606027012)"""


def motd_row():
    """A row of jabberd2's, and the times that it kept."""
    with Case() as case:
        case.play('user alice bob carol\n')
        case.sql(MOTD_ROW)
        case.play("""
session alice/a bob/b carol/c
alice/a > <presence/>
alice/a <* <presence from='alice@{d}/a' to='{me}'/>
alice/a <* <message from='{d}' to='alice@{d}/a' id='h6'><delay xmlns='urn:xmpp:delay' from='{d}' stamp='2020-11-22T06:36:53Z'/><subject>Motd</subject><body>it's</body></message>
bob/b > <presence/>
bob/b < <presence from='bob@{d}/b' to='{me}'/>
carol/c > <presence/>
carol/c <* <presence from='carol@{d}/c' to='{me}'/>
carol/c <* <message from='{d}' to='carol@{d}/c' id='h6'>...</message>
nothing
""")
        want = {u + '@t.test': 1606027013 for u in ('alice', 'bob', 'carol')}
        times = dict(case.becomes('SELECT "collection-owner", "time" FROM "motd-times"', lambda rows: dict(rows) == want))
        assert times == want, times


# -- rosters -------------------------------------------------------------------------------------------------------------------

GET = """
%(u)s/x > <iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>
%(u)s/x < <iq type='result' id='g' to='{opt}'><query xmlns='jabber:iq:roster'>%(items)s</query></iq>
%(u)s/x end
"""


def roster_is(case, user, items, new=False):
    case.play(('user %s\n' % user if new else '') + 'session %s/x\n' % user + GET % {'u': user, 'items': items})


def written(case, user):
    """Everything that was on its way to the database is there: writes keep their order, and this one is acknowledged."""
    case.play("session %s/w\n"
              "%s/w > <iq type='set' id='w1'><query xmlns='jabber:iq:private'><w xmlns='urn:test:written'/></query></iq>\n"
              "%s/w < <iq type='result' id='w1' from='{opt}' to='{opt}'/>\n" % (user, user, user))


TEMPLATE = """<?xml version='1.0'?>
<!-- for new users <item jid='comment@x.test'/>
-->
<query xmlns='jabber:iq:roster'>
  <item name='Help &amp; desk' jid='Helpdesk@T.test' subscription='both'><group>Support</group><group>More</group></item>
  <item name='no jid'/>
  <item jid='@@@'/>
  <item jid='empty@x.test'><group/></item>
  <item jid='sub@x.test' subscription='maybe'/>
  <item jid='plain@x.test'/>
  <item jid='plain@x.test' name='again'/>
</query>
"""


def template():
    """O6: bad items are said with their line and left out; the file is read again when it changes."""
    with Case('<user><template><roster>{dir}/roster.xml</roster></template></user>') as case:
        path = case.world.path('roster.xml')
        roster_is(case, 'early', '', new=True)
        case.server.process.wait_line('roster.xml: cannot be read')
        case.world.write('roster.xml', TEMPLATE)
        roster_is(case, 'alice', "<item jid='helpdesk@t.test' name='Help &amp; desk' subscription='both'><group>Support</group>"
                  "<group>More</group></item><item jid='plain@x.test' subscription='none'/>", new=True)
        for line in (6, 7, 8, 9, 11):
            case.server.process.wait_line(r'roster\.xml:%d: item left out' % line)
        for text, why in (('<query xmlns="jabber:iq:roster">', 'not well-formed'), ('<roster/>', 'not a <query'), ('', 'not well-formed')):
            case.world.write('roster.xml', text)
            os.utime(path, ns=(0, len(why) * 10**9))
            seen = len(case.server.process.lines)
            roster_is(case, 'broken%d' % len(text), '', new=True)
            case.server.process.wait_line('roster.xml: ' + why, seen)
        case.world.write('roster.xml', "<query xmlns='jabber:iq:roster'><item jid='new@x.test'/></query>")
        roster_is(case, 'bob', "<item jid='new@x.test' subscription='none'/>", new=True)
        # alice keeps hers
        roster_is(case, 'alice', "<item jid='helpdesk@t.test' name='Help &amp; desk' subscription='both'><group>Support</group>"
                  "<group>More</group></item><item jid='plain@x.test' subscription='none'/>")


def auto_create():
    """An account that is made by its first session has the template's roster too."""
    with Case('<user><auto-create/><template><roster>{dir}/roster.xml</roster></template></user>') as case:
        case.world.write('roster.xml', "<query xmlns='jabber:iq:roster'><item jid='new@x.test'/></query>")
        roster_is(case, 'alice', "<item jid='new@x.test' subscription='none'/>")


def published(owner, jid, group, name=None, to=1, source=1):
    return """INSERT INTO "published-roster" ("collection-owner", "jid", "group", "name", "to", "from", "ask") VALUES
        ('%s', '%s', '%s', %s, %d, %d, 0);""" % (owner, jid, group, "'%s'" % name if name else 'NULL', to, source)


BOSS = "<item jid='boss@t.test' name='Boss' subscription='both'><group>Office</group></item>"


def publish():
    """Who is published is added once, and not to oneself; what the user made of it stays."""
    with Case('<user><template><publish><fetch-key><domain/></fetch-key></publish></template></user>') as case:
        case.play('user alice boss\n')
        roster_is(case, 'alice', '')
        case.sql(published('t.test', 'boss@t.test', 'Office', 'Boss') + published('', 'no@t.test', 'x') +
                 published('alice@t.test', 'no2@t.test', 'x') + published('t.test', 'not a jid', 'x'))
        roster_is(case, 'alice', BOSS)
        roster_is(case, 'boss', '')
        case.play("""
session alice/x
alice/x > <iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='boss@t.test' name='Chief'><group>Mine</group></item></query></iq>
alice/x < <iq type='result' id='s' to='{opt}'/>
alice/x end
""")
        roster_is(case, 'alice', "<item jid='boss@t.test' name='Chief' subscription='both'><group>Mine</group></item>")
        # packets for somebody who does not exist write no rows
        case.play("session alice/x\nalice/x > <presence type='subscribe' to='nobody@t.test'/>\ndrop\nalice/x end\n")
        rows = case.sql('SELECT count(*) FROM "roster-items" WHERE "collection-owner" = \'nobody@t.test\'')
        assert rows == [(0,)], rows


def publish_table():
    """The table may have any name; one that cannot be is an error with status 2."""
    option = '<user><template><publish><db-table>%s</db-table><fetch-key><domain/></fetch-key></publish></template></user>'
    with Case(option % 'our_Staff-2') as case:
        case.play('user alice boss\n')
        case.sql(published('t.test', 'boss@t.test', 'Office', 'Boss').replace('published-roster', 'our_Staff-2'))
        roster_is(case, 'alice', BOSS)
    for name, why in (('x"; DROP', 'is no name of a table'), ('2x', 'is no name of a table'), ('a' * 64, 'is no name of a table'),
                      ('active', 'a table with other data')):
        with World() as world:
            config = world.sm_config(['t.test'], listen=0, extra=option % name)
            process = world.shardsm(config)
            assert process.wait() == 2 and why in process.tail(), process.tail()


def publish_keys():
    for key, owner in (('<user/>', 'alice@t.test'), ('<fixed>everybody</fixed>', 'everybody'), ('', '')):
        with Case('<user><template><publish><fetch-key>%s</fetch-key></publish></template></user>' % key) as case:
            case.play('user alice\n')
            case.sql(published(owner, 'boss@t.test', 'Office', 'Boss'))
            roster_is(case, 'alice', BOSS)


def publish_checks():
    """check-remove-domain: who has no account is not added, and goes when it is there."""
    extra = '<user><template><publish><check-remove-domain>t.test</check-remove-domain></publish></template></user>'
    with Case(extra) as case:
        case.play('user alice boss\n')
        case.sql(published('', 'boss@t.test', 'Office', 'Boss') + published('', 'gone@t.test', 'Office') +
                 published('', 'far@else.test', 'Office', None, 0, 1))
        far = "<item jid='far@else.test' subscription='from'><group>Office</group></item>"
        roster_is(case, 'alice', BOSS + far)
        case.sql("DELETE FROM \"active\" WHERE \"collection-owner\" = 'boss@t.test'")
        roster_is(case, 'alice', far)
        written(case, 'alice')
        groups = case.sql('SELECT "jid" FROM "roster-groups" WHERE "collection-owner" = \'alice@t.test\'')
        assert groups == [('far@else.test',)], groups
    with Case(extra.replace('<publish>', '<publish><force-create-contacts/>')) as case:
        case.play('user alice\n')
        case.sql(published('', 'boss@t.test', 'Office', 'Boss') + published('', 'far@else.test', 'Office', None, 0, 1))
        roster_is(case, 'alice', BOSS + far)
        written(case, 'alice')
        accounts = case.sql('SELECT "collection-owner" FROM "active" ORDER BY 1')
        assert accounts == [('alice@t.test',), ('boss@t.test',)], accounts
    with Case('<user><template><publish><check-remove-domain/></publish></template></user>') as case:
        case.play('user alice\n')
        case.sql(published('', 'far@else.test', 'Office', None, 0, 1))
        roster_is(case, 'alice', '')


PUBLISH_ALL = """<user><template><publish><fix-subscriptions/><override-names/>
<mapped-groups><map-groups/>%s</mapped-groups>
<force-groups><prefix>My.</prefix><suffix>(org)</suffix></force-groups></publish></template></user>"""


def publish_updates():
    """Names, subscriptions and groups follow the published contact; groups of the user's own stay."""
    with Case(PUBLISH_ALL % '') as case:
        case.play('user alice\n')
        case.sql("""INSERT INTO "published-roster-groups" ("collection-owner", "groupname") VALUES ('7', 'My.Team');""" +
                 published('', 'boss@t.test', '7', 'Boss') + published('', 'lost@t.test', '8', 'Lost'))
        roster_is(case, 'alice', "<item jid='boss@t.test' name='Boss' subscription='both'><group>My.Team</group></item>")
        case.server.process.wait_line("group '8' has no name")
        case.play("""
session alice/x
alice/x > <iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='boss@t.test' name='Chief'><group>Mine</group><group>My.Old</group><group>Old(org)</group></item></query></iq>
alice/x < <iq type='result' id='s' to='{opt}'/>
alice/x end
""")
        case.sql("""UPDATE "published-roster" SET "from" = 0 WHERE "jid" = 'boss@t.test';
            UPDATE "published-roster-groups" SET "groupname" = 'My.New'""")
        roster_is(case, 'alice', "<item jid='boss@t.test' name='Boss' subscription='to'><group>Mine</group><group>My.New</group></item>")
        # whose rows are written last has the highest numbers
        roster_is(case, 'bob', "<item jid='boss@t.test' name='Boss' subscription='to'><group>My.New</group></item>", new=True)
        before = case.sql('SELECT * FROM "roster-items" ORDER BY 2')
        roster_is(case, 'alice', "<item jid='boss@t.test' name='Boss' subscription='to'><group>Mine</group><group>My.New</group></item>")
        assert case.sql('SELECT * FROM "roster-items" ORDER BY 2') == before, 'rows were written again that had not changed'


def publish_caches():
    """A cached answer is good for its time: the group's name is not asked again."""
    with Case(PUBLISH_ALL % '<group-cache-ttl>1000</group-cache-ttl>') as case:
        case.play('user alice\n')
        case.sql("""INSERT INTO "published-roster-groups" ("collection-owner", "groupname") VALUES ('7', 'My.Team');""" +
                 published('', 'boss@t.test', '7', 'Boss'))
        team = "<item jid='boss@t.test' name='Boss' subscription='both'><group>My.Team</group></item>"
        roster_is(case, 'alice', team)
        case.sql("""UPDATE "published-roster-groups" SET "groupname" = 'My.New'""")
        roster_is(case, 'alice', team)


def publish_versions():
    """A published contact is a change of the roster like any other."""
    with Case('<user><template><publish/></template></user>') as case:
        case.play("""
user alice
session alice/x
alice/x > <iq type='get' id='v'><query xmlns='jabber:iq:roster' ver=''/></iq>
alice/x < <iq type='result' id='v' to='{opt}'><query xmlns='jabber:iq:roster' ver='{=v0}'/></iq>
alice/x end
""")
        case.sql(published('', 'boss@t.test', 'Office', 'Boss'))
        case.play("""
session alice/x
alice/x > <iq type='get' id='v'><query xmlns='jabber:iq:roster' ver='{v0}'/></iq>
alice/x < <iq type='result' id='v' to='{opt}'/>
alice/x < <iq type='set' id='{any}' to='{me}'><query xmlns='jabber:iq:roster' ver='{any}'>%s</query></iq>
""" % BOSS)


OUR_EDIT = """
session alice/a
alice/a > <iq type='get' id='v1'><query xmlns='jabber:iq:roster' ver=''/></iq>
alice/a < <iq type='result' id='v1' to='{opt}'><query xmlns='jabber:iq:roster' ver='{=v}'>...</query></iq>
"""
STOCK_EDIT = """
session alice/a
alice/a > <iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='%s'%s/></query></iq>
alice/a < <iq type='result' id='s' to='{opt}'/>
"""
AGAIN = """
session alice/a
alice/a > <iq type='get' id='v1'><query xmlns='jabber:iq:roster' ver='{v}'/></iq>
alice/a < <iq type='result' id='v1' to='{opt}'>%s</iq>
alice/a nothing
"""


def stock_edits():
    """jabberd2's sm edits a roster in between: no client goes on from a version that knows nothing of it (P8)."""
    need_jabberd2('router', 'sm')
    whole = "<query xmlns='jabber:iq:roster' ver='{any}'>%s</query>"
    x1, x2 = "<item jid='x1@w.test' subscription='none'/>", "<item jid='x2@w.test' subscription='none'/>"
    named = x1.replace(' sub', " name='n' sub")
    env = {}
    with World() as world:
        world.make_schema()

        def turn(stock, text):
            server = StandIn(world, stock)
            player = Player(server, 't.test')
            player.users = ['alice']
            player.matcher.env.update(env)
            try:
                player.link('c2s')
                continue_with(world, player, text)
                env.update((k, v) for k, v in player.matcher.env.items() if k == 'v')
            finally:
                player.close()
                server.stop()

        turn(True, 'user alice\n' + STOCK_EDIT % ('x1@w.test', ''))
        turn(False, OUR_EDIT)
        turn(False, AGAIN % '')
        for edit, items in (((STOCK_EDIT % ('x2@w.test', '')), x1 + x2), (STOCK_EDIT % ('x1@w.test', " name='n'"), named + x2),
                            (STOCK_EDIT % ('x2@w.test', " subscription='remove'"), named)):
            turn(True, edit)
            turn(False, AGAIN % (whole % items))
            turn(False, OUR_EDIT)
            turn(False, AGAIN % '')


def many_changes():
    """The table of changes does not grow without bound, and who comes from before it began anew gets the whole roster."""
    with Case() as case:
        case.play('user alice\n' + OUR_EDIT)
        alice = case.player.sessions['alice/a']
        old = case.player.matcher.env['v']
        for i in range(1003):
            alice.send("<iq type='set' id='s%d'><query xmlns='jabber:iq:roster'><item jid='x%d@w.test'/></query></iq>" % (i, i // 2) if i % 2 == 0
                       else "<iq type='set' id='s%d'><query xmlns='jabber:iq:roster'><item jid='x%d@w.test' subscription='remove'/></query></iq>" % (i, i // 2))
        case.player.hub.until(lambda: any(s.get('id') == 's1002' for s in alice.queue), 'the last answer')
        assert not [s for s in alice.queue if s.get('type') == 'error']
        alice.queue.clear()
        assert case.sql('SELECT count(*) FROM "roster-changes"') == [(2,)] or case.sql('SELECT count(*) FROM "roster-changes"') == [(3,)]
        case.player.matcher.env['old'] = old
        case.play("""
alice/a > <iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='{old}'/></iq>
alice/a < <iq type='result' id='g' to='{opt}'><query xmlns='jabber:iq:roster' ver='{any}'><item jid='x501@w.test' subscription='none'/></query></iq>
nothing
""")


# -- limits -------------------------------------------------------------------------------------------------------------------

SET = """
%s > <iq type='set' id='s%d'><query xmlns='jabber:iq:roster'><item jid='x%d@w.test'/></query></iq>
%s < <iq type='result' id='s%d' to='{opt}'/>
"""
REFUSED = """
alice/a > <iq type='get' id='v9'><vCard xmlns='vcard-temp'/></iq>
alice/a < <iq type='error' id='v9' to='{opt}'>{err:wait:resource-constraint}...</iq>
"""
SESSIONS = """
admin/adm > <iq type='get' id='l%d' to='{d}'><query xmlns='http://jabber.org/protocol/disco#items' node='sessions'/></iq>
admin/adm < <iq type='result' id='l%d' from='{d}' to='{me}'><query xmlns='http://jabber.org/protocol/disco#items' node='sessions'>%s</query></iq>
"""


def queries():
    """O3: who asks the database too much is told, is disconnected with all sessions, and leaves no ghost."""
    with Case("<storage><limits><queries seconds='1000' throttle='1000'>3</queries></limits></storage>") as case:
        names = ''.join("<item jid='%s@t.test/%s' name='Active session'/>" % n for n in (('admin', 'adm'), ('bob', 'b')))
        case.play("""
user admin alice bob
online admin/adm
session bob/b
bob/b > <presence type='subscribe' to='alice@{d}'/>
online alice/a alice/z
follows bob alice
drop
bob/b > <presence/>
drop
""")
        # two of three are used up: alice's "subscribed" was one
        for i in (1, 2):
            case.play(SET % ('alice/a', i, i, 'alice/a', i))
        case.play(REFUSED + """
alice/a ended
alice/z ended
bob/b <* <presence type='unavailable' from='alice@{d}/a' to='{me}'/>
bob/b <* <presence type='unavailable' from='alice@{d}/z' to='{me}'/>
""" + SESSIONS % (1, 1, names))
        case.server.process.wait_line(r'\[alice@t\.test\] is being disconnected, too many database queries within 1000 seconds')
        # she may come back; what she asks of the database has to wait, and nothing more happens
        case.play('session alice/a\n' + REFUSED + REFUSED + """
alice/a > <iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>
alice/a < <iq type='result' id='g' to='{opt}'><query xmlns='jabber:iq:roster'>...</query></iq>
alice/a nothing
""")
        # what others do to somebody does not disconnect him (alice's "subscribed" was the first)
        case.play("""
component c x.test
c > <presence type='subscribe' from='u1@x.test' to='bob@{d}'/>
c > <presence type='subscribe' from='u2@x.test' to='bob@{d}'/>
c > <presence type='subscribe' from='u3@x.test' to='bob@{d}' id='p3'/>
c < <presence type='error' id='p3' from='bob@{d}' to='u3@x.test'>{err:wait:resource-constraint}</presence>
bob/b <* <presence type='subscribe' from='u1@x.test' to='{me}'/>
bob/b <* <presence type='subscribe' from='u2@x.test' to='{me}'/>
nothing
""")


# -- status ---------------------------------------------------------------------------------------------------------------------

def status():
    """Presence of users elsewhere is kept beside that of our own; the status resource shows itself."""
    with Case('<status><resource>web</resource></status>') as case:
        case.play("""
user alice
online alice/a
component c x.test
c > <presence from='u@x.test/r' to='{d}'><show>away</show><status>out</status></presence>
c > <presence from='x.test' to='{d}'/>
c > <presence type='probe' from='u@x.test' to='{d}'/>
c <* <presence from='{d}/web' to='u@x.test'/>
c <* <presence from='{d}/echo' to='u@x.test'/>
c <* <presence from='{d}/help' to='u@x.test'/>
alice/a > <presence to='{d}'><show>xa</show></presence>
alice/a nothing
""")
        ask = 'SELECT "status", "show", "last-login", "last-logout", "xml" FROM "status" WHERE "collection-owner" = \'%s\''
        row, = case.becomes(ask % 'u@x.test', len)
        assert row[:4] == ('online', 'away', 0, 0) and '<status>out</status>' in row[4] and row[4].startswith('NAD<route '), row
        assert case.sql(ask % 'x.test') == []
        assert case.sql(ask % 'alice@t.test')[0][1] == '', 'directed presence is not the status'
        case.play("c > <presence type='unavailable' from='u@x.test/r' to='{d}'/>\nalice/a nothing\n")
        assert case.becomes(ask % 'u@x.test', lambda rows: not rows) == []
        # as many as somebody likes to name: there is an end to it, and who was heard of last is there
        for first in range(0, 20000, 2000):
            case.play(''.join("c > <presence from='n%d@x.test/r' to='{d}'/>\n" % i for i in range(first, first + 2000)) + 'nothing\n')
        case.becomes(ask % 'n19999@x.test', len)
        (rows,), = case.sql('SELECT count(*) FROM "status" WHERE "collection-owner" LIKE \'%@x.test\'')
        assert 4096 < rows <= 8192 and case.sql(ask % 'n19999@x.test'), rows


CASES = {
    'services': services,
    'serverinfo': lambda: with_options('<discovery><serverinfo><admin-addresses><value>mailto:a&amp;b@x.test</value>'
                                       '<value>xmpp:admins@x.test</value></admin-addresses><abuse-addresses><value>mailto:abuse@x.test'
                                       '</value></abuse-addresses><sales-addresses/></serverinfo></discovery>', SERVERINFO),
    'acls': acls,
    'hosts': hosts,
    'motd row': motd_row,
    'template': template,
    'auto-create': auto_create,
    'publish': publish,
    'publish keys': publish_keys,
    'publish table': publish_table,
    'publish checks': publish_checks,
    'publish updates': publish_updates,
    'publish caches': publish_caches,
    'publish versions': publish_versions,
    'stock edits': stock_edits,
    'many changes': many_changes,
    'queries': queries,
    'status': status,
}


if __name__ == '__main__':
    sys.exit(run_cases(CASES))
