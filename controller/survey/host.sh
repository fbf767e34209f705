# The host itself: system, tools, lease, processes, file systems, reachability.

line() { # line FILE: its first line, without starting a process
  l_text=''
  [ -r "$1" ] && IFS= read -r l_text <"$1"
  printf '%s' "$l_text"
}

part_host() {
  l='' holder=''
  printf 'sysroot\t%s\n' "$S"
  if [ -r "$S/etc/os-release" ]; then
    while IFS= read -r l || [ -n "$l" ]; do
      case $l in ID=*|VERSION_ID=*|PRETTY_NAME=*|ID_LIKE=*) printf 'os\t%s\n' "$l" ;; esac
    done <"$S/etc/os-release"
  fi
  printf 'uname\t%s\n' "$(uname -r -m)"
  printf 'boot\t'; line "$S/proc/sys/kernel/random/boot_id"
  printf '\nuptime\t'; line "$S/proc/uptime"
  echo
  [ -d "$S/run/systemd/system" ] && echo systemd
  for t in apk apt-get awk bzip2 curl df dnf dpkg find flock gzip lbzip2 mariadb mariadb-dump \
    mysql mysqldump nice openssl pg_dump pg_restore php psql rsync runuser rpm setpriv setsid \
    sha256sum sha512sum sqlite3 stat su sudo systemctl systemd-run tar timeout unzip wget xz yum \
    zstd zypper; do
    command -v "$t" # a line of its own, which begins with /
  done
  # What Debian's timer apt-daily-upgrade installs by itself, if anything.
  if [ -z "$S" ] && command -v unattended-upgrade >/dev/null 2>&1; then
    case $(apt-config dump APT::Periodic::Unattended-Upgrade 2>/dev/null) in *'"0"'*|*'""'*|'') ;; *) echo unattended ;; esac
  fi
  # The lease is one file: token, holder, seconds since 1970.
  if [ -n "$STATE" ] && [ -f "$STATE/lease" ]; then
    { IFS= read -r l && IFS= read -r holder && IFS= read -r l; } 2>/dev/null <"$STATE/lease"
    printf 'lease\t%s\t%s\n' "${holder:-unknown}" "${l:-}"
  fi
  for f in "$S"/etc/apache2/mods-enabled/php*.load "$S"/etc/httpd/conf.modules.d/*php*.conf; do
    [ -e "$f" ] && printf 'modphp\t%s\n' "${f##*/}"
  done
  # The nextcloud snap is renewed by snapd itself.
  [ -d "$S/snap/nextcloud" ] && echo snap
  return 0
}

# Everything is filtered with builtins; only what matters costs a process.
part_ps() {
  uids=' '
  [ -d "$S/proc" ] || { echo "there is no $S/proc" >&2; return 1; }
  for d in "$S"/proc/[0-9]*; do
    c=''
    { IFS= read -r c <"$d/cmdline"; } 2>/dev/null
    case $c in
      '') continue ;;
      'php-fpm: '*|*php-fpm*|*apache2*|*httpd*|php*-S*|/*php*-S*) ;;
      *occ*|*cron.php*|*updater*|*apt*|*dpkg*|*dnf*|*yum*|*zypper*|*unattended*|*packagekit*|*watchtower*|*apk*) ;;
      *) continue ;;
    esac
    pid=${d##*/} ppid='' uid=''
    [ "$pid" = "$$" ] && continue
    while read -r k v rest; do
      case $k in PPid:) ppid=$v ;; Uid:) uid=$v; break ;; esac
    done 2>/dev/null <"$d/status"
    case $c in
      'php-fpm: pool '*) printf 'pool\t%s\t%s\t%s\n' "$ppid" "$uid" "${c#php-fpm: pool }"; continue ;;
      'php-fpm: master process '*)
        exe=$(readlink "$d/exe" 2>/dev/null)
        exe=${exe%' (deleted)'}
        v=${exe##*php-fpm}
        case $v in
          [0-9]*) ;;
          *) v=''; [ -x "$exe" ] && v=$(within 5 "$exe" -v 2>/dev/null) && v=${v#PHP } && v=${v%% *} ;;
        esac
        printf 'fpm\t%s\t%s\t%s\n' "$pid" "${v:--}" "$c"
        continue ;;
      *apache2*|*httpd*)
        [ "$uid" = 0 ] && printf 'apache\t%s\t%s\n' "$pid" "${c%% *}"
        case $c in *occ*|*cron.php*) ;; *) continue ;; esac ;;
    esac
    case $uids in *" $uid "*) ;; *) uids="$uids$uid " ;; esac
    printf 'proc\t%s\t%s\t%s\t' "$pid" "$ppid" "$uid"
    tr '\000\n\t' '   ' <"$d/cmdline" 2>/dev/null
    echo
  done
  if [ -r "$S/etc/passwd" ]; then
    while IFS=: read -r name x uid rest; do
      case $uids in *" $uid "*) printf 'user\t%s\t%s\n' "$uid" "$name" ;; esac
    done <"$S/etc/passwd"
  fi
  return 0
}

