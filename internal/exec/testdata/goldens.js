// Writes goldens.json: outputs of ONNX Runtime for the shared models.
//   NODE_PATH=… node goldens.js SHARED/models > goldens.json
// Element i of input_ids is (i·7919 + 13) mod V, where V is in the list below;
// row b of the mask has its last (b·2) mod S positions cleared. Of an output
// with more than 64 elements, those at multiples of `step` are kept.
const ort = require('onnxruntime-node'), path = require('path');
const models = [['sst2-bert-L2-H128/model.onnx', 30522], ['zh-bert-chnsenticorp-L4-H128/model.onnx', 21128],
  ['mlm-random-L3-H64/model.onnx', 4000], ['peer-int8/tiny4_312.ortdyn.onnx', 21128]];
const shapes = [[1, 1], [1, 7], [3, 7], [3, 128]];
(async () => {
  const res = { made_by: 'onnxruntime-node ' + require('onnxruntime-node/package.json').version + ', CPU, graphOptimizationLevel disabled, x64quantprecision 1 (exact int8 products)', cases: [] };
  for (const [file, V] of models) {
    const s = await ort.InferenceSession.create(path.join(process.argv[2], file), { graphOptimizationLevel: 'disabled', extra: { session: { x64quantprecision: '1' } } });
    for (const [B, S] of shapes) {
      const n = B * S, ids = new BigInt64Array(n), mask = new BigInt64Array(n), types = new BigInt64Array(n);
      for (let i = 0; i < n; i++) {
        const b = Math.floor(i / S), p = i % S;
        ids[i] = BigInt((i * 7919 + 13) % V);
        mask[i] = p < S - (b * 2) % S ? 1n : 0n;
        types[i] = p * 2 > S ? 1n : 0n;
      }
      const all = { input_ids: ids, attention_mask: mask, token_type_ids: types }, feed = {};
      for (const k of s.inputNames) feed[k] = new ort.Tensor('int64', all[k], [B, S]);
      const out = await s.run(feed);
      for (const [name, t] of Object.entries(out)) {
        const step = t.data.length > 64 ? Math.floor(t.data.length / 61) : 1, v = [];
        for (let i = 0; i < t.data.length; i += step) v.push(+t.data[i].toPrecision(8));
        res.cases.push({ model: file, vocab: V, batch: B, seq: S, output: name, dims: t.dims, step, values: v });
      }
    }
  }
  console.log(JSON.stringify(res).replace(/\{"model/g, '\n{"model'));
})();
