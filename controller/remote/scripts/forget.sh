# usage: STATE RUN TOKEN
guard "$1"
look
[ "$phase" != running ] || fail "the run goes on: $run"
[ "$phase" = never ] || rm -rf "$run" || fail "cannot remove $run"
phase=never code='' detail=''
report