# existing PATH: sets e to it, or to its nearest ancestor that exists.
existing() {
  e=$1
  while [ -n "$e" ] && [ ! -e "$e" ]; do e=${e%/*}; done
  e=${e:-/}
}

part_df() {
  cat "$T"/want-* 2>/dev/null >"$T/.want"
  printf '%s' "$paths" >>"$T/.want"
  printf '%s\n' "$S/" "$S/var" "$S/tmp" ${STATE:+"$STATE"} >>"$T/.want"
  set --
  seen=$NL
  while IFS= read -r p; do
    case $p in /*) ;; *) continue ;; esac
    case $seen in *"$NL$p$NL"*) continue ;; esac
    seen=$seen$p$NL
    existing "$p"
    printf 'want\t%s\t%s\n' "$p" "$e"
    set -- "$@" "$e"
  done <"$T/.want"
  echo "df-k"
  within 10 df -P -k -- "$@" || [ $? -lt 124 ] || { df_each "$@"; return 124; }
  echo "df-i"
  within 10 df -P -i -- "$@"
  echo "mounts"
  cat "$S/proc/mounts" 2>/dev/null || cat /proc/mounts
}

# df_each finds out which place does not answer.
df_each() {
  for p in "$@"; do
    within 3 df -P -k -- "$p" 2>/dev/null || printf '%s does not answer\n' "$p" >&2
  done
}

part_reach() { eval "reach_url \"reach-$1\" \"\$url_$1\""; }

# reach_url NAME URL: one attempt, and what was tried.
reach_url() {
  url=$2
  printf 'url\t%s\n' "$url"
  err=$T/.$1
  if command -v curl >/dev/null 2>&1; then
    o=$(curl -sS -o /dev/null -I -L --max-time 10 -w '%{http_code} %{time_total}' -- "$url" 2>"$err")
    rc=$?
    case $o in
      403*|405*|501*)
        o=$(curl -sS -o /dev/null -r 0-0 -L --max-time 10 --max-filesize 1048576 -w '%{http_code} %{time_total}' -- "$url" 2>"$err")
        rc=$? ;;
    esac
    printf 'reach\tcurl\t%s\t%s\t' "$rc" "$o"
    [ -r "$err" ] && tr '\n\t' '  ' <"$err"
  elif command -v wget >/dev/null 2>&1; then
    within 12 wget -S --spider -T 10 -t 1 -O /dev/null -- "$url" >"$err" 2>&1
    rc=$?
    status=''
    while read -r a b rest; do case $a in HTTP/*) status=$b ;; esac; done <"$err"
    printf 'reach\twget\t%s\t%s 0\t' "$rc" "$status"
    [ "$rc" = 0 ] || tail -n 3 "$err" | tr '\n\t' '  '
  elif command -v php >/dev/null 2>&1; then
    o=$(within 12 php -r 'ini_set("display_errors","0");ini_set("default_socket_timeout","10");$h=@get_headers($argv[2],false,stream_context_create(["http"=>["method"=>"HEAD","timeout"=>10,"ignore_errors"=>true]]));$s="";foreach($h?:[] as $l)if(preg_match("#^HTTP/\S+ (\d+)#",$l,$m))$s=$m[1];echo $s;if($s==="")fwrite(STDERR,error_get_last()["message"]??"no answer");' -- ncfleet-reach "$url" 2>"$err")
    printf 'reach\tphp\t%s\t%s 0\t' "$?" "$o"
    tr '\n\t' '  ' <"$err"
  else
    printf 'reach\tnone\t127\t0 0\tneither curl, wget nor php is there to try it'
  fi
  echo
}
