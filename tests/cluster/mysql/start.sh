#!/bin/sh
# As the official image: an empty volume becomes a database with the MYSQL_* of the environment, and names are not looked up.
set -eu
data=/var/lib/mysql
server="mysqld --no-defaults --basedir=/opt/mysql/usr --plugin-dir=/opt/mysql/usr/lib/mysql/plugin --secure-file-priv= --mysqlx=OFF"
server="$server --skip-name-resolve"
if [ ! -d "$data/mysql" ]; then
    $server --initialize-insecure --datadir="$data"
fi
umask 077
cat >/tmp/init.sql <<END
CREATE DATABASE IF NOT EXISTS $MYSQL_DATABASE;
CREATE USER IF NOT EXISTS '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';
GRANT ALL ON $MYSQL_DATABASE.* TO '$MYSQL_USER'@'%';
ALTER USER root@localhost IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
END
exec $server --datadir="$data" --bind-address=0.0.0.0 --init-file=/tmp/init.sql
