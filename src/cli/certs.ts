import { type Certificate, type SecretsKey, nodeDebugService } from '../gen/hamlet/debug/v1/debug.js';
import { UsageError, choice, commonOptions, endpointFrom, parse } from './arguments.js';
import type { Command } from './command.js';
import { callNode } from './node-client.js';
import { formatAge, jsonText, print, table, withoutControls } from './output.js';

export const certs: Command = {
  name: 'certs',
  synopsis: 'certs',
  summary: "list the node's certificates",
  help: `List the node's certificates: for whom they are, when they end, and when the next ones are issued.

Usage: dbg certs [-o text|json]

Options:
  -o, --output FORMAT        text (default) or json, which has the names and whole serial numbers too
      --endpoint HOST:PORT   the node to ask (default: see dbg --help)
  -h, --help                 this text

Examples:
  dbg certs
  dbg certs -o json | jq -r '.[] | select(.holder == "kube.apiserver") | .serial'
  dbg condition CertificatesValid
`,

  async run(args, context) {
    const { options, words } = parse(args, { ...commonOptions, output: { short: 'o', takes: 'FORMAT' } });
    if (options.help !== undefined) {
      await print(certs.help);
      return 0;
    }
    if (words.length > 0) throw new UsageError(`"${words.join(' ')}" is too much: certs lists all of them`);
    const format = choice('--output', options.output ?? 'text', ['text', 'json']);
    const endpoint = options.endpoint === undefined ? context.endpoint : endpointFrom(options.endpoint);
    const answer = await callNode(endpoint, nodeDebugService.listCertificates, {});
    const { certificates, rotation, secretsKey } = answer;
    if (format === 'json') {
      await print(`${jsonText(certificates.map(asJson), 2)}\n`);
      return 0;
    }
    await print(asTable(certificates, Date.now()));
    if (secretsKey !== undefined) await print(`\nSecrets: ${describe(secretsKey, Date.now())}\n`);
    // What rotates is not settled: whoever reads the table wants to know why some authorities are there twice.
    if (rotation !== undefined && rotation.phase !== 'none') {
      await print(`\nRotation: ${withoutControls(rotation.message)}\n`);
    }
    return 0;
  },
};

function asTable(certificates: readonly Certificate[], nowMs: number): string {
  const rows = certificates.map(({ name, holder, usage, issuer, serial, notAfterMs, renewalMs, subject }) =>
    [
      name,
      holder,
      usage,
      issuer,
      // Enough to tell them apart.
      serial.slice(0, 12),
      until(notAfterMs, nowMs),
      renewalMs === 0 ? '-' : until(renewalMs, nowMs),
      subject,
    ].map(withoutControls),
  );
  const head = ['NAME', 'HOLDER', 'USAGE', 'ISSUER', 'SERIAL', 'ENDS IN', 'RENEWED IN', 'SUBJECT'];
  return table([head, ...rows]);
}

function describe({ name, madeMs, renewalMs }: SecretsKey, nowMs: number): string {
  const age = madeMs >= nowMs ? 'just now' : `${formatAge(nowMs - madeMs)} ago`;
  const next =
    renewalMs === 0
      ? 'some are still to be written by it'
      : `the next one is made in ${until(renewalMs, nowMs)}`;
  return withoutControls(`encrypted by ${name}, which was made ${age}; ${next}`);
}

function until(atMs: number, nowMs: number): string {
  return atMs <= nowMs ? 'now' : formatAge(atMs - nowMs);
}

function asJson({ notBeforeMs, notAfterMs, renewalMs, ...rest }: Certificate) {
  return {
    ...rest,
    notBefore: new Date(notBeforeMs).toISOString(),
    notAfter: new Date(notAfterMs).toISOString(),
    renewal: renewalMs === 0 ? null : new Date(renewalMs).toISOString(),
  };
}
