# Switches a host on and becomes its hardware: ends with 133 when the guest
# reboots and with 0 when it powers off.
# power.sh NAME ROOT SRV CGROUP…: joins the control groups first, so that no two
# hosts share one, and a clock that starts at this boot where the kernel can.
set -eu
name=$1 root=$2 srv=$3
shift 3
for group in "$@"; do
	mkdir -p "$group"
	echo $$ >"$group/cgroup.procs"
done
set -- systemd-nspawn -D "$root" --boot --register=no --keep-unit --quiet --settings=no --hostname="$name" \
	--network-namespace-path="/run/netns/$name" --resolv-conf=off --timezone=off --link-journal=no --console=pipe \
	--bind="$srv:/srv"
if [ -e /proc/self/ns/time ]; then
	up=$(cut -d. -f1 /proc/uptime)
	exec unshare -T --boottime "-$up" --monotonic "-$up" "$@"
fi
exec "$@"
