# usage: STATE x TOKEN MARK LINE
# Becomes the command of the line when the lease is the token's; else says on
# standard error, after MARK, why it did not.
verdict "$1"
if [ -n "$refused" ]; then
	{
		printf '%s\n' "$2"
		tell "$refused"
	} >&2
	exit 126
fi
heard
umask 022
cd /
exec sh -c "$3"
