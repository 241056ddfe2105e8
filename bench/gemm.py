#!/usr/bin/env python3
"""Times matrix products of lite and of OpenBLAS in turns.

  CGO_ENABLED=0 go build -o /tmp/gemm ./bench/gemm
  python3 bench/gemm.py /tmp/gemm                 # all products, 1 and 2 threads
  python3 bench/gemm.py /tmp/gemm --core Haswell --lite avx2

Each product is given to both, one after the other, in several rounds; the table
has the medians and their ratio, above 1 where lite is the faster. libopenblas.so.0
is loaded through ctypes in a process of its own (Debian: libopenblas0-pthread).
--core sets OPENBLAS_CORETYPE, --lite sets LITE_KERNEL. Int8 and 4-bit products
are held against OpenBLAS's float32 product of the same shape."""

import argparse
import ctypes
import math
import os
import random
import statistics
import subprocess
import sys
import time


def shapes():
    """(op, m, n, k) of encoders 4x312, 6x384 and 12x768."""
    out = []
    for tokens, h, f in ((4096, 312, 1200), (2048, 384, 1536), (1024, 768, 3072)):
        for i, o in ((h, h), (h, f), (f, h)):
            out += [("NN", tokens, o, i), ("NT", tokens, o, i), ("TN", i, o, tokens)]
    out += [("NT", 614, 21128, 312), ("NN", 614, 312, 21128), ("TN", 21128, 312, 614)]
    for tokens in (128, 32):
        for h, f in ((312, 1200), (384, 1536), (768, 3072)):
            for i, o in ((h, h), (h, f), (f, h)):
                out += [("NN", tokens, o, i), ("NT", tokens, o, i), ("PACKED", tokens, o, i)]
    return out


def serve_openblas():
    """Answers the same requests as bench/gemm."""
    lib = ctypes.CDLL("libopenblas.so.0")
    lib.openblas_get_corename.restype = ctypes.c_char_p
    lib.openblas_get_config.restype = ctypes.c_char_p
    print(lib.openblas_get_corename().decode(), lib.openblas_get_config().decode(), flush=True)
    f = ctypes.c_float
    lib.cblas_sgemm.argtypes = [ctypes.c_int] * 6 + [f, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, f, ctypes.c_void_p, ctypes.c_int]
    lib.cblas_sgemm.restype = None
    for line in sys.stdin:
        op, m, n, k, threads, seconds = line.split()
        m, n, k = int(m), int(n), int(k)
        if op not in ("NN", "NT", "TN"):
            op = "NN"
        lib.openblas_set_num_threads(int(threads))
        r = random.Random(1)
        some = [r.gauss(0, 1) for _ in range(4099)]

        def fill(size):
            x = (f * size)()
            block = (f * len(some))(*some)
            for i in range(0, size, len(some)):
                ctypes.memmove(ctypes.byref(x, 4 * i), block, 4 * min(len(some), size - i))
            return x

        a, b, c = fill(m * k), fill(k * n), (f * (m * n))()
        ta, tb = op[0] == "T", op[1] == "T"
        args = (101, 112 if ta else 111, 112 if tb else 111, m, n, k, 1.0, ctypes.addressof(a), m if ta else k,
                ctypes.addressof(b), k if tb else n, 0.0, ctypes.addressof(c), n)
        start = time.perf_counter()
        lib.cblas_sgemm(*args)
        while time.perf_counter() - start < float(seconds) / 2:
            lib.cblas_sgemm(*args)
        start, calls = time.perf_counter(), 0
        while time.perf_counter() - start < float(seconds):
            lib.cblas_sgemm(*args)
            calls += 1
        print((time.perf_counter() - start) / calls, flush=True)


class Worker:
    def __init__(self, command, **env):
        self.p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, **{k: v for k, v in env.items() if v}})
        self.name = self.p.stdout.readline().strip()

    def time(self, request):
        self.p.stdin.write(request + "\n")
        self.p.stdin.flush()
        answer = self.p.stdout.readline()
        if not answer:
            sys.exit(f"{self.p.args} gave no answer to {request!r}")
        return float(answer)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("lite", nargs="?", help="the program built of ./bench/gemm")
    p.add_argument("--core", default="", help="OPENBLAS_CORETYPE")
    p.add_argument("--lite", dest="path", default="", help="LITE_KERNEL")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.015, help="of calls per round")
    p.add_argument("--only", default="", help="operations, such as NN,NT")
    p.add_argument("--part", default="1/1", help="which part of the list, such as 2/3")
    p.add_argument("--max", type=int, default=0, help="only products of at most so many rows")
    p.add_argument("--shapes", default="", help="such as NN:1024:768:768,INT8:32:768:768")
    p.add_argument("--openblas", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.openblas:
        return serve_openblas()
    ours = Worker([a.lite], LITE_KERNEL=a.path)
    theirs = Worker([sys.executable, os.path.abspath(__file__), "--openblas"], OPENBLAS_CORETYPE=a.core)
    print(f"lite: {ours.name}\nOpenBLAS: {theirs.name}\n")
    print("| op | m | n | k | threads | lite GFLOP/s | OpenBLAS GFLOP/s | ratio |\n|---|---|---|---|---|---|---|---|")
    if a.shapes:
        work = [(s.split(":")[0], *map(int, s.split(":")[1:])) for s in a.shapes.split(",")]
    else:
        work = [s for s in shapes() if not a.only or s[0] in a.only.split(",")]
        work = [s for s in work if not a.max or s[1] <= a.max]
    part, parts = map(int, a.part.split("/"))
    logs = []
    for op, m, n, k in work[part - 1::parts]:
        for threads in map(int, a.threads.split(",")):
            request = f"{op} {m} {n} {k} {threads} {a.seconds}"
            t, u = [], []
            for _ in range(a.rounds):
                t.append(ours.time(request))
                u.append(theirs.time(request))
                if threads > 1:
                    time.sleep(0.25)  # its threads spin on for a while
            x, y = statistics.median(t), statistics.median(u)
            g = 2e-9 * m * n * k
            print(f"| {op} | {m} | {n} | {k} | {threads} | {g / x:.0f} | {g / y:.0f} | {y / x:.2f} |", flush=True)
            logs.append(math.log(y / x))
    print(f"\ngeometric mean {math.exp(statistics.mean(logs)):.3f}, least {math.exp(min(logs)):.2f}, of {len(logs)}")


if __name__ == "__main__":
    main()
