
# Everything below is the program's: its end, and its exit status.
wait "$JOB" && status=0 || status=$?
JOB= PID=
exit "$status"
