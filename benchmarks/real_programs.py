"""Real programs under `untorn conform --exec`, which makes their calls in the engine, too.

    make conform-programs
    python benchmarks/real_programs.py [NAME...]

Each is a shell script in an empty directory: `untorn conform --exec sh -c '...'` does the same.
Programs that the machine does not have are left out and named.
"""

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

import click
from traced import Row, Traced, attempt

from untorn.conform.program.outcome import ProgramRun

SECONDS = 600.0
"""Seconds that each may take."""


class Program(NamedTuple):
    """A shell script, and the programs that it needs.

    Attributes:
        filtered: Whether it stops at memory calls only. Then a debugger cannot debug.
    """

    needs: tuple[str, ...]
    script: str
    filtered: bool = True


_GC = """
import java.util.*;
public class Gc { public static void main(String[] a) throws Exception {
  List<byte[]> kept = new ArrayList<>();
  for (int i = 0; i < 3000; i++) { kept.add(new byte[20000]); if (i % 500 == 499) {
    kept.subList(0, 250).clear(); System.gc(); } }
  Thread t = new Thread(() -> System.out.println(kept.size())); t.start(); t.join(); } }
"""
_WORKERS = """
const {Worker, isMainThread} = require('worker_threads');
if (isMainThread) { for (let i = 0; i < 3; i++) new Worker(__filename); }
else { let a = []; for (let i = 0; i < 2e5; i++) a.push({i}); console.log(a.length); }
"""
_PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
static int sum(int n) { return n ? n + sum(n - 1) : 0; }
int main(void) { char *p = malloc(1 << 20); p[5] = 1; printf("%d\\n", sum(9)); free(p); return 0; }
"""
_PAGE = "<h1>A page</h1><canvas id=c></canvas><script>document.title=[...Array(9999).keys()].length"
_NGINX = """
daemon off; pid nginx.pid; error_log error.log; worker_processes 2; events { }
http { access_log off; client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t;
  uwsgi_temp_path t; scgi_temp_path t;
  server { listen unix:nginx.sock; root .; location / { try_files /nginx.conf =404; } } }
"""
_AS_NOBODY = "chown 65534 data && setpriv --reuid=65534 --regid=65534 --clear-groups"
_POSTGRES = f"""
chmod 711 . && mkdir data && {_AS_NOBODY if os.geteuid() == 0 else "exec"} sh -ec '
export HOME=$PWD/data
initdb -D data/db --no-sync -U me
postgres -D data/db -k $PWD/data -c listen_addresses= & server=$!
until psql -h $PWD/data -U me postgres -c "select 1"; do sleep 0.2; done
psql -h $PWD/data -U me postgres -c "create table t as select i, md5(i::text) m from
  generate_series(1, 200000) i; create index on t (m); analyze t;
  select count(*) from t a join t b using (m)"
