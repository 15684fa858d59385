#!/bin/sh
# pgsql.sh - the store's tests on PostgreSQL, a server of their own.
engine=pgsql
. "$(dirname "$0")/on_server.sh"
