/**
 * WebAssembly written by hand, for the two loops in which V8 does with one byte what the processor can do with sixteen.
 * The binary format and the numbers of the instructions: https://webassembly.github.io/spec/core/binary/
 */

/** As much of WebAssembly's interface as is used here: TypeScript has it only together with the DOM. */
interface WebAssembly {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: Loaded };
}
const { WebAssembly } = globalThis as unknown as { readonly WebAssembly?: WebAssembly };

/** A number of 32 bits, and one of 128 that the processor takes as several. */
export const type = { i32: 0x7f, v128: 0x7b } as const;

/** Instructions without an operand, and those of i32. */
export const op = {
  end: 0x0b,
  isZero: 0x45,
  atLeast: 0x4f,
  trailingZeros: 0x68,
  add: 0x6a,
  subtract: 0x6b,
  and: 0x71,
  shiftRight: 0x76,
} as const;

const noResult = 0x40;
export const block = [0x02, noResult] as const;
export const loop = [0x03, noResult] as const;
/** Out of the block around the loop, if what was computed last is not zero. */
export const leaveIf = [0x0d, 1] as const;
export const again = [0x0c, 0] as const;

/** The parameter is variable 0. */
export const get = (variable: number): number[] => [0x20, variable];
export const set = (variable: number): number[] => [0x21, variable];

/** A number that is not negative. */
export const number = (value: number): number[] => [0x41, ...leb128(value, 0x40)];

/** An instruction of the 128 bits, by its number. */
export const simd = (instruction: number): number[] => [0xfd, ...leb128(instruction)];

/** What those that read and write memory are followed by: they may take an address to be aligned so (a power of 2). */
export const aligned = (power: number): number[] => [power, 0];

/** Base-128 in little-endian order, for a signed number one more byte where the sign would be taken from `signBit`. */
function leb128(value: number, signBit = 0): number[] {
  const low = value & 0x7f;
  const rest = value >>> 7;
  return rest === 0 && (low & signBit) === 0 ? [low] : [low | 0x80, ...leb128(rest, signBit)];
}

/** One function of an i32, and the memory that it works on. */
export interface Program {
  /** Units of 64 KiB. */
  readonly pages: number;
  /** The types of its variables from number 1 on. */
  readonly variables: readonly number[];
  readonly code: readonly number[];
}

interface Loaded {
  readonly memory: { readonly buffer: ArrayBuffer };
  /** Gives the i32 that the code leaves. */
  readonly run: (parameter: number) => number;
}

const section = (id: number, ...content: readonly number[]): number[] => [
  id,
  ...leb128(content.length),
  ...content,
];
const text = (string: string): number[] => [string.length, ...Buffer.from(string)];

/** Undefined where the processor or a setting of V8 does not allow it. */
export function load({ pages, variables, code }: Program): Loaded | undefined {
  const body = [variables.length, ...variables.flatMap((variable) => [1, variable]), ...code, op.end];
  const bytes = Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 1, type.i32, 1, type.i32),
    ...section(3, 1, 0),
    ...section(5, 1, 0, pages),
    ...section(7, 2, ...text('memory'), 2, 0, ...text('run'), 0, 0),
    ...section(10, 1, ...leb128(body.length), ...body),
  ]);
  if (WebAssembly?.validate(bytes) !== true) return undefined;
  return new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
}
