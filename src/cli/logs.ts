import { nodeDebugService, type StreamComponentLogsRequest } from '../gen/hamlet/debug/v1/debug.js';
import { logNames } from '../lib/names.js';
import { UsageError, choice, commonOptions, endpointFrom, parse, type Parsed } from './arguments.js';
import type { Command } from './command.js';
import { formatRecord, formats, type FormatOptions } from './logs-format.js';
import { Positions } from './logs-position.js';
import { showStream } from './logs-stream.js';
import { callNode } from './node-client.js';
import { print, withoutControls } from './output.js';

const newline = Buffer.from('\n');
const severities = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

const logOptions = {
  ...commonOptions,
  tail: { short: 'n', takes: 'N' },
  follow: { short: 'f' },
  since: { takes: 'TIME' },
  until: { takes: 'TIME' },
  level: { takes: 'LEVEL' },
  grep: { takes: 'PATTERN' },
  run: { takes: 'N' },
  previous: {},
  events: {},
  output: { short: 'o', takes: 'FORMAT' },
  resume: { takes: 'FILE' },
} as const;
type Options = Parsed<typeof logOptions>['options'];

export const logs: Command = {
  name: 'logs',
  synopsis: 'logs [-f] COMPONENT...',
  summary: "print components' logs",
  help: `Print what components have written, oldest line first; of several, in the order of arrival.

Usage: dbg logs [OPTIONS] COMPONENT...

Options:
  -n, --tail N               only the last N lines (default: all that are in memory; with -f also 0)
  -f, --follow               go on with what is written from now on, also when the node was started again
      --since TIME           only what arrived since: a time as 2024-01-31T12:00:00Z, or how long ago as 90s, 5m, 2h, 1d
      --until TIME           only what arrived until then
      --level LEVEL          only what is at least trace, debug, info, warn, error or fatal; plain lines are info
      --grep PATTERN         only lines that this regular expression matches
      --run N                only the component's Nth start
      --previous             only the start before the latest one; this, --since and --run read from disk as well
      --events               also what Hamlet did to the components and how their state changed
  -o, --output FORMAT        short (default): the line as it is; full: with time, number, run, severity; json
      --resume FILE          go on where the last time has ended, and save in FILE where this one ends
      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Components:
  ${logNames.join('\n  ')}
  kube, hamlet.* and the like for all whose name goes on behind the dot

Examples:
  dbg logs containerd
  dbg logs --tail 5 kube.apiserver
  dbg logs etcd | grep -i slow
  dbg logs -f --level warn kube etcd
  dbg logs --previous -o full kube.kubelet
`,

  async run(args, context) {
    const { options, words } = parse(args, logOptions);
    if (options.help !== undefined) {
      await print(logs.help);
      return 0;
    }
    if (words.length === 0 || words.includes('')) {
      throw new UsageError(`say which component's log you want: ${logNames.join(', ')}`);
    }
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const request = streamRequest(options, words);
    const terminal = process.stdout.isTTY;
    const coloured = terminal && hasColours(process.env);
    if (isPlain(options, words) && request.tailLines <= heldLines && !coloured) {
      await showTail(endpoint, words[0] ?? '', request.tailLines);
    } else {
      await showRecords(endpoint, options, request, { terminal, coloured });
    }
    return 0;
  },
};

const isSubtree = (word: string): boolean =>
  word.endsWith('.*') || (!logNames.includes(word) && logNames.some((name) => name.startsWith(`${word}.`)));

/** So many lines a node has in memory of each log; older ones only the stream reads, from disk. */
const heldLines = 5_000;

/** https://no-color.org */
const hasColours = ({ NO_COLOR: noColour = '', TERM: kind }: NodeJS.ProcessEnv): boolean =>
  noColour === '' && kind !== 'dumb';

/** The end of one log as it is: one answer of one call, the fastest way. It tells no severity to colour a line by. */
function isPlain(options: Options, words: readonly string[]): boolean {
  const rest = Object.keys(options).filter((name) => !['tail', 'endpoint'].includes(name));
  return rest.length === 0 && words.length === 1 && !words.some(isSubtree);
}

async function showTail(endpoint: string, component: string, tailLines: number): Promise<void> {
  const { lines } = await callNode(endpoint, nodeDebugService.getComponentLogs, {
    componentPath: [component],
    tailLines,
  });
  const text = Buffer.concat(lines.flatMap((line) => [line, newline]));
  await print(process.stdout.isTTY ? withoutControls(text.toString()) : text);
}

async function showRecords(
  endpoint: string,
  options: Options,
  request: StreamComponentLogsRequest,
  { terminal, coloured }: Pick<FormatOptions, 'terminal' | 'coloured'>,
): Promise<void> {
  const { components, events } = request;
  const format: FormatOptions = {
    format: choice('--output', options.output ?? 'short', formats),
    named: events || components.length > 1 || components.some(isSubtree),
    terminal,
    coloured,
  };
  await showStream({
    endpoint,
    request,
    positions: new Positions(options.resume),
    show: async ({ records }) => {
      if (records.length > 0)
        await print(Buffer.concat(records.map((record) => formatRecord(record, format))));
    },
    note: (text) => console.error(`dbg: ${withoutControls(text)}`),
  });
}

function streamRequest(options: Options, components: readonly string[]): StreamComponentLogsRequest {
  const follow = options.follow !== undefined;
  const previous = options.previous !== undefined;
  if (previous && options.run !== undefined) throw new UsageError('either --run or --previous, not both');
  if (previous && follow) throw new UsageError('nothing more comes of the --previous run: -f makes no sense');
  const grep = options.grep ?? '';
  return {
    components: [...components],
    follow,
    tailLines: options.tail === undefined ? 0 : tailLines(options.tail, follow),
    positions: [],
    ends: [],
    sinceMs: options.since === undefined ? 0 : timeFrom('--since', options.since),
    untilMs: options.until === undefined ? 0 : timeFrom('--until', options.until),
    minSeverity: options.level === undefined ? '' : choice('--level', options.level, severities),
    text: '',
    pattern: grep,
    run: options.run === undefined ? 0 : wholeNumber('--run', options.run),
    previous,
    events: options.events !== undefined,
  };
}

/** gRPC carries the numbers as an int32. */
const maxNumber = 2 ** 31 - 1;

function tailLines(value: string, follow: boolean): number {
  if (follow && value === '0') return -1;
  const lines = Number(value);
  if (!/^\d+$/.test(value) || lines < 1 || lines > maxNumber) {
    throw new UsageError(`"${value}" is no number of lines: --tail takes a whole number from 1 on`);
  }
  return lines;
}

function wholeNumber(option: string, value: string): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < 1 || number > maxNumber) {
    throw new UsageError(`${option} takes a whole number from 1 on, not "${value}"`);
  }
  return number;
}

const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** "5m" is five minutes ago; anything else is a time as Date.parse() reads it. Gives milliseconds since the epoch. */
function timeFrom(option: string, value: string): number {
  const [, number, unit = ''] = /^(\d{1,9})([smhd])$/.exec(value) ?? [];
  const ms = number === undefined ? Date.parse(value) : Date.now() - Number(number) * (unitMs[unit] ?? 0);
  if (!(ms > 0)) throw new UsageError(`${option} takes a time as 2024-01-31T12:00:00Z or 5m, not "${value}"`);
  return Math.floor(ms);
}
