#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { messageOf } from '../lib/errors.js';
import {
  UsageError,
  certificateVariable,
  defaultEndpoint,
  defaultSocket,
  endpointFrom,
  usualEndpoint,
  commonOptions,
  parse,
} from './arguments.js';
import type { Command } from './command.js';
import { audit } from './audit.js';
import { certs } from './certs.js';
import { clientCertificate } from './client-certificate.js';
import { condition } from './condition.js';
import { credential } from './credential.js';
import { boot } from './boot.js';
import { history } from './history.js';
import { kubeconfig } from './kubeconfig.js';
import { kubectl } from './kubectl.js';
import { logs } from './logs.js';
import { print, table, withoutControls } from './output.js';
import { rotateCa } from './rotate-ca.js';

const commands: readonly Command[] = [
  logs,
  condition,
  boot,
  history,
  certs,
  rotateCa,
  clientCertificate,
  audit,
  kubectl,
  kubeconfig,
  credential,
];

const help = `Ask a Hamlet node what it is doing, and run kubectl on it.

Usage: dbg [--endpoint HOST:PORT] [--cert FILE] COMMAND ...

Commands:
${table(commands.map(({ synopsis, summary }) => [`  ${synopsis}`, summary]))}  help [COMMAND]             how a command is used

Options:
  --endpoint HOST:PORT       the node to ask (default: DBG_ENDPOINT from the environment, else
                             ${defaultSocket} if you may open it, else ${defaultEndpoint})
  --cert FILE                the client certificate for a node on another machine (default: DBG_CERT from the
                             environment); dbg client-certificate issues one
  -V, --version              the version of dbg
  -h, --help                 this text

Examples:
  dbg condition
  dbg logs --tail 20 kube.apiserver
  dbg kubectl get pods --all-namespaces
  dbg --endpoint 192.0.2.7:7838 --cert jane.pem condition NodeReady

Exit codes: 0 done, 1 failed or not true, 2 wrong usage; kubectl's own with dbg kubectl.
`;

/** The options before the command; what comes after it is the command's own. */
const globalOptions = { ...commonOptions, cert: { takes: 'FILE' }, version: { short: 'V' } } as const;

async function run(args: readonly string[]): Promise<number> {
  let first = 0;
  while (args[first]?.startsWith('-')) first += ['--endpoint', '--cert'].includes(args[first] ?? '') ? 2 : 1;
  const { options } = parse(args.slice(0, first), globalOptions);
  // Read where a connection is made; programs that dbg starts have it too.
  if (options.cert !== undefined) process.env[certificateVariable] = options.cert;
  const [name, ...rest] = args.slice(first);
  if (options.help !== undefined) return printed(help);
  if (options.version !== undefined) return printed(`dbg ${version()}\n`);
  if (name === undefined) throw new UsageError('say what to do');
  if (name === 'help') return printed(rest[0] === undefined ? help : commandNamed(rest[0]).help);
  const endpoint = endpointFrom(options.endpoint ?? process.env.DBG_ENDPOINT ?? usualEndpoint());
  const command = commandNamed(name);
  try {
    return await command.run(rest, { endpoint });
  } catch (error) {
    if (error instanceof UsageError) return misused(error, `dbg help ${name}`);
    throw error;
  }
}

function misused(error: UsageError, help: string): number {
  console.error(`dbg: ${error.message}\nSee: ${help}`);
  return 2;
}

function commandNamed(name: string): Command {
  const found = commands.find((command) => command.name === name);
  if (found !== undefined) return found;
  const names = commands.map((command) => command.name);
  throw new UsageError(`there is no command "${name}"; there are ${names.join(', ')} and help`);
}

async function printed(text: string): Promise<number> {
  await print(text);
  return 0;
}

function version(): string {
  const file = new URL('../../../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string };
  return version;
}

async function main(): Promise<number> {
  try {
    return await run(process.argv.slice(2));
  } catch (error) {
    if (error instanceof UsageError) return misused(error, 'dbg help');
    console.error(`dbg: ${withoutControls(messageOf(error))}`);
    return 1;
  }
}

void main().then((code) => (process.exitCode = code));
