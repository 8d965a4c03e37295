/**
 * Reads the little of CRI's StatusResponse that a probe needs, from protobuf's wire format
 * (https://protobuf.dev/programming-guides/encoding/): field 1 of the response is the status, whose field 1 is a
 * repeated condition of type (1), status (2), reason (3) and message (4).
 * Gives back why the condition does not hold, or undefined when it does.
 */
export function notReady(response: Buffer, conditionType: string): string | undefined {
  for (const status of fields(response, 1)) {
    if (!Buffer.isBuffer(status)) continue;
    for (const condition of fields(status, 1)) {
      if (!Buffer.isBuffer(condition) || text(condition, 1) !== conditionType) continue;
      // A field that is false is not on the wire.
      if ([...fields(condition, 2)].includes(1)) return undefined;
      return `${conditionType} is false: ${text(condition, 3)} ${text(condition, 4)}`.trim();
    }
  }
  return `the runtime's status has no ${conditionType}`;
}

function text(message: Buffer, field: number): string {
  const [value] = fields(message, field);
  return Buffer.isBuffer(value) ? value.toString('utf8') : '';
}

/** The values of one field: numbers for varints, bytes for what has a length. Ends at anything it cannot read. */
function* fields(message: Buffer, wanted: number): Generator<number | Buffer, void, undefined> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; at < message.length; shift += 7) {
      const byte = message[at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < message.length) {
    const tag = varint();
    const type = tag & 7;
    if (type !== 0 && type !== 2) return;
    const number = varint();
    const value = type === 0 ? number : message.subarray(at, at + number);
    if (type === 2) at += number;
    if (tag >> 3 === wanted) yield value;
  }
}
