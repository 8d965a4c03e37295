import { type IssuedCredential, nodeDebugService } from '../gen/hamlet/debug/v1/debug.js';
import { UsageError, choice, commonOptions, endpointFrom, parse } from './arguments.js';
import type { Command } from './command.js';
import { callNode } from './node-client.js';
import { jsonText, print, table, withoutControls } from './output.js';

export const audit: Command = {
  name: 'audit',
  synopsis: 'audit [--tail N]',
  summary: 'list the credentials that were issued or refused, and to whom',
  help: `List the credentials that the node has issued to debug clients, or refused because its configuration forbids
them: who asked, for whom, and until when they last.

Usage: dbg audit [--tail N] [-o text|json]

Options:
  -n, --tail N               only the last N (default: 1000)
  -o, --output FORMAT        text (default) or json
      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Examples:
  dbg audit
  dbg audit --tail 5
  dbg audit -o json | jq '.[] | select(.uid != "0")'
`,

  async run(args, context) {
    const specs = {
      ...commonOptions,
      tail: { short: 'n', takes: 'N' },
      output: { short: 'o', takes: 'FORMAT' },
    };
    const { options, words } = parse(args, specs);
    if (options.help !== undefined) {
      await print(audit.help);
      return 0;
    }
    if (words.length > 0) throw new UsageError(`"${words.join(' ')}" is too much`);
    const tail = options.tail ?? '0';
    if (!/^\d{1,4}$/.test(tail) || tail === '') throw new UsageError('--tail takes a number up to 9999');
    const format = choice('--output', options.output ?? 'text', ['text', 'json']);
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const request = { tail: Number(tail) };
    const { credentials } = await callNode(endpoint, nodeDebugService.listIssuedCredentials, request);
    if (format === 'json') await print(`${jsonText(credentials.map(asJson), 2)}\n`);
    else await print(asTable(credentials));
    return 0;
  },
};

function asTable(credentials: readonly IssuedCredential[]): string {
  const rows = credentials.map(
    ({ atMs, transport, uid, pid, client, id, groups, serial, expiresAtMs, refused }) =>
      [
        new Date(atMs).toISOString(),
        transport,
        whoAsked(uid, client),
        pid === '' ? '-' : pid,
        id,
        groups.length === 0 ? '-' : groups.join(','),
        ...(refused === ''
          ? [serial.slice(0, 12), new Date(expiresAtMs).toISOString()]
          : ['-', `refused (${refused})`]),
      ].map(withoutControls),
  );
  return table([['TIME', 'OVER', 'BY', 'PID', 'IDENTITY', 'GROUPS', 'SERIAL', 'ENDS'], ...rows]);
}

/** A user of the node, or by its certificate a client of another machine. */
function whoAsked(uid: string, client: string): string {
  if (client !== '') return client;
  return uid === '' ? '?' : `uid ${uid}`;
}

function asJson({ atMs, expiresAtMs, ...rest }: IssuedCredential) {
  const ends = rest.refused === '' ? new Date(expiresAtMs).toISOString() : '';
  return { time: new Date(atMs).toISOString(), ...rest, ends };
}
