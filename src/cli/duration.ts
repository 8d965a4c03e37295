import { UsageError } from './arguments.js';

const unitSeconds = { s: 1, m: 60, h: 3_600 } as const;

/** Seconds of a duration such as 90s, 15m or 12h. Throws UsageError for anything else. */
export function secondsFrom(option: string, text: string): number {
  const match = /^([1-9]\d{0,6})([smh])$/.exec(text);
  if (match === null)
    throw new UsageError(`"${text}" is no duration: ${option} takes one such as 90s, 15m or 12h`);
  return Number(match[1]) * unitSeconds[match[2] as keyof typeof unitSeconds];
}
