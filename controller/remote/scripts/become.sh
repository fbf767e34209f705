# usage: sh -c BECOME sh USER COMMAND...
# Root becomes USER without sudo.
nc_u=$1
shift
if ! id -u "$nc_u" >/dev/null 2>&1; then
	printf 'ncfleet: no such user: %s\n' "$nc_u" >&2
	exit 126
fi
eval "HOME=~$nc_u"
USER=$nc_u
LOGNAME=$nc_u
export HOME USER LOGNAME
cd /
if command -v runuser >/dev/null 2>&1; then
	exec runuser -u "$nc_u" -- "$@"
fi
exec su -s /bin/sh "$nc_u" -c 'exec "$@"' sh "$@"
