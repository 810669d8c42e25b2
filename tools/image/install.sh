#!/bin/sh
# Lays out what "make bin/sluice" left as it lies in the image.
# usage: install.sh DIRECTORY, e.g. /out/opt/sluice; the command goes to usr/bin two levels above it
set -eu
out=$1
root=$out/../..
mkdir -p "$out/bpf" "$out/node_modules/@koromix" "$root/usr/bin"
cp dist/sluice.cjs dist/sluice.cjs.map tools/image/prepare-node.mjs LICENSE "$out/"
cp dist/bpf/*.bpf.o "$out/bpf/"
cp -R node_modules/koffi "$out/node_modules/"
cp -R node_modules/@koromix/koffi-* "$out/node_modules/@koromix/"
# What the FFI is compiled from.
rm -rf "$out/node_modules/koffi/vendor" "$out/node_modules/koffi/doc"
printf '#!/usr/bin/node --enable-source-maps\nrequire("/opt/sluice/sluice.cjs");\n' >"$root/usr/bin/sluice"
chmod 755 "$root/usr/bin/sluice"
