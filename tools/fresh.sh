#!/usr/bin/env bash
# The commands of the README on a fresh machine.
set -euo pipefail

usage() {
    cat <<'END'
usage: tools/fresh.sh [OPTION]... [MAKE-ARGUMENT]...

Makes a fresh machine, clones HEAD into it and runs make there, with the arguments given or
`test`. The machine is a directory and has namespaces of its own: when the run ends, no
process, mount or file of it is left. Only root can make one.

  --suite NAME     a Debian of this name, made by debootstrap (default: bookworm)
  --here           no other Debian: the files of this machine
  --python PATH    the interpreter, with --here (default: python3)
  --user           as an ordinary user
  --tmp KIND       /tmp is on disk (default), tmpfs or overlay
  --without THING  pts: /dev/pts; trace: tracefs; caps: every capability that a container lacks;
                   calls: the system calls that the filter of a container refuses
  --container      without all of these; a Debian is on overlayfs then
  --keep DIR       the Debian is in DIR: made there if it is not yet, and left there
  --help           this text

The exit status is that of make. The last line says how many tests passed, failed and were
skipped. MIRROR is where debootstrap gets its packages, if not from its usual place.

  tools/fresh.sh --suite trixie --user --tmp tmpfs test
  tools/fresh.sh --container --keep /var/tmp/bookworm test bench
  tools/fresh.sh --here --python ~/.pyenv/versions/3.13.0/bin/python3 --user
  tools/fresh.sh --here --user --tmp tmpfs test TESTS='tests/oracle tests/cli/test_doctor.py'
END
}

CERTIFICATES=/etc/ssl/certs/ca-certificates.crt
CONTAINER_CAPS=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap
CONTAINER_CAPS+=,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap
uid=54321 # of the ordinary user; with --here it has no name

die() {
    echo "fresh.sh: $*" >&2
    exit 2
}

# Print what tells pip how to reach its index, as VARIABLE=VALUE; a Debian lacks files of ours.
pip_settings() {
    local name value
    python3 -m pip config list 2>/dev/null | sort -r |
        sed -nE "s/^(global|:env:)\.([a-z-]+)='(.*)'\$/\2 \3/p" |
        while read -r name value; do
            [[ ! $here && "$name $value" =~ file:|^find-links|^constraint ]] && continue
            [[ $name != cert || $here ]] || value=$CERTIFICATES
            name=${name//-/_}
            echo "PIP_${name^^}=$value"
        done
    env | grep -iE '^(https?|all|no)_proxy=' || true
}

make_debian() {
    command -v debootstrap >/dev/null ||
        die "no debootstrap; on Debian: apt install debootstrap; --here does without"
    [[ -e $root/etc/debian_version && ! -e $root/debootstrap ]] || # its traces, until it is done
        debootstrap --variant=minbase \
            --include=python3,python3-venv,make,git,ca-certificates \
            "$suite" "$root" ${MIRROR:+"$MIRROR"} >"$dir/debootstrap.log" 2>&1 ||
        die "debootstrap: $(tail -n 1 "$dir/debootstrap.log")"
    grep -q ^untorn: "$root/etc/passwd" || chroot "$root" useradd --create-home --uid "$uid" untorn
    cp --dereference /etc/resolv.conf /etc/hosts "$root/etc/"
    [[ ! -e $CERTIFICATES ]] || cp "$CERTIFICATES" "$root$CERTIFICATES"
}

mount_devices() {
    local node
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    mkdir "$root"/dev/{pts,shm}
    for node in null zero full random urandom tty; do
        touch "$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
}

mount_overlay() { # LOWER UPPER TARGET
    mkdir -p "$2.work"
    mount -t overlay -o "lowerdir=$1,upperdir=$2,workdir=$2.work" overlay "$3"
}

mount_all() {
    if [[ ! $here ]]; then
        mount_devices
        mount -t sysfs sysfs "$root/sys"
        mount -t tracefs tracefs "$root/sys/kernel/tracing" || echo "fresh.sh: no tracefs here"
    fi
    mount -t proc proc "$root/proc"
    [[ $without != *pts* ]] || mount -t tmpfs tmpfs "$root/dev/pts"
    [[ $without != *trace* ]] || mount -t tmpfs tmpfs "$root/sys/kernel/tracing"
    case $tmp in
    disk) mount --bind "$dir/tmp" "$root/tmp" ;;
    tmpfs) mount -t tmpfs -o mode=1777 tmpfs "$root/tmp" ;;
    overlay) mount_overlay "$dir/empty" "$dir/tmp" "$root/tmp" ;;
    esac
}

