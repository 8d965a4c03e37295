import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { LogNode } from '../../test/mesh/fixtures/log-node.js';

const lines = 5_000;
/** Of each line, newline included. */
const lineBytes = 200;

/** How many bytes of memory somebody takes for each byte of the lines. */
export interface Memory {
  readonly name: string;
  readonly perByte: number;
}

const writer = `yes ${'x'.repeat(lineBytes - 1)} | head -n ${lines}`;

/** What of the heap, and beside it, is still in use for the lines of stdin that `take` puts into `kept`. */
const program = (take: string): string => `
  const inUse = () => {
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const kept = [];
  const source = ${take};
  const before = inUse();
  source.on('data', (line) => kept.push(line)).on('line', (line) => kept.push(line));
  process.stdin.once('end', () => setImmediate(() => {
    const bytes = inUse() - before;
    process.stdout.write(JSON.stringify({ bytes, lines: kept.length }));
  }));`;

const programs: readonly (readonly [string, string])[] = [
  ['readline', program(`require('node:readline').createInterface({ input: process.stdin })`)],
  [
    'split2',
    program(
      `process.stdin.pipe(require(${JSON.stringify(createRequire(import.meta.url).resolve('split2'))})())`,
    ),
  ],
];

/** The last 5,000 lines of 200 bytes in Hamlet's ring, and in arrays of what readline and split2 make of them. */
export async function memoryOfLines(): Promise<Memory[]> {
  const found = [{ name: 'hamlet', perByte: await ofHamlet() }];
  for (const [name, source] of programs) found.push({ name, perByte: await ofProgram(name, source) });
  return found;
}

async function ofHamlet(): Promise<number> {
  await using node = await LogNode.start({ components: ['etcd'] });
  await node.run('etcd', 1, ['sh', '-c', writer]);
  const { rings } = await node.logs.stats({});
  return (rings[0]?.bytes ?? NaN) / (lines * lineBytes);
}

async function ofProgram(name: string, source: string): Promise<number> {
  const script = `${writer} | "$0" --expose-gc -e "$1"`;
  const child = spawn('sh', ['-c', script, process.execPath, source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  await once(child, 'close');
  const result = JSON.parse(text) as { readonly bytes: number; readonly lines: number };
  if (result.lines !== lines) throw new Error(`${name} has ${result.lines} lines`);
  return result.bytes / (lines * lineBytes);
}
