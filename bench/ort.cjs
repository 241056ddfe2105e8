// The median latency of one model in ONNX Runtime, in milliseconds:
//   ort.cjs MODEL BATCH LENGTH THREADS WARMUP RUNS
'use strict';
const ort = require('onnxruntime-node');

(async () => {
  const [model, ...sizes] = process.argv.slice(2);
  const [batch, length, threads, warmup, runs] = sizes.map(Number);
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all',
  });
  const n = batch * length;
  const fill = { input_ids: (i) => (i * 7919) % 1000, attention_mask: () => 1, token_type_ids: () => 0 };
  const feed = {};
  for (const name of session.inputNames) {
    if (!fill[name]) throw new Error(`no idea what to feed input ${name}`);
    feed[name] = new ort.Tensor('int64', BigInt64Array.from({ length: n }, (_, i) => BigInt(fill[name](i))), [batch, length]);
  }
  const times = [];
  for (let i = -warmup; i < runs; i++) {
    const start = performance.now();
    await session.run(feed);
    if (i >= 0) times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  console.log(times[times.length >> 1]);
})().catch((err) => {
  console.error(String(err));
  process.exit(1);
});
