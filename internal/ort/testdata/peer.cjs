// Reads one request (JSON) on standard input, answers it with ONNX Runtime or
// transformers.js and writes the answer (JSON) to the file that it names. Tensors travel
// as {type, dims, data}, data being little-endian bytes in base64.
'use strict';
const fs = require('fs');
const path = require('path');

const arrays = {
  float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array,
  uint8: Uint8Array, int8: Int8Array, bool: Uint8Array,
  float16: globalThis.Float16Array || Uint16Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array, uint64: BigUint64Array,
};

// The bytes are copied: typed arrays need an aligned start.
function decode(ort, { type, dims, data, text }) {
  if (type === 'string') return new ort.Tensor(type, text, dims);
  const bytes = new Uint8Array(Buffer.from(data || '', 'base64'));
  return new ort.Tensor(type, new arrays[type](bytes.buffer), dims);
}

function encode({ type, dims, data }) {
  if (type === 'string') return { type, dims: [...dims], text: [...data] };
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

// Every model with its batches, whatever fails, until enough of them ran at every
// level of optimization; an answer is a line of its own, so that those before a
// crash are kept. Elements lie in files: blob for inputs, answer + '.bin' for outputs.
async function attempt({ cases, answer, blob, enough }) {
  const ort = require('onnxruntime-node');
  const [source, sink] = [fs.openSync(blob, 'r'), fs.openSync(answer + '.bin', 'w')];
  let written = 0;
  const load = (t) => {
    if (t.type === 'string') return decode(ort, t);
    const bytes = new Uint8Array(t.bytes || 0);
    for (let n = 0; n < bytes.length;) n += fs.readSync(source, bytes, n, bytes.length - n, (t.at || 0) + n);
    return new ort.Tensor(t.type, new arrays[t.type](bytes.buffer), t.dims);
  };
  const store = ({ type, dims, data }) => {
    if (type === 'string') return { type, dims: [...dims], text: [...data] };
    const at = written;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    for (let n = 0; n < bytes.length;) n += fs.writeSync(sink, bytes, n, bytes.length - n);
    written += bytes.length;
    return { type, dims: [...dims], at, bytes: bytes.length };
  };
  for (const { model, levels, batches } of cases) {
    const line = { levels: [] };
    const sessions = [];
    for (const level of levels) {
      line.levels.push({ error: '', batches: [] });
      try {
        sessions.push(await ort.InferenceSession.create(model, {
          graphOptimizationLevel: level, intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4, extra: exact,
        }));
      } catch (err) {
        sessions.push(null);
        line.levels.at(-1).error = String(err.message || err);
      }
    }
    let ran = 0;
    for (const batch of batches || []) {
      if (ran >= enough) break;
      let all = true;
      for (const [i, session] of sessions.entries()) {
        if (!session) continue;
        try {
          line.levels[i].batches.push({ error: '', outputs: map(await session.run(map(batch, load)), store) });
        } catch (err) {
          all = false;
          line.levels[i].batches.push({ error: String(err.message || err) });
        }
      }
      if (all) ran++;
    }
    for (const session of sessions) if (session) await session.release();
    fs.appendFileSync(answer, JSON.stringify(line) + '\n');
  }
}

// Each model as ONNX Runtime itself writes it after its own fusions.
async function optimize({ rewrites }) {
  const ort = require('onnxruntime-node');
  for (const { from, to, level } of rewrites) {
    const session = await ort.InferenceSession.create(from, {
      graphOptimizationLevel: level, optimizedModelFilePath: to, intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4, extra: exact,
    });
    await session.release();
  }
  return {};
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
  const answer = await { run, attempt, optimize, pipeline, tokens }[request.kind](request);
  if (answer !== undefined) fs.writeFileSync(request.answer, JSON.stringify(answer));
})().catch((err) => {
  console.error(err && err.stack ? err.stack : err);
  process.exit(1);
});
