// Reads one request (JSON) on standard input, answers it with ONNX Runtime or
// transformers.js and writes the answer (JSON) to the file that it names. Tensors travel
// as {type, dims, data}, data being little-endian bytes in base64.
'use strict';
const fs = require('fs');
const path = require('path');

const arrays = {
  float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array,
  uint8: Uint8Array, int8: Int8Array, bool: Uint8Array,
};

// The bytes are copied: typed arrays need an aligned start.
function decode(ort, { type, dims, data }) {
  const bytes = new Uint8Array(Buffer.from(data || '', 'base64'));
  return new ort.Tensor(type, new arrays[type](bytes.buffer), dims);
}

function encode({ type, dims, data }) {
  return { type, dims: [...dims], data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64') };
}

const map = (object, f) => Object.fromEntries(Object.entries(object).map(([k, v]) => [k, f(v)]));

// Compute what the file says: exact int8 products also where the machine's would
// saturate, and float products with int8 weights in float.
const exact = { session: { x64quantprecision: '1', qdq_matmulnbits_accuracy_level: '0' } };

async function run({ model, batches }) {
  const ort = require('onnxruntime-node');
  const session = await ort.InferenceSession.create(model, {
    graphOptimizationLevel: 'all', intraOpNumThreads: 2, interOpNumThreads: 1,
    extra: exact,
  });
  const answers = [];
  for (const batch of batches || []) {
    answers.push(map(await session.run(map(batch, (t) => decode(ort, t))), encode));
  }
  return answers;
}

function transformers(directory) {
  const lib = require('@huggingface/transformers');
  lib.env.allowRemoteModels = false;
  lib.env.allowLocalModels = true;
  lib.env.useFSCache = false;
  lib.env.localModelPath = path.dirname(directory) + path.sep;
  return [lib, path.basename(directory)];
}

async function pipeline({ model, task, texts, dtype }) {
  const [lib, name] = transformers(model);
  const pipe = await lib.pipeline(task, name, { dtype, device: 'cpu', local_files_only: true, session_options: { extra: exact } });
  const options = { 'text-classification': { top_k: null }, 'fill-mask': { top_k: 5 } }[task] || {};
  const answers = [];
  for (const text of texts) answers.push([await pipe(text, options)].flat(Infinity));
  return answers;
}

async function tokens({ model, texts }) {
  const [lib, name] = transformers(model);
  const tokenizer = await lib.AutoTokenizer.from_pretrained(name, { local_files_only: true });
  return texts.map((text) => Array.from(tokenizer.encode(text), Number));
}

(async () => {
  const request = JSON.parse(fs.readFileSync(0, 'utf8'));
  const answer = await { run, pipeline, tokens }[request.kind](request);
  fs.writeFileSync(request.answer, JSON.stringify(answer));
})().catch((err) => {
  console.error(err && err.stack ? err.stack : err);
  process.exit(1);
});
