# usage: STATE RUN TICKS OFFSET-OUT OFFSET-ERR MAX-OUT MAX-ERR
# Streams output from the offsets until the run ends or TICKS seconds passed.
ticks=$1 oo=$2 oe=$3 mo=$4 me=$5
while :; do
	look
	if [ "$phase" != running ] || [ "$ticks" -le 0 ]; then break; fi
	n=0
	while [ "$n" -lt "$naps" ] && [ ! -e "$run/rc" ]; do
		nap
		n=$((n + 1))
	done
	ticks=$((ticks - 1))
	emit_all
done
emit_all
report
