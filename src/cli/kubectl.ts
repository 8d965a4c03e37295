import { accessSync, constants } from 'node:fs';
import { nodeDebugService } from '../gen/hamlet/debug/v1/debug.js';
import { HamletError, isHamletError } from '../lib/errors.js';
import type { Command } from './command.js';
import { SignalRelay, runInForeground } from './foreground.js';
import { identityFrom } from './identity.js';
import { callNode } from './node-client.js';
import { SecretFile } from './secret-file.js';

/** Searched for on the PATH, as every name without a slash. */
const pathKubectl = 'kubectl';

export const kubectl: Command = {
  name: 'kubectl',
  synopsis: 'kubectl ARGS...',
  summary: "run the node's kubectl with fresh credentials",
  help: `Run the node's kubectl with fresh credentials of an administrator.

Usage: dbg [--endpoint HOST:PORT] kubectl ARGS...

Everything after "kubectl" goes to kubectl as it is, options too; input, terminal, signals and exit code pass
through. The credentials lie in a file that only you can read, and are gone when kubectl ends.

Examples:
  dbg kubectl get pods --all-namespaces
  dbg kubectl create -f test.yml
  dbg kubectl exec -it POD -- sh
  dbg kubectl logs -f POD
  dbg kubectl --help
`,

  async run(args, { endpoint }) {
    const { kubeconfig, kubectlCommand } = await callNode(
      endpoint,
      nodeDebugService.getDebugKubeconfig,
      identityFrom({}),
    );
    const [program, ...prefix] = commandHere(kubectlCommand);
    // In this order: a signal between the two must not leave the file behind.
    using signals = new SignalRelay();
    using file = new SecretFile('kubeconfig', kubeconfig);
    const env = { ...process.env, KUBECONFIG: file.path };
    try {
      return await runInForeground(program, [...prefix, ...args], env, signals);
    } catch (error) {
      if (program !== pathKubectl || !isHamletError(error, 'NOT_FOUND')) throw error;
      throw new HamletError('NOT_FOUND', 'there is no kubectl on the PATH either; install one');
    }
  },
};

/** The node's own kubectl if it is on this machine; else, with a note, the one on the PATH. */
function commandHere(command: readonly string[]): readonly [string, ...string[]] {
  const [program, ...prefix] = command;
  if (program !== undefined && isExecutable(program)) return [program, ...prefix];
  const why =
    program === undefined ? 'the node has no kubectl' : `the node's kubectl, ${program}, is not here`;
  console.error(`dbg: ${why}; using the one on the PATH`);
  return [pathKubectl];
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
