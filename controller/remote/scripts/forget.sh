# usage: STATE RUN
look
[ "$phase" != running ] || fail "the run goes on: $run"
[ "$phase" = never ] || rm -rf "$run" || fail "cannot remove $run"
phase=never code='' detail=''
report
