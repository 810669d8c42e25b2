#!/bin/sh
# Starts Sluice from the directory that it was built in or installed to.
root=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." && pwd)
own=$root/build/node/bin/node
[ -x "$own" ] || own=node
exec "${NODE:-$own}" --enable-source-maps "$root/dist/sluice.cjs" "$@"
