// Run the page's code on the converted model in web/, with TensorFlow.js in Node, and compare.
// The current folder holds snippet.js, images.bin and probabilities.bin (float32).
const fs = require('fs');
const tf = require('@tensorflow/tfjs');

const floats = name => new Float32Array(Uint8Array.from(fs.readFileSync(name)).buffer);
globalThis.fetch = async name => new Response(fs.readFileSync(String(name)));  // no server here

async function main() {
  const code = fs.readFileSync('snippet.js', 'utf8') + '\nreturn probabilities;';
  const run = Object.getPrototypeOf(main).constructor('tf', 'pixels', code);  // an async function
  const images = floats('images.bin');
  const expected = floats('probabilities.bin');
  let largest = 0;
  for (let i = 0; i < 100; i++) {
    const probabilities = await run(tf, images.subarray(784 * i, 784 * (i + 1)));
    probabilities.forEach((p, k) => { largest = Math.max(largest, Math.abs(p - expected[10 * i + k])); });
  }
  if (!(largest <= 1e-5)) throw new Error(`probabilities differ by ${largest}`);
  console.log(`probabilities of 100 images to ${largest.toExponential(0)}`);
}

main().catch(error => { console.error(error.message); process.exit(1); });
