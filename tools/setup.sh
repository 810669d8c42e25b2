#!/usr/bin/env bash
# Installs what building and testing Sluice needs, when it is missing. Prints nothing when all is there.
set -euo pipefail

missing=()
need() { # need COMMAND PACKAGE
	command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing+=("$2")
}
need clang clang
need clang-format clang-format
need ip iproute2
need nsenter util-linux
need sysctl procps
need openssl openssl
need curl curl
need ping iputils-ping
need python3 python3
# Tests lay down the rules of kube-proxy.
need iptables iptables
need nft nftables
[ -e /usr/include/bpf/bpf_helpers.h ] || missing+=(libbpf-dev)
ldconfig -p | grep 'libbpf\.so\.1' >/dev/null || missing+=(libbpf1)
# Ubuntu has bpftool in the package of its kernel: there it is optional.
if ! command -v bpftool >/dev/null 2>&1 && [ ! -x /usr/sbin/bpftool ]; then
	grep -qi ubuntu /etc/os-release && missing+=(linux-tools-common) || missing+=(bpftool)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "setup: these packages are missing and installing them needs root: ${missing[*]}" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "setup: these packages are missing and there is no apt-get to install them: ${missing[*]}" >&2
	exit 1
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
