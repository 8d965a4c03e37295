import { messageOf } from '../../lib/errors.js';
import type { Config } from '../../platform/config.js';
import { runPaths } from '../../platform/paths.js';
import { Children } from '../children.js';
import type { Outputs } from '../children-options.js';
import { stdoutPaths } from '../pipes.js';
import { Secrets } from '../secrets.js';
import type { Kind } from './kind.js';
import { leftComponents } from './processes.js';

/** Nothing is started here, so nothing is written. */
const noOutputs = {
  openOutput: () => ({ stdout: 1, stderr: 2, close: () => undefined }),
  lastRun: () => 0,
  adopt: () => undefined,
  isOutputOf: () => false,
  endRun: () => Promise.resolve(true),
} satisfies Partial<Outputs>;

/** Components that go on running because Hamlet itself was killed, and their secrets. */
export function components(config: Config): Kind {
  const run = runPaths(config.paths.run);
  return {
    name: 'components',
    find() {
      const names = leftComponents(config).map(({ name }) => name);
      return names.length === 0 ? undefined : `${names.length} still run: ${names.join(', ')}`;
    },
    async remove(signal) {
      const children = new Children({
        file: run.children,
        secrets: new Secrets(run.secrets),
        outputs: { ...noOutputs, stdouts: stdoutPaths(run.pipes) },
      });
      try {
        await children.endLeftovers(signal);
        return {};
      } catch (error) {
        signal.throwIfAborted();
        return { failed: [messageOf(error)] };
      }
    },
  };
}
