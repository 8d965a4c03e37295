/** One DER value: its tag byte, and either what it contains or its content octets (X.690). */
export interface Der {
  readonly tag: number;
  readonly content: Buffer;
  readonly children: readonly Der[];
}

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  version: 0xa0,
  extensions: 0xa3,
} as const;

/** Reads one value that fills the buffer; throws for anything that is not DER. */
export function parseDer(buffer: Buffer): Der {
  const { value, end } = parseAt(buffer, 0);
  if (end !== buffer.length) throw new Error('octets after the value');
  return value;
}

export function encodeDer(value: Der): Buffer {
  return primitive(value.tag, isConstructed(value.tag) ? value.children.map(encodeDer) : [value.content]);
}

/** A value with this tag and content. */
export function der(tag: number, content: Buffer | readonly Der[]): Der {
  return Buffer.isBuffer(content)
    ? { tag, content, children: [] }
    : { tag, content: Buffer.alloc(0), children: content };
}

/** What has to be there. */
export function need<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a part is missing');
  return value;
}

/** An object identifier in dots. */
export function oidOf(value: Der): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const octet of value.content) {
    arc = arc * 128 + (octet & 0x7f);
    if (octet < 0x80) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [first = 0, ...rest] = arcs;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...rest].join('.');
}

function primitive(tag: number, parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), encodeLength(content.length), content]);
}

function encodeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const octets = Buffer.from(length.toString(16).padStart(length < 0x100 ? 2 : 4, '0'), 'hex');
  return Buffer.concat([Buffer.from([0x80 | octets.length]), octets]);
}

function isConstructed(tag: number): boolean {
  return (tag & 0x20) !== 0;
}

function parseAt(buffer: Buffer, start: number): { value: Der; end: number } {
  const tag = buffer.readUInt8(start);
  let offset = start + 2;
  let length = buffer.readUInt8(start + 1);
  if (length >= 0x80) {
    const octets = length & 0x7f;
    length = buffer.readUIntBE(offset, octets);
    offset += octets;
  }
  const end = offset + length;
  if (end > buffer.length) throw new Error('a value is cut short');
  const content = buffer.subarray(offset, end);
  const children: Der[] = [];
  if (isConstructed(tag)) {
    for (let at = offset; at < end;) {
      const child = parseAt(buffer.subarray(0, end), at);
      children.push(child.value);
      at = child.end;
    }
  }
  return { value: { tag, content, children }, end };
}
