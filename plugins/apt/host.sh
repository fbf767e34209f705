# Prints what no package tool tells, one "name value" per line: who holds a
# lock, whether dpkg was interrupted, which system and kernels there are, a
# wanted reboot.
# A lock is told by its file, not by its path: a container's has the same one.
# System paths are below $S: NCFLEET_SYSROOT, set on simulated hosts only.
set -u
LC_ALL=C
export LC_ALL
main() {
	S=${NCFLEET_SYSROOT:-}
	admin=${DPKG_ADMINDIR:-$S/var/lib/dpkg}
	if [ -r "$S/proc/locks" ]; then
		for pid in $(awk '{ print $5 }' "$S/proc/locks" 2>/dev/null | sort -u); do
			for fd in /proc/"$pid"/fd/*; do
				for file in "$admin/lock" "$admin/lock-frontend" "$admin/../apt/lists/lock" "$S/var/cache/apt/archives/lock"; do
					if [ "$fd" -ef "$file" ]; then
						echo "lock $pid $(cat "/proc/$pid/comm" 2>/dev/null)"
						break 2
					fi
				done
			done
		done
	fi
	for file in "$admin"/updates/[0-9]*; do
		if [ -e "$file" ]; then
			echo "interrupted $file"
			break
		fi
	done
	for file in "$S/run/reboot-required" "$S/var/run/reboot-required"; do
		if [ -e "$file" ]; then echo "reboot ${file#"$S"}"; fi
	done
	sed -n 's/^ID=\(.*\)/system \1/p' "$S/etc/os-release" 2>/dev/null | tr -d "\"'"
	echo "kernel $(uname -r)"
	for file in "$S"/boot/vmlinuz-*; do
		if [ -e "$file" ]; then echo "image ${file#"$S"/boot/vmlinuz-}"; fi
	done
	echo "end"
}
main "$@" </dev/null
