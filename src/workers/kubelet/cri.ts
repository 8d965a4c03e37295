import { ProtoReader } from '../../lib/protobuf.js';
import { probeGrpc } from './probes.js';

/** A field with a length, as the tag on the wire has it. */
const delimited = (field: number): number => field * 8 + 2;
const varint = (field: number): number => field * 8;

/**
 * Makes one of CRI's calls that need no request. containerd up to 1.5 has only the older name of the same messages.
 * Throws as probeGrpc() does.
 */
export async function callCri(socket: string, method: string, signal: AbortSignal): Promise<Buffer> {
  try {
    return await probeGrpc(socket, `/runtime.v1.${method}`, signal);
  } catch (error) {
    if (!String(error).includes('status 12')) throw error;
    return probeGrpc(socket, `/runtime.v1alpha2.${method}`, signal);
  }
}

interface Condition {
  readonly type: string;
  readonly holds: boolean;
  readonly why: string;
}

/**
 * Reads the little of CRI's StatusResponse that a probe needs
 * (https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto): field 1 is the status, whose
 * field 1 is a repeated condition. Gives back why the condition does not hold, or undefined when it does.
 * Throws INVALID_ARGUMENT for what is no such message.
 */
export function notReady(response: Uint8Array, conditionType: string): string | undefined {
  const conditions = messages(response).flatMap((status) => messages(status).map(readCondition));
  const condition = conditions.find(({ type }) => type === conditionType);
  if (condition === undefined) return `the runtime's status has no ${conditionType}`;
  return condition.holds ? undefined : `${conditionType} is false: ${condition.why}`.replace(/: $/, '');
}

/**
 * The names of all images in CRI's ListImagesResponse: field 1 is a repeated image, whose field 2 is its repeated tag.
 * Throws INVALID_ARGUMENT for what is no such message.
 */
export function imageTags(response: Uint8Array): string[] {
  return messages(response).flatMap((image) => messages(image, 2).map((tag) => Buffer.from(tag).toString()));
}

/** Everything in a field of a message. */
function messages(bytes: Uint8Array, field = 1): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    if (reader.tag === delimited(field)) found.push(reader.bytes());
    else reader.skip();
  }
  return found;
}

function readCondition(bytes: Uint8Array): Condition {
  // What is false or empty is not on the wire.
  let [type, holds, reason, message] = ['', false, '', ''];
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case delimited(1):
        type = reader.string();
        break;
      case varint(2):
        holds = reader.bool();
        break;
      case delimited(3):
        reason = reader.string();
        break;
      case delimited(4):
        message = reader.string();
        break;
      default:
        reader.skip();
    }
  }
  return { type, holds, why: `${reason} ${message}`.trim() };
}
