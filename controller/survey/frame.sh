# The frame of a survey: parts run side by side, each within a limit, each with
# its own output files; their bytes are printed at the end, counted.
# Sent on standard input to "sh -s -- ARGUMENTS", after the parts; needs no file
# on the host. System paths are below $S: NCFLEET_SYSROOT, set on simulated
# hosts only.
set -u
LC_ALL=C; export LC_ALL
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
umask 077
S=${NCFLEET_SYSROOT:-}
TAB=$(printf '\t')
NL='
'

# A folder for outputs: in memory where possible, so that a full disk is seen
# and not suffered.
scratch() {
  for d in /run /dev/shm "${TMPDIR:-/tmp}" /tmp /var/tmp "$STATE"; do
    [ -n "$d" ] && [ -d "$d" ] && [ -w "$d" ] || continue
    T=$d/.ncfleet-survey.$$
    mkdir "$T" 2>/dev/null || continue
    if echo x 2>/dev/null >"$T/probe" && [ -s "$T/probe" ] && mkfifo "$T/done" 2>/dev/null; then
      rm -f "$T/probe"
      return 0
    fi
    rm -rf "$T"
  done
  return 1
}

# within SECONDS COMMAND…: 124 or 137 when the limit was reached.
within() {
  w_limit=$1; shift
  case $TIMEOUT in
    k) timeout -k 2 "$w_limit" "$@"; return $? ;;
    plain) timeout "$w_limit" "$@"; return $? ;;
  esac
  "$@" & w_pid=$!
  ( sleep "$w_limit"; kill -9 "$w_pid" ) >/dev/null 2>&1 3>&- & w_dog=$!
  wait "$w_pid"; w_rc=$?
  kill "$w_dog" 2>/dev/null
  return $w_rc
}

# as USER COMMAND…: on a simulated host nothing changes its user.
as() {
  a_user=$1; shift
  if [ "$a_user" = "$ME" ] || [ -n "$S" ]; then "$@"; return $?; fi
  case $AS in
    runuser) runuser -u "$a_user" -- "$@" ;;
    setpriv) setpriv --reuid "$a_user" --regid "$(id -g "$a_user")" --init-groups -- "$@" ;;
    su) su -s /bin/sh "$a_user" -c '"$@"' sh "$@" ;;
    sudo) sudo -n -u "$a_user" -- "$@" ;;
    *) echo "there is no runuser, setpriv, su or sudo to become $a_user" >&2; return 126 ;;
  esac
}

# within_as SECONDS USER COMMAND…: the limit holds for the command itself.
within_as() {
  wa_limit=$1 wa_user=$2; shift 2
  case $TIMEOUT in
    k) as "$wa_user" timeout -k 2 "$wa_limit" "$@" ;;
    plain) as "$wa_user" timeout "$wa_limit" "$@" ;;
    *) as "$wa_user" "$@" & wa_pid=$!
       ( sleep "$wa_limit"; kill -9 "$wa_pid" ) >/dev/null 2>&1 3>&- & wa_dog=$!
       wait "$wa_pid"; wa_rc=$?
       kill "$wa_dog" 2>/dev/null
       return $wa_rc ;;
  esac
}

ways() {
  TIMEOUT=none
  if command -v timeout >/dev/null 2>&1; then
    if timeout -k 1 5 true 2>/dev/null; then TIMEOUT=k
    elif timeout 5 true 2>/dev/null; then TIMEOUT=plain; fi
  fi
  ME=$(id -un 2>/dev/null || id -u)
  AS=none
  if [ "$(id -u)" = 0 ]; then
    for a in runuser setpriv su sudo; do
      command -v "$a" >/dev/null 2>&1 && { AS=$a; break; }
    done
  elif command -v sudo >/dev/null 2>&1; then AS=sudo
  fi
}

# part NAME LIMIT FUNCTION ARGS…: started at once, or when a lane is free.
running=''
queue=''
lanes=0
part() {
  p_name=$1 p_limit=$2; shift 2
  ( "$@" </dev/null >"$T/$p_name.out" 2>"$T/$p_name.err" 3>&-
    echo $? >"$T/$p_name.rc"
    echo "done $p_name" >&3 ) </dev/null >/dev/null 2>&1 &
  running="$running $p_name:$!:$((clock + p_limit))"
  lanes=$((lanes + 1))
}

# later NAME LIMIT FUNCTION ARG: ARG is one word.
later() { queue="$queue $1:$2:$3:$4"; }

gone() {
  g_rest=''
  for g in $running; do
    [ "${g%%:*}" = "$1" ] && { lanes=$((lanes - 1)); continue; }
    g_rest="$g_rest $g"
  done
  running=$g_rest
}

