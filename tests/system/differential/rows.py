"""rows.py - the rows that a server left, scenario by scenario.
Threads: none; values only.
Owns: nothing.
"""
import collections
import re

from normal import row
from play import rows_of

OWNER = re.compile(r'\.(\d+)@')


def by_scenario(database, scenarios):
    """serial -> {'TABLE': lines}. A table's rows have no order, but for the queue."""
    ids = {s.serial: s.ids() for s in scenarios}
    shared = {owner: s.serial for s in scenarios for owner in rows_of(s)}
    result = collections.defaultdict(lambda: collections.defaultdict(list))
    for table, columns in database.rows():
        owner = columns['collection-owner'] or ''
        found = OWNER.search(owner)
        serial = int(found.group(1)) if found else shared.get(owner)
        line = row(table, columns, ids[serial]) if serial in ids else None
        if line:
            result[serial]['rows'].append(line)
    for tables in result.values():
        queue = [r for r in tables['rows'] if r.startswith('queue ')]
        owners = {r: r.split(': ')[0] for r in queue}
        tables['rows'] = sorted(r for r in tables['rows'] if r not in owners) + sorted(queue, key=owners.get)
    return result
