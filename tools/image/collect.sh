#!/bin/bash
# Copies Node.js and the programs that a file lists, with the libraries that they load, into a directory that is to be a
# root file system; with the licences of their packages, and a list of these where scanners of images look for it.
# usage: collect.sh LIST DIRECTORY
set -euo pipefail
list=$1 out=$2
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin

mkdir -p "$out"/{etc,proc,sys,dev,run,tmp,opt,root,usr/{bin,sbin,lib,lib64},var/lib/dpkg/status.d}
for link in bin sbin lib lib64; do ln -s "usr/$link" "$out/$link"; done

# A path without links in its directories: /lib/x is /usr/lib/x.
canonical() { echo "$(readlink -f "$(dirname "$1")")/$(basename "$1")"; }

# What was asked for, and the files that were copied.
declare -A seen
files=()
copy() { # copy FILE: with what it links to, and its libraries
	local file target
	[ -z "${seen[$1]:-}" ] || return 0
	seen[$1]=1
	file=$(canonical "$1")
	if [ -e "$out$file" ] || [ -L "$out$file" ]; then return 0; fi
	mkdir -p "$out$(dirname "$file")"
	cp -a "$file" "$out$file"
	files+=("$file" "${file#/usr}")
	if [ -L "$file" ]; then
		target=$(readlink "$file")
		case $target in /*) ;; *) target=$(dirname "$file")/$target ;; esac
		copy "$target"
		return
	fi
	local library
	for library in $(ldd "$file" 2>/dev/null | grep -oE '/\S+' | sort -u); do copy "$library"; done
}

while read -r program; do
	case $program in '' | '#'*) continue ;; esac
	copy "$(command -v "$program")"
done <"$list"

# Node.js: the same path whatever the base has it at.
node=$(readlink -f "$(command -v node)")
cp "$node" "$out/usr/bin/node"
for library in $(ldd "$node" | grep -oE '/\S+' | sort -u); do copy "$library"; done

# Loaded by name: libbpf by the agent, extensions by iptables, the resolver by libc.
shopt -s nullglob
lib=/usr/lib/$(uname -m)-linux-gnu
for file in "$lib"/libbpf.so.1 "$lib"/libnss_{dns,files}.so.2 "$lib"/libresolv.so.2 "$lib"/xtables/*.so; do copy "$file"; done

cp -a /etc/protocols "$out/etc/" 2>/dev/null || true
[ ! -d /etc/iproute2 ] || cp -a /etc/iproute2 "$out/etc/"
mkdir -p "$out/etc/ssl/certs"
cp -L /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
echo 'root:x:0:0:root:/root:/sbin/nologin' >"$out/etc/passwd"
echo 'root:x:0:' >"$out/etc/group"
echo 'hosts: files dns' >"$out/etc/nsswitch.conf"
cp -L /etc/os-release "$out/etc/os-release"
chmod 1777 "$out/tmp"
# Nothing here is run by others than root.
find "$out" -xdev -type f -perm /6000 -exec chmod ug-s {} +

# Packages name their files with /usr or without it.
packages=$(dpkg -S "${files[@]}" 2>/dev/null | sed 's/: .*//; s/, .*//' | sort -u || true)
for package in $packages; do
	name=${package%%:*}
	dpkg -s "$package" >"$out/var/lib/dpkg/status.d/$name"
	[ ! -e "/usr/share/doc/$name/copyright" ] || {
		mkdir -p "$out/usr/share/doc/$name"
		cp -L "/usr/share/doc/$name/copyright" "$out/usr/share/doc/$name/"
	}
done
# The cache of the loader, so that libraries are found by name.
cp -a /etc/ld.so.conf /etc/ld.so.conf.d "$out/etc/" 2>/dev/null || true
ldconfig -r "$out"
