# usage: STATE x TOKEN MARK LINE
# Runs the command of the line when the lease is the token's; else says on
# standard error, after MARK, why it did not. What the command will read is here
# before the lease is looked at: a controller that stands still while it sends,
# and goes on when another one has the host, comes too late.
all=$(cat; echo x)
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
printf %s "${all%x}" | { exec sh -c "$3"; }
