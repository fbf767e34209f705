# One instance: what its files say, what its PHP says, what its user may write.

# owner PATH: "user<TAB>group<TAB>uid", by what the name service says. Where
# stat is of another kind, ls tells.
owner() {
  stat -L -c "%U${TAB}%G${TAB}%u" -- "$1" 2>/dev/null && return 0
  [ -e "$1" ] || return 1
  set -f; set -- $(ls -ldL -- "$1"); set +f
  printf '%s\t%s\t%s\n' "$3" "$4" "$(id -u "$3" 2>/dev/null)"
}

# modes PATH…: "s<TAB>mode<TAB>user<TAB>group<TAB>path" of each.
modes() {
  if stat -L -c %a / >/dev/null 2>&1; then
    within 10 stat -L -c "s${TAB}%a${TAB}%U${TAB}%G${TAB}%n" -- "$@" 2>/dev/null
    return 0
  fi
  within 10 ls -ldL -- "$@" 2>/dev/null | awk '{
    mode = ""
    for (i = 0; i < 3; i++) {
      v = 0
      if (substr($1, 2 + 3 * i, 1) == "r") v += 4
      if (substr($1, 3 + 3 * i, 1) == "w") v += 2
      if (substr($1, 4 + 3 * i, 1) ~ /[xst]/) v += 1
      mode = mode v
    }
    p = $0; for (i = 0; i < 8; i++) sub(/^[^ ]+ +/, "", p)
    printf "s\t%s\t%s\t%s\t%s\n", mode, $3, $4, p }'
}

# who N: sets path, real, user, php for instance N; 1 when there is nothing.
who() {
  eval "path=\$path_$1 user=\$user_$1 php=\$php_$1"
  real=$path
  [ -L "$path" ] && real=$(cd -P -- "$path" 2>/dev/null && pwd -P)
  [ -n "$real" ] || real=$path
  if [ -z "$user" ]; then
    o=$(owner "$path/config/config.php") || return 1
    user=${o%%"$TAB"*}
    [ "$user" = UNKNOWN ] && return 1
  fi
  [ -n "$php" ] || php=$(php_of "$user")
  [ -n "$php" ]
}

# php_of USER: the command line of the PHP that FPM runs for the user, else php.
php_of() {
  v=''
  if [ -s "$T/ps.out" ]; then
    u=$(id -u "$1" 2>/dev/null)
    master=''
    while IFS=$TAB read -r k a b c; do
      case $k in pool) [ "$b" = "$u" ] && master=$a ;; esac
    done <"$T/ps.out"
    [ -n "$master" ] || master_of "$1"
    while IFS=$TAB read -r k a b c; do
      [ "$k" = fpm ] && [ "$b" != - ] || continue
      if [ "$a" = "$master" ]; then v=$b; elif [ -z "$v" ] && [ -z "$master" ]; then v=$b; fi
    done <"$T/ps.out"
  fi
  case $v in *.*.*) v=${v%.*} ;; esac
  for p in ${v:+"php$v"} ${v:+"php${v%.*}${v#*.}"} php; do
    command -v "$p" && return 0
  done
  return 1
}

part_instance() {
  eval "path=\$path_$1 user=\$user_$1"
  printf 'path\t%s\n' "$path"
  if [ ! -e "$path" ]; then echo "missing${TAB}$path does not exist"; return 0; fi
  if [ ! -d "$path" ]; then echo "missing${TAB}$path is not a directory"; return 0; fi
  [ -L "$path" ] && printf 'link\t%s\n' "$(cd -P -- "$path" && pwd -P)"
  for f in version.php occ config/config.php; do
    if [ ! -f "$path/$f" ]; then echo "missing${TAB}$path/$f does not exist"; return 0; fi
  done
  while IFS= read -r l || [ -n "$l" ]; do
    case $l in *'*/'*|*' * '*) continue ;; esac
    printf 'v\t%s\n' "$l"
  done <"$path/version.php"
  o=$(owner "$path/config/config.php")
  printf 'owner\t%s\n' "$o"
  case ${o:-UNKNOWN} in
    UNKNOWN*) [ -n "$user" ] || { echo "the owner of $path/config/config.php has no name on this host" >&2; return 1; } ;;
  esac
  printf '%s\n' "$path" "${path%/*}" "$path/config" >"$T/want-$1"
  if ! who "$1"; then echo "no PHP command line found (tried php)" >&2; return 1; fi
  printf 'user\t%s\nphp\t%s\n' "$user" "$php"
  facts "$1"
  places "$1"
}

