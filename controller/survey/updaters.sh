# What else may update this host: cron files and the scripts they call, timers.

# A file's kind and name, then its lines that are not comments; of scripts only
# those that may matter. cron itself ignores files with a newline in the name.
CRON_LINES='
FNR == 1 { n = 0; skip = FILENAME ~ /[\n\t]/; if (!skip) printf "%s\t%s\n", tag, FILENAME }
skip { next }
/^[ \t]*(#|$)/ { next }
tag == "script" && !/nextcloud|occ |occ$|updater|apt|yum|dnf|zypper|unattended|upgrade|online_update|os-update|autoupdate|transactional-update|pkcon|watchtower|cron\.php|packagekit|snap|docker|apk / { next }
++n <= 200 { gsub(/\r/, ""); printf "l\t%s\n", substr($0, 1, 1000) }'

part_cron() {
  set --
  for f in "$S"/etc/crontab "$S"/etc/anacrontab "$S"/etc/cron.d/*; do [ -f "$f" ] && [ -r "$f" ] && set -- "$@" "$f"; done
  [ $# -gt 0 ] && within 10 awk -v tag=system "$CRON_LINES" "$@" >"$T/.cron1"
  set --
  for f in "$S"/var/spool/cron/crontabs/* "$S"/var/spool/cron/tabs/* "$S"/var/spool/cron/*; do
    [ -f "$f" ] && [ -r "$f" ] && set -- "$@" "$f"
  done
  [ $# -gt 0 ] && within 10 awk -v tag=user "$CRON_LINES" "$@" >"$T/.cron2"
  set --
  for f in "$S"/etc/cron.hourly/* "$S"/etc/cron.daily/* "$S"/etc/cron.weekly/* "$S"/etc/periodic/*/*; do
    [ -f "$f" ] && [ -r "$f" ] && [ -x "$f" ] && set -- "$@" "$f"
  done
  [ $# -gt 0 ] && within 10 awk -v tag=script "$CRON_LINES" "$@" >"$T/.cron3"
  cat "$T/.cron1" "$T/.cron2" "$T/.cron3" 2>/dev/null >"$T/.cron"
  cat "$T/.cron"
  called_by "$T/.cron"
}

# called_by FILE: the relevant lines of the scripts that its lines name.
called_by() {
  lines=$1
  set --
  for p in $(awk -F'\t' '$1 == "l" { c = $0; while (match(c, /(^|[ \t;&|"'"'"'(=])\/[A-Za-z0-9_.\/+-]+/)) { p = substr(c, RSTART, RLENGTH); sub(/^[^\/]*/, "", p); if (!seen[p]++ && ++n <= 200) print p; c = substr(c, RSTART + RLENGTH) } }' "$lines"); do
    case $p in
      /dev/*|*.log|*/php*|*/occ|*/cron.php|/bin/*|/usr/bin/env|/usr/bin/find|/usr/bin/test|/usr/sbin/anacron) continue ;;
    esac
    f=$S$p
    [ -f "$f" ] || f=$p
    [ -f "$f" ] && [ -r "$f" ] && is_script "$f" && set -- "$@" "$f"
  done
  [ $# -gt 0 ] && within 10 awk -v tag=script "$CRON_LINES" "$@"
  return 0
}

# is_script FILE: begins with #!, so no program's bytes are read.
is_script() {
  i_first=''
  { IFS= read -r i_first <"$1"; } 2>/dev/null
  case $i_first in '#!'*) return 0 ;; esac
  case $1 in *.sh) return 0 ;; esac
  return 1
}

part_units() {
  [ -d "$S/run/systemd/system" ] || return 0
  command -v systemctl >/dev/null 2>&1 || return 0
  within 10 systemctl show --no-pager -p Id,LoadState,ActiveState,UnitFileState,Triggers,FragmentPath \
    '*.timer' apt-daily.timer apt-daily-upgrade.timer dnf-automatic.timer dnf-automatic-install.timer \
    dnf-automatic-download.timer dnf-automatic-notifyonly.timer dnf5-automatic.timer yum-cron.service \
    os-update.timer transactional-update.timer dnf-makecache.timer packagekit-offline-update.service packagekit.service unattended-upgrades.service \
    snapd.service snapd.refresh.timer >"$T/.timers" || return $?
  cat "$T/.timers"
  echo "--"
  set --
  while IFS= read -r l; do
    case $l in Triggers=?*) for u in ${l#Triggers=}; do set -- "$@" "$u"; done ;; esac
  done <"$T/.timers"
  within 10 systemctl show --no-pager -p Id,User,ActiveState,ExecStart 'php*fpm*.service' apache2.service httpd.service "$@" >"$T/.services"
  cat "$T/.services"
  echo "--"
  # ExecStart={ path=/x ; argv[]=/x y ; … }: looked into like a cron line.
  sed -n 's/^ExecStart=.*argv\[\]=\([^;]*\);.*/l\t\1/p' "$T/.services" >"$T/.execs"
  called_by "$T/.execs"
}

part_probes() {
  i=0
  while [ $i -lt "$probes" ]; do
    "probe_$i" >"$T/probe-$i.out" 2>"$T/probe-$i.err"
    echo $? >"$T/probe-$i.rc"
    i=$((i + 1))
  done
}
