import { setTimeout as delay } from 'node:timers/promises';
import {
  nodeDebugService,
  type StreamComponentLogsRequest,
  type StreamComponentLogsResponse,
} from '../gen/hamlet/debug/v1/debug.js';
import { HamletError, isHamletError, messageOf } from '../lib/errors.js';
import type { Positions } from './logs-position.js';
import { streamNode } from './node-client.js';

/** Between two tries to connect again: doubled from the first to the last. */
const firstDelayMs = 250;
const lastDelayMs = 5_000;

/** How often the position is written down. */
const saveMs = 1_000;

export interface StreamOptions {
  readonly endpoint: string;
  readonly request: StreamComponentLogsRequest;
  readonly positions: Positions;
  readonly show: (response: StreamComponentLogsResponse) => Promise<void>;
  /** Something that a person should know, beside the log. */
  readonly note: (text: string) => void;
}

/**
 * Shows a stream to its end. One that follows has none: when the connection is lost, or the node or a part of it is
 * started again, it goes on where it was. Throws HamletError for what another try would not mend, the first one too.
 */
export async function showStream({ endpoint, request, positions, show, note }: StreamOptions): Promise<void> {
  let hasComplained = false;
  const save = (): void => {
    try {
      positions.save();
    } catch (error) {
      // A disk that is full for a while is no reason to show nothing more.
      if (!hasComplained) note(messageOf(error));
      hasComplained = true;
    }
  };
  // Whatever ends the program, and be it the reader of a pipe who goes.
  process.once('exit', save);
  process.once('SIGINT', exitBySignal).once('SIGTERM', exitBySignal);
  const saving = setInterval(save, saveMs);
  let delayMs = firstDelayMs;
  let problem: string | undefined;
  let hasBegun = false;
  try {
    for (;;) {
      try {
        const stream = streamNode(endpoint, nodeDebugService.streamComponentLogs, {
          ...request,
          positions: positions.list,
        });
        for await (const response of stream) {
          if (problem !== undefined) note('connected again');
          hasBegun = true;
          problem = undefined;
          delayMs = firstDelayMs;
          await show(response);
          positions.advance(response);
        }
        if (!request.follow || request.untilMs !== 0) return;
        throw new HamletError('UNAVAILABLE', 'the stream has ended');
      } catch (error) {
        if (!hasBegun || !request.follow || !isPassing(error)) throw error;
        if (problem === undefined) note(`${messageOf(error)}; trying again`);
        problem = messageOf(error);
        await delay(delayMs);
        delayMs = Math.min(2 * delayMs, lastDelayMs);
      }
    }
  } finally {
    clearInterval(saving);
    save();
    process.off('exit', save).off('SIGINT', exitBySignal).off('SIGTERM', exitBySignal);
  }
}

/** Ends the program as the signal would, and in order. */
function exitBySignal(_signal: NodeJS.Signals, number: number): void {
  process.exit(128 + number);
}

/** INTERNAL and CANCELLED are what a connection that breaks makes of a call that was under way. */
function isPassing(error: unknown): boolean {
  return (['UNAVAILABLE', 'CANCELLED', 'INTERNAL', 'UNKNOWN', 'RESOURCE_EXHAUSTED'] as const).some((code) =>
    isHamletError(error, code),
  );
}
