import { once } from 'node:events';
import { HamletError } from '../../lib/errors.js';

/** Throws FAILED_PRECONDITION when there is nobody to ask. */
export function requireTerminal(): void {
  if (process.stdin.isTTY) return;
  throw new HamletError(
    'FAILED_PRECONDITION',
    'a reset asks before it takes anything away, and there is no terminal to ask on; "hamlet reset --yes" does not ask',
  );
}

/**
 * Asks a person on the terminal. Any answer but a clear yes is a no.
 * Throws ABORTED for a no, at the end of the input, and when the signal is aborted.
 */
export async function confirm(question: string, signal: AbortSignal): Promise<void> {
  process.stdout.write(`${question} [y/N] `);
  const answer = await readLine(signal);
  if (answer === undefined) process.stdout.write('\n');
  if (!/^y(es)?$/i.test(answer ?? '')) throw new HamletError('ABORTED', 'nothing was taken away');
}

async function readLine(signal: AbortSignal): Promise<string | undefined> {
  const { stdin } = process;
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  try {
    // A terminal hands its input over line by line.
    const line = once(stdin, 'data', { signal: either }) as Promise<Buffer[]>;
    const end = once(stdin, 'end', { signal: either }).then((): Buffer[] => []);
    return (await Promise.race([line, end]))[0]?.toString().trim();
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    over.abort();
    stdin.pause();
  }
}
