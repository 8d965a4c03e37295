import { nodeDebugService, type BootStep, type GetBootResponse } from '../gen/hamlet/debug/v1/debug.js';
import { UsageError, choice, commonOptions, endpointFrom, parse } from './arguments.js';
import type { Command } from './command.js';
import { callNode } from './node-client.js';
import { jsonText, print, table, withoutControls } from './output.js';

/** How wide the picture's bars are when the terminal does not say how wide it is. */
const usualColumns = 100;
const leastBarColumns = 20;

export const boot: Command = {
  name: 'boot',
  synopsis: 'boot',
  summary: "tell what the node's start took, and what it waits for",
  help: `Tell what the node's start took, step by step, and while it lasts what it waits for.

Usage: dbg boot [-o text|table|json]

text is a picture: each step from when it began to wait (.) over its preparation (-) and its program's own start (=)
to its end. A * marks the critical path, the steps on which all others had to wait; only what makes one of them
shorter makes the start shorter. All times are milliseconds since Hamlet's exec.

Options:
  -o, --output FORMAT        text (default), table or json
      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Examples:
  dbg boot
  dbg boot -o table
  dbg boot -o json
`,

  async run(args, context) {
    const { options, words } = parse(args, { ...commonOptions, output: { short: 'o', takes: 'FORMAT' } });
    if (options.help !== undefined) {
      await print(boot.help);
      return 0;
    }
    if (words.length > 0) throw new UsageError(`unexpected "${words.join(' ')}"`);
    const format = choice('--output', options.output ?? 'text', ['text', 'table', 'json']);
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const response = await callNode(endpoint, nodeDebugService.getBoot, {});
    await print(formats[format](response));
    return 0;
  },
};

const formats = { text: picture, table: asTable, json: asJson } as const;

function picture(response: GetBootResponse): string {
  const { steps, criticalPath, nowUs } = response;
  const endUs = Math.max(1, ...steps.map(({ doneUs }) => (doneUs === 0 ? nowUs : doneUs)));
  const nameWidth = Math.max(...steps.map(({ name }) => name.length), 4);
  const width = Math.max(
    leastBarColumns,
    (process.stdout.isTTY ? process.stdout.columns : usualColumns) - nameWidth - 14,
  );
  const column = (us: number) => Math.min(width, Math.round((us / endUs) * width));
  const rows = steps.map((step) => {
    const mark = criticalPath.includes(step.name) ? '*' : ' ';
    const end = step.doneUs === 0 ? `${ms(nowUs)}…` : ms(step.doneUs);
    return `${mark} ${withoutControls(step.name).padEnd(nameWidth)}  ${bar(step, nowUs, column).padEnd(width)} ${end.padStart(8)}\n`;
  });
  return `${rows.join('')}\n${summary(response)}`;
}

/** Waiting, preparing, and what its own start takes. */
function bar(step: BootStep, nowUs: number, column: (us: number) => number): string {
  const seen = column(step.seenUs);
  const end = Math.max(seen + 1, column(step.doneUs === 0 ? nowUs : step.doneUs));
  const executed = step.executedUs === 0 ? end : column(step.executedUs);
  const began = step.beganUs === 0 ? Math.min(executed, end) : column(step.beganUs);
  const part = (from: number, to: number, mark: string) => mark.repeat(Math.max(0, to - from));
  // What has no program of its own does its work from its beginning on.
  const work = step.executedUs === 0 && step.beganUs !== 0 ? '=' : '-';
  return ' '.repeat(seen) + part(seen, began, '.') + part(began, executed, work) + part(executed, end, '=');
}

/** The critical path in words, each step with what it added, or what is waited for now. */
function summary({ steps, criticalPath, ready }: GetBootResponse): string {
  const byName = new Map(steps.map((step) => [step.name, step]));
  let before = 0;
  const parts = criticalPath.flatMap((name) => {
    const step = byName.get(name);
    if (step === undefined || step.doneUs === 0) return [];
    const addedUs = step.doneUs - before;
    before = step.doneUs;
    return [`${name} +${ms(addedUs)}`];
  });
  const path = `critical path: ${parts.join(' → ')}\n`;
  if (ready) return `${path}the node was ready after ${ms(before)} ms\n`;
  const open = steps.filter(({ doneUs }) => doneUs === 0);
  const waiting = open.map((step) => {
    const missing = step.waits.filter(({ over }) => !over);
    return missing.length === 0
      ? step.name
      : `${step.name} (for ${missing.map(({ name }) => name).join(', ')})`;
  });
  return `${path}the node waits for ${waiting.join(', ') || 'nothing that is known'}\n`;
}

function asTable(response: GetBootResponse): string {
  const path = new Set(response.criticalPath);
  const time = (us: number) => (us === 0 ? '-' : ms(us));
  const rows = response.steps.map((step) => [
    `${path.has(step.name) ? '*' : ' '} ${withoutControls(step.name)}`,
    ms(step.seenUs),
    time(step.beganUs),
    time(step.executedUs),
    time(step.doneUs),
    withoutControls(waitsInWords(step)) || '-',
  ]);
  return (
    table([['  STEP', 'SEEN', 'BEGUN', 'EXECUTED', 'DONE', 'WAITED FOR (MS)'], ...rows]) +
    `\n${summary(response)}`
  );
}

/** "etcd 388, PKIReady 109…": how long each was waited for; an ellipsis while it still is. */
function waitsInWords({ waits }: BootStep): string {
  return waits.map(({ name, waitedUs, over }) => `${name} ${ms(waitedUs)}${over ? '' : '…'}`).join(', ');
}

function asJson({ steps, criticalPath, ready, nowUs }: GetBootResponse): string {
  const time = (us: number) => (us === 0 ? null : us / 1_000);
  const value = {
    ready,
    nowMs: nowUs / 1_000,
    criticalPath,
    steps: steps.map(({ name, waitsFor, waits, seenUs, beganUs, executedUs, doneUs }) => ({
      name,
      waitsFor,
      waits: waits.map(({ name, waitedUs, over }) => ({ name, ms: waitedUs / 1_000, over })),
      seenMs: seenUs / 1_000,
      beganMs: time(beganUs),
      executedMs: time(executedUs),
      doneMs: time(doneUs),
    })),
  };
  return `${jsonText(value, 2)}\n`;
}

function ms(us: number): string {
  return (us / 1_000).toFixed(0);
}
