#!/bin/sh
# Installs a headless Chromium, in which tests open the pages that `sparkweave report` writes. Does nothing where there is one.
set -eu

for name in "${CHROMIUM:-}" chromium-headless-shell chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "chromium: this needs Debian's apt-get and root; or install any Chromium or Chrome, and name it in CHROMIUM" >&2
    exit 1
fi

echo "chromium: installing Debian's headless Chromium (70 MB to load, 0.3 GB on the disk)"
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2 -o Acquire::Retries=3
apt-get install --quiet=2 --yes --no-install-recommends -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 \
    chromium-headless-shell fonts-dejavu-core >/dev/null
