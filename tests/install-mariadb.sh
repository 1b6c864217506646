#!/bin/sh
# Installs MariaDB's server, which the storage tests start privately (see tests/storage/servers.py). Debian and Ubuntu, as root.
set -eu

if command -v mariadbd; then
    exit 0
fi
if command -v mysqld >/dev/null; then
    echo "install-mariadb.sh: MySQL is installed here, and MariaDB's package would replace it; do that by hand if you want it." >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "install-mariadb.sh: run me as root, or set KATIB_TEST_DB_URL to a database of your own" >&2
    exit 1
fi

# The package starts a system-wide server when it is installed; the tests want none but their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends mariadb-server