kill $server; wait $server'
"""
_QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --user-data-dir=profile"
)
_QEMU = "qemu-system-x86_64 -accel tcg -m 256 -display none -serial file:serial -no-reboot"
PROGRAMS = {
    "ls": Program(("ls",), "ls -lR /etc"),
    "bash": Program(
        ("bash", "sed"), "bash -c 'for i in {1..90}; do x+=$(echo $i | sed s/1/2/); done'"
    ),
    "sort": Program(("sort", "seq"), "seq 400000 | sort -R -S 8M --parallel=2"),
    "xz": Program(("xz", "seq"), "seq 1500000 | xz -T2 --block-size=1MiB | xz -d"),
    "perl": Program(("perl",), "perl -MPOSIX -e 'my %h; $h{$_} = [1..3] for 1..90000; print 0+%h'"),
    "malloc": Program(
        ("perl",),
        "export MALLOC_MMAP_THRESHOLD_=16384 MALLOC_TRIM_THRESHOLD_=0 MALLOC_TOP_PAD_=0; "
        'perl -e \'srand 7; for (1..45000) { $k{int rand 300} = "x" x rand 90000; '
        "delete $k{int rand 300} if rand() < .5 }'",
    ),
    "sqlite3": Program(
        ("sqlite3",),
        "sqlite3 db 'pragma mmap_size=1000000000; create table t as with recursive n(i) as "
        "(select 1 union all select i+1 from n where i<300000) select i from n; "
        "create index x on t(i); select sum(i) from t; vacuum'",
    ),
    "git": Program(
        ("git",),
        "git init -q a && cd a && git config user.name me && git config user.email me@here && "
        "for i in $(seq 20); do seq ${i}000 >f$i; git add . && git commit -qm $i; done; "
        "git log -p --stat && git gc && git clone -q . ../b && git -C ../b fsck",
    ),
    "gcc": Program(("gcc",), "printf '%s' \"$PROGRAM\" >p.c; gcc -O2 -flto p.c -o p && ./p"),
    "make": Program(
        ("make", "gcc"),
        "printf '%s' \"$PROGRAM\" >p1.c; for i in 2 3 4 5 6 7 8 9; do cp p1.c p$i.c; done; "
        "make -j2 p1 p2 p3 p4 p5 p6 p7 p8 p9",
    ),
    "numpy": Program(
        (sys.executable,),
        f"{sys.executable} -c 'import numpy as n; a = n.random.rand(600, 600); "
        "print(sum(float((a @ a).sum()) for _ in range(20)))'",
    ),
    "cpython": Program(
        (sys.executable,),
        f"{sys.executable} -m compileall -q -f -o 0 -d x {sysconfig.get_path('stdlib')}/json "
        f'-s / ; {sys.executable} -c \'import multiprocessing as m; p = m.get_context("spawn")'
        ".Pool(2); print(p.map(abs, range(99)))'",
    ),
    "node": Program(("node",), "printf '%s' \"$WORKERS\" >w.js; node w.js"),
    "java": Program(
        ("java", "javac"),
        "printf '%s' \"$GC\" >Gc.java; javac Gc.java && java -Xmx64m -Xlog:gc Gc && "
        "java -XX:+UseParallelGC -Xmx64m Gc && java -XX:+UseZGC -Xmx64m Gc",
    ),
    "postgresql": Program(("initdb", "postgres", "psql", "setpriv"), _POSTGRES),
    "redis": Program(
        ("redis-server", "redis-cli", "redis-benchmark"),
        "redis-server --port 0 --unixsocket s --save '' & server=$!; "
        "until redis-cli -s s ping; do sleep 0.1; done; "
        "redis-benchmark -s s -n 5000 -d 2000 -r 4000 -t set,get,lpush,mset; "
        "redis-cli -s s bgsave; sleep 1; redis-cli -s s memory purge; kill $server; wait $server",
    ),
    "nginx": Program(
        ("nginx", "curl"),
        "chmod 711 .; printf '%s' \"$NGINX_CONF\" >nginx.conf; "
        "nginx -p $PWD -c nginx.conf & server=$!; "
        "until curl -sf --unix-socket nginx.sock http://x/ ; do sleep 0.1; done; "
        "kill -HUP $server; sleep 1; kill $server; wait $server",
    ),
    "gdb": Program(
        ("gdb", "gcc"),
        "printf '%s' \"$PROGRAM\" >p.c; gcc -g p.c -o p && gdb -batch -ex 'break sum' -ex run "
        "-ex backtrace -ex 'info proc mappings' -ex 'info line main' -ex kill ./p",
        filtered=False,
    ),
    "chromium": Program(
        ("chromium",),
        f"printf '%s' \"$PAGE\" >p.html; chromium {_QUIET} --screenshot=p.png --dump-dom "
        "file://$PWD/p.html",
    ),
    "qemu": Program(
        ("qemu-system-x86_64", "timeout"),
        f"timeout 20 {_QEMU} ${{KERNEL:+-kernel $KERNEL -append 'console=ttyS0 panic=-1'}}",
    ),
}
_INPUTS = {"PROGRAM": _PROGRAM, "GC": _GC, "WORKERS": _WORKERS, "PAGE": _PAGE, "NGINX_CONF": _NGINX}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PROGRAMS)))
def main(names: tuple[str, ...]) -> None:
    """Run some of them, or all; exit 1 if there was a mismatch."""
    os.environ.update(_INPUTS)
    os.environ.setdefault("KERNEL", _kernel())
    traced, rows = Traced(summaries=True), []
    for name in names or PROGRAMS:
        program = PROGRAMS[name]
        missing = [need for need in program.needs if shutil.which(need) is None]
        if missing:
            traced.out.print(f"{name}: left out, this machine has no {', '.join(missing)}")
            continue
        rows.append(Row(name))
        measure(traced, rows[-1], program)
    sys.exit(traced.print_table("program", rows) > 0)


def measure(traced: Traced, row: Row, program: Program) -> None:
    """Run one in a directory of its own; show the end of what it printed if it failed."""
    with tempfile.TemporaryDirectory() as directory, tempfile.NamedTemporaryFile() as log:
        command = ["sh", "-c", f"exec >{log.name} 2>&1\n{program.script}"]

        def run() -> ProgramRun:
            done = traced.run(row, command, directory, filtered=program.filtered)
            if done.ending:
                traced.out.print(
                    *Path(log.name).read_text(errors="replace").splitlines()[-8:], sep="\n"
                )
            return done

        attempt(traced, row.name, SECONDS, run)


def _kernel() -> str:
    """Return the newest kernel that `untorn kernels fetch` brought here, or nothing."""
    kernels = sorted((Path.home() / ".cache/untorn/kernels").glob("**/vmlinuz*"))
    return str(kernels[-1]) if kernels else ""


if __name__ == "__main__":
    main()
