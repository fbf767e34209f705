# Which services still run code from before an update, and what is done about
# it. Modes: probe prints "stale NAME" lines and "end"; list and restart follow
# an installation and speak to the controller in "ncfleet: " lines.
# System paths are below $S: NCFLEET_SYSROOT, set on simulated hosts only.
set -u
LC_ALL=C
export LC_ALL
S=${NCFLEET_SYSROOT:-}

# named finds the service of a process: its systemd unit, its OpenRC service,
# else its program's path. Nothing for a container's processes, whose files are
# not the host's, and for the controller's own runs.
named() {
	[ "$S/proc/$1/root" -ef / ] || return 0
	group=$(sed -n 's/^0:://p; s/^[0-9]*:name=[a-z]*://p' "$S/proc/$1/cgroup" 2>/dev/null | grep -v '^/$' | head -n 1)
	case $group in
	*/ncfleet-*) return 0 ;;
	/init.scope) echo systemd-manager ;; # as needrestart says
	/user.slice/*) echo "session of $(stat -c %U "$S/proc/$1" 2>/dev/null)" ;;
	*.service) echo "${group##*/}" ;;
	*.service/*)
		unit=${group%.service/*}
		echo "${unit##*/}.service"
		;;
	/openrc.*)
		unit=${group#/openrc.}
		echo "${unit%%/*}"
		;;
	*)
		exe=$(readlink "$S/proc/$1/exe" 2>/dev/null) || return 0
		echo "${exe% (deleted)}"
		;;
	esac
}

# mapped lists the services with a replaced program or library in memory.
mapped() {
	grep -lE '^[^ ]+ ..x. .* /(usr|opt|lib[0-9a-z]*|s?bin)/.* \(deleted\)$' "$S"/proc/[0-9]*/maps 2>/dev/null |
		while read -r file; do
			pid=${file#"$S/proc/"}
			pid=${pid%/maps}
			[ "$pid" = "$$" ] || named "$pid"
		done
}

# stale prefers needrestart: it knows interpreters' files too.
stale() {
	if [ -z "$S" ] && command -v needrestart >/dev/null 2>&1 && said=$(needrestart -b -l -r l 2>/dev/null </dev/null); then
		printf '%s\n' "$said" | sed -n 's/^NEEDRESTART-SVC: *//p; s/^NEEDRESTART-SESS: *\([^ ]*\).*/session of \1/p' | grep -v '^ncfleet-'
	else
		mapped
	fi | sort -u
}

# spared says why a service is not restarted: the host, its logins or the way
# to it would suffer. A reboot renews them.
spared() {
	case $1 in
	"session of "*) echo "it is a login of a person" ;;
	user@*.service | user-runtime-dir@*.service) echo "it is a login of a person" ;;
	dbus.service | dbus-broker.service | dbus | polkit.service | systemd-*.service | systemd-manager | elogind) echo "the running system hangs on it" ;;
	getty@*.service | serial-getty@*.service | console-getty.service | *dm.service | display-manager.service) echo "it is a console" ;;
	NetworkManager.service | networking.service | networking | wpa_supplicant* | wicked*.service | netplan* | ifup@* | dhcpcd* | openvpn* | wg-quick@* | strongswan* | tailscaled* | firewalld.service | nftables.service | ufw.service) echo "the way to the host may hang on it" ;;
	iscsi* | open-iscsi* | multipathd* | zfs-* | lvm2-* | ceph* | glusterd* | rpc* | nfs*) echo "file systems may hang on it" ;;
	docker.service | docker | containerd.service | containerd | crio.service | libvirtd.service | pve*.service) echo "containers or guests hang on it" ;;
	ssh.service | sshd.service | sshd | ssh@*.service | sshd@*.service)
		case $1 in *@*) echo "it is a login of a person" ;; esac
		sshd=$(command -v sshd || echo /usr/sbin/sshd)
		"$sshd" -t >/dev/null 2>&1 || echo "its configuration has an error: sshd -t names it"
		;;
	/* | "") echo "it belongs to no service" ;;
	esac
	if [ -d "$S/run/systemd/system" ]; then
		case $(systemctl show -p LoadState -p RefuseManualStart -p RefuseManualStop "$1" 2>/dev/null) in
		*LoadState=not-found*) echo "systemd has no such unit any more" ;;
		*RefuseManualSt*=yes*) echo "systemd lets nobody restart it by hand" ;;
		esac
	fi
}

again() {
	if [ -d "$S/run/systemd/system" ]; then
		limit=
		if command -v timeout >/dev/null 2>&1; then limit="timeout 180"; fi
		$limit systemctl restart "$1" </dev/null
	elif command -v rc-service >/dev/null 2>&1; then
		rc-service "$1" restart </dev/null
	elif command -v service >/dev/null 2>&1; then
		service "$1" restart </dev/null
	else
		echo "there is nothing to restart services with: systemctl, rc-service, service" >&2
		return 1
	fi
}

# databases first: what uses them connects once.
ordered() {
	grep -E '^(mariadb|mysql|mysqld|postgresql|redis|valkey)' "$1"
	grep -vE '^(mariadb|mysql|mysqld|postgresql|redis|valkey)' "$1"
}

join() { awk '{ printf "%s%s", sep, $0; sep = ", " }' "$1"; }

restart() {
	: >"$dir/done"
	: >"$dir/left"
	: >"$dir/failed"
	ordered "$dir/stale" >"$dir/order"
	while read -r name; do
		why=$(spared "$name" | head -n 1)
		if [ -n "$why" ]; then
			echo "$name ($why)" >>"$dir/left"
		elif again "$name"; then
			echo "$name" >>"$dir/done"
		else
			echo "$name" >>"$dir/failed"
		fi
	done <"$dir/order"
	if [ -s "$dir/done" ]; then echo "ncfleet: note restarted, since they ran old code: $(join "$dir/done")"; fi
	if [ -s "$dir/left" ]; then echo "ncfleet: degraded still running old code, and not restarted: $(join "$dir/left")"; fi
	if [ -s "$dir/failed" ]; then
		echo "ncfleet: error services that did not restart after the update: $(join "$dir/failed"); look at their logs"
		return 1
	fi
}

main() {
	mode=$1
	if [ "$mode" = probe ]; then
		stale | sed 's/^/stale /'
		echo end
		return 0
	fi
	dir=$(mktemp -d) || return 1
	trap 'rm -rf "$dir"' EXIT
	stale >"$dir/stale"
	if [ ! -s "$dir/stale" ]; then
		echo "ncfleet: note no service runs old code"
	elif [ "$mode" = restart ]; then
		restart
	else
		echo "ncfleet: degraded still running old code: $(join "$dir/stale"); restart them, or set restart_services = \"restart\" in the driver's block"
	fi
}
main "$@" </dev/null
