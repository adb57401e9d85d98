// TensorFlow.js bundles that are made for browsers, run in Node on the plain CPU backend.

/** Call before the bundle is imported: it must not take this for Node, whose modules it lacks. */
export function hideNode() {
  Object.defineProperty(process, "versions", { value: { ...process.versions, node: undefined } });
  globalThis.navigator ??= { userAgent: "" };
}

/** Give the bundle's TensorFlow.js the few things that it wants of a platform. */
export async function useCpu(tf) {
  tf.env().setPlatform("plain", {
    isTypedArray: (a) => [Float32Array, Int32Array, Uint8Array, Uint8ClampedArray].some((kind) => a instanceof kind),
    now: () => performance.now(),
    encode: (text) => new TextEncoder().encode(text),
    decode: (bytes) => new TextDecoder().decode(bytes),
    setTimeoutCustom: (call, delay) => setTimeout(call, delay),
  });
  await tf.setBackend("cpu");
}
