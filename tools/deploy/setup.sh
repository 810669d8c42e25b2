#!/usr/bin/env bash
# Installs what building the image and checking the manifests needs, when it is missing. Prints nothing when all is there.
set -euo pipefail
missing=()
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing+=("$2"); } # need COMMAND PACKAGE
need buildah buildah
need debootstrap debootstrap
need go golang-go
need kubectl kubernetes-client
need curl curl
need pgrep procps
[ -d /usr/share/gocode/src/github.com/Masterminds/sprig ] || missing+=(golang-github-masterminds-sprig-dev)
[ -d /usr/share/gocode/src/gopkg.in/yaml.v2 ] || missing+=(golang-gopkg-yaml.v2-dev)
if [ ${#missing[@]} -gt 0 ]; then
	[ "$(id -u)" -eq 0 ] || { echo "setup: these packages are missing and installing them needs root: ${missing[*]}" >&2; exit 1; }
	echo "setup: installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -o DPkg::Lock::Timeout=300 update -qq
	apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
# Debian 12's kubectl is 1.20, whose kustomize reads no directory as a resource.
kustomize=$(kubectl version --client -o yaml 2>/dev/null | sed -n 's/^kustomizeVersion: v\([0-9]*\).*/\1/p')
[ "${kustomize:-0}" -ge 4 ] ||
	echo "setup: $(command -v kubectl) is too old: tests of the kustomizations are skipped; they need kubectl 1.24 or later" >&2
