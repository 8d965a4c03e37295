import { pino } from 'pino';
import { PipeWriter } from './pipe-writer.js';

export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** A message, or fields and a message; an Error goes into the field `err`. */
export interface LogMethod {
  (message: string): void;
  (fields: object, message?: string): void;
}

/** The part of a pino logger that Hamlet uses. */
export type Log = Readonly<Record<'debug' | 'info' | 'warn' | 'error' | 'fatal', LogMethod>>;

/**
 * Hamlet's own log, one JSON object a line, into the non-blocking pipe `fd`. Never waits for a reader: what finds no
 * room is dropped, and a later line says how much that was.
 */
export function createLog(name: string, fd: number, level: Level = 'info'): pino.Logger {
  const writer = new PipeWriter({
    fd,
    describeDropped: (dropped) =>
      `${JSON.stringify({
        level: 40,
        time: Date.now(),
        name,
        dropped,
        msg: `${dropped} lines were dropped here: nobody read this log`,
      })}\n`,
  });
  return pino({ level, base: { name } }, writer);
}
