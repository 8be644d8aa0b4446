// Open the converted model in Node with TensorFlow.js and compare.
//
//     node check_tfjs.js FOLDER      FOLDER holds web/ and images.bin, probabilities.bin (float32)
const fs = require('fs');
const path = require('path');
const tf = require('@tensorflow/tfjs');

const folder = process.argv[2];
const bytes = name => fs.readFileSync(path.join(folder, name));
const floats = name => new Float32Array(Uint8Array.from(bytes(name)).buffer);

async function main() {
  const json = JSON.parse(bytes('web/model.json'));
  const [group] = json.weightsManifest;
  const weightData = Uint8Array.from(Buffer.concat(group.paths.map(name => bytes(path.join('web', name))))).buffer;
  const model = await tf.loadLayersModel(
      tf.io.fromMemory({modelTopology: json.modelTopology, weightSpecs: group.weights, weightData}));
  const expected = floats('probabilities.bin');
  const given = model.predict(tf.tensor(floats('images.bin'), [expected.length / 10, 28, 28, 1])).dataSync();
  const difference = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - given[i])), 0);
  if (!(difference <= 1e-5)) throw new Error(`probabilities differ by ${difference}`);
  console.log(`probabilities to ${difference.toExponential(0)}`);
}

main().catch(error => { console.error(error.message); process.exit(1); });
