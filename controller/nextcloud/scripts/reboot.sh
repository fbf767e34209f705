# reboot: restarts the host a moment after this run ended, so that its outcome
# is on disk. With "--checks required" only when the packages ask for it.

# wanted tells whether the system asks for a reboot, in its family's way. A dnf
# that lacks the command fails as one that asks does: its words count.
wanted() {
	for flag in reboot-required reboot-needed; do
		[ ! -e "$SYSROOT/run/$flag" ] && [ ! -e "$SYSROOT/var/run/$flag" ] || return 0
	done
	if command -v needs-restarting >/dev/null 2>&1; then
		! needs-restarting -r >/dev/null 2>&1
		return
	fi
	command -v dnf >/dev/null 2>&1 || return
	case $(LC_ALL=C dnf -q needs-restarting -r 2>/dev/null) in
	*"Reboot is required"*) return 0 ;;
	esac
	return 1
}

main() {
	parse "$@"
	if [ "$CHECKS" = required ]; then
		if ! wanted; then
			say "reboot not-required"
			return 0
		fi
	fi
	say "boot $(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
	say "reboot begun"
	sync
	( setsid sh -c 'sleep 2; systemctl reboot || shutdown -r now || reboot' >/dev/null 2>&1 </dev/null & )
}
