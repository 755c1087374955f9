#!/bin/sh
# Makes a local stand-in for the Dockerfile's base image where no image registry can be reached, so that the image can be
# built and run all the same. For checks only: it is Debian, but neither the official image nor of its size.
#
# Needs root, debootstrap, a Debian mirror and a Docker daemon. With a python3.12 on this machine that is what /usr/local
# gets, as in the official image; otherwise Debian's own python3. What this machine trusts, and where its pip looks for
# packages, goes into the stand-in as well.
#
#   deploy/stand-in-base.sh claims-pipeline-stand-in
#   make image PYTHON_IMAGE=claims-pipeline-stand-in
set -eu
name=$1
suite=${SUITE:-bookworm}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

debootstrap --variant=minbase --include=python3-venv,libreadline8,ca-certificates "$suite" "$root" >"$root.log" 2>&1 ||
  { tail -n 20 "$root.log" >&2; exit 1; }
rm -rf "$root.log" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
if prefix=$(python3.12 -c 'import sys; print(sys.base_prefix)' 2>/dev/null); then
  cp -a "$prefix/bin/python3.12" "$root/usr/local/bin/"
  ln -sf python3.12 "$root/usr/local/bin/python3"
  cp -a "$prefix"/lib/python3.12 "$root/usr/local/lib/"
  cp -a "$prefix"/lib/libpython3* "$root/usr/local/lib/" 2>/dev/null || true # a static build has none
  # As the official image: no tests, no static library, no bytecode.
  rm -rf "$root"/usr/local/lib/python3.12/site-packages/* "$root"/usr/local/lib/python3.12/test \
    "$root"/usr/local/lib/python3.12/config-*
  find "$root/usr/local" -name __pycache__ -prune -exec rm -rf {} +
  chroot "$root" ldconfig
fi
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
test ! -f /etc/pip.conf || cp /etc/pip.conf "$root/etc/pip.conf"
chroot "$root" env PATH=/usr/local/bin:/usr/bin:/bin python3 -c 'import bz2, ctypes, lzma, sqlite3, ssl, sys; print("The stand-in has Python", sys.version)'
tar -C "$root" -c . | docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' - "$name" >/dev/null
