#!/bin/sh
# Runs a script as the first process of new namespaces, all but the network's. SIGTERM goes on to it, its exit code comes
# back, and it ends with this process however this ends.
# usage: container.sh SCRIPT
setpriv --pdeathsig KILL unshare --mount --propagation unchanged --pid --cgroup --ipc --uts --fork --kill-child sh "$1" &
outer=$!
trap 'kill -TERM $(pgrep -P $outer)' TERM INT
wait $outer
code=$?
while kill -0 $outer 2>/dev/null; do
	wait $outer
	code=$?
done
exit $code
