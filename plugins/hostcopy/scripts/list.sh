# list reports the whole snapshots of one subject.
main() {
	parse "$@"
	[ -d "$base" ] || exit 0
	for dir in "$base"/*/; do
		dir=${dir%/}
		case $dir in
		*~*) continue ;;
		esac
		[ -f "$dir/SHA256SUMS" ] && same_subject "$dir" || continue
		report "$dir"
	done
}
main "$@" </dev/null
