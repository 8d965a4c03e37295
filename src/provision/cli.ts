import { inspect, parseArgs } from 'node:util';
import { HamletError, messageOf } from '../lib/errors.js';
import { loadConfig } from '../platform/config.js';
import { DebianProvider } from './debian-provider.js';
import { textProgress } from './progress.js';
import { provision } from './provider.js';

const usage = `usage: node dist/src/provision/main.js [--config FILE] [source]

Gets the components that a node is made of. With "source" it prepares the source
tree of Kubernetes instead and prints its GOPATH; the tree is src/k8s.io/kubernetes
in there.
`;

/** Exit codes: 128 and the number of SIGINT, as shells have it, when a person stopped it. */
const interruptedExitCode = 130;

/**
 * The program behind the set-up. Progress and errors go to stderr, results to stdout; SIGINT and SIGTERM stop it
 * cleanly. Gives the exit code: 0, 1 for a failure, 2 for wrong usage, 130 after a signal.
 */
export async function runProvision(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  const onSignal = () => {
    process.stderr.write('\nStopping; what is done so far is kept.\n');
    stop.abort();
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { config: { type: 'string' }, help: { type: 'boolean' } },
    });
    if (values.help === true) {
      process.stdout.write(usage);
      return 0;
    }
    if (positionals.some((word) => word !== 'source') || positionals.length > 1) {
      process.stderr.write(usage);
      return 2;
    }
    const config = await loadConfig(values.config ?? process.env.HAMLET_CONFIG);
    const options = { progress: textProgress(process.stderr), signal: stop.signal };
    if (positionals[0] === 'source') {
      const tree = await new DebianProvider(config).source(options);
      process.stdout.write(`${tree.gopath}\n`);
    } else {
      await provision(config, options);
    }
    return 0;
  } catch (error) {
    if (stop.signal.aborted) return interruptedExitCode;
    if (isUsageError(error)) {
      process.stderr.write(`${error.message}\n${usage}`);
      return 2;
    }
    process.stderr.write(`${error instanceof HamletError ? messageOf(error) : inspect(error)}\n`);
    return 1;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function isUsageError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
}
