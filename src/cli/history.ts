import { nodeDebugService, type Restart } from '../gen/hamlet/debug/v1/debug.js';
import { formatDuration } from '../lib/time.js';
import { UsageError, choice, commonOptions, endpointFrom, parse } from './arguments.js';
import type { Command } from './command.js';
import { callNode } from './node-client.js';
import { formatAge, jsonText, print, table, withoutControls } from './output.js';

export const history: Command = {
  name: 'history',
  synopsis: 'history [NAME]',
  summary: 'tell what ended on the node, why, and how it came back',
  help: `Tell what ended on the node and was started again: why, what it took with it, and how it came back.

Usage: dbg history [--tail N] [-o text|json] [NAME]

With a name, of a component or a part of Hamlet: only its own, each with the last lines that it wrote.

Options:
  -n, --tail N               the last N (default: all that the node keeps)
  -o, --output FORMAT        text (default) or json
      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Examples:
  dbg history
  dbg history kube.apiserver
  dbg history --tail 5 -o json
`,

  async run(args, context) {
    const { options, words } = parse(args, {
      ...commonOptions,
      output: { short: 'o', takes: 'FORMAT' },
      tail: { short: 'n', takes: 'N' },
    });
    if (options.help !== undefined) {
      await print(history.help);
      return 0;
    }
    if (words.length > 1) throw new UsageError('one name at a time, or none for all');
    const format = choice('--output', options.output ?? 'text', ['text', 'json']);
    const tail = options.tail ?? '0';
    if (!/^\d{1,4}$/.test(tail)) throw new UsageError('--tail takes a number up to 9999');
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const [name = ''] = words;
    const { restarts } = await callNode(endpoint, nodeDebugService.listRestarts, {
      name,
      tail: Number(tail),
    });
    if (format === 'json') await print(`${jsonText(restarts.map(asJson), 2)}\n`);
    else await print(asText(restarts, name !== ''));
    return 0;
  },
};

function asText(restarts: readonly Restart[], withLines: boolean): string {
  if (restarts.length === 0) return 'Nothing has been started again.\n';
  const head = [
    'ID',
    'AGE',
    'NAME',
    'RUN',
    'WHAT HAPPENED',
    'BECAUSE OF',
    'TOOK WITH IT',
    'WAITED FOR',
    'BACK',
  ];
  const rows = restarts.map((restart, index) => {
    const next = restarts.slice(index + 1).find(({ name }) => name === restart.name);
    return rowOf(restart, next?.id).map(withoutControls);
  });
  if (!withLines) return table([head, ...rows]);
  const lines = table([head, ...rows]).split('\n');
  return [
    lines[0] ?? '',
    ...restarts.flatMap(({ lastLines }, index) => [
      lines[index + 1] ?? '',
      ...lastLines.map((line) => `    ${withoutControls(line)}`),
    ]),
    '',
  ].join('\n');
}

/** `next` is the number of its next end. */
function rowOf(restart: Restart, next: number | undefined): string[] {
  const { id, atMs, name, run, message, causeId, tookWith, waitedFor } = restart;
  return [
    String(id),
    formatAge(Date.now() - atMs),
    name,
    run === 0 ? '-' : String(run),
    message,
    causeId === 0 ? '-' : `#${causeId}`,
    tookWith.join(',') || '-',
    waitedFor.join(',') || '-',
    back(restart, next),
  ];
}

/** "after 1.2 s", or how far it has come. */
function back({ atMs, nextTryMs, executedMs, healthyMs }: Restart, next: number | undefined): string {
  if (healthyMs > 0) return `after ${formatDuration(Math.max(0, healthyMs - atMs))}`;
  if (next !== undefined) return `not before #${next}`;
  if (executedMs > 0) return `started after ${formatDuration(Math.max(0, executedMs - atMs))}`;
  if (nextTryMs === 0) return 'is being ended';
  const waitMs = nextTryMs - Date.now();
  return waitMs > 0 ? `next try in ${formatDuration(waitMs)}` : 'not yet';
}

function asJson(restart: Restart) {
  const time = (ms: number) => (ms === 0 ? null : new Date(ms).toISOString());
  const { atMs, nextTryMs, executedMs, healthyMs, code, signal, causeId, ...rest } = restart;
  return {
    ...rest,
    code: code < 0 ? null : code,
    signal: signal === '' ? null : signal,
    causeId: causeId === 0 ? null : causeId,
    at: time(atMs),
    nextTry: time(nextTryMs),
    executed: time(executedMs),
    healthy: time(healthyMs),
  };
}
