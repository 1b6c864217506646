#!/bin/sh
# Installs Chromium for the tests that look at the dashboard (tests/dashboard/browser); Debian or a system made from it, as root.
# The tests take it from there, or from where KATIB_TEST_CHROMIUM says.
set -eu

if command -v chromium >/dev/null; then
    chromium --version
    exit 0
fi
command -v apt-get >/dev/null || {
    echo "install-chromium.sh: there is no apt-get here; install Chromium and name it with KATIB_TEST_CHROMIUM." >&2
    exit 1
}
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends chromium fonts-dejavu-core >/dev/null
chromium --version
