import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Document } from 'yaml';
import { nodeDebugService } from '../gen/hamlet/debug/v1/debug.js';
import { HamletError } from '../lib/errors.js';
import { ensureFolder, rewriteFile } from '../lib/files.js';
import { UsageError, certificateFile, commonOptions, endpointFrom, parse } from './arguments.js';
import type { Command } from './command.js';
import { execApiVersion } from './credential.js';
import { identityFrom, identityHelp, identityOptions, type Identity } from './identity.js';
import { callNode } from './node-client.js';
import { print } from './output.js';

/** The cluster, the user and the context in a kubeconfig that is shared with others. */
const entry = 'hamlet';

export const kubeconfig: Command = {
  name: 'kubeconfig',
  synopsis: 'kubeconfig [--merge]',
  summary: 'print a kubeconfig, or add the node to yours',
  help: `Print a kubeconfig with fresh credentials in it; they end with the certificate. With --merge the node is added to
your own kubeconfig instead, without any credentials: kubectl, k9s and helm then ask "dbg credential" for them whenever
they need new ones.

Usage: dbg kubeconfig [--id NAME] [--groups A,B] [--ttl TIME] [--merge]

Options:
${identityHelp}      --merge                add cluster, user and context "${entry}" to the first file of KUBECONFIG, or ~/.kube/config,
                             and make it the current one; everything else in the file stays as it is,
                             also its mode, its owner, and a link that leads to it
      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Examples:
  dbg kubeconfig --id jane --groups developers --ttl 8h > jane.yaml
  dbg kubeconfig --merge && kubectl get nodes
`,

  async run(args, context) {
    const { options, words } = parse(args, { ...commonOptions, ...identityOptions, merge: {} });
    if (options.help !== undefined) {
      await print(kubeconfig.help);
      return 0;
    }
    if (words.length > 0) throw new UsageError(`"${words.join(' ')}" is too much`);
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const identity = identityFrom(options);
    const reply = await callNode(endpoint, nodeDebugService.getDebugKubeconfig, identity);
    if (options.merge === undefined) {
      await print(reply.kubeconfig);
      return 0;
    }
    const file = ownKubeconfig();
    await merge(file, reply.kubeconfig, { endpoint, identity });
    await print(`${file} has the context "${entry}" now\n`);
    return 0;
  },
};

/** The file that kubectl writes to as well. */
function ownKubeconfig(): string {
  const first = (process.env.KUBECONFIG ?? '').split(':').find((file) => file !== '');
  return first ?? path.join(homedir(), '.kube', 'config');
}

async function merge(
  file: string,
  given: string,
  source: { readonly endpoint: string; readonly identity: Identity },
): Promise<void> {
  const { parse: parseYaml, parseDocument } = await import('yaml');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  // As a document, so that comments and order stay.
  const document = parseDocument(text.trim() === '' ? 'apiVersion: v1\nkind: Config\n' : text);
  const content: unknown = document.toJS();
  if (
    document.errors.length > 0 ||
    typeof content !== 'object' ||
    content === null ||
    Array.isArray(content)
  ) {
    throw new HamletError('FAILED_PRECONDITION', `${file} is no kubeconfig; put it right or move it away`);
  }
  const { clusters } = parseYaml(given) as { readonly clusters: readonly { readonly cluster: unknown }[] };
  set(document, 'clusters', { name: entry, cluster: clusters[0]?.cluster });
  set(document, 'users', { name: entry, user: { exec: plugin(source) } });
  set(document, 'contexts', { name: entry, context: { cluster: entry, user: entry } });
  document.set('current-context', entry);
  try {
    ensureFolder(path.dirname(file), 0o700);
    rewriteFile(file, document.toString(), 0o600);
  } catch (cause) {
    const remedy = 'it has to be yours or you root, and its folder writable';
    throw new HamletError('FAILED_PRECONDITION', `cannot write ${file} with its owner kept; ${remedy}`, {
      cause,
    });
  }
}

/** This very program, by its whole path: whoever calls it may have another PATH. */
function plugin({ endpoint, identity }: { readonly endpoint: string; readonly identity: Identity }) {
  const { id, groups, ttlSeconds } = identity;
  const certificate = endpoint.startsWith('unix:') ? undefined : certificateFile();
  return {
    apiVersion: execApiVersion,
    command: process.execPath,
    args: [
      fileURLToPath(new URL('./main.js', import.meta.url)),
      ...['--endpoint', endpoint],
      ...(certificate === undefined ? [] : ['--cert', path.resolve(certificate)]),
      ...['credential', '--id', id, '--groups', groups.join(',')],
      ...(ttlSeconds === 0 ? [] : ['--ttl', `${ttlSeconds}s`]),
    ],
    interactiveMode: 'Never',
  };
}

/** Replaces the entry of this name in a list, or adds it. */
function set(
  document: Document,
  key: string,
  value: Readonly<Record<string, unknown> & { name: string }>,
): void {
  const list = (document.toJS() as Record<string, unknown>)[key];
  const entries = Array.isArray(list) ? (list as { readonly name?: string }[]) : [];
  const index = entries.findIndex(({ name }) => name === value.name);
  if (index >= 0) document.setIn([key, index], value);
  else if (entries.length > 0) document.addIn([key], value);
  else document.set(key, document.createNode([value]));
}
