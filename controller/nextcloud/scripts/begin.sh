# begin: asked before a change that is no script of ours (packages, a reboot, a
# snapshot driver's restore). It says whether the site still is as close.sh left
# it, and with "--checks change" or "--checks restore" marks that a change
# begins, so that the watchdog keeps its hands off. It changes nothing else.
main() {
	parse "$@"
	need_tree
	one_writer
	if [ -f "$SITE/reopened" ]; then
		say "reopened $(cat "$SITE/reopened")"
		return 0
	fi
	# A restore that was cut short may have taken our file away.
	if [ ! -f "$P/config/zz-ncfleet.config.php" ] && [ ! -f "$SITE/restoring" ]; then
		say "open yes"
		return 0
	fi
	case $CHECKS in
	change) begin_change ;;
	restore) begin_change && : >"$SITE/restoring" || fail "cannot write $SITE/restoring" ;;
	esac
	say "open no"
}
