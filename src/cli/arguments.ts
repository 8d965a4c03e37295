import { accessSync, constants } from 'node:fs';
import { parseArgs } from 'node:util';

/** Wrong usage: exit code 2, and where to read how it is used. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface OptionSpec {
  readonly short?: string;
  /** What the value is called in messages ("N"); an option without it is a flag. */
  readonly takes?: string;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

export interface Parsed<S extends OptionSpecs> {
  /** The value of each option that was given, '' for a flag. Of a repeated option the last one counts. */
  readonly options: Partial<Record<keyof S, string>>;
  readonly words: readonly string[];
}

/** Splits arguments into options and words; everything after `--` is a word. Throws UsageError. */
export function parse<const S extends OptionSpecs>(args: readonly string[], specs: S): Parsed<S> {
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      Object.entries(specs).map(([name, { short, takes }]) => [
        name,
        { type: takes === undefined ? 'boolean' : 'string', ...(short === undefined ? {} : { short }) },
      ]),
    ),
    allowPositionals: true,
    // Node's own messages speak of "arguments that are ambiguous"; the checks are made here instead.
    strict: false,
    tokens: true,
  });
  const options: Partial<Record<string, string>> = {};
  const words: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const { name, rawName, value } = token;
    const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
    if (spec === undefined) throw new UsageError(`there is no option ${rawName}`);
    if (spec.takes === undefined && value !== undefined) throw new UsageError(`${rawName} takes no value`);
    if (spec.takes !== undefined && (value === undefined || value === '')) {
      throw new UsageError(`${rawName} needs a value: ${rawName} ${spec.takes}`);
    }
    options[name] = value ?? '';
  }
  return { options: options as Partial<Record<keyof S, string>>, words };
}

/** The options that every command has, `kubectl` apart. */
export const commonOptions = {
  endpoint: { takes: 'HOST:PORT' },
  help: { short: 'h' },
} as const satisfies OptionSpecs;

/** Names the file with the client certificate, for a node on another machine. */
export const certificateVariable = 'DBG_CERT';

/** The file itself, if one was named. */
export function certificateFile(): string | undefined {
  const file = process.env[certificateVariable] ?? '';
  return file === '' ? undefined : file;
}

const defaultHost = '127.0.0.1';
/** The debug API's port unless the node's configuration says otherwise, and the one for other machines. */
const defaultPort = 7837;
const defaultRemotePort = 7838;

/** Where the node is when nothing says otherwise: its socket if this user may open it, else its port. */
export const defaultEndpoint = `${defaultHost}:${defaultPort}`;
export const defaultSocket = '/run/hamlet/debug.sock';

/** The endpoint to ask when nobody has named one. */
export function usualEndpoint(): string {
  try {
    accessSync(defaultSocket, constants.R_OK | constants.W_OK);
    return `unix:${defaultSocket}`;
  } catch {
    return defaultEndpoint;
  }
}

/**
 * Completes and checks what --endpoint or DBG_ENDPOINT says: HOST, HOST:PORT, :PORT, or a Unix socket as an absolute
 * path with or without `unix:` before it. Throws UsageError.
 */
export function endpointFrom(given: string): string {
  const socket = /^(?:unix:)?(\/.+)$/.exec(given)?.[1];
  if (socket !== undefined) return `unix:${socket}`;
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:/[\]\s]*)(?::(\d{1,5}))?$/.exec(given);
  const port = Number(match?.[2] ?? (certificateFile() === undefined ? defaultPort : defaultRemotePort));
  if (match === null || given === '' || port < 1 || port > 65_535) {
    throw new UsageError(
      `"${given}" is no endpoint: it has to be HOST:PORT, such as ${defaultEndpoint}, or a socket's path`,
    );
  }
  return `${match[1] === '' || match[1] === undefined ? defaultHost : match[1]}:${port}`;
}

/** One of `choices`, or a UsageError that lists them. */
export function choice<T extends string>(option: string, value: string, choices: readonly T[]): T {
  const found = choices.find((candidate) => candidate === value);
  if (found === undefined) {
    throw new UsageError(`"${value}" is none of the values of ${option}: ${choices.join(', ')}`);
  }
  return found;
}
