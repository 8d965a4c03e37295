import { errnoOf } from '../lib/errors.js';

/**
 * Writes to stdout and waits until it is written. Whoever stops reading early (`dbg logs etcd | head`) has what they
 * wanted: the program then ends quietly.
 */
export async function print(data: string | Uint8Array): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      // The listener takes the event that accompanies a failed write and would otherwise be uncaught.
      process.stdout.once('error', reject);
      process.stdout.write(data, (error) => {
        if (error !== null && error !== undefined) return reject(error);
        process.stdout.off('error', reject);
        resolve();
      });
    });
  } catch (error) {
    if (errnoOf(error) === 'EPIPE') process.exit(0);
    throw error;
  }
}

/** Rows as aligned columns, two spaces apart, each row ending in a newline. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows
    .map(
      (row) =>
        row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd() + '\n',
    )
    .join('');
}

/** "45s", "3m20s", "5h12m", "2d4h": how long ago something was, in the way kubectl writes it. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const [minutes, hours, days] = [
    Math.floor(seconds / 60),
    Math.floor(seconds / 3_600),
    Math.floor(seconds / 86_400),
  ];
  if (minutes === 0) return `${seconds}s`;
  if (hours === 0) return `${minutes}m${seconds % 60}s`;
  if (days === 0) return `${hours}h${minutes % 60}m`;
  return `${days}d${hours % 24}h`;
}

/** Text with its control characters made visible: a log line must not be able to steer the terminal. */
export function withoutControls(text: string): string {
  // eslint-disable-next-line no-control-regex -- finding them is the purpose
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (control) => {
    return `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

/** The same for a field of a line of text: it may not end the line either. */
export function fieldText(text: string): string {
  return withoutControls(text).replaceAll('\t', '\\x09').replaceAll('\n', '\\x0a');
}

/**
 * JSON on one line, or indented. JSON itself lets DEL and the C1 controls pass, by which a terminal can be steered: they
 * are escaped, and whoever parses it gets the same.
 */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(/[\x7f-\x9f]/g, (control) => {
    return `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
