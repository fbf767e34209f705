# Prints what apk does not tell, one "name value" per line: who holds the lock,
# which kernel runs, which release it is, a wanted reboot.
set -u
LC_ALL=C
export LC_ALL
main() {
	for pid in $(awk '{ print $5 }' /proc/locks 2>/dev/null | sort -u); do
		for fd in /proc/"$pid"/fd/*; do
			case $(readlink "$fd" 2>/dev/null) in
			*/lib/apk/db/lock)
				echo "lock $pid $(cat "/proc/$pid/comm" 2>/dev/null)"
				break
				;;
			esac
		done
	done
	if [ -e /run/reboot-required ]; then echo "reboot /run/reboot-required"; fi
	echo "kernel $(uname -r)"
	echo "release $(cat /etc/alpine-release 2>/dev/null)"
	echo "end"
}
main "$@" </dev/null
