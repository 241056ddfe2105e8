"""Times a step of training in PyTorch on the CPU and prints what `lite bench train --json` prints:

    torch-train.py LAYERS HIDDEN HEADS FFN VOCAB BATCH LENGTH THREADS STEPS

BERT with a tied decoder; masked language modelling at 15% of the tokens, KL divergence at temperature 2
from given logits at the same tokens, backward, AdamW.
"""
import json
import math
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads, self.size = heads, hidden // heads
        self.query, self.key, self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(4))

    def forward(self, x):
        batch, length, hidden = x.shape
        q, k, v = (f(x).view(batch, length, self.heads, self.size).transpose(1, 2) for f in (self.query, self.key, self.value))
        p = torch.softmax(torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.size), dim=-1)
        return self.out(torch.matmul(p, v).transpose(1, 2).reshape(batch, length, hidden))


class Block(nn.Module):
    def __init__(self, hidden, heads, ffn):
        super().__init__()
        self.attention, self.up, self.down = Attention(hidden, heads), nn.Linear(hidden, ffn), nn.Linear(ffn, hidden)
        self.norm1, self.norm2 = nn.LayerNorm(hidden, eps=1e-12), nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, x):
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class MaskedLM(nn.Module):
    def __init__(self, layers, hidden, heads, ffn, vocab):
        super().__init__()
        self.word, self.position, self.types = (nn.Embedding(n, hidden) for n in (vocab, 512, 2))
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.blocks = nn.Sequential(*(Block(hidden, heads, ffn) for _ in range(layers)))
        self.transform, self.transform_norm = nn.Linear(hidden, hidden), nn.LayerNorm(hidden, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(vocab))

    def forward(self, ids, rows):
        x = self.word(ids) + self.types(torch.zeros_like(ids)) + self.position(torch.arange(ids.shape[1]))
        x = self.blocks(self.norm(x)).flatten(0, 1)[rows]
        return F.linear(self.transform_norm(F.gelu(self.transform(x))), self.word.weight, self.bias)


def main():
    layers, hidden, heads, ffn, vocab, batch, length, threads, steps = map(int, sys.argv[1:])
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    model = MaskedLM(layers, hidden, heads, ffn, vocab)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids = torch.randint(0, vocab, (batch, length))
    rows = torch.randperm(batch * length)[: batch * length * 15 // 100].sort().values
    labels, teacher = ids.flatten()[rows], torch.randn(len(rows), vocab)
    times = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        logits = model(ids, rows)
        soft = F.kl_div(F.log_softmax(logits / 2, -1), F.softmax(teacher / 2, -1), reduction="batchmean") * 4
        optimizer.zero_grad()
        (F.cross_entropy(logits, labels) + soft).backward()
        optimizer.step()
        times.append((time.perf_counter() - begin) * 1e3)
    times = sorted(times[1:])
    median = times[len(times) // 2]
    print(json.dumps({
        "batch": batch, "seq": length, "threads": threads, "runs": steps, "median_ms": median, "min_ms": times[0],
        "tokens_per_s": round(batch * length / median * 1e3), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))


main()