# facts N: one call of PHP as the web user; its JSON object as it came.
facts() {
  cd "$path" || return 1
  within_as "$FACTS_LIMIT" "$user" "$php" -r "$FACTS_PHP" -- ncfleet-facts "$path" >"$T/.facts-$1" 2>"$T/.facts-err-$1"
  f_rc=$?
  json=''
  while IFS= read -r l || [ -n "$l" ]; do case $l in '{"ncfleet":'*) json=$l ;; esac; done <"$T/.facts-$1"
  if [ -z "$json" ]; then
    printf 'nofacts\t%s\t%s\n' "$f_rc" "$(cat "$T/.facts-$1" "$T/.facts-err-$1" | tr '\n\t' '  ' | cut -c1-500)"
    return 0
  fi
  printf 'facts\t%s\n' "$json"
  # The two values that the rest needs stand first in the object.
  data='' apps=''
  case $json in '{"ncfleet":1,"datadir":"'*)
    data=${json#'{"ncfleet":1,"datadir":"'}; apps=${data#*'"'}; data=${data%%'"'*}
    case $apps in ',"appsdirs":"'*) apps=${apps#',"appsdirs":"'}; apps=${apps%%'"'*} ;; *) apps='' ;; esac ;;
  esac
  case $data$apps in *\\*) echo "the paths of the data or app directories hold characters that cannot be handled" >&2; data='' apps='' ;; esac
  [ -n "$data" ] && printf '%s\n' "$data" >>"$T/want-$1"
  printf '%s\n' "$apps" | tr ':' '\n' >>"$T/want-$1"
  printf '%s\n' "$data" >"$T/.data-$1"
  : >"$T/ready-$1"
}

# places N: every directory that an upgrade writes, tried as the web user, and
# up to 20 entries below config/ and each app directory that are not the user's
# own or closed to it. A newline in such a name is shown as \001.
places() {
  list=$T/.places-$1 deep=$T/.deep-$1
  {
    for p in "$path" "$path/config" "$path/config/config.php" "$path/themes" "$path/updater" "${data:-}"; do
      [ -n "$p" ] && [ -e "$p" ] && printf '%s\n' "$p"
    done
    [ -n "${apps:-}" ] && printf '%s\n' "$apps" | tr ':' '\n'
    [ -d "$path/apps" ] && printf '%s\n' "$path/apps"
  } | awk '!seen[$0]++' >"$list"
  set -- "$path/config"
  old_ifs=$IFS; IFS=:
  for p in "$path/apps" ${apps:-}; do
    case ":$*:" in *":$p:"*) ;; *) [ -d "$p" ] && set -- "$@" "$p" ;; esac
  done
  IFS=$old_ifs
  own=$user
  [ -z "$S" ] || own=$ME
  for p do
    within 15 find "$p" \( ! -user "$own" -o -type d ! -perm -0200 \) -print0 2>/dev/null |
      tr '\000\n' '\n\001' | head -n 20
  done >"$deep"
  sed 's/^/deep	/' "$deep"
  cat "$deep" >>"$list"
  within_as 10 "$user" sh -c 'while IFS= read -r p; do
    w=n
    if [ -w "$p" ]; then if [ ! -d "$p" ] || [ -x "$p" ]; then w=y; fi; fi
    printf "w\t%s\t%s\n" "$w" "$p"
  done' <"$list" || echo "cannot try write access as $user in $path" >&2
  parent=${path%/*}; parent=${parent:-/}
  w=n; [ -w "$parent" ] && w=y
  printf 'parent\t%s\t%s\n' "$w" "$parent"
  set -- "$parent"
  while IFS= read -r p; do set -- "$@" "$p"; done <"$list"
  modes "$@"
  for p in "$real".ncfleet-new-* "$real".ncfleet-old-*; do
    [ -e "$p" ] && printf 'leftover\t%s\n' "$p"
  done
  return 0
}

# part_tree N: bytes and files of the code tree, the data directory left out.
part_tree() {
  eval "path=\$path_$1"
  [ -d "$path/." ] || return 0
  data=/nonexistent
  [ -s "$T/.data-$1" ] && IFS= read -r data <"$T/.data-$1"
  cd -P -- "$path" || return 1
  rel=.${data#"$path"}
  if find . -maxdepth 0 -printf '' 2>/dev/null; then
    within 60 find . -xdev -path "$rel" -prune -o -path ./data -prune -o -type f -printf '%s\n' |
      awk '{ s += $1; n++ } END { printf "tree\t%.0f\t%d\n", s, n }'
  else
    within 60 find . -xdev -path "$rel" -prune -o -path ./data -prune -o -type f -exec ls -ln {} + |
      awk '{ s += $5; n++ } END { printf "tree\t%.0f\t%d\n", s, n }'
  fi
}

# occ LIMIT N ARGS…
occ() {
  o_limit=$1; who "$2" || { echo "neither PHP nor the owner of config/config.php is known" >&2; return 126; }
  shift 2
  cd "$path" || return 1
  within_as "$o_limit" "$user" "$php" occ "$@"
}

part_status() { occ 30 "$1" status --output=json; }
part_checks() { occ 120 "$1" setupchecks --output=json; }
part_store() { occ 120 "$1" app:update --showonly --all; }
part_indices() { occ 60 "$1" db:add-missing-indices --dry-run; }
