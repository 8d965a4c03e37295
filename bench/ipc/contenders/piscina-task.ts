import type { Message } from '../contender.js';
import { blobOf } from './service.js';

export function echo(message: Message): Message {
  return message;
}

export function blob(bytes: number): Uint8Array {
  return blobOf(bytes);
}
