#!/bin/sh
# mysql.sh - the store's tests on MariaDB, a server of their own.
engine=mysql
. "$(dirname "$0")/on_server.sh"
