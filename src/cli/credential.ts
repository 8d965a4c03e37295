import { nodeDebugService } from '../gen/hamlet/debug/v1/debug.js';
import { HamletError } from '../lib/errors.js';
import { UsageError, commonOptions, endpointFrom, parse } from './arguments.js';
import type { Command } from './command.js';
import { identityFrom, identityHelp, identityOptions } from './identity.js';
import { callNode } from './node-client.js';
import { print } from './output.js';

/** What kubectl of every release from 1.20 on takes; newer ones ask for `v1` where the kubeconfig says so. */
export const execApiVersion = 'client.authentication.k8s.io/v1beta1';

/** How long before its end a credential is called old: this share of its life, and at most so many milliseconds. */
const marginShare = 0.1;
const maxMarginMs = 60_000;

export const credential: Command = {
  name: 'credential',
  synopsis: 'credential',
  summary: 'give kubectl, k9s or helm fresh credentials (an exec plugin)',
  help: `Print fresh credentials in the form in which kubectl, k9s, helm and their like take them from a program
(https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins).
"dbg kubeconfig --merge" writes a kubeconfig that calls this.

Usage: dbg credential [--id NAME] [--groups A,B] [--ttl TIME]

Options:
${identityHelp}      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Examples:
  dbg credential
  dbg credential --id jane --groups developers --ttl 10m
`,

  async run(args, context) {
    const { options, words } = parse(args, { ...commonOptions, ...identityOptions });
    if (options.help !== undefined) {
      await print(credential.help);
      return 0;
    }
    if (words.length > 0) throw new UsageError(`"${words.join(' ')}" is too much`);
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const request = identityFrom(options);
    const reply = await callNode(endpoint, nodeDebugService.getDebugKubeconfig, request);
    const { parse: parseYaml } = await import('yaml');
    const { user } = (parseYaml(reply.kubeconfig) as Kubeconfig).users[0] ?? {};
    if (user === undefined) throw new HamletError('INTERNAL', 'the node gave a kubeconfig without a user');
    const status = {
      expirationTimestamp: new Date(renewalMs(reply.expiresAtMs, Date.now())).toISOString(),
      clientCertificateData: fromBase64(user['client-certificate-data']),
      clientKeyData: fromBase64(user['client-key-data']),
    };
    const answer = { apiVersion: wantedApiVersion(), kind: 'ExecCredential', status };
    await print(`${JSON.stringify(answer)}\n`);
    return 0;
  },
};

/**
 * When kubectl is to ask again. That is before the end: a request takes its time, and clocks of two machines differ.
 * client-go looks at it before each request, and fails one that arrives too late.
 */
function renewalMs(expiresAtMs: number, nowMs: number): number {
  return expiresAtMs - Math.min(maxMarginMs, Math.max(0, expiresAtMs - nowMs) * marginShare);
}

interface Kubeconfig {
  readonly users: readonly {
    readonly user: { readonly 'client-certificate-data': string; readonly 'client-key-data': string };
  }[];
}

function fromBase64(text: string): string {
  return Buffer.from(text, 'base64').toString();
}

/** Whoever runs a plugin says in the environment which version it speaks, from Kubernetes 1.20 on. */
function wantedApiVersion(): string {
  try {
    const info = JSON.parse(process.env.KUBERNETES_EXEC_INFO ?? '{}') as { readonly apiVersion?: string };
    return info.apiVersion ?? execApiVersion;
  } catch {
    return execApiVersion;
  }
}
