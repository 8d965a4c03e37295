/** The bytes of words, where they lie. */
export function bytesOf({ buffer, byteOffset, byteLength }: Readonly<Uint32Array>): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/**
 * Copies all of `source` into `target`, to `at` and behind; they do not overlap. To or from shared memory this is two to
 * three times as fast as TypedArray.set(), for which V8 copies word by word there, so that no word is ever seen half
 * written. Nobody reads here what has not been published yet.
 */
export function copyBytes(target: Buffer, at: number, source: Uint8Array): void {
  // Node takes an empty value for a mistake.
  if (source.length > 0) target.fill(source, at, at + source.length);
}
