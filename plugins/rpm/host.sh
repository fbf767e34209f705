# Prints what no package tool tells, one "name value" per line: who holds a
# lock, which kernel runs, which system it is, a wanted reboot.
set -u
LC_ALL=C
export LC_ALL
main() {
	for pid in $(awk '{ print $5 }' /proc/locks 2>/dev/null | sort -u); do
		for fd in /proc/"$pid"/fd/*; do
			# Its file tells, not its path: a container's has the same one.
			if [ "$fd" -ef /var/lib/rpm/.rpm.lock ] || [ "$fd" -ef /usr/lib/sysimage/rpm/.rpm.lock ]; then
				echo "lock $pid $(cat "/proc/$pid/comm" 2>/dev/null)"
				break
			fi
		done
	done
	for file in /var/cache/dnf/*_lock.pid /var/lib/dnf/*_lock.pid /run/zypp.pid /run/yum.pid; do
		[ -r "$file" ] || continue
		pid=$(tr -dc 0-9 <"$file" | cut -c 1-10)
		if [ -n "$pid" ] && [ -d "/proc/$pid" ]; then
			echo "lock $pid $(cat "/proc/$pid/comm" 2>/dev/null)"
		fi
	done
	for file in /run/reboot-required /run/reboot-needed; do
		if [ -e "$file" ]; then echo "reboot $file"; fi
	done
	echo "kernel $(uname -r)"
	(
		ID= VERSION_ID=
		if [ -r /etc/os-release ]; then . /etc/os-release; fi
		echo "system $ID $VERSION_ID"
	)
	echo "end"
}
main "$@" </dev/null
