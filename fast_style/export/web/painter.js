// The worker of local.js: runs the networks in ONNX Runtime Web, by WebGPU or else on the CPU.
import * as ort from "./onnxruntime/ort.js";

const JPEG_QUALITY = 0.95;
const MOST_THREADS = 8;
const LUMA = [0.299, 0.587, 0.114]; // ITU-R BT.601, as in pictures/pixels.py

let onGpu = null; // whether WebGPU is used; null: not yet asked
let loaded = {}; // the latest network, by its style; only one, because of its memory
let latest = {}; // the latest photo through a network, since strength and mask need no new pass

onmessage = async ({ data }) => {
  try {
    postMessage(await (data.photo ? paintPhoto(data) : load(data)));
  } catch (error) {
    postMessage({ error: error?.message ?? `${error}` });
  }
};

async function load({ style }) {
  await withNetwork(style, () => {});
  return {};
}

async function paintPhoto({ photo, number, mask, side, style, strength, colors }) {
  const key = JSON.stringify([number, side, style]);
  if (latest.key !== key) {
    latest = {};
    const { content, before } = await read(photo, side);
    latest = { key, content, before, painted: await run(style, content) };
  }
  const { content, before, painted } = latest;
  const { width, height } = content;
  const where = mask && (await read(mask, null, width, height)).content;
  const canvas = drawn(blended(content, painted, strength, colors, where));
  const type = photo.type === "image/jpeg" ? "image/jpeg" : "image/png";
  const stylized = await canvas.convertToBlob({ type, quality: JPEG_QUALITY });
  return { stylized, device: device(), before, after: [width, height] };
}

// The pixels of a picture file, upright, with a long side of at most `side`, or of the given size.
async function read(file, side, width, height) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new Error("This browser cannot read the picture. JPEG and PNG always work.");
  }
  const before = [picture.width, picture.height];
  const scale = Math.min(1, side / Math.max(...before));
  [width, height] = width ? [width, height] : before.map((all) => Math.max(1, Math.round(all * scale)));
  const content = pixels(picture, width, height);
  picture.close();
  return { content, before };
}

function pixels(picture, width, height) {
  const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, 0, 0, width, height);
  return pen.getImageData(0, 0, width, height);
}

function drawn(content) {
  const canvas = new OffscreenCanvas(content.width, content.height);
  canvas.getContext("2d").putImageData(content, 0, 0);
  return canvas;
}

// What stylize/stylization.py does after the network. painted: RGB; mask: white where it is painted.
function blended(content, painted, strength, colors, mask) {
  const result = new ImageData(content.width, content.height);
  const [from, to] = [content.data, result.data];
  for (let at = 0, of = 0; at < from.length; at += 4, of += 3) {
    const weight = mask ? (strength * mask.data[at]) / 255 : strength;
    let change = 0; // of luma
    for (let c = 0; colors && c < 3; c++) change += LUMA[c] * (painted[of + c] - from[at + c]);
    for (let c = 0; c < 3; c++) {
      const ours = colors ? Math.min(Math.max(from[at + c] + change, 0), 255) : painted[of + c];
      to[at + c] = (1 - weight) * from[at + c] + weight * ours; // rounded to the nearest
    }
    to[at + 3] = from[at + 3];
  }
  return result;
}

async function run(style, { data, width, height }) {
  const rgb = new Uint8Array(3 * width * height);
  for (let at = 0, of = 0; at < data.length; at += 4) {
    for (let c = 0; c < 3; c++) rgb[of++] = data[at + c];
  }
  const pictures = new ort.Tensor("uint8", rgb, [1, height, width, 3]);
  const { stylized } = await withNetwork(style, (network) =>
    network.run({ pictures }).catch((error) => {
      const why = error?.message ?? error; // WebAssembly can throw numbers
      throw new Error(`${width} × ${height} pixels cannot be painted here: ${why}`);
    }),
  );
  return stylized.data;
}

async function withNetwork(style, use) {
  try {
    return await use(await networkOf(style));
  } catch (error) {
    if (!onGpu) throw error;
    [onGpu, loaded] = [false, {}]; // what WebGPU cannot do or has no memory for, the CPU may do
    return withNetwork(style, use);
  }
}

async function networkOf(style) {
  if (loaded.style === style) return loaded.network;
  await loaded.network?.release();
  loaded = {};
  if (onGpu === null) await start();
  const bytes = await unpacked(`networks/${encodeURIComponent(style)}.onnx.gz`);
  const executionProviders = onGpu ? ["webgpu", "wasm"] : ["wasm"];
  const options = { executionProviders, logSeverityLevel: 3 }; // errors
  loaded = { style, network: await ort.InferenceSession.create(bytes, options) };
  return loaded.network;
}

async function start() {
  const { wasm } = ort.env;
  wasm.wasmPaths = { mjs: new URL("onnxruntime/ort-wasm.js", location).href };
  wasm.wasmBinary = await unpacked("onnxruntime/ort-wasm.wasm.gz");
  wasm.numThreads = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
  onGpu = await hasGpu();
}

async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter || adapter.info?.isFallbackAdapter) return false; // that one computes on the CPU, slowly
  const device = await adapter.requestDevice().catch(() => null); // without one, ONNX Runtime hangs
  device?.destroy();
  return !!device;
}

function device() {
  if (onGpu) return "the GPU";
  return ort.env.wasm.numThreads === 1 ? "one thread" : `${ort.env.wasm.numThreads} threads`;
}

async function unpacked(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} cannot be loaded: ${answer.status} ${answer.statusText}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes; // the host said gzip, the browser unpacked
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
