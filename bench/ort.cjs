// Times one model in ONNX Runtime and prints what `lite bench --json` prints:
//   ort.cjs MODEL BATCH LENGTH SHORTEST THREADS WARMUP RUNS
// SHORTEST 0: all sequences have LENGTH tokens; else they are spread evenly from
// SHORTEST to LENGTH and padded.
'use strict';
const ort = require('onnxruntime-node');

(async () => {
  const [model, ...sizes] = process.argv.slice(2);
  const [batch, length, shortest, threads, warmup, runs] = sizes.map(Number);
  const begin = performance.now();
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all',
  });
  const load = performance.now() - begin;
  const n = batch * length;
  const lengths = Array.from({ length: batch }, (_, b) =>
    shortest > 0 && batch > 1 ? shortest + Math.floor((b * (length - shortest)) / (batch - 1)) : length);
  const real = (i) => i % length < lengths[Math.floor(i / length)];
  const feed = {};
  for (const name of session.inputNames) {
    const data = new BigInt64Array(n);
    for (let i = 0; i < n; i++) {
      if (name.includes('mask')) data[i] = real(i) ? 1n : 0n;
      else if (name.includes('type') || name.includes('segment')) data[i] = 0n;
      else if (name.includes('position')) data[i] = BigInt(i % length);
      else data[i] = real(i) ? BigInt((i * 7919) % 1000) : 0n;
    }
    feed[name] = new ort.Tensor('int64', data, [batch, length]);
  }
  const times = [];
  for (let i = -warmup; i < runs; i++) {
    const start = performance.now();
    await session.run(feed);
    if (i >= 0) times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1];
  const tokens = lengths.reduce((a, b) => a + b, 0);
  console.log(JSON.stringify({
    batch, seq: length, threads, runs, load_ms: load, median_ms: median, min_ms: times[0],
    tokens_per_s: Math.round((tokens / median) * 1e3), peak_mb: process.resourceUsage().maxRSS / 1024,
  }));
})().catch((err) => {
  console.error(String(err));
  process.exit(1);
});
