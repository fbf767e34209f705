# Prints what the host's kernel says of mounts, disks and database servers.
# usage: KIND PLACE ...     KIND is mysql, pgsql or nothing
# It changes nothing. Lines: a word, then fields separated by tabs.
set -u
LC_ALL=C
export LC_ALL
t=$(printf '\t')
kind=$1
shift
# A name with a tab or a line break would be taken for two.
for p in "$@"; do
	real=$(readlink -f -- "$p" 2>/dev/null) || real=
	[ -n "$real" ] && [ -e "$real" ] || real=
	case $real in *"$t"*) real= ;; esac
	printf 'path\t%s\t%s\n' "$p" "$real"
done
mounts() {
	while IFS= read -r line; do printf 'mount\t%s\t%s\n' "$2" "$line"; done <"$1" 2>/dev/null
}
mounts /proc/self/mountinfo self
for d in /sys/class/block/*; do
	[ -e "$d/dev" ] || continue
	name=${d##*/} number= size= serial= parent= slaves= file=
	read -r number <"$d/dev"
	read -r size <"$d/size"
	for s in "$d/serial" "$d/device/serial" "$d/device/wwid" "$d/wwid"; do
		[ -r "$s" ] && IFS= read -r serial <"$s" && [ -n "$serial" ] && break
	done
	if [ -z "$serial" ] && [ -r "$d/device/vpd_pg80" ]; then
		serial=$(tail -c +5 "$d/device/vpd_pg80" 2>/dev/null | tr -cd 'A-Za-z0-9_.-')
	fi
	if [ -e "$d/partition" ]; then
		parent=$(readlink -f "$d/..")
		parent=${parent##*/}
	fi
	for s in "$d"/slaves/*; do
		[ -e "$s" ] && slaves="$slaves ${s##*/}"
	done
	[ -r "$d/loop/backing_file" ] && IFS= read -r file <"$d/loop/backing_file"
	printf 'disk\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "$number" "${size:-0}" "$(printf %s "$serial" | tr "$t" ' ')" "$parent" "$slaves" "$file"
done
for l in /dev/disk/by-id/* /dev/mapper/*; do
	[ -h "$l" ] || continue
	to=$(readlink -f "$l")
	printf 'name\t%s\t%s\n' "${l##*/}" "${to##*/}"
done
for d in /sys/fs/btrfs/*/devices; do
	[ -d "$d" ] || continue
	names=
	for s in "$d"/*; do names="$names ${s##*/}"; done
	printf 'pool\t%s\n' "$names"
done
if [ -r /etc/fstab ]; then
	sed -n 's/^[[:space:]]*\(\/[^[:space:]]*\)[[:space:]].*/\1/p' /etc/fstab | while IFS= read -r line; do printf 'source\t%s\n' "$line"; done
fi
for f in /etc/systemd/system/*.mount; do
	[ -r "$f" ] && sed -n 's/^[[:space:]]*What[[:space:]]*=[[:space:]]*//p' "$f" | while IFS= read -r line; do printf 'source\t%s\n' "$line"; done
done
# The database server's working directory is where its data lies.
case $kind in
mysql) servers='mysqld mariadbd' ;;
pgsql) servers='postgres postmaster' ;;
*) servers= ;;
esac
if [ -n "$servers" ]; then
	for p in /proc/[0-9]*; do
		comm=
		{ read -r comm <"$p/comm"; } 2>/dev/null
		case " $servers " in *" $comm "*) ;; *) continue ;; esac
		cwd=$(readlink "$p/cwd" 2>/dev/null) || continue
		printf 'server\t%s\t%s\n' "${p#/proc/}" "$cwd"
		mounts "$p/mountinfo" "${p#/proc/}"
	done
	for a in $(hostname -I 2>/dev/null || ip -o addr show 2>/dev/null | awk '{ sub("/.*", "", $4); print $4 }') "$(hostname 2>/dev/null)" "$(hostname -f 2>/dev/null)"; do
		[ -n "$a" ] && printf 'address\t%s\n' "$a"
	done
fi
printf 'end\n'