# Have the interpreter where an ordinary user can reach it: at its path, with nothing beside it.
open_python() {
    local prefix
    prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
    mount --bind "$prefix" "$dir/python"
    mount -t tmpfs -o mode=755 tmpfs "/$(cut -d/ -f2 <<<"$prefix")"
    mkdir -p "$prefix"
    mount --bind "$dir/python" "$prefix"
}

# Run make in the namespaces of the machine; the arguments are those of make.
run_make() {
    local home=/root as=(setpriv --inh-caps=-all) filter=()
    [[ ! $user ]] || home=/home/untorn as+=(--reuid "$uid" --regid "$uid" --clear-groups)
    [[ ! $here ]] || home=$dir/home
    [[ $without != *caps* ]] || as+=("--bounding-set=$CONTAINER_CAPS")
    [[ $without != *calls* ]] || filter=("$python" tools/filtered.py)
    if [[ $container && ! $here ]]; then
        mount_overlay "$root" "$dir/upper" "$dir/merged"
        root=$dir/merged
    elif [[ ! $here ]]; then
        mount --bind "$root" "$root"
    fi
    mount_all
    if [[ ! $here ]]; then
        rm -rf "$root$home/untorn"
        cp -r "$dir/home/untorn" "$root$home/untorn"
    fi
    if [[ $user ]]; then
        chown -R "$uid:$uid" "$root$home"
        [[ ! $here ]] || setpriv --reuid "$uid" --clear-groups test -x "$python" || open_python
    fi
    chroot "${root:-/}" env -i HOME="$home" PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
        LANG=C.UTF-8 "${settings[@]}" sh -c 'cd ~/untorn && exec "$@"' sh \
        "${as[@]}" "${filter[@]}" make PYTHON="$python" "$@"
}

suite=bookworm here='' python=python3 user='' tmp=disk without='' container='' keep=''
options=$(getopt --name fresh.sh --options h --longoptions \
    help,suite:,here,python:,user,tmp:,without:,container,keep: -- "$@") || exit 2
arguments=("$@")
eval set -- "$options"
while [[ $1 != -- ]]; do
    case $1 in
    --suite | --python | --tmp | --keep) declare "${1#--}=$2" && shift ;;
    --without) without+=" $2" && shift ;;
    --here | --user) declare "${1#--}=yes" ;;
    --container) container=yes without=' pts trace caps calls' ;;
    --help | -h) usage && exit ;;
    esac
    shift
done
shift
(($#)) || set -- test
[[ $tmp =~ ^(disk|tmpfs|overlay)$ ]] || die "--tmp is disk, tmpfs or overlay, not $tmp"
for thing in $without; do
    [[ $thing =~ ^(pts|trace|caps|calls)$ ]] || die "--without pts, trace, caps or calls, not $thing"
done
[[ $here || $python == python3 ]] || die "--python goes with --here: a Debian brings its own"
((EUID == 0)) || die "only root can make a machine with mounts and users of its own"

# Outside: a directory, and namespaces in which this script is run once more.
if [[ -z ${FRESH_DIR:-} ]]; then
    FRESH_DIR=$(mktemp -d /var/tmp/fresh.XXXXXX)
    trap 'rm -rf --one-file-system "$FRESH_DIR"' EXIT
    export FRESH_DIR
    set -m # what is in the background ignores SIGINT otherwise, and so would the tests
    unshare --mount --pid --ipc --fork --kill-child "$0" "${arguments[@]}" 2>&1 |
        tee "$FRESH_DIR/log" &
    trap 'kill -KILL %1' HUP INT TERM
    status=0
    wait %1 2>/dev/null || status=$?
    echo "== exit status $status"
    grep -E '^([0-9]+ [a-z]+, )*[0-9]+ [a-z]+ in [0-9.]+s' "$FRESH_DIR/log" | tail -n 1 || true
    exit "$status"
fi

# Inside.
dir=$FRESH_DIR
chmod 755 "$dir"
mkdir "$dir"/{home,python,empty,tmp,upper,merged}
chmod 1777 "$dir"/{empty,tmp}
git clone --quiet "$(dirname "$0")/.." "$dir/home/untorn"
mapfile -t settings < <(pip_settings)
if [[ $here ]]; then
    root='' place='this machine'
    python=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))') ||
        die "--python: it does not run"
else
    root=${keep:-$dir/root} place=$suite python=python3
    make_debian
fi
who=root
[[ ! $user ]] || who='an ordinary user'
echo "== $place, as $who, /tmp on $tmp${without:+, without$without}: make $*"
run_make "$@"
