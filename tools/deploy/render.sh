#!/usr/bin/env bash
# Renders the chart, as "helm template sluice deploy/helm/sluice -n kube-system" does.
# usage: render.sh [VALUES.yaml]...
set -euo pipefail
cd "$(dirname "$0")/../.."
program=build/deploy/render
if [ ! -e "$program" ] || [ tools/deploy/render/main.go -nt "$program" ]; then
	mkdir -p build/deploy
	GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= GOCACHE=$PWD/build/deploy/go-cache go build -o "$program" tools/deploy/render/main.go
fi
exec "$program" $(printf -- '-values %s ' "$@" | sed 's/^-values  *$//') deploy/helm/sluice
