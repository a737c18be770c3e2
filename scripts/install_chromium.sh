#!/bin/sh
# Put a `chromium` on the PATH for the browser tests, where apt can do it without a password.
set -eu

root=
if [ "$(id -u)" != 0 ]; then
    root="sudo -n"
fi
if command -v apt-get >/dev/null && $root true 2>/dev/null; then
    packages="chromium fonts-dejavu-core"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    $root apt-get install -y -qq --no-install-recommends $packages >/dev/null 2>&1 || {
        $root apt-get update -qq
        $root apt-get install -y -qq --no-install-recommends $packages >/dev/null
    }
fi
command -v chromium >/dev/null || {
    echo "The browser tests need a \`chromium\` on the PATH: install it, or leave these tests out" >&2
    echo "with  make test SKIP=browser" >&2
    exit 1
}
