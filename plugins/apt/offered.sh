# Prints apt-cache madison of every package that could be changed: all versions
# that the repositories offer, not only the newest.
set -u
LC_ALL=C
export LC_ALL
main() {
	apt-get -s -o Debug::NoLocking=1 dist-upgrade 2>/dev/null | awk '$1 == "Inst" { print $2 }' | xargs -r apt-cache madison
}
main "$@" </dev/null
