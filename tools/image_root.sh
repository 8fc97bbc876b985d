#!/bin/sh
# Make a root file system that stands in for the image's base, where no container engine can pull it:
# Debian's own, with a `python` and a `pip` where the official image has them. Needs root.
set -eu
root=$1
[ -L "$root/usr/local/bin/pip" ] && exit 0
[ "$(id -u)" = 0 ] || { echo "make test-image needs root: it makes a root file system" >&2; exit 1; }
command -v debootstrap >/dev/null && command -v bwrap >/dev/null || {
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap bubblewrap >/dev/null
}
rm -rf "$root"
mkdir -p "$root"
release=$(sed -n 's/^ARG BASE=python:.*-slim-//p' Dockerfile)
echo "Making a root file system of Debian $release ..."
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,netbase,tzdata "$release" "$root" >/dev/null
bwrap --bind "$root" / --dev /dev --proc /proc python3 -m venv /usr/local/python
ln -s /usr/local/python/bin/python "$root/usr/local/bin/python"
ln -s /usr/local/python/bin/pip "$root/usr/local/bin/pip"
rm -rf "$root/var/cache/apt/archives" "$root/var/lib/apt/lists"
