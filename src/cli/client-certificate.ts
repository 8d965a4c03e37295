import { nodeDebugService } from '../gen/hamlet/debug/v1/debug.js';
import { UsageError, choice, commonOptions, endpointFrom, parse } from './arguments.js';
import type { Command } from './command.js';
import { secondsFrom } from './duration.js';
import { callNode } from './node-client.js';
import { print } from './output.js';

export const clientCertificate: Command = {
  name: 'client-certificate',
  synopsis: 'client-certificate NAME',
  summary: 'issue a certificate for asking the node from another machine',
  help: `Issue a certificate by which NAME may ask the node from another machine, and print it with its key: it is a secret.

The node has to listen for other machines: debug.remote in its configuration.

Usage: dbg client-certificate [--role read|admin] [--ttl TIME] NAME

Options:
      --role ROLE            read (default): logs, conditions, certificates; admin: everything
      --ttl TIME             how long it is good for, such as 30m or 8h (default: what the node gives, 1h)
      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Examples:
  dbg client-certificate jane > jane.pem
  dbg --endpoint 192.0.2.7:7838 --cert jane.pem logs kube.kubelet
`,

  async run(args, context) {
    const specs = { ...commonOptions, role: { takes: 'ROLE' }, ttl: { takes: 'TIME' } };
    const { options, words } = parse(args, specs);
    if (options.help !== undefined) {
      await print(clientCertificate.help);
      return 0;
    }
    const [name, ...rest] = words;
    if (name === undefined) throw new UsageError('say whom the certificate is for');
    if (rest.length > 0) throw new UsageError(`"${rest.join(' ')}" is too much: one name at a time`);
    const role = choice('--role', options.role ?? 'read', ['read', 'admin']);
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const ttlSeconds = options.ttl === undefined ? 0 : secondsFrom('--ttl', options.ttl);
    const { pem } = await callNode(endpoint, nodeDebugService.issueDebugClient, { name, role, ttlSeconds });
    await print(pem);
    return 0;
  },
};
