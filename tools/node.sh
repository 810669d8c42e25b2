#!/usr/bin/env bash
# Makes sure of a Node.js that is supported: the machine's own, else one from npm's packages in build/node, which the
# Makefile and bin/sluice prefer. Prints nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
least=22
version=24.22.3

major() { "$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0; }
[ -x build/node/bin/node ] && [ "$(build/node/bin/node -v)" = "v$version" ] && exit 0
if command -v node >/dev/null 2>&1 && [ "$(major node)" -ge "$least" ]; then exit 0; fi
if ! command -v npm >/dev/null 2>&1; then
	echo "setup: Node.js $least or later and npm are needed: 'apt-get install npm' brings an npm that fetches the rest" >&2
	exit 1
fi
case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) echo "setup: install Node.js $least or later: npm has none for $(uname -m)" >&2; exit 1 ;; esac
echo "setup: Node.js $version from npm's package node-linux-$arch into build/node: this machine's is $(node -v 2>/dev/null || echo missing)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && npm pack --silent "node-linux-$arch@$version" >/dev/null)
tar -xzf "$scratch"/node-linux-*.tgz -C "$scratch"
mkdir -p build
rm -rf build/node
mv "$scratch/package" build/node
