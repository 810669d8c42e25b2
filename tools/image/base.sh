#!/usr/bin/env bash
# Makes a local image with the name of the Dockerfile's base, so that no registry is asked: Debian by debootstrap, Node.js
# and npm from npm's packages. What is there already is left alone.
# usage: base.sh NAME, e.g. docker.io/library/node:24-bookworm-slim; BUILDAH is the command, CACHE a directory
set -euo pipefail
name=$1
major=${name##*node:} major=${major%%-*}
suite=${name#*-} suite=${suite%-slim}
root=$CACHE/base
case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) echo "base image: no Node.js for $(uname -m)" >&2; exit 1 ;; esac

if $BUILDAH inspect --type image "$name" >/dev/null 2>&1; then exit 0; fi

if [ ! -e "$root.done" ]; then
	rm -rf "$root"
	mkdir -p "$root"
	debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$CACHE/debootstrap.log" ||
		{ tail -5 "$CACHE/debootstrap.log" >&2; exit 1; }
	rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*/
	# Who reaches the world by a proxy that signs for itself has said so on this machine.
	cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	packages=$(mktemp -d)
	(cd "$packages" && npm pack --silent "node-linux-$arch@$major" npm@11 >/dev/null)
	tar -xzf "$packages"/node-linux-*.tgz -C "$packages"
	install -m 755 "$packages/package/bin/node" "$root/usr/local/bin/node"
	rm -rf "$packages/package"
	mkdir -p "$root/usr/local/lib/node_modules"
	tar -xzf "$packages"/npm-*.tgz -C "$packages"
	mv "$packages/package" "$root/usr/local/lib/node_modules/npm"
	ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
	chmod 755 "$root/usr/local/lib/node_modules/npm/bin/npm-cli.js"
	rm -rf "$packages"
	touch "$root.done"
fi

container=$($BUILDAH from scratch)
trap '$BUILDAH rm "$container" >/dev/null' EXIT
$BUILDAH add --quiet "$container" "$root" / >/dev/null
$BUILDAH config --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
	--env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin --cmd node "$container"
$BUILDAH commit --quiet "$container" "$name" >/dev/null
