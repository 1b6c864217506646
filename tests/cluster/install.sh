#!/bin/sh
# Installs what the test cluster takes from Debian (see tests/cluster/cluster.py). Debian and Ubuntu, as root. Go is not among
# it: Kubernetes needs the version that tests/cluster/go.mod names, which is newer than most distributions'.
set -eu

packages="etcd-server containerd runc containernetworking-plugins nftables iproute2 util-linux busybox-static buildah debootstrap"

missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "everything is there already"
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "install.sh: run me as root on Debian or Ubuntu, or install by other means:$missing" >&2
    echo "Or set KATIB_TEST_KUBECONFIG to use a cluster of your own." >&2
    exit 1
fi

# etcd and containerd would start system-wide when they are installed; the tests want none but their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -q
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing
