import { isUtf8 } from 'node:buffer';
import type { LogRecord } from '../gen/hamlet/debug/v1/debug.js';
import { fieldText, jsonText, withoutControls } from './output.js';

export const formats = ['short', 'full', 'json'] as const;
export type Format = (typeof formats)[number];

export interface FormatOptions {
  readonly format: Format;
  /** Whether each line says whose it is, in the short format. */
  readonly named: boolean;
  /** Whether it is shown on a terminal: then it must not steer it, and may have colours. */
  readonly terminal: boolean;
  readonly coloured: boolean;
}

const newline = Buffer.from('\n');

/** SGR codes (ECMA-48, 8.3.117): red, bold red, yellow, faint. */
const colours: Readonly<Record<string, string>> = {
  error: '31',
  fatal: '1;31',
  warn: '33',
  debug: '2',
  trace: '2',
};

/** The text of one record, with its newline. Off a terminal the line's own bytes are kept as they are. */
export function formatRecord(record: LogRecord, options: FormatOptions): Uint8Array {
  const { format, named, terminal, coloured } = options;
  if (format === 'json') return Buffer.from(`${jsonText(asJson(record))}\n`);
  // What Hamlet says of a line may not be taken for a line, not even off a terminal.
  const prefix = fieldText(
    format === 'full' ? `${fullPrefix(record)} ` : named ? `${record.component} ` : '',
  );
  const data = record.gap === undefined ? record.data : Buffer.from(gapText(record));
  if (!terminal) return Buffer.concat([Buffer.from(prefix), data, newline]);
  const text = prefix + withoutControls(Buffer.from(data).toString());
  const colour = coloured ? colours[record.gap === undefined ? record.severity : 'warn'] : undefined;
  return Buffer.from(colour === undefined ? `${text}\n` : `\x1b[${colour}m${text}\x1b[0m\n`);
}

function fullPrefix(record: LogRecord): string {
  const { component, sequence, atMs, run, source, severity, place, gap } = record;
  if (gap !== undefined) return `- ${component} ${sequence}`;
  const words = [
    new Date(atMs).toISOString(),
    component,
    sequence,
    `run ${run}`,
    source,
    severity || '-',
    place || '-',
  ];
  return `${words.join(' ')} |`;
}

function gapText({ component, gap }: LogRecord): string {
  const name = fieldText(component);
  if (gap === undefined || gap.lines < 0) {
    return `--- lines of ${name} may be missing here: Hamlet was killed, or the machine went down ---`;
  }
  const { lines } = gap;
  const what = lines === 1 ? `1 line of ${name} is` : `${lines} lines of ${name} are`;
  return `--- ${what} missing here: no longer in memory, and not on disk ---`;
}

function asJson(record: LogRecord): object {
  const { component, sequence, atMs, monotonicUs, run, source } = record;
  const { data, trueBytes, severity, writtenAtMs, place, subject } = record;
  if (record.gap !== undefined) {
    const { next, lines } = record.gap;
    return { kind: 'gap', component, from: sequence, to: next, lines: lines < 0 ? null : lines };
  }
  return {
    kind: subject === '' ? 'line' : 'event',
    component,
    sequence,
    at: new Date(atMs).toISOString(),
    monotonicUs,
    run,
    source,
    ...(severity !== '' && { severity }),
    ...(writtenAtMs !== 0 && { writtenAt: new Date(writtenAtMs).toISOString() }),
    ...(place !== '' && { place }),
    ...(subject !== '' && { subject }),
    ...(trueBytes > data.length && { trueBytes }),
    line: Buffer.from(data).toString(),
    // What is not UTF-8 cannot be in JSON.
    ...(!isUtf8(data) && { base64: Buffer.from(data).toString('base64') }),
  };
}
