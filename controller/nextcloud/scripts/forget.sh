# What rollouts that are long over left in $STATE. Part of tidy.sh.

# aged DIR [!]: the folders in it that were last changed more than 30 days
# ago; with "!" the others.
aged() { find "$1/." ! -name . -prune -type d ${2:+"$2"} -mtime +30 2>/dev/null; }

# ended RUN: its outcome is on disk, or its processes are gone.
ended() {
	for f in "$1"/rc "$1"/rc.is.*; do
		[ ! -e "$f" ] || return 0
	done
	for f in pid child; do
		{ read -r pid rest <"$1/$f"; } 2>/dev/null || continue
		! kill -0 "$pid" 2>/dev/null || return 1
	done
	return 0
}

# forget_runs removes run folders of rollouts that did nothing here since and
# do not hold the lease: nobody will ask what became of their steps. The first
# word of a token is the rollout.
forget_runs() {
	aged "$STATE/runs" >"$SITE/aged"
	[ -s "$SITE/aged" ] || return 0
	{
		head -n 1 "$STATE/lease"
		aged "$STATE/runs" ! | while IFS= read -r r; do head -n 1 "$r/token"; done
	} 2>/dev/null | sed 's/ .*//' >"$SITE/young"
	while IFS= read -r r; do
		t=$(head -n 1 "$r/token" 2>/dev/null)
		if [ -n "$t" ] && grep -q -x -F -e "${t%% *}" "$SITE/young"; then continue; fi
		if ended "$r"; then rm -rf "$r"; fi
	done <"$SITE/aged"
}

# forget_sites removes folders of sites that are no more. One that knows how
# to open a site, to release what is held or to remove a probe user stays,
# however old: nothing else does.
forget_sites() {
	aged "$STATE/sites" | while IFS= read -r s; do
		[ "${s##*/}" != "${SITE##*/}" ] || continue
		for f in "$s"/before "$s"/paused "$s"/held "$s"/probe "$s"/lock "$s"/archive-*; do
			[ ! -e "$f" ] || continue 2
		done
		rm -rf "$s"
	done
	aged "$STATE/held" | while IFS= read -r h; do
		[ -s "$h/units" ] || [ -s "$h/crons" ] || [ -e "$h/why" ] || rm -rf "$h"
	done
}
