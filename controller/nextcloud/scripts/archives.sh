# Archives: removed once no site of this host needs them.
forget_archives() {
	for r in "$SITE"/archive-*; do
		[ -f "$r" ] || continue
		a=$(cat "$r")
		rm -f "$r"
		case $a in "$STATE"/?*) ;; *) continue ;; esac
		grep -l -s -x -F -e "$a" "$STATE"/sites/*/archive-* >/dev/null 2>&1 || rm -f "$a" "$a.part"
	done
}