# overdue gives up parts whose time is over. What they had written is kept
# apart from what they may still write.
overdue() {
  for o in $running; do
    o_name=${o%%:*} o_rest=${o#*:}
    [ "${o_rest#*:}" -gt "$clock" ] && continue
    kill -9 "${o_rest%%:*}" 2>/dev/null
    mv "$T/$o_name.out" "$T/.$o_name" 2>/dev/null && cat "$T/.$o_name" >"$T/$o_name.out" 2>/dev/null
    mv "$T/$o_name.err" "$T/.$o_name" 2>/dev/null; : >"$T/$o_name.err"
    echo late >"$T/$o_name.rc"
    gone "$o_name"
  done
}

# settle starts what is queued, four at a time, and waits for all of it. The
# limit of a part counts from its start, in ticks of 2 s.
settle() {
  while :; do
    while [ $lanes -lt 4 ] && [ -n "$queue" ]; do
      set -f; set -- $queue; set +f
      q=$1; shift; queue=$*
      q_name=${q%%:*} q=${q#*:}; q_limit=${q%%:*} q=${q#*:}
      part "$q_name" "$q_limit" "${q%%:*}" "${q#*:}"
    done
    [ -n "$running" ] || return 0
    read -r s_what s_name <&3 || return 1
    case $s_what in
      done) gone "$s_name" ;;
      tick) clock=$((clock + 2)); overdue ;;
    esac
  done
}

ticker() {
  trap '[ -n "$t_pid" ] && kill "$t_pid"; exit 0' TERM
  t_pid=''
  while [ -p "$T/done" ]; do sleep 2 & t_pid=$!; wait "$t_pid"; echo tick >&3; done
}

finish() {
  trap - EXIT HUP INT TERM
  [ -n "${ticker_pid:-}" ] && kill "$ticker_pid" 2>/dev/null
  cd / && rm -rf "$T"
}

arguments() {
  STATE='' instances=0 urls=0 probes=0 setupchecks='' appstore='' shops='' indices=''
  paths=''
  while [ $# -gt 0 ]; do
    case $1 in
      --state) STATE=$2; shift 2 ;;
      --probes) probes=$2 probes_limit=$3; shift 3 ;;
      --setupchecks) setupchecks=1; shift ;;
      --appstore) appstore=1; shift ;;
      --shops) shops=1; shift ;;
      --indices) indices=1; shift ;;
      --url) eval "url_$urls=\$2"; urls=$((urls + 1)); shift 2 ;;
      --path) paths="$paths$2$NL"; shift 2 ;;
      --instance)
        eval "path_$instances=\$2 user_$instances=\$3 php_$instances=\$4"
        instances=$((instances + 1)); shift 4 ;;
      *) echo "cannot survey: unknown argument $1" >&2; exit 64 ;;
    esac
  done
}

main() {
  arguments "$@"
  if ! scratch; then
    echo "cannot survey: no folder on this host can be written to (tried /run /dev/shm /tmp /var/tmp $STATE)" >&2
    exit 73
  fi
  trap 'finish; exit 75' HUP INT TERM
  trap finish EXIT
  exec 3<>"$T/done"
  clock=0
  ways
  ticker </dev/null >/dev/null 2>&1 &
  ticker_pid=$!
  # Processes first: what the survey starts itself must not be seen.
  part ps 20 part_ps
  settle
  part fpm 20 part_fpm
  settle
  part host 20 part_host
  [ "$probes" -gt 0 ] && part probes "$probes_limit" part_probes
  later cron 20 part_cron x
  later units 30 part_units x
  n=0
  while [ $n -lt "$instances" ]; do
    later "inst-$n" 60 part_instance $n
    later "status-$n" 45 part_status $n
    [ -n "$setupchecks" ] && later "checks-$n" 130 part_checks $n
    [ -n "$appstore" ] && later "store-$n" 130 part_store $n
    [ -n "$indices" ] && later "indices-$n" 70 part_indices $n
    n=$((n + 1))
  done
  n=0
  while [ $n -lt "$urls" ]; do later "reach-$n" 30 part_reach $n; n=$((n + 1)); done
  settle
  # Last, since these ask about the places that the instances named.
  part df 40 part_df
  n=0
  while [ $n -lt "$instances" ]; do later "tree-$n" 90 part_tree $n; n=$((n + 1)); done
  # Each instance has named its app store by now.
  n=0
  while [ -n "$shops" ] && [ $n -lt "$instances" ]; do later "shop-$n" 30 part_shop $n; n=$((n + 1)); done
  settle
  cd "$T" || exit 70
  echo "ncfleet-survey 1"
  wc -c -- *.out *.err *.rc
  echo
  cat -- *.out *.err *.rc
}
