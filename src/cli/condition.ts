import { type Condition, nodeDebugService } from '../gen/hamlet/debug/v1/debug.js';
import { HamletError } from '../lib/errors.js';
import { UsageError, choice, commonOptions, endpointFrom, parse } from './arguments.js';
import type { Command } from './command.js';
import { callNode } from './node-client.js';
import { formatAge, jsonText, print, table, withoutControls } from './output.js';

export const condition: Command = {
  name: 'condition',
  synopsis: 'condition [NAME]',
  summary: 'tell whether something about the node is as it should be',
  help: `Tell whether something about the node is as it should be, and if not, why.

Usage: dbg condition [-o text|json] [NAME]

With a name the exit code is 0 when the condition is true and 1 when it is not. Without one: a table of all
conditions.

Options:
  -o, --output FORMAT        text (default) or json
      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Examples:
  dbg condition
  dbg condition NodeReady
  dbg condition kube.apiserver
  dbg condition -o json PKIReady
  until dbg condition NodeReady; do sleep 1; done
`,

  async run(args, context) {
    const { options, words } = parse(args, { ...commonOptions, output: { short: 'o', takes: 'FORMAT' } });
    if (options.help !== undefined) {
      await print(condition.help);
      return 0;
    }
    if (words.length > 1) throw new UsageError(`one condition at a time, or none for a table of all`);
    const format = choice('--output', options.output ?? 'text', ['text', 'json']);
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const [name] = words;
    return name === undefined ? list(endpoint, format) : show(endpoint, name, format);
  },
};

type Format = 'text' | 'json';

async function show(endpoint: string, name: string, format: Format): Promise<number> {
  const { ok, condition } = await callNode(endpoint, nodeDebugService.getCondition, { name });
  if (condition === undefined) throw new HamletError('INTERNAL', 'the node answered without the condition');
  if (format === 'json') await print(json(asJson(condition)));
  else await print(sentence(condition));
  return ok ? 0 : 1;
}

async function list(endpoint: string, format: Format): Promise<number> {
  const { conditions } = await callNode(endpoint, nodeDebugService.listConditions, {});
  if (format === 'json') {
    await print(json(conditions.map(asJson)));
    return 0;
  }
  const rows = conditions.map(({ name, status, reason, message, sinceMs }) =>
    [name, status, formatAge(Date.now() - sinceMs), reason, message].map(withoutControls),
  );
  await print(table([['NAME', 'STATUS', 'SINCE', 'REASON', 'MESSAGE'], ...rows]));
  return 0;
}

/** "NodeReady is false for 12s: KubeletNotReady: the kubelet has not posted its status yet" */
function sentence({ name, status, reason, message, sinceMs }: Condition): string {
  const why = [reason, message].filter((part) => part !== '').join(': ');
  const head = `${name} is ${status}, for ${formatAge(Date.now() - sinceMs)}`;
  return withoutControls(why === '' ? head : `${head}: ${why}`) + '\n';
}

function asJson({ name, status, reason, message, sinceMs }: Condition) {
  return { name, ok: status === 'true', status, reason, message, since: new Date(sinceMs).toISOString() };
}

function json(value: unknown): string {
  return `${jsonText(value, 2)}\n`;
}
