#!/usr/bin/env bash
# Runs Prometheus' promtool: that of the machine, or of Debian's package prometheus, which is unpacked and not installed,
# for installing it would start a server.
set -euo pipefail
if command -v promtool >/dev/null; then exec promtool "$@"; fi
directory=$(dirname "$0")/../../build/deploy
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
if [ ! -x "$directory/promtool" ]; then
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	(cd "$scratch" && chmod 755 . && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } 2>/dev/null)
	dpkg-deb -x "$scratch"/prometheus_*.deb "$scratch"
	mv "$scratch/usr/bin/promtool" "$directory/promtool"
fi
exec "$directory/promtool" "$@"
