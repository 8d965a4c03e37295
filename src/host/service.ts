import { execFile, type ExecFileException } from 'node:child_process';
import type { Handlers } from '../ipc/contract.js';
import type { host } from '../ipc/services/host.js';
import { HamletError, errnoOf } from '../lib/errors.js';
import { kubeCommand, type Components } from '../platform/components.js';
import type { Children } from './children.js';
import { criticalPath, type BootTimeline } from './boot.js';
import type { ConditionBoard } from './conditions.js';
import type { History } from './history.js';
import { atUsualPriority } from './priority.js';
import type { Secrets } from './secrets.js';

/** How much of a command's output is kept, in bytes. */
const maxOutputBytes = 64 * 1024;

export interface HostParts {
  readonly children: Children;
  readonly secrets: Secrets;
  readonly board: ConditionBoard;
  readonly history: History;
  readonly boot: BootTimeline;
  /** PATH of the commands that are run for others. */
  readonly bin: string;
  /** The component binaries, once they have been found. */
  readonly components: () => Components | undefined;
  /** Resolves when the binaries that were built here are known to be what was built; nothing of them runs before. */
  readonly verified: () => Promise<void>;
}

/** What the main thread serves on the mesh. */
export function hostHandlers({
  children,
  secrets,
  board,
  history,
  boot,
  bin,
  components,
  verified,
}: HostParts): Handlers<typeof host> {
  return {
    async spawn(request, { signal }) {
      const found = components();
      // The distribution's own need no check, and come first.
      if (request.argv[0] !== found?.etcd && request.argv[0] !== found?.containerd) await verified();
      signal.throwIfAborted();
      return children.spawn(request);
    },
    async *standingStart(request, { signal }) {
      await children.standingStart(request, signal);
      yield {};
    },
    signal({ name, signal }) {
      children.signal(name, signal);
      return {};
    },
    changedSecrets: ({ name, secrets: files }) => ({ changed: secrets.changed(name, files) }),
    replaceSecrets({ name, secrets: files }) {
      secrets.replace(name, files);
      return {};
    },
    async run({ argv, env }, { signal }) {
      await verified();
      return runCommand(argv, { PATH: bin, ...env }, signal);
    },
    children: (_request, { signal }) => children.watch(signal),
    setConditions({ conditions }) {
      const nowMs = Date.now();
      for (const condition of conditions) board.set(condition, nowMs);
      return {};
    },
    condition: ({ name }) => board.get(name),
    conditions: (_request, { signal }) => board.watch(signal),
    boot: () => ({
      steps: [...boot.steps],
      criticalPath: [...criticalPath(boot.steps)],
      nowMs: boot.nowMs,
    }),
    putRestart: ({ id, restart }) => ({ id: history.put(id, restart) }),
    restarts: ({ name, last }) => ({
      restarts: history
        .list(name, last)
        .map((restart) => ({ ...restart, tookWith: [...history.tookWith(restart.id)] })),
    }),
    async kubectl() {
      const found = components();
      if (found === undefined) throw new HamletError('UNAVAILABLE', 'the components are still being checked');
      await verified();
      return { command: [...kubeCommand(found, 'kubectl')] };
    },
  };
}

function runCommand(argv: readonly string[], env: Record<string, string>, signal: AbortSignal) {
  const [file = '', ...args] = argv;
  return new Promise<{ code: number | null; signal: string | null; output: string }>((resolve, reject) => {
    const options = { env, signal, maxBuffer: 16 * 1024 * 1024 };
    const onEnd = (error: ExecFileException | null, stdout: string, stderr: string): void => {
      if (signal.aborted) return reject(signal.reason);
      const output = `${stdout}${stderr}`.slice(-maxOutputBytes);
      if (error === null) return resolve({ code: 0, signal: null, output });
      if (typeof error.code !== 'number' && error.signal == null) {
        const code = errnoOf(error) === 'ENOENT' ? 'NOT_FOUND' : 'INTERNAL';
        return reject(new HamletError(code, `${file} could not be run`, { cause: error }));
      }
      resolve({
        code: typeof error.code === 'number' ? error.code : null,
        signal: error.signal ?? null,
        output,
      });
    };
    atUsualPriority(() => execFile(file, args, options, onEnd));
  });
}
