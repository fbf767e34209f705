# Brings half-configured packages to rest. dpkg has no option to wait for its
# lock, so this asks again: sh -s -- SECONDS DPKG-OPTION...
set -u
main() {
	left=$1
	shift
	while :; do
		said=$(dpkg "$@" --configure -a 2>&1)
		rc=$?
		case $said in
		*"locked by another process"*)
			if [ "$left" -le 0 ]; then
				echo "ncfleet: error the package manager is still locked: $(printf '%s\n' "$said" | grep -m 1 'locked by another process'); wait until that process has ended, or find out why it does not"
				return 1
			fi
			printf '%s\n' "$said"
			sleep 2
			left=$((left - 2))
			;;
		*)
			if [ -n "$said" ]; then printf '%s\n' "$said"; fi
			return $rc
			;;
		esac
	done
}
main "$@" </dev/null
