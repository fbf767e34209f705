# reboot: restarts the host a moment after this run ended, so that its outcome
# is on disk. With "--checks required" only when the packages ask for it.
main() {
	parse "$@"
	if [ "$CHECKS" = required ]; then
		if [ -e "$SYSROOT/run/reboot-required" ] || [ -e "$SYSROOT/var/run/reboot-required" ]; then
			:
		elif command -v needs-restarting >/dev/null 2>&1 && ! needs-restarting -r >/dev/null 2>&1; then
			:
		else
			say "reboot not-required"
			return 0
		fi
	fi
	say "boot $(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
	say "reboot begun"
	sync
	( setsid sh -c 'sleep 2; systemctl reboot || shutdown -r now || reboot' >/dev/null 2>&1 </dev/null & )
}
