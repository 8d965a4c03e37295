import { nodeDebugService } from '../gen/hamlet/debug/v1/debug.js';
import { logNames } from '../lib/names.js';
import { UsageError, commonOptions, endpointFrom, parse } from './arguments.js';
import type { Command } from './command.js';
import { callNode } from './node-client.js';
import { print, withoutControls } from './output.js';

const newline = Buffer.from('\n');

export const logs: Command = {
  name: 'logs',
  synopsis: 'logs [--tail N] COMPONENT',
  summary: "print a component's log",
  help: `Print what a component has written, oldest line first.

Usage: dbg logs [--tail N] COMPONENT

Options:
  -n, --tail N               only the last N lines (default: all that the node holds)
      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Components:
  ${componentLines()}

Examples:
  dbg logs containerd
  dbg logs --tail 5 kube.apiserver
  dbg logs etcd | grep -i slow
`,

  async run(args, context) {
    const { options, words } = parse(args, { ...commonOptions, tail: { short: 'n', takes: 'N' } });
    if (options.help !== undefined) {
      await print(logs.help);
      return 0;
    }
    const tailLines = options.tail === undefined ? 0 : lineCount(options.tail);
    const [component, ...more] = words;
    if (component === undefined || component === '') {
      throw new UsageError(`say which component's log you want: ${logNames.join(', ')}`);
    }
    if (more.length > 0) {
      throw new UsageError(`one component at a time, please; "${more.join(' ')}" is too much`);
    }
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const { lines } = await callNode(endpoint, nodeDebugService.getComponentLogs, {
      componentPath: [component],
      tailLines,
    });
    const text = Buffer.concat(lines.flatMap((line) => [line, newline]));
    await print(process.stdout.isTTY ? withoutControls(text.toString()) : text);
    return 0;
  },
};

/** gRPC carries the number as an int32. */
const maxLines = 2 ** 31 - 1;

function lineCount(value: string): number {
  const lines = Number(value);
  if (!/^\d+$/.test(value) || lines < 1 || lines > maxLines) {
    throw new UsageError(`"${value}" is no number of lines: --tail takes a whole number from 1 on`);
  }
  return lines;
}

function componentLines(): string {
  return logNames.join('\n  ');
}
