#!/bin/sh
# Puts a MySQL server beside everything else, for the tests that run on one (see tests/storage/servers.py): into
# ${KATIB_TEST_CACHE:-~/.cache/katib-tests}/mysql, 0.3 GB, with every library that it needs. Nothing is installed, no other
# package is touched (MariaDB's conflicts with MySQL's), and nobody has to be root.
#
# Debian has MySQL in its unstable suite alone. It is taken from the archive that apt is set up with here; KATIB_TEST_DEBIAN names
# another. Done in seconds, 60 MB to fetch. What is in unstable changes: `mysqld --version` says what one got.
set -eu

cache=${KATIB_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/katib-tests}
folder=$cache/mysql
packages='mysql-server-core mysql-client-core'

if [ -x "$folder/mysql" ] && "$folder/mysqld" --version 2>/dev/null; then
    exit 0
fi
for program in apt-get dpkg-deb; do
    command -v "$program" >/dev/null || {
        echo "install-mysql.sh: this takes Debian or a system made from it: there is no $program here." >&2
        exit 1
    }
done

# Known also before the first `apt-get update`.
known=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)
archive=${KATIB_TEST_DEBIAN:-$known}
if [ -z "$archive" ]; then
    echo "install-mysql.sh: apt knows no Debian archive here; KATIB_TEST_DEBIAN=http://... names one." >&2
    exit 1
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/mysql-new-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts" "$work/mysql"
touch "$work/status"
echo "deb $archive sid main" >"$work/sources.list"
# An apt of its own, which finds nothing installed: so it fetches all that MySQL needs, down to the C library.
cat >"$work/apt.conf" <<CONF
Dir::State "$work";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/parts";
Dir::Etc::preferencesparts "$work/parts";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
export APT_CONFIG="$work/apt.conf"
apt-get update -qq
apt-get install -qq --download-only --yes $packages >/dev/null
for deb in "$work"/cache/archives/*.deb; do
    case $deb in
    */perl* | */libperl*) ;; # for scripts that are not run
    *) dpkg-deb --extract "$deb" "$work/mysql" ;;
    esac
done

# Its libraries are newer than this system's, and so is the program that loads them.
loader=$(cd "$work/mysql" && find . -name 'ld-linux*.so.*' -not -type l | head -n 1)
libraries=$(cd "$work/mysql" && find . -name 'libc.so.6' | head -n 1)
for program in sbin/mysqld bin/mysqladmin bin/mysqldump bin/mysql; do
    start=$work/mysql/$(basename "$program")
    cat >"$start" <<PROGRAM
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")
exec "\$here/$loader" --library-path "\$here/$(dirname "$libraries")" "\$here/usr/$program" "\$@"
PROGRAM
    chmod +x "$start"
    "$start" --version >/dev/null
done

rm -rf "$folder"
mv "$work/mysql" "$folder"
"$folder/mysqld" --version
