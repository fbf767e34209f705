# usage: STATE x PATH SUM SIZE MODE TOKEN
# Says have or want, then reads the file from stdin, checks and renames it. With
# a token nothing takes its place but under the token's lease.
umask 022
path=$1 want=$2 size=$3 mode=$4 token=$5
fail() {
	[ -z "${tmp:-}" ] || rm -f "$tmp"
	printf 'fail %s\n' "$*"
	exit 0
}
sum() {
	if command -v sha256sum >/dev/null 2>&1; then
		s=$(sha256sum <"$1")
	elif command -v shasum >/dev/null 2>&1; then
		s=$(shasum -a 256 <"$1")
	elif command -v openssl >/dev/null 2>&1; then
		s=$(openssl dgst -sha256 -r <"$1")
	else
		fail "the host has none of sha256sum, shasum and openssl"
	fi
	s=${s%% *}
}
[ -z "$token" ] || guard "$token"
if [ -d "$path" ]; then fail "$path is a folder"; fi
dir=${path%/*}
[ -n "$dir" ] || dir=/
mkdir -p "$dir" 2>/dev/null || fail "cannot create the folder $dir as user $(id -un)"
if [ -f "$path" ] && [ ! -h "$path" ] && [ "$(($(wc -c <"$path" 2>/dev/null)))" = "$size" ]; then
	sum "$path"
	if [ "$s" = "$want" ] && chmod "$mode" "$path" 2>/dev/null; then
		printf 'have\n'
		exit 0
	fi
fi
tmp=$path.ncfleet.$$
umask 077
# With noclobber nothing that already lies there is followed or overwritten.
set -C
printf '' 2>/dev/null >"$tmp" || { t=$tmp tmp=; fail "cannot create $t as user $(id -un)"; }
set +C
trap 'rm -f "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
printf 'want\n'
cat 2>/dev/null >"$tmp" || fail "cannot write $tmp: is the disk full?"
got=$(($(wc -c <"$tmp")))
[ "$got" = "$size" ] || fail "$got of $size bytes arrived"
sum "$tmp"
[ "$s" = "$want" ] || fail "its sha256 is $s instead of $want"
chmod "$mode" "$tmp" || fail "cannot set mode $mode on $tmp"
if [ -n "$token" ]; then
	lock
	verdict "$token"
	if [ -n "$refused" ]; then
		unlock
		tell "$refused"
		exit 0
	fi
fi
mv -f "$tmp" "$path" || fail "cannot rename $tmp to $path"
trap - EXIT
[ -z "$token" ] || unlock
printf 'done\n'
