#!/bin/sh
# Starts Sluice from the directory that it was built in or installed to.
root=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." && pwd)
exec "${NODE:-node}" --enable-source-maps "$root/dist/sluice.cjs" "$@"
