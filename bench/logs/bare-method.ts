/** A method whose messages are plain bytes. */
export const path = '/bench.Bare/Stream';
export const pass = (bytes: Buffer): Buffer => bytes;
