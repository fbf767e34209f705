# What serves the web: the configuration of PHP-FPM, read from its files. The
# running daemon is not asked: its own check of them writes to its log.

# part_fpm prints "ini PID KEY VALUE" of each running master's php.ini files and
# "pool PID FILE POOL KEY VALUE" of each pool that its configuration has.
part_fpm() {
  while IFS=$TAB read -r k pid x title; do
    [ "$k" = fpm ] || continue
    exe=$(readlink "$S/proc/$pid/exe" 2>/dev/null)
    exe=${exe%' (deleted)'}
    if [ -n "$exe" ] && [ -x "$exe" ]; then
      within 5 "$exe" -i 2>/dev/null | awk -F' => ' -v pid="$pid" '
        $1 == "memory_limit" || $1 ~ /^opcache\.(enable|validate_timestamps|revalidate_freq)$/ { printf "ini\t%s\t%s\t%s\n", pid, $1, $2 }
        $1 == "Scan this dir for additional .ini files" { printf "ini\t%s\tscan\t%s\n", pid, $2 }'
    fi
    conf=${title#*'('}; conf=${conf%')'*}
    case $conf in /*) conf=$S$conf ;; *) continue ;; esac
    set -- "$conf"
    for f in $(sed -n "s#^[[:blank:]]*include[[:blank:]]*=[[:blank:]]*/#$S/#p" "$conf" 2>/dev/null); do
      [ -f "$f" ] && set -- "$@" "$f"
    done
    within 5 awk -v pid="$pid" '
      FNR == 1 { pool = "" }
      /^[ \t]*[;#]/ { next }
      /^[ \t]*\[/ { pool = $0; sub(/^[ \t]*\[/, "", pool); sub(/\].*/, "", pool); next }
      pool == "" || pool == "global" { next }
      {
        k = $0; sub(/[ \t]*=.*/, "", k); gsub(/[ \t]/, "", k)
        v = $0; sub(/^[^=]*=[ \t]*/, "", v); sub(/[ \t]*(;.*)?$/, "", v); gsub(/"/, "", v)
        if (k == "user" || k ~ /^php(_admin)?_(value|flag)\[(memory_limit|opcache\.(enable|validate_timestamps|revalidate_freq))\]$/)
          printf "pool\t%s\t%s\t%s\t%s\t%s\n", pid, FILENAME, pool, k, v
      }' "$@" 2>/dev/null
  done <"$T/ps.out"
  return 0
}

# master_of USER: sets master to the one whose configuration has pools of the
# user; for pools that have no process at the moment.
master_of() {
  master=''
  [ -s "$T/fpm.out" ] || return 0
  while IFS=$TAB read -r k pid file pool key value; do
    [ "$k:$key:$value" = "pool:user:$1" ] && master=$pid
  done <"$T/fpm.out"
  return 0
}

# part_shop N: tries the app store that instance N asks.
part_shop() {
  json=''
  while IFS= read -r l || [ -n "$l" ]; do case $l in '{"ncfleet":'*) json=$l ;; esac; done 2>/dev/null <"$T/.facts-$1"
  case $json in *'"appstore":true'*) ;; *) return 0 ;; esac
  shop=${json#*'"appstoreurl":"'}
  case $shop in "$json") shop='' ;; *) shop=${shop%%'"'*} ;; esac
  case $shop in *\\*) return 0 ;; '') shop=https://apps.nextcloud.com/api/v1 ;; esac
  reach_url "shop-$1" "${shop%/}/apps.json"
}
