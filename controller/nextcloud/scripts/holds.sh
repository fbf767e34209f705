# holds: what is held on the host and by whom. It changes nothing.
main() {
	for d in "$1"/held/*; do
		[ -d "$d" ] || continue
		printf 'name\t%s\n' "${d##*/}"
		[ ! -f "$d/units" ] || while IFS= read -r l; do printf 'held\t%s\n' "${l%%	*}"; done <"$d/units"
		[ ! -f "$d/crons" ] || while IFS= read -r l; do printf 'held\t%s\n' "${l#* }"; done <"$d/crons"
		[ ! -f "$d/why" ] || cat "$d/why"
	done
}
