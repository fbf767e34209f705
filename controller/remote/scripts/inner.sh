# usage: sh -c INNER sh MARK ready|quiet
# Becomes the command described by the prologue on stdin, so that neither
# environment nor arguments pass through a command line of this shell. Lines
# before the first MARK are skipped: a password that sudo did not ask for.
nc_m=$1
[ "$2" = ready ] && printf '%s\n' "$nc_m"
while IFS= read -r nc_l; do
	[ "$nc_l" = "$nc_m" ] && break
done
nc_e=
while :; do
	IFS= read -r nc_l || exit 125
	[ "$nc_l" = "$nc_m" ] && break
	nc_e="$nc_e$nc_l
"
done
LC_ALL=C.UTF-8
export LC_ALL
eval "$nc_e"
unset nc_e nc_l nc_m
exec "$@"
