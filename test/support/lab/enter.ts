/** A script for people: `/run/sluice-<id>/enter HOST COMMAND…` does what Host.exec does. */
import { cgroupDirectory, netnsName, netnsPath } from './names.ts';

/** @returns a shell script that joins the cgroup and the network namespace of a host of the lab. */
export function enterScript(id: string): string {
  return `#!/bin/sh
# enter HOST COMMAND...: runs a command as a process of that host, e.g. enter node1 curl http://127.0.0.1:30080/
# HOST is node1, node1-<pod>, client1 or net.
[ $# -ge 2 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
host=$1
node=\${host%%-*}
shift
case $host in
  node*-*) cgroup=$node/\${host#*-} ;;
  node*) cgroup=$host/host ;;
  *) cgroup=$host ;;
esac
netns=${netnsPath(netnsName(id, '$host'))}
[ -e "$netns" ] || netns=${netnsPath(netnsName(id, '$node'))} # a pod in its node's namespace
echo $$ > ${cgroupDirectory(id)}/$cgroup/cgroup.procs || exit 1
exec nsenter --net="$netns" "$@"
`;
}
