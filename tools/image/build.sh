#!/usr/bin/env bash
# Builds the image with buildah from a base made here, and leaves its root file system in build/image/rootfs, its
# configuration in build/image/config.json and its size in build/image/size (bytes).
# IMAGE names it; ARCHIVE=FILE also writes an OCI archive, for "ctr -n k8s.io images import FILE" or "podman load -i FILE".
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$(node -p 'require("./package.json").version')
image=${IMAGE:-localhost/sluice:$version}
export CACHE=$PWD/build/image
# Chroot isolation wants no rights that a container of its own may lack; where overlays cannot be mounted, vfs copies.
export BUILDAH_ISOLATION=chroot
mkdir -p "$CACHE"
overlay_works() {
	local try works=1
	try=$(mktemp -d -p "$CACHE")
	mkdir "$try"/{lower,upper,work,merged}
	if mount -t overlay overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" "$try/merged" 2>/dev/null; then
		umount "$try/merged"
		works=0
	fi
	rm -rf "$try"
	return $works
}
if overlay_works; then driver=overlay; else driver=vfs; fi
export BUILDAH="buildah --root $CACHE/storage-$driver --runroot $CACHE/run-$driver --storage-driver $driver --registries-conf $CACHE/registries.conf"
: >"$CACHE/registries.conf"
base=$(sed -n 's/^ARG BASE=//p' Dockerfile)

tools/image/base.sh "$base"
$BUILDAH bud --pull-never --layers --quiet --tag "$image" \
	--build-arg VERSION="$version" \
	--build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" . >"$CACHE/build.log" 2>&1 ||
	{ tail -40 "$CACHE/build.log" >&2; exit 1; }

container=$($BUILDAH from --pull-never "$image")
trap '$BUILDAH rm "$container" >/dev/null' EXIT
rm -rf "$CACHE/rootfs"
cp -a "$($BUILDAH mount "$container")" "$CACHE/rootfs"
$BUILDAH inspect --type image --format '{{.Config}}' "$image" >"$CACHE/config.json"
du -sb --apparent-size "$CACHE/rootfs" | cut -f1 >"$CACHE/size"
[ -z "${ARCHIVE:-}" ] || $BUILDAH push --quiet "$image" "oci-archive:$ARCHIVE"
echo "image $image: $(($(cat "$CACHE/size") / 1000000)) MB in build/image/rootfs"
