import { nodeDebugService } from '../gen/hamlet/debug/v1/debug.js';
import { UsageError, commonOptions, endpointFrom, parse } from './arguments.js';
import type { Command } from './command.js';
import { callNode } from './node-client.js';
import { print, withoutControls } from './output.js';

export const rotateCa: Command = {
  name: 'rotate-ca',
  synopsis: 'rotate-ca',
  summary: 'replace the authorities that issue certificates',
  help: `Replace the authorities that issue the node's certificates, and every certificate with them.

The new ones are trusted everywhere before they sign, and the old ones until what they issued is gone, so nothing has
to be stopped for it. It goes on by itself, also when the node is started again in between; asked for a second time,
this says how far it is.

Usage: dbg rotate-ca

Options:
      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Examples:
  dbg rotate-ca
  until dbg condition AuthoritiesSettled; do sleep 5; done
  dbg certs
`,

  async run(args, context) {
    const { options, words } = parse(args, commonOptions);
    if (options.help !== undefined) {
      await print(rotateCa.help);
      return 0;
    }
    if (words.length > 0)
      throw new UsageError(`"${words.join(' ')}" is too much: both authorities are replaced`);
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const { rotation } = await callNode(endpoint, nodeDebugService.rotateAuthorities, {});
    await print(`${withoutControls(rotation?.message ?? '')}\n`);
    return 0;
  },
};
