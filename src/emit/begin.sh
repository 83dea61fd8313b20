#!/bin/sh
# A container by hand: what a runtime does step by step, done by a shell and the tools of Linux.
#
# Two processes take part, as with a runtime. This one stays outside. The other is started by `start`,
# becomes the container's first process, and does what `inside` hands to it, until it becomes the
# program. A runtime finds every path below the new root safely, whatever an image has put there; a
# shell cannot: run this with a root filesystem that you trust.
set -eu
umask 022
PATH=$PATH:/usr/sbin:/sbin

# need TOOL PACKAGE: stops where a tool is missing, before anything is made.
need() {
  command -v "$1" >/dev/null || give_up "$1 is missing; the package $2 brings it"
}

give_up() {
  echo "$0: $1" >&2
  exit 1
}

# cannot STEP: says what no shell tool can do, and goes on without it.
cannot() {
  echo "not by hand: $1" >&2
}

# What the container's first process does until it becomes the program: it reads commands up to a
# line with a dot, and obeys. Where a tool changes a process by starting a program, the program is
# this again.
OBEY='
set -eu
cd /
PRIVILEGES= block=
{ read -r pid rest </proc/self/stat; } 2>/dev/null || pid=
echo "$pid" >&9
while IFS= read -r line <&8; do
  case $line in
    +*) block="$block${line#+}
" ;;
    *) eval "$block"; block=; echo done >&9 ;;
  esac
done
exit 1'

# Its parent: a shell that stays outside the new pid namespace. `unshare --fork` would do as well, but
# when a program is killed by SIGKILL, that of util-linux 2.38 says so with another exit status.
PARENT='trap : INT; sh -c "$OBEY"; exit $?'

# start TOOL OPTION...: starts that process. A shell would give it no input and make it deaf to
# Ctrl-C and Ctrl-\, since it does not wait for it: both are set right. What this was started to ignore
# besides, as by nohup, the program ignores too.
start() {
  mkfifo "$WORK/orders" "$WORK/answers"
  exec 5<&0 7<>"$WORK/orders" 8<"$WORK/orders" 9<>"$WORK/answers" 6<"$WORK/answers"
  env --default-signal=INT,QUIT "$@" sh -c "$PARENT" <&5 5<&- 6<&- 7>&- &
  JOB=$!
  exec 8<&- 9<&-
  read -r PID <&6 || give_up "the container's process has not come up"
}

# inside <<...: has it do what comes on standard input, and waits until that is done.
inside() {
  sed 's/^/+/' >&7
  echo . >&7
  read -r answer <&6 || give_up "the container's process has given up"
}

# last <<...: the same, for what has no answer: it becomes the program. On a terminal that hears of a
# Ctrl-C too, so the first is the program's own affair, and the second ends it.
last() {
  [ ! -t 5 ] || trap 'trap "exit 130" INT' INT
  sed 's/^/+/' >&7
  echo . >&7
  exec 6<&- 7>&-
}

# A runtime on cgroup v2 has its child born in the cgroup; a shell moves it there while it waits.
born_in() {
  echo "$PID" >"$1/cgroup.procs"
}

# make_cgroup FOLDER: makes it if it is not there, and remembers it.
make_cgroup() {
  [ ! -d "$1" ] || return 0
  mkdir "$1"
  CGROUPS="$1
$CGROUPS"
}

# make_above FOLDER: the same for one that other containers may come to share.
make_above() {
  [ ! -d "$1" ] || return 0
  mkdir "$1"
  ABOVE="$1
$ABOVE"
}

# Privileges are given up before the roots are swapped, since the host's setpriv is out of reach from
# then on; the swap comes behind them, and from outside, which moves all processes in there with it.
lower() {
  echo 'exec setpriv $PRIVILEGES env -i sh -c "$OBEY"' | inside
}

# entered COMMAND...: runs a tool of the host in the container's mount namespace. Even when the roots
# are swapped it finds the host's files, since the old root lies on top of the new one until the end.
entered() {
  nsenter --target "$PID" $JOIN --mount "$@"
}

# name_leaks STEP: a shell closes descriptors of one digit only. Those above, which it may have been
# started with, stay open, but for those that close at execve.
name_leaks() {
  for info in /proc/self/fdinfo/??*; do
    while read -r field value; do
      [ "$field" != flags: ] || [ $((value & 02000000)) != 0 ] || cannot "$1: ${info##*/}"
    done <"$info"
  done
}

# Where the program is started through chroot, it has what chroot needs.
keeps_chroot() {
  cannot 'give up CAP_SYS_CHROOT after the change of root; the program keeps it'
}

# Ends whatever is left in a cgroup, and takes it away.
end_cgroup() {
  tries=0
  while [ -d "$1" ] && [ "$tries" -lt 200 ]; do
    find "$1" -name cgroup.procs -exec cat {} + | while read -r pid; do kill -KILL "$pid"; done
    find "$1" -depth -type d -exec rmdir {} \;
    tries=$((tries + 1))
    [ ! -d "$1" ] || sleep 0.02
  done 2>/dev/null
}

# make_room LEAF: on cgroup v2 a cgroup with processes hands down no controller, so this one moves into
# a leaf of its own. CONTROLLERS are those that are handed down meanwhile.
make_room() {
  LEAF=$1 CONTROLLERS=$2
  mkdir "$LEAF"
  echo $$ >"$LEAF/cgroup.procs"
}

leave_leaf() {
  echo "$CONTROLLERS" >"$LEAF/../cgroup.subtree_control"
  echo $$ >"$LEAF/../cgroup.procs"
  rmdir "$LEAF"
}

# Other users' files in the tree are removed by the root that they have had. What somebody has mounted
# in there is theirs, and rm would go through it: a bind mount may be of the same filesystem.
end_folder() {
  mounted=$(sed -n "s|^\([^ ]* \)\{4\}\([^ ]*/${WORK##*/}\(/[^ ]*\)*\) .*|\2|p" /proc/self/mountinfo)
  if [ -n "$mounted" ]; then
    echo "$0: $WORK stays, since something is mounted on $mounted" >&2
    [ "$status" != 0 ] || status=1
    return
  fi
  rm -rf --one-file-system "$WORK" 2>/dev/null ||
    unshare --map-root-user --map-auto rm -rf --one-file-system "$WORK"
}

# However this ends, nothing that it has made stays, but for a folder in which something is mounted.
leave() {
  status=$?
  trap '' HUP INT TERM
  trap - EXIT
  set +e
  [ -z "$PID" ] || kill -KILL "$PID" 2>/dev/null
  [ -z "$JOB" ] || wait "$JOB" 2>/dev/null
  printf %s "$CGROUPS" | while IFS= read -r group; do end_cgroup "$group"; done
  printf %s "$ABOVE" | while IFS= read -r group; do rmdir "$group" 2>/dev/null; done
  [ -z "$LEAF" ] || leave_leaf
  end_folder
  exit "$status"
}

