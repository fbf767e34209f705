# Prints what no package tool tells, one "name value" per line: who holds a
# lock, whether dpkg was interrupted, which system and kernels there are, a
# wanted reboot.
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
				case $(readlink "$fd" 2>/dev/null) in
				"$admin"/lock | "$admin"/lock-frontend | */var/lib/apt/lists/lock | */var/cache/apt/archives/lock)
					echo "lock $pid $(cat "/proc/$pid/comm" 2>/dev/null)"
					break
					;;
				esac
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
