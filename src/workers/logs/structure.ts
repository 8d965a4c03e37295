import type { Severity } from '../../ipc/services/logs.js';

/** What a line says of itself. */
export interface Structure {
  readonly severity: Severity | null;
  /** Milliseconds since the epoch. */
  readonly writtenAtMs: number | null;
  /** The place in the source, "reflector.go:178"; '' when it is not told. */
  readonly place: string;
  /** The component or object whose change of state or treatment the line tells; '' for any other line. */
  readonly subject: string;
}

const nothing: Structure = { severity: null, writtenAtMs: null, place: '', subject: '' };

/** "I0102 15:04:05.678901    1234 reflector.go:178] ..." (klog's header: no year, local time). */
const klog = /^([IWEF])(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{3})\d{3} +\d+ ([^\s:\]]+:\d+)\]/;
const klogSeverities = { I: 'info', W: 'warn', E: 'error', F: 'fatal' } as const;

/** A file and a line, and nothing that could pass for another line or steer a terminal: it is printed beside the line. */
const placePattern = /^[\w./@+-]+:\d+$/;

/** `time="2024-01-02T15:04:05.678901234Z" level=info msg=...` (logrus, as containerd has it). */
const logfmt = /^time="([^"]+)" level=([a-z]+) /;

/** The words of zap and logrus; zap's "dpanic" is an error that would be a panic under development. */
const words = new Map<string, Severity>([
  ['trace', 'trace'],
  ['debug', 'debug'],
  ['info', 'info'],
  ['warn', 'warn'],
  ['warning', 'warn'],
  ['error', 'error'],
  ['dpanic', 'error'],
  ['panic', 'fatal'],
  ['fatal', 'fatal'],
]);

/** What the Go runtime writes when a program dies of itself. */
const death = /^(?:panic: |fatal error: |runtime: out of memory)/;

/**
 * Reads what a line says of itself, in any of the formats that a node's components use. A line that is in none of
 * them is a line like any other, with nothing known. `atMs` is when it arrived: klog leaves the year out.
 */
export function structureOf(line: string, atMs: number): Structure {
  switch (line.charAt(0)) {
    case '{':
      return ofJson(line);
    case 't':
      return ofLogfmt(line);
    case 'I':
    case 'W':
    case 'E':
    case 'F':
      return ofKlog(line, atMs);
    default:
      return death.test(line) ? { ...nothing, severity: 'fatal' } : nothing;
  }
}

function ofKlog(line: string, atMs: number): Structure {
  const match = klog.exec(line);
  if (match === null) return nothing;
  const [, letter, month, day, hour, minute, second, ms, place] = match;
  const arrival = new Date(atMs);
  let writtenAtMs: number | null = null;
  // On the last day of December a line may arrive in January, and a clock that is behind makes it the other way.
  for (const year of [arrival.getFullYear() - 1, arrival.getFullYear(), arrival.getFullYear() + 1]) {
    const date = new Date(year, Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
    // There is a 29 February in some years only, and no 31 June in any.
    if (date.getDate() !== Number(day) || date.getMonth() !== Number(month) - 1) continue;
    const candidate = date.getTime() + Number(ms);
    if (writtenAtMs === null || Math.abs(candidate - atMs) < Math.abs(writtenAtMs - atMs)) {
      writtenAtMs = candidate;
    }
  }
  const severity = klogSeverities[letter as keyof typeof klogSeverities];
  return { severity, writtenAtMs, place: placeOf(place), subject: '' };
}

function ofLogfmt(line: string): Structure {
  const match = logfmt.exec(line);
  if (match === null) return nothing;
  const [, time = '', level = ''] = match;
  return { severity: words.get(level) ?? null, writtenAtMs: timeOf(time), place: '', subject: '' };
}

/** zap, as etcd has it, with a word for its level; or pino, as Hamlet has it, with a number. */
function ofJson(line: string): Structure {
  let fields: Record<string, unknown>;
  try {
    // What begins with a brace and can be read is an object.
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return nothing;
  }
  const { level, ts, time, caller } = fields;
  const place = placeOf(caller);
  if (typeof level === 'string') {
    return { severity: words.get(level) ?? null, writtenAtMs: timeOf(ts), place, subject: '' };
  }
  if (typeof level !== 'number') return nothing;
  return { severity: ofPino(level), writtenAtMs: timeOf(time), place, subject: subjectOf(fields) };
}

/** Empty for what is no place, such as klog's "???:1". */
function placeOf(value: unknown): string {
  return typeof value === 'string' && placePattern.test(value) ? value : '';
}

/** pino's levels are 10, 20, ... 60, and whoever wants may have others between. */
function ofPino(level: number): Severity {
  if (level >= 60) return 'fatal';
  if (level >= 50) return 'error';
  if (level >= 40) return 'warn';
  if (level >= 30) return 'info';
  return level >= 20 ? 'debug' : 'trace';
}

/** The latest time that a Date can hold (ECMA-262, 21.4.1.1). */
const maxTimeMs = 8.64e15;

/** ISO 8601 in the forms that Go writes ("+0000" among them), seconds as zap counts them, or pino's milliseconds. */
function timeOf(value: unknown): number | null {
  let ms = NaN;
  // 10^11 seconds are the year 5138, 10^11 milliseconds are 1973.
  if (typeof value === 'number') ms = Math.round(value < 1e11 ? value * 1_000 : value);
  else if (typeof value === 'string') ms = Date.parse(value.replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
  // Whoever prints it must not stumble over what a component thinks is a time.
  return ms > 0 && ms <= maxTimeMs ? ms : null;
}

/**
 * Hamlet's own records of the tree (`state`, or `cause` of a failure, of a `component` or `worker`) and of the
 * reconciler (an action on an `object`).
 */
function subjectOf(fields: Record<string, unknown>): string {
  const { component, worker, object, state, cause } = fields;
  if (typeof object === 'string') return object;
  if (state === undefined && cause === undefined) return '';
  if (typeof worker === 'string') return `hamlet.${worker}`;
  return typeof component === 'string' ? component : '';
}
