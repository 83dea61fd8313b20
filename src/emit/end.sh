
# What follows is the program's: its end, and its exit status. A signal interrupts the waiting.
while :; do
  wait "$JOB" && status=0 || status=$?
  kill -0 "$JOB" 2>/dev/null || break
done
JOB= PID=
exit "$status"
