import { execFile } from 'node:child_process';
import { HamletError } from '../../lib/errors.js';

/** Where distributions put programs; the caller's PATH has no say in what root runs. */
const programFolders = '/usr/sbin:/usr/bin:/sbin:/bin';
/** No command that is used here takes longer, unless it hangs in the kernel; in milliseconds. */
const timeoutMs = 30_000;

export interface CommandResult {
  /** Null when it was ended by a signal, or by its time being over. */
  readonly code: number | null;
  readonly stdout: string;
  /** The last line of what it complained about, or how it ended. */
  readonly complaint: string;
}

/** Runs a program of the machine. Throws NOT_FOUND when it is not installed. */
export function run(file: string, args: readonly string[], input = ''): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const env = { PATH: programFolders, LC_ALL: 'C' };
    const child = execFile(
      file,
      args,
      { env, timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 256 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error?.code === 'ENOENT') {
          return reject(new HamletError('NOT_FOUND', `${file} is not installed`, { cause: error }));
        }
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
        const lastLine = stderr.trim().split('\n').at(-1) ?? '';
        resolve({ code, stdout, complaint: lastLine || (code === 0 ? '' : endOf(error?.signal, code)) });
      },
    );
    // One that ends without reading its input gives EPIPE here, and its exit code says the rest.
    child.stdin?.on('error', () => undefined).end(input);
  });
}

function endOf(signal: NodeJS.Signals | undefined | null, code: number | null): string {
  return code === null
    ? `ended by ${signal ?? 'a signal'} after at most ${timeoutMs / 1_000} s`
    : `exit code ${code}`;
}
