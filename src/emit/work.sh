
JOB= PID= CGROUPS= ABOVE= LEAF=
WORK=$(mktemp -d "${TMPDIR:-/tmp}/box.XXXXXX")
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 711 "$WORK"
